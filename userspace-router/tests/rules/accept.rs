// SPDX-License-Identifier: GPL-2.0
//! Accept and decline, 1 to 6: who gets the body, and when.

use std::net::SocketAddr;

use crate::cases::{assert_own, post, refused, PROBE};
use crate::scene::{sends, Act, Heard, Scene};
use crate::sockets::until_none_to;
use crate::support::nobody;
use crate::wire::End;

const ASK: Option<&str> = Some("100-continue");

fn put(length: usize) -> Vec<u8> {
    let fields = format!("Content-Length: {length}\r\n");
    post(&fields, &"x".repeat(length))
}

fn chunked(content: &str) -> Vec<u8> {
    let body = format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len());
    post("Transfer-Encoding: chunked\r\n", &body)
}

fn status(status: u16) -> Act {
    let body = "no\n";
    sends(format!(
        "HTTP/1.1 {status} No\r\nContent-Length: 3\r\n\r\n{body}"
    ))
}

/// The status and content of the one final answer.
fn ask(scene: &Scene, request: impl AsRef<[u8]>) -> (u16, String) {
    let mut client = scene.connect();
    client.send(request);
    let answer = client.last_answer("POST").expect("an answer");
    assert_eq!(answer.body.cut, None, "{answer:?}");
    (answer.status, answer.text())
}

fn taken() -> (u16, String) {
    (200, "ok".to_owned())
}

#[test]
fn accept_01_a_body_is_asked_for_and_nothing_else() {
    let scene = Scene::plain();
    for (request, expect) in [
        (put(1), ASK),
        (put(100_000), ASK),
        (chunked("x"), ASK),
        (put(0), None),
        (post("", ""), None),
    ] {
        assert_eq!(ask(&scene, request), taken());
        assert_eq!(scene.heard().field("Expect"), expect);
    }
}

#[test]
fn accept_01_no_byte_of_the_body_before_accept() {
    for request in [put(1), put(100_000), chunked("hello")] {
        let scene = Scene::new(2, "", "");
        scene.script(0, vec![status(421), Act::End]);
        assert_eq!(ask(&scene, request), taken());
        let mut heard = [scene.heard(), scene.heard()];
        heard.sort_by_key(|heard| heard.backend);
        let [declined, accepted] = heard;
        // All that it got was the head.
        assert_eq!(
            (declined.bytes.as_slice(), declined.end),
            (&b""[..], Some(End::Reset))
        );
        assert!(!accepted.content().is_empty());
        let line = scene.logged(" status=200 reason=- ");
        assert!(
            line.contains("=declined-421,") && line.contains("=accepted "),
            "{line}"
        );
    }
}

#[test]
fn accept_01_the_answer_to_our_own_question_is_not_passed_on() {
    let scene = Scene::plain();
    for request in [put(2), chunked("hi")] {
        let mut client = scene.connect();
        client.send(request);
        assert_eq!(client.answer("POST").expect("an answer").status, 200);
        scene.heard();
    }
}

#[test]
fn accept_01_optimistic_sends_head_and_body_at_once() {
    let scene = Scene::new(1, "mode = \"optimistic\"", "");
    scene.script(0, vec![Act::Take(5), Act::Ok("ok")]);
    assert_eq!(ask(&scene, put(5)), taken());
    let heard = scene.heard();
    assert_eq!(
        (heard.field("Expect"), heard.bytes.as_slice()),
        (None, &b"xxxxx"[..])
    );
    scene.script(0, crate::scene::take());
    assert_eq!(ask(&scene, chunked("hello")), taken());
    let heard = scene.heard();
    assert_eq!(
        (heard.field("Expect"), heard.content()),
        (None, &b"hello"[..])
    );
}

#[test]
fn accept_01_ask_over_asks_for_what_is_longer_or_unknown() {
    let scene = Scene::new(1, "mode = \"ask-over\"\nask-over-bytes = 10", "");
    for (request, expect) in [
        (put(1), None),
        (put(10), None),
        (put(11), ASK),
        (chunked("x"), ASK),
        (put(0), None),
    ] {
        assert_eq!(ask(&scene, request), taken());
        assert_eq!(scene.heard().field("Expect"), expect);
    }
}

#[test]
fn accept_01_decline_codes_by_configuration() {
    for (route, declines) in [
        ("", vec![421]),
        ("decline = [503, 429]", vec![503, 429]),
        (
            "decline = [404, 417, 421, 429, 503]",
            vec![404, 417, 421, 429, 503],
        ),
        ("decline = []", vec![]),
    ] {
        for code in [404, 421, 429, 503, 403, 413, 500] {
            let scene = Scene::new(2, route, "");
            scene.script(0, vec![status(code), Act::End]);
            let expected = match declines.contains(&code) {
                true => taken(),
                false => (code, "no\\n".to_owned()),
            };
            assert_eq!(ask(&scene, put(5)), expected, "{route} {code}");
        }
    }
}

/// A back-end is asked first that cannot take it.
fn second_of(dead: SocketAddr, route: &str) -> Scene {
    Scene::behind(vec![dead], 1, route, "")
}

#[test]
fn accept_02_a_connect_failure_goes_to_the_next() {
    for request in [put(5), chunked("hello"), put(0)] {
        let scene = second_of(nobody(), "");
        assert_eq!(ask(&scene, request), taken());
        scene.logged("=down,");
    }
}

#[test]
fn accept_02_a_reset_before_accepting_goes_to_the_next() {
    for act in [Act::Reset, Act::Fin] {
        for request in [put(5), chunked("hello")] {
            let scene = Scene::new(2, "", "");
            scene.script(0, vec![act.clone()]);
            assert_eq!(ask(&scene, request), taken());
            scene.logged("=broke,");
        }
    }
}

#[test]
fn accept_02_never_again_once_a_byte_was_taken() {
    // A reset.
    for (request, body) in [(put(50), 1), (chunked("hello"), 2)] {
        let scene = Scene::new(2, "", "");
        scene.script(0, vec![Act::Accept, Act::Take(body), Act::Reset]);
        let mut client = scene.connect();
        client.send(request);
        let answer = client.answer("POST").expect("an answer");
        assert_own(&answer, 502, "backend-broke", "a reset");
        let line = scene.logged(" status=502 reason=backend-broke ");
        assert!(!line.contains(','), "asked another: {line}");
        assert_eq!(scene.heard().backend, 0);
        scene.unheard();
    }
    // A decline that came too late: it is an answer.
    for mode in ["ask", "optimistic"] {
        let scene = Scene::new(2, &format!("mode = \"{mode}\""), "");
        scene.script(0, vec![Act::Accept, Act::Take(5), status(421)]);
        assert_eq!(ask(&scene, put(5)), (421, "no\\n".to_owned()));
        scene.logged(" status=421 ");
        let line = scene.heard();
        assert_eq!((line.backend, line.bytes.len()), (0, 5));
        scene.unheard();
    }
}

#[test]
fn accept_02_a_reset_of_a_reused_connection_is_ambiguous() {
    for (request, again) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            true,
        ),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("X / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        // Nothing of the body was taken: whoever has not got it has not carried it out.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            true,
        ),
    ] {
        let scene = Scene::plain();
        let (_, first) = scene.pooled();
        // It breaks behind the next head; a new connection would work.
        scene.script(0, vec![Act::Reset]);
        let mut client = scene.connect();
        client.send(request);
        assert_eq!(scene.heard().connection, first, "{request}");
        if again {
            // What the second connection says.
            let line = match again_or_broke(&scene, &mut client, request) {
                Some(line) => line,
                None => continue,
            };
            panic!("{request}: {line}");
        }
        let answer = client.answer("POST").expect("an answer");
        assert_own(&answer, 502, "backend-broke", request);
        scene.unheard();
    }
}

/// The back-end goes on resetting: the second connection is the proof, its 502 the end.
fn again_or_broke(scene: &Scene, client: &mut crate::wire::Peer, request: &str) -> Option<String> {
    let second = scene.heard();
    let method = request.split(' ').next().unwrap_or_default();
    let answer = client.answer(method).expect("an answer");
    (second.connection != 2 || answer.status != 502).then(|| format!("{second:?} {answer:?}"))
}

#[test]
fn accept_02_a_pooled_connection_that_died_idle_is_replaced() {
    let scene = Scene::plain();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for end in [Act::Fin, Act::Reset] {
            // Its end comes right behind its answer; the one that the pool has is dead.
            scene.script_for(0, "/probe", vec![Act::Ok("ok"), end]);
            let mut client = scene.connect();
            client.send(PROBE);
            assert_eq!(client.answer("GET").expect("an answer").text(), "ok");
            scene.heard();
            // A reset that is still on its way would be ambiguous.
            for backend in &scene.backends {
                until_none_to(backend.port());
            }
            assert_eq!(ask(&scene, request), taken(), "{request}");
            scene.heard();
        }
    }
}

#[test]
fn accept_03_a_connection_that_declined_is_never_pooled() {
    for request in [put(5), put(100_000), chunked("hello")] {
        let scene = Scene::plain();
        scene.script(0, vec![status(421), Act::End]);
        // The only one there is: its decline is relayed.
        assert_eq!(ask(&scene, &request), (421, "no\\n".to_owned()));
        let declined = scene.heard();
        assert_eq!((declined.connection, declined.end), (1, Some(End::Reset)));
        scene.logged(" status=421 ");
        scene.script(0, crate::scene::take());
        assert_eq!(ask(&scene, &request), taken());
        assert_eq!(scene.heard().connection, 2);
    }
}

#[test]
fn accept_04_on_417_once_again_without_expect() {
    for request in [put(5), chunked("hello")] {
        let scene = Scene::plain();
        let refuse = Act::IfAsked(vec![status(417), Act::End]);
        scene.script(0, vec![refuse, Act::Body, Act::Ok("ok")]);
        assert_eq!(ask(&scene, &request), taken());
        let (first, second) = both(&scene);
        assert_eq!((first.bytes.len(), first.end), (0, Some(End::Reset)));
        assert_eq!((first.connection, second.connection), (1, 2));
        assert!(!second.content().is_empty());
        scene.logged("=no-expect,");
        // Once only.
        scene.script(
            0,
            vec![
                Act::IfAsked(vec![status(417), Act::End]),
                Act::Rest,
                status(417),
            ],
        );
        assert_eq!(ask(&scene, &request).0, 417);
        both(&scene);
        scene.unheard();
    }
}

/// The attempt with Expect, and the one without, whichever was over first.
fn both(scene: &Scene) -> (Heard, Heard) {
    let (one, other) = (scene.heard(), scene.heard());
    let (with, without) = if one.field("Expect").is_some() {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!((with.field("Expect"), without.field("Expect")), (ASK, None));
    (with, without)
}

#[test]
fn accept_04_silence_by_route() {
    let short = "ask-ms = 200";
    // As a decline: the next one, which has the same time, and enough of it on a slow machine.
    for request in [put(5), chunked("hello")] {
        let scene = Scene::new(2, "on-silence = \"decline\"", "ask-ms = 2000");
        scene.script(0, vec![Act::End]);
        assert_eq!(ask(&scene, &request), taken());
        let mut heard = [scene.heard(), scene.heard()];
        heard.sort_by_key(|heard| heard.backend);
        assert_eq!((heard[0].bytes.len(), heard[0].end), (0, Some(End::Reset)));
        scene.logged("=silent,");
        // Nobody else: 504.
        let scene = Scene::new(1, "on-silence = \"decline\"", short);
        scene.script(0, vec![Act::End]);
        let mut client = scene.connect();
        client.send(&request);
        assert_own(
            &client.answer("POST").expect("an answer"),
            504,
            "no-verdict",
            "silence",
        );
        // An old server that waits for the body, and is not asked twice.
        let scene = Scene::new(2, "on-silence = \"forward\"", short);
        scene.script(0, vec![Act::Rest, Act::Ok("ok")]);
        assert_eq!(ask(&scene, &request), taken());
        assert_eq!(scene.heard().content().len(), 5);
        scene.unheard();
        let scene = Scene::new(2, "on-silence = \"forward\"", short);
        scene.script(0, vec![Act::Rest, Act::Reset]);
        assert_eq!(ask(&scene, &request).0, 502);
        assert_eq!(scene.heard().content().len(), 5);
        scene.unheard();
    }
}

#[test]
fn accept_05_the_clients_own_expect_gets_the_back_ends_verdict() {
    let scene = Scene::plain();
    let head = post("Content-Length: 2\r\nExpect: 100-Continue\r\n", "");
    // The body is sent once 100 is there, and not before: so nobody but the back-end can
    // have said it.
    let mut client = scene.connect();
    client.send(&head);
    assert_eq!(client.answer("POST").expect("an answer").status, 100);
    client.send("hi");
    assert_eq!(client.answer("POST").expect("an answer").text(), "ok");
    let heard = scene.heard();
    assert_eq!((heard.content(), heard.field("Expect")), (&b"hi"[..], ASK));
    scene.logged(" status=200 ");
    // A refusal is the first that the client hears.
    for code in [401, 413, 500] {
        scene.script(0, vec![status(code), Act::End]);
        let mut client = scene.connect();
        client.send(&head);
        let (answers, end) = client.answers(&[]);
        let all: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!((all.as_slice(), end), (&[code][..], End::Fin));
        assert_eq!(scene.heard().bytes, b"");
        scene.logged(&format!(" status={code} "));
    }
    // Of one that declines it hears nothing.
    let scene = Scene::new(2, "", "");
    scene.script(0, vec![status(421), Act::End]);
    let mut client = scene.connect();
    client.send(&head);
    assert_eq!(client.answer("POST").expect("an answer").status, 100);
    client.send("hi");
    assert_eq!(client.answer("POST").expect("an answer").status, 200);
}

#[test]
fn accept_05_asked_in_every_mode_where_the_client_waits() {
    for route in [
        "mode = \"optimistic\"",
        "mode = \"ask-over\"\nask-over-bytes = 1000",
    ] {
        let scene = Scene::new(1, route, "");
        let mut client = scene.connect();
        client.send(post("Content-Length: 2\r\nExpect: 100-continue\r\n", ""));
        assert_eq!(client.answer("POST").expect("an answer").status, 100);
        client.send("hi");
        assert_eq!(client.answer("POST").expect("an answer").text(), "ok");
        assert_eq!(scene.heard().field("Expect"), ASK);
    }
}

#[test]
fn accept_05_unknown_expectations_are_417() {
    let scene = Scene::plain();
    for value in [
        "",
        "x",
        "100",
        "100-continue, x",
        "100-continue,",
        "100-continue;q=1",
        "\"100-continue\"",
        "101-continue",
        "100-continue\r\nExpect: 100-continue",
        "200-ok",
    ] {
        let request = post(&format!("Content-Length: 1\r\nExpect: {value}\r\n"), "x");
        refused(&scene, request, 417, "unknown-expectation");
    }
}

#[test]
fn accept_06_all_decline() {
    for (route, status_then, reason) in [
        ("", 421, None),
        ("all-declined = \"relay\"", 421, None),
        ("all-declined = \"503\"", 503, Some("all-declined")),
    ] {
        for request in [put(5), chunked("hello")] {
            let scene = Scene::new(3, route, "");
            for backend in 0..3 {
                scene.script(backend, vec![status(421), Act::End]);
            }
            let mut client = scene.connect();
            client.send(&request);
            let (answers, end) = client.answers(&[]);
            assert_eq!((answers.len(), end), (1, End::Fin), "{route}: {answers:?}");
            for answer in answers {
                assert_eq!(
                    (answer.status, answer.reason()),
                    (status_then, reason),
                    "{route}"
                );
                // Nothing more can follow the body that nobody took.
                assert_eq!(answer.field("Connection"), Some("close"), "{route}");
            }
            for _ in 0..3 {
                assert_eq!(scene.heard().bytes, b"");
            }
        }
    }
}

#[test]
fn accept_06_the_body_nobody_took_is_drained_within_bounds() {
    // The client sends all of it before it reads; it gets the answer, and FIN.
    let scene = Scene::new(1, "", "drain-bytes = 50000000");
    scene.script(0, vec![status(421), Act::End]);
    let mut client = scene.connect();
    client.send(put(20_000_000));
    client.half_close();
    let (answers, end) = client.answers(&[]);
    assert_eq!((answers.len(), end), (1, End::Fin));
    // One that never ends meets the bound.
    let scene = Scene::new(1, "", "drain-bytes = 100000");
    scene.script(0, vec![status(421), Act::End]);
    let mut client = scene.connect();
    client.send(post("Content-Length: 1000000000000\r\n", ""));
    assert_eq!(client.answer("POST").expect("an answer").status, 421);
    let mut sent = 0_usize;
    while client.try_send([b'x'; 10_000]) {
        sent += 10_000;
        assert!(sent < 100_000_000, "it is drained without bound");
    }
}
