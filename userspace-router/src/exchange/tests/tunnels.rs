// SPDX-License-Identifier: GPL-2.0
//! Upgrade, CONNECT, and what the router answers by itself.

use super::*;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                       Upgrade: h2c, websocket\r\n\r\n";
const CONNECT: &str = "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
const BOTH: &str = "abort(5) abort(1) finished(false)";

fn connecting() -> Terms {
    Terms {
        connect: true,
        trace: true,
        ..Terms::default()
    }
}

/// The head is with the back-end.
fn waiting(request: &str) -> Scene {
    let mut scene = Scene::new(request, 2, connecting());
    scene.told();
    assert_eq!(scene.connected(5, false), "send(5,head)");
    scene
}

fn tunnel() -> Scene {
    let mut scene = waiting(UPGRADE);
    assert_eq!(
        scene.back_head(5, SWITCH),
        "forward(1>5,Tunnel) route(5>1,Tunnel,101)"
    );
    scene
}

#[test]
fn a_tunnel_lives_until_both_have_said_their_last() {
    use ForwardResult::Complete;
    for up_first in [true, false] {
        let mut scene = tunnel();
        // No deadline of the exchange: the engine keeps the tunnel's time.
        assert_eq!(scene.wait(1_000_000), "");
        let ends = "del(1) del(5) finished(false)";
        if up_first {
            assert_eq!(scene.front_done(Complete, 3), "");
            assert_eq!(scene.front_closed(Reason::BodyEnd), "");
            assert_eq!(scene.back_done(5, Complete, 4), ends);
        } else {
            assert_eq!(scene.back_done(5, Complete, 4), "");
            assert_eq!(scene.back_closed(5, Reason::BodyEnd), "");
            assert_eq!(scene.front_done(Complete, 3), ends);
        }
        let line = scene.exchange.line().to_string();
        assert!(line.contains("status=101 reason=- "), "{line}");
        assert!(line.contains("=accepted up=3 down=4 "), "{line}");
    }
}

#[test]
fn a_tunnel_that_breaks_breaks_on_both_sides() {
    use ForwardResult::*;
    for (up, result, reason) in [
        (true, SourceError, "client-gone"),
        (true, TargetError, "backend-broke"),
        (true, SourceStalled, "tunnel-idle"),
        (false, SourceError, "backend-broke"),
        (false, TargetError, "client-gone"),
        (false, TargetStalled, "tunnel-idle"),
    ] {
        // The other direction tells its own end, or, with an engine that errs, does not.
        for tells in [true, false] {
            let mut scene = tunnel();
            let one = |scene: &mut Scene, up, result| match up {
                true => scene.front_done(result, 3),
                false => scene.back_done(5, result, 4),
            };
            assert_eq!(one(&mut scene, up, result), "");
            // Of the same cause.
            assert_eq!(scene.front_closed(Reason::Reset), "");
            assert_eq!(scene.wait(999), "");
            let told = match tells {
                true => one(&mut scene, !up, TargetError),
                false => scene.wait(1),
            };
            assert_eq!(told, BOTH, "{up} {result:?}");
            assert_eq!(scene.exchange.record.reason, reason);
            if tells {
                let line = scene.exchange.line().to_string();
                assert!(line.contains(" up=3 down=4 "), "{line}");
            }
        }
    }
    // Refused where it should have begun: never asked again.
    for tag in [Tag::IntoBack, Tag::IntoFront] {
        let mut scene = tunnel();
        scene.exchange.refused(tag, scene.now);
        assert_eq!(scene.told(), BOTH);
    }
}

#[test]
fn an_upgrade_that_the_back_end_does_not_want_is_an_exchange_like_any_other() {
    let mut scene = waiting(UPGRADE);
    assert_eq!(
        scene.back_head(5, "HTTP/1.1 103 Early\r\n\r\n"),
        "route(5>1,None,103)"
    );
    assert_eq!(
        scene.back_head(5, OK),
        "forward(1>0,None) route(5>1,Length(5),200)"
    );
    assert_eq!(
        scene.back_done(5, ForwardResult::Complete, 5),
        "release(5) finished(true)"
    );
    // A decline goes to the next, and the last decline to the client.
    let mut scene = waiting(UPGRADE);
    let decline = "HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(scene.back_head(5, decline), "abort(5) connect(82,fresh)");
    assert_eq!(scene.connected(6, false), "send(6,head)");
    assert_eq!(
        scene.back_head(6, decline),
        "forward(1>0,None) route(6>1,None,421) release(6) finished(true)"
    );
    // Silence is 504, and the client may go on.
    let mut scene = waiting(UPGRADE);
    assert_eq!(
        scene.wait(60_000),
        "abort(5) send(1,504) forward(1>0,None) finished(true)"
    );
}

#[test]
fn an_upgrade_is_not_asked_twice() {
    // So it gets no connection that may end by itself at any moment.
    for request in [UPGRADE, CONNECT] {
        let mut scene = Scene::new(request, 2, connecting());
        assert_eq!(scene.told(), "connect(81,fresh)");
        scene.exchange.connect_failed(Verdict::Down, scene.now);
        assert_eq!(scene.told(), "connect(82,fresh)");
    }
    let mut scene = Scene::asking(UPGRADE, 2);
    scene.told();
    scene.connected(5, true);
    assert_eq!(
        scene.back_closed(5, Reason::Fin),
        "abort(5) send(1,502) forward(1>0,None) finished(true)"
    );
    // Unless nothing was sent.
    let mut scene = Scene::asking(UPGRADE, 2);
    scene.told();
    scene.connected(5, true);
    scene.exchange.refused(Tag::IntoBack, scene.now);
    assert_eq!(scene.told(), "abort(5) connect(81,fresh)");
}

#[test]
fn a_switch_that_nobody_asked_for() {
    let refused = "abort(5) send(1,502) finished(true)";
    let held = "abort(5) send(1,502) forward(1>0,None) finished(true)";
    for (request, response, follows) in [
        (GET, SWITCH, refused),
        // Offered, and not let through.
        (UPGRADE, "HTTP/1.1 101 Go\r\nUpgrade: h2c\r\n\r\n", held),
        (
            UPGRADE,
            "HTTP/1.1 101 Go\r\nUpgrade: websocket, h2c\r\n\r\n",
            held,
        ),
        (UPGRADE, "HTTP/1.1 101 Go\r\n\r\n", held),
    ] {
        let mut scene = Scene::asking(request, 1);
        scene.told();
        scene.connected(5, false);
        assert_eq!(scene.back_head(5, response), follows, "{request}{response}");
        assert_eq!(scene.exchange.record.reason, "unasked-upgrade");
    }
    // A route that lets nothing through sends it as a plain request.
    let mut terms = Terms::default();
    terms.rewrite.upgrade.clear();
    let mut scene = Scene::new(UPGRADE, 1, terms);
    scene.told();
    assert_eq!(scene.connected(5, false), "route(1>5,None,head)");
}

#[test]
fn connect() {
    let mut scene = waiting(CONNECT);
    let accepted = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        scene.back_head(5, accepted),
        "forward(1>5,Tunnel) route(5>1,Tunnel,200)"
    );
    // Refused by the back-end: what the client may have sent ahead is no request.
    let mut scene = waiting(CONNECT);
    assert_eq!(
        scene.back_head(5, "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n"),
        "forward(1>0,None) route(5>1,Length(5),403)"
    );
    assert_eq!(
        scene.back_done(5, ForwardResult::Complete, 5),
        "release(5) drain(1) finished(false)"
    );
    // 101 is no answer to it.
    let mut scene = waiting(CONNECT);
    assert_eq!(
        scene.back_head(5, SWITCH),
        "abort(5) send(1,502) drain(1) finished(false)"
    );
    // Not configured.
    let mut scene = Scene::asking(CONNECT, 1);
    assert_eq!(scene.told(), "send(1,501) drain(1) finished(false)");
}

#[test]
fn what_is_answered_here() {
    let answer = |head: &str, terms: Terms| {
        let mut scene = Scene::new(head, 1, terms);
        let actions = scene.actions();
        let words: Vec<_> = actions.iter().map(word).collect();
        let data = actions.into_iter().find_map(|action| match action {
            Action::Command(Command::Send { data, .. }, _) => Some(data),
            _ => None,
        });
        let text = String::from_utf8(data.unwrap_or_default()).unwrap();
        (words.join(" "), text)
    };
    let ours = "send(1,200) forward(1>0,None) finished(true)";
    let options = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    let (words, text) = answer(options, Terms::default());
    assert_eq!(words, ours);
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    );
    let trace = "TRACE /x HTTP/1.1\r\nHost: a\r\nCookie: c\r\nMax-Forwards: 0\r\n\r\n";
    let (words, text) = answer(trace, connecting());
    assert_eq!(words, ours);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        body,
        "TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"
    );
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: message/http\r\nContent-Length: {}",
            body.len()
        )
    );
    let (words, _) = answer(trace, Terms::default());
    assert_eq!(words, "send(1,501) forward(1>0,None) finished(true)");
    // A body that was not asked for is drained.
    let with_body = "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 3\r\n\r\n";
    let (words, text) = answer(with_body, Terms::default());
    assert_eq!(words, "send(1,200) drain(1) finished(false)");
    assert!(text.contains("Connection: close"), "{text}");
    // One hop left, or a method that does not count them: sent on.
    for head in [
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
    ] {
        assert_eq!(answer(head, Terms::default()).0, "connect(81)", "{head}");
    }
    let through = |times| {
        let via = "1.1 underpass, ".repeat(times);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}1.1 b\r\n\r\n");
        answer(&head, Terms::default()).0
    };
    assert_eq!(through(8), "connect(81)");
    assert_eq!(through(9), "send(1,502) forward(1>0,None) finished(true)");
}
