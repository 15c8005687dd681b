// SPDX-License-Identifier: GPL-2.0
//! Responses that the engine passes on by itself: to the client and in the log they are like
//! any other.

use std::io::Read;

use crate::support::*;

const DATE: &str = "Date: d\r\n";

/// A back-end that answers each request by what its path asks for.
fn server() -> std::net::SocketAddr {
    backend(|mut peer, _| loop {
        let head = peer.head();
        let Some(path) = head.split(' ').nth(1) else {
            return;
        };
        let answer = match path {
            "/none" => format!("HTTP/1.1 204 No Content\r\n{DATE}\r\n"),
            "/same" => format!("HTTP/1.1 304 Not Modified\r\n{DATE}Content-Length: 5\r\n\r\n"),
            "/chunks" => format!(
                "HTTP/1.1 200 OK\r\n{DATE}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ),
            "/head" => format!("HTTP/1.1 200 OK\r\n{DATE}Content-Length: 5\r\n\r\n"),
            "/hop" => format!(
                "HTTP/1.1 200 OK\r\n{DATE}Connection: keep-alive\r\nKeep-Alive: timeout=9\r\n\
                 A:b\r\nContent-Length: 2\r\n\r\nok"
            ),
            "/missing" => format!("HTTP/1.1 404 Not Found\r\n{DATE}Content-Length: 2\r\n\r\nno"),
            _ => {
                let body = peer.body(content_length(&head) as usize);
                ok(&format!("got {}", body.len()))
            }
        };
        peer.send(&answer);
    })
}

/// Sent apart, they would be two packets, of which a reader who waits mostly gets the first alone.
#[test]
fn a_small_body_comes_in_the_packet_of_its_head() {
    const TIMES: usize = 200;
    let router = Router::start(&[server()], "mode = \"optimistic\"", "");
    let mut client = router.connect();
    for _ in 0..TIMES {
        client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut room = [0; 4096];
        let read = client.stream.read(&mut room).expect("a response");
        assert!(
            room[..read].ends_with(b"\r\n\r\ngot 0"),
            "{}",
            room[..read].escape_ascii()
        );
    }
}

#[test]
fn one_after_the_other_over_the_same_connections() {
    let router = Router::start(&[server()], "mode = \"optimistic\"", "");
    let mut client = router.connect();
    let log = |target: &str, status: u16, down: usize| {
        let line = router.logged();
        let all = format!(" target={target} status={status} reason=- ");
        assert!(line.contains(&all), "{line}");
        assert!(line.contains(&format!(" down={down} ")), "{line}");
        assert!(
            line.contains("=accepted ") && !line.contains(" head-ms=- "),
            "{line}"
        );
    };
    for _ in 0..3 {
        for (target, code, expected, down) in [
            ("/plain", 200, "got 0", 5),
            ("/none", 204, "", 0),
            ("/same", 304, "", 0),
            ("/chunks", 200, "abc", 13),
            ("/hop", 200, "ok", 2),
            ("/missing", 404, "no", 2),
        ] {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.head();
            assert_eq!(status(&head), code, "{head}");
            assert!(head.ends_with("\r\nVia: 1.1 underpass\r\n\r\n"), "{head}");
            assert!(!head.contains("eep-"), "a field of another hop: {head}");
            let body = match target {
                "/chunks" => client.chunked().0,
                _ => client.body(expected.len()),
            };
            assert_eq!(body, expected.as_bytes(), "{target}");
            log(target, code, down);
        }
        client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head();
        assert!(head.contains("Content-Length: 5\r\n"), "{head}");
        log("/head", 200, 0);
        client.send("PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(client.answer().1, "got 4");
        log("/put", 200, 5);
    }
}
