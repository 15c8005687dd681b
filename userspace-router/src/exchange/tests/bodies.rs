// SPDX-License-Identifier: GPL-2.0
//! How bodies come and leave, and what follows where one does not end as it should.

use super::*;

const CHUNKED: &str = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\n\r\n";

/// A request without body, answered by this head: what is commanded, and what the client gets.
fn answered(request: &str, response: &str) -> (String, String) {
    let mut scene = Scene::asking(request, 1);
    scene.told();
    scene.connected(5, false);
    let told = scene.exchange_head(5, response);
    let heads = told.iter().find_map(|action| match action {
        Action::Command(Command::Route { data, .. }, _) => Some(data.clone()),
        _ => None,
    });
    let words: Vec<_> = told.iter().map(word).collect();
    let head = String::from_utf8(heads.unwrap_or_default()).unwrap();
    (words.join(" "), head)
}

#[test]
fn chunks_up() {
    let mut scene = Scene::asking(CHUNKED, 1);
    scene.told();
    assert_eq!(scene.connected(5, false), "send(5,ask)");
    assert_eq!(
        scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n"),
        "forward(5>0,None) forward(1>5,Chunked)"
    );
    let mut terms = Terms {
        mode: Mode::Optimistic,
        ..Terms::default()
    };
    terms.rewrite.trailers = "a,b".to_owned();
    let mut scene = Scene::new(CHUNKED, 1, terms);
    scene.told();
    assert_eq!(scene.connected(5, false), "route(1>5,Chunked+a,b,head)");
}

#[test]
fn how_a_response_leaves() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    let old_keeps = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let closes = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    // (request, response, command, coding, what Connection says)
    for (request, response, command, coding, connection) in [
        (GET, chunked, "route(5>1,Chunked,200)", true, ""),
        (closes, chunked, "route(5>1,Chunked,200)", true, "close"),
        (
            OLD,
            chunked,
            "route(5>1,Chunked:UntilClose,200)",
            false,
            "close",
        ),
        (
            old_keeps,
            chunked,
            "route(5>1,Chunked:UntilClose,200)",
            false,
            "close",
        ),
        (
            GET,
            until_close,
            "route(5>1,UntilClose:Chunked,200)",
            true,
            "",
        ),
        (
            closes,
            until_close,
            "route(5>1,UntilClose,200)",
            false,
            "close",
        ),
        (
            OLD,
            until_close,
            "route(5>1,UntilClose,200)",
            false,
            "close",
        ),
        (
            old_keeps,
            OK,
            "route(5>1,Length(5),200)",
            false,
            "keep-alive",
        ),
        (OLD, OK, "route(5>1,Length(5),200)", false, "close"),
        (
            head,
            chunked,
            "route(5>1,None,200) abort(5) finished(true)",
            true,
            "",
        ),
        (
            head,
            until_close,
            "route(5>1,None,200) abort(5) finished(true)",
            false,
            "",
        ),
    ] {
        let (commands, head) = answered(request, response);
        assert_eq!(commands, command, "{request}{response}");
        let coded = head.contains("Transfer-Encoding: chunked\r\n");
        assert_eq!(coded, coding, "{request}{head}");
        let said = head
            .lines()
            .find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!(said.unwrap_or_default(), connection, "{request}{head}");
    }
}

#[test]
fn how_an_until_close_response_ends() {
    // As chunks, it leaves the client's connection alive; the back-end's is over.
    let mut scene = Scene::asking(GET, 1);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 200 OK\r\n\r\n");
    let end = scene.back_done(5, ForwardResult::Complete, 9);
    assert_eq!(end, "del(5) finished(true)");
    let mut scene = Scene::asking(OLD, 1);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 200 OK\r\n\r\n");
    let end = scene.back_done(5, ForwardResult::Complete, 9);
    assert_eq!(end, "del(5) drain(1) finished(false)");
}

#[test]
fn trailers_of_a_response() {
    let mut terms = Terms::default();
    terms.rewrite.trailers = "grpc-status".to_owned();
    for (request, command) in [
        (GET, "route(5>1,Chunked+grpc-status,200)"),
        (OLD, "route(5>1,Chunked:UntilClose,200)"),
    ] {
        let mut scene = Scene::new(request, 1, terms.clone());
        scene.told();
        scene.connected(5, false);
        let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(scene.back_head(5, response), command);
    }
}

#[test]
fn an_upload_that_does_not_end_as_it_should() {
    use ForwardResult::*;
    let ends = "drain(1) finished(false)";
    for (result, status, reason) in [
        (Truncated, 400, "request-truncated"),
        (Malformed, 400, "bad-chunk"),
        (SourceStalled, 408, "request-stalled"),
        (TargetStalled, 504, "backend-stalled"),
        (SourceSlow, 408, "request-slow"),
        (TargetSlow, 504, "backend-slow"),
    ] {
        let moving = || {
            let mut scene = Scene::asking(CHUNKED, 2);
            scene.told();
            scene.connected(5, false);
            scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
            scene
        };
        // Before the response, during, and after it.
        let mut scene = moving();
        assert_eq!(
            scene.front_done(result, 4),
            format!("abort(5) send(1,{status}) {ends}")
        );
        assert_eq!(scene.exchange.record.reason, reason);
        let mut scene = moving();
        scene.back_head(5, OK);
        assert_eq!(
            scene.front_done(result, 4),
            "abort(5) abort(1) finished(false)"
        );
        let mut scene = moving();
        scene.back_head(5, OK);
        assert_eq!(scene.back_done(5, Complete, 5), "");
        assert_eq!(scene.front_done(result, 4), format!("abort(5) {ends}"));
        let record = &scene.exchange.record;
        assert_eq!((record.status, record.reason), (200, reason));
    }
}

#[test]
fn a_download_that_does_not_end_as_it_should() {
    use ForwardResult::*;
    for (result, reason) in [
        (Truncated, "response-truncated"),
        (SourceError, "response-truncated"),
        (Malformed, "bad-response-chunk"),
        (SourceStalled, "response-stalled"),
        (TargetStalled, "client-stalled"),
        (SourceSlow, "response-slow"),
        (TargetSlow, "client-slow"),
        (TargetError, "client-gone"),
    ] {
        let mut scene = Scene::asking(GET, 1);
        scene.told();
        scene.connected(5, false);
        scene.back_head(5, OK);
        let both = "abort(5) abort(1) finished(false)";
        assert_eq!(scene.back_done(5, result, 2), both);
        assert_eq!(scene.exchange.record.reason, reason);
    }
}

#[test]
fn what_is_asked_over_a_limit() {
    let with = |mode| Terms {
        mode,
        ..Terms::default()
    };
    let expects = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    for (request, mode, asks) in [
        (PUT, Mode::AskOver(9), true),
        (PUT, Mode::AskOver(10), false),
        (CHUNKED, Mode::AskOver(u64::MAX), true),
        (GET, Mode::AskOver(0), false),
        (CHUNKED, Mode::Optimistic, false),
        // The client's own Expect wants the back-end's verdict.
        (expects, Mode::Optimistic, true),
        (expects, Mode::AskOver(10), true),
    ] {
        let mut scene = Scene::new(request, 1, with(mode));
        scene.told();
        let asked = scene.connected(5, false) == "send(5,ask)";
        assert_eq!(asked, asks, "{request} {mode:?}");
    }
}

#[test]
fn asking_has_an_end() {
    // A connection that takes for ever.
    let mut scene = Scene::asking(PUT, 2);
    scene.told();
    assert_eq!(scene.wait(9_999), "");
    assert_eq!(scene.wait(1), "send(1,504) drain(1) finished(false)");
    let line = scene.exchange.line().to_string();
    assert!(
        line.contains("asked=127.0.0.1:81=connect-timeout "),
        "{line}"
    );
    // Silence, again and again.
    let mut scene = Scene::asking(PUT, 100);
    scene.told();
    scene.now += Duration::from_millis(9_500);
    scene.connected(5, false);
    assert_eq!(scene.wait(499), "");
    assert_eq!(
        scene.wait(1),
        "abort(5) send(1,504) drain(1) finished(false)"
    );
    // Late declines.
    let mut scene = Scene::asking(GET, 100);
    scene.told();
    scene.connected(5, false);
    scene.now += Duration::from_millis(10_000);
    assert_eq!(
        scene.back_head(5, "HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n"),
        "route(5>1,None,421) release(5) finished(true)"
    );
}

#[test]
fn a_head_goes_into_a_used_connection_only_if_it_is_quiet() {
    for (request, reused) in [(PUT, true), (GET, true), (PUT, false), (GET, false)] {
        let mut scene = Scene::asking(request, 1);
        scene.told();
        scene.exchange.connected(5, reused, Vec::new(), scene.now);
        let quiet = scene.actions().iter().any(|action| {
            matches!(
                action,
                Action::Command(
                    Command::Send { if_quiet: true, .. } | Command::Route { if_quiet: true, .. },
                    Tag::IntoBack
                )
            )
        });
        assert_eq!(quiet, reused, "{request}");
    }
    let mut scene = Scene::asking(POST, 1);
    scene.told();
    scene.connected(5, true);
    scene.exchange.refused(Tag::IntoBack, scene.now);
    assert_eq!(scene.told(), "abort(5) connect(81,fresh)");
    let line = scene.exchange.line().to_string();
    assert!(line.contains("=stale,127.0.0.1:81=asked "), "{line}");
}

#[test]
fn a_long_upload_may_be_told_of_as_it_goes_on() {
    let mut scene = Scene::asking(PUT, 1);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
    // As resumable uploads do.
    let progress = "HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Offset: 1\r\n\r\n";
    for _ in 0..600 {
        assert_eq!(scene.wait(100), "");
        assert_eq!(scene.back_head(5, progress), "route(5>1,None,104)");
    }
    // More than its time allows are too many nevertheless.
    let mut told = (0..1_000).map(|_| scene.back_head(5, progress));
    let end = told.find(|told| told != "route(5>1,None,104)");
    assert_eq!(
        end.as_deref(),
        Some("abort(5) send(1,502) drain(1) finished(false)")
    );
}
