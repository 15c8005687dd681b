// SPDX-License-Identifier: GPL-2.0
//! Framing 8, 9 and 10: where responses end.

use crate::cases::{cut_short, relayed, PROBE};
use crate::scene::{ok, sends, Act, Scene};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The response's connection, and that of the request after it.
fn connections(scene: &Scene, request: &str, response: Vec<Act>) -> (u32, u32, String) {
    let case = format!("{request:?} {response:?}");
    let (mut client, answer) = relayed(scene, request, response);
    assert_eq!(answer.body.cut, None, "{case}: {answer:?}");
    let first = scene.heard().connection;
    scene.logged(" reason=- ");
    // The client's connection goes on behind the message, where it can.
    scene.script(0, crate::scene::take());
    if answer.field("Connection") == Some("close") {
        assert_eq!(client.rest(), (Vec::new(), crate::wire::End::Fin), "{case}");
        client = scene.connect();
    }
    client.send(PROBE);
    let probe = client.answer("GET").expect("an answer");
    assert_eq!((probe.status, probe.text().as_str()), (200, "ok"), "{case}");
    scene.logged(" target=/probe status=200 reason=- ");
    (first, scene.heard().connection, answer.text())
}

#[test]
fn framing_08_no_body_whatever_content_length_says() {
    let scene = Scene::plain();
    for (request, response) in [
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
        (HEAD, "HTTP/1.1 404 No\r\nContent-Length: 18446744073709551615\r\n\r\n"),
        (HEAD, "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"),
        (GET, "HTTP/1.1 204 No\r\n\r\n"),
        (GET, "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
        (GET, "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (GET, "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"),
        (GET, "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (GET, "HTTP/1.1 304 No\r\n\r\n"),
        (GET, "HTTP/1.1 103 A\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
        (GET, "HTTP/1.1 103 A\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
        (HEAD, "HTTP/1.1 100 A\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"),
    ] {
        let (first, second, content) = connections(&scene, request, vec![sends(response)]);
        // Some servers send the body that a response to HEAD must not have, maybe later.
        assert_eq!((first == second, content.as_str()), (request != HEAD, ""), "{request} {response}");
        // With the bytes of a body that must not be: they are surplus.
        for body in ["hello", "5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"] {
            let whole = format!("{response}{body}");
            let (first, second, content) = connections(&scene, request, vec![sends(whole)]);
            assert_eq!(content, "", "{request} {response}");
            assert_ne!(first, second, "{request} {response} {body}");
        }
    }
}

#[test]
fn framing_08_length_and_coding_tell_what_get_would() {
    let scene = Scene::plain();
    for (request, response, field, value) in [
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "Content-Length",
            Some("5"),
        ),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding",
            Some("chunked"),
        ),
        (
            GET,
            "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n",
            "Content-Length",
            Some("5"),
        ),
        // RFC 9112 section 6.1 lets a recipient drop it, and some clients take what follows for chunks.
        (
            GET,
            "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding",
            None,
        ),
        (
            GET,
            "HTTP/1.1 304 No\r\nDate: x\r\ntransfer-encoding: chunked\r\n\r\n",
            "Transfer-Encoding",
            None,
        ),
        // RFC 9110 section 8.6, RFC 9112 section 6.1: never in these.
        (
            GET,
            "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
            "Content-Length",
            None,
        ),
        (
            GET,
            "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding",
            None,
        ),
    ] {
        let (_, answer) = relayed(&scene, request, vec![sends(response)]);
        assert_eq!(answer.field(field), value, "{request} {response}");
        scene.heard();
        scene.logged(" reason=- ");
    }
    let response = "HTTP/1.1 103 A\r\nContent-Length: 5\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
    scene.script(0, vec![sends(response)]);
    let mut client = scene.connect();
    client.send(GET);
    let interim = client.answer("GET").expect("an answer");
    assert_eq!(
        (interim.status, interim.field("Content-Length")),
        (103, None)
    );
    assert_eq!(interim.field("Link"), Some("x"));
}

#[test]
fn framing_09_until_close_ends_by_fin() {
    let scene = Scene::plain();
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
    ] {
        for content in ["", "hello", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
            for request in [
                GET,
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                "GET / HTTP/1.0\r\n\r\n",
                "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            ] {
                let response = vec![sends(format!("{head}{content}")), Act::Fin];
                let (first, second, got) = connections(&scene, request, response);
                assert_eq!(
                    got,
                    content.as_bytes().escape_ascii().to_string(),
                    "{request} {head}"
                );
                assert_ne!(first, second, "{request} {head}");
            }
        }
    }
}

#[test]
fn framing_09_a_reset_is_no_end() {
    let scene = Scene::plain();
    for request in [
        GET,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        for content in ["", "hello"] {
            let response = vec![
                sends(format!("HTTP/1.1 200 OK\r\n\r\n{content}")),
                Act::Reset,
            ];
            // A back-end that resets at once may be found broken before its head is read.
            scene.script(0, response);
            let mut client = scene.connect();
            client.send(request);
            match client.answer("GET") {
                Ok(answer) if answer.status == 502 => scene.logged("reason=backend-broke "),
                Ok(answer) => {
                    assert_eq!(answer.body.cut, Some(crate::wire::End::Reset), "{answer:?}");
                    scene.logged("reason=response-truncated ")
                }
                Err(end) => {
                    assert_eq!(end, crate::wire::End::Reset);
                    scene.logged("reason=response-truncated ")
                }
            };
            scene.heard();
        }
    }
}

#[test]
fn framing_09_until_close_is_for_responses_only() {
    let scene = Scene::plain();
    for version in ["1.0\r\nConnection: keep-alive", "1.1"] {
        let request = format!("POST / HTTP/{version}\r\nHost: a\r\n\r\n");
        let mut client = scene.connect();
        client.send(request + PROBE);
        for _ in 0..2 {
            assert_eq!(client.answer("GET").expect("an answer").text(), "ok");
        }
        assert_eq!(scene.heard().content(), b"");
        assert_eq!(scene.heard().target(), "/probe");
        scene.logged(" target=/ status=200 ");
        scene.logged(" target=/probe status=200 ");
    }
}

#[test]
fn framing_10_surplus_is_discarded_and_its_connection_never_pooled() {
    let scene = Scene::plain();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let responses = [
        ok("ok"),
        chunked.into(),
        b"HTTP/1.1 204 No\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        // These may be passed on without being shown.
        b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 0\r\n\r\n".to_vec(),
        chunked.replacen("OK\r\n", "OK\r\nDate: d\r\n", 1).into(),
    ];
    for response in responses {
        let (first, second, expected) = connections(&scene, GET, vec![sends(&response)]);
        assert_eq!(first, second);
        for surplus in [
            "x",
            "\r\n",
            "\n",
            "\0",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            "HTTP/1.1 421 Not here\r\nContent-Length: 0\r\n\r\n",
            "no head\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ] {
            let whole = [&response, surplus.as_bytes()].concat();
            let (first, second, content) = connections(&scene, GET, vec![sends(whole)]);
            assert_eq!(content, expected);
            assert_ne!(first, second, "{surplus:?}");
            // A moment later, when the connection may be idle already.
            let acts = vec![sends(&response), sends(surplus)];
            let (first, second, content) = connections(&scene, GET, acts);
            assert_eq!(content, expected);
            assert_ne!(first, second, "{surplus:?} later");
        }
    }
}

#[test]
fn framing_10_surplus_is_no_answer_to_a_pipelined_request() {
    let scene = Scene::plain();
    for first in [
        "HTTP/1.1 204 No\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No\r\nDate: d\r\n\r\n",
    ] {
        for evil in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "HTTP/1.1 200 OK\r\n\r\nevil",
            "HTTP/1.1 204 Evil\r\n\r\n",
        ] {
            for request in [
                GET,
                PROBE,
                "POST /probe HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            ] {
                scene.script_for(0, "/first", vec![sends(format!("{first}{evil}"))]);
                for _ in 0..5 {
                    let mut client = scene.connect();
                    client.send(format!("GET /first HTTP/1.1\r\nHost: a\r\n\r\n{request}"));
                    client.answer("GET").expect("an answer");
                    let second = client.answer("GET").expect("a second answer");
                    let got = (second.status, second.text());
                    assert_eq!(got, (200, "ok".to_owned()), "{first} {evil} {request}");
                    assert_eq!(second.body.cut, None);
                    let (one, other) = (scene.heard(), scene.heard());
                    assert_ne!(one.connection, other.connection, "{one:?} {other:?}");
                    scene.logged(" target=/first ");
                    scene.logged(" status=200 reason=- ");
                }
            }
        }
    }
}

#[test]
fn framing_10_nobody_gets_the_body_of_a_response_to_head() {
    let scene = Scene::plain();
    // Some servers send it, and behind the head: a client knows what is in it, or wrote it.
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let length = evil.len();
    for head in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
        // These may be passed on without being shown.
        format!("HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: {length}\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        format!("HTTP/1.1 404 No\r\nContent-Length: {length}\r\n\r\n"),
    ] {
        // When somebody else's request is there.
        let late = vec![sends(&head), Act::Take(1), sends(evil)];
        scene.script_for(0, "/head", late);
        let mut client = scene.connect();
        client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer("HEAD").expect("an answer");
        scene.logged(" target=/head ");
        let mut other = scene.connect();
        other.send(PROBE);
        let answer = other.answer("GET").expect("an answer");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "{head}"
        );
        scene.logged(" target=/probe status=200 reason=- ");
        let (one, other) = (scene.heard(), scene.heard());
        assert_ne!(one.connection, other.connection, "{one:?} {other:?}");
    }
}

#[test]
fn framing_10_pooled_only_where_both_messages_ended_exactly() {
    let scene = Scene::plain();
    for (response, pooled) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, CLOSE\r\n\r\nok",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nok",
            true,
        ),
    ] {
        let (first, second, _) = connections(&scene, GET, vec![sends(response)]);
        assert_eq!(first == second, pooled, "{response}");
    }
    // One byte too few: never a message, let alone pooled.
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok";
    cut_short(
        &scene,
        GET,
        vec![sends(response), Act::Fin],
        "ok",
        "response-truncated",
    );
    // A FIN behind the message: it is of no use any more.
    let (first, second, _) = connections(&scene, GET, vec![sends(ok("ok")), Act::Fin]);
    assert_ne!(first, second);
}
