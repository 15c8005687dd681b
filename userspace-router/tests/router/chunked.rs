// SPDX-License-Identifier: GPL-2.0
//! Chunked bodies both ways, what becomes of them for whom they are not, and how broken ones
//! end.

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunked_answer(body: &[u8], size: usize) -> Vec<u8> {
    [CHUNKED.as_bytes(), &in_chunks(body, size)].concat()
}

#[test]
fn an_upload_is_declined_then_taken_whole() {
    let router = Router::start(&[nobody(), decliner(421), taker()], "", "");
    let body = noise(3_000_000);
    let mut client = router.connect();
    client.send(PUT);
    client.send(in_chunks(&body, 10_007));
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(&body).into_bytes());
    let log = router.logged();
    assert!(
        log.contains("=down,") && log.contains("=declined-421,"),
        "{log}"
    );
}

#[test]
fn requests_in_one_segment_begin_at_the_exact_byte() {
    let router = Router::start(&[taker()], "", "");
    let mut client = router.connect();
    let mut all = Vec::new();
    for size in [1, 2, 100_000] {
        all.extend_from_slice(PUT.as_bytes());
        all.extend_from_slice(&in_chunks(b"some content", size));
    }
    // Extensions and trailers end here, and framing does not depend on the method.
    all.extend_from_slice(
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          00C;name=\"value\" ;x\r\nsome content\r\n0;y\r\nX-T: 1\r\n\r\n",
    );
    all.extend_from_slice(GET.as_bytes());
    client.send(&all);
    for body in [
        &b"some content"[..],
        b"some content",
        b"some content",
        b"some content",
        b"",
    ] {
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.body(64), sha256(body).into_bytes());
    }
}

#[test]
fn downloads_leave_both_connections_alive() {
    let body = noise(1_000_000);
    let answer = chunked_answer(&body, 9_973);
    let backend = backend(move |mut peer, number| {
        while !peer.head().is_empty() {
            assert_eq!(number, 1, "a second connection");
            peer.send(&answer);
        }
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    for _ in 0..3 {
        client.send(GET);
        let head = client.head();
        assert_eq!(field(&head, "Transfer-Encoding"), Some("chunked"));
        assert_eq!(field(&head, "Connection"), None);
        assert_eq!(client.chunked(), (body.clone(), String::new()));
        router.logged();
    }
}

#[test]
fn trailers_pass_if_the_route_lets_them() {
    let section = "X-Sum: 1\r\nX-Other: 2\r\nContent-Length: 3\r\n";
    let backend = || {
        backend(move |mut peer, _| {
            let head = peer.head();
            let (body, trailers) = peer.chunked();
            let said = format!(
                "{:?} {:?} {:?} {trailers}",
                field(&head, "TE"),
                field(&head, "Connection"),
                field(&head, "Trailer")
            );
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-Other\r\nTransfer-Encoding: chunked\r\n\r\n\
                 {:x}\r\n{said}\r\n{:x}\r\n",
                said.len(),
                body.len()
            ));
            peer.send(body);
            peer.send(format!("\r\n0\r\n{section}\r\n"));
        })
    };
    for (route, heard, told) in [
        ("", "None None None ", ""),
        (
            "trailers = [\"x-sum\"]",
            "Some(\"trailers\") Some(\"TE\") Some(\"X-Sum\") X-Sum: 1\n",
            "X-Sum: 1\n",
        ),
    ] {
        let route = format!("mode = \"optimistic\"\n{route}");
        let router = Router::start(&[backend()], &route, "");
        let mut client = router.connect();
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum, Content-Length\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        );
        client.send(format!("4\r\nbody\r\n0\r\n{section}\r\n"));
        let head = client.head();
        assert_eq!(field(&head, "Trailer").is_some(), !route.ends_with('\n'));
        let (content, trailers) = client.chunked();
        assert_eq!(String::from_utf8_lossy(&content), format!("{heard}body"));
        assert_eq!(trailers, told);
    }
}

#[test]
fn an_old_client_gets_no_chunks() {
    let body = noise(200_000);
    let router = Router::start(&[answers(chunked_answer(&body, 1_000))], "", "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let head = client.head();
    assert_eq!(field(&head, "Transfer-Encoding"), None, "{head}");
    assert_eq!(field(&head, "Connection"), Some("close"), "{head}");
    assert_eq!(client.rest(), body);
}

#[test]
fn an_until_close_response_leaves_the_clients_connection_alive() {
    let body = noise(300_000);
    let sent = body.clone();
    let backend = backend(move |mut peer, _| {
        peer.head();
        peer.send("HTTP/1.0 200 OK\r\n\r\n");
        peer.send(&sent);
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    for _ in 0..3 {
        client.send(GET);
        let head = client.head();
        assert_eq!(field(&head, "Transfer-Encoding"), Some("chunked"), "{head}");
        assert_eq!(client.chunked().0, body);
    }
}

#[test]
fn answers_to_head_keep_their_coding_and_have_no_body() {
    let router = Router::start(&[answers(CHUNKED)], "", "");
    let mut client = router.connect();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head();
        assert_eq!(field(&head, "Transfer-Encoding"), Some("chunked"));
    }
}

#[test]
fn a_broken_upload_is_400_and_never_looks_whole() {
    // What follows a good chunk, and whether the client's FIN does.
    for (rest, fin, reason) in [
        ("5\nhello\r\n0\r\n\r\n", false, "bad-chunk"),
        ("x\r\n", false, "bad-chunk"),
        ("00000000000000001\r\na\r\n0\r\n\r\n", false, "bad-chunk"),
        ("1\r\nab\r\n0\r\n\r\n", false, "bad-chunk"),
        ("0\r\nX: y\n\r\n", false, "bad-chunk"),
        ("5\r\nhel", true, "request-truncated"),
        ("0\r\n", true, "request-truncated"),
    ] {
        let (tell, told) = std::sync::mpsc::channel();
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            tell.send(peer.until_reset()).expect("the test waits");
        });
        let router = Router::start(&[backend], "", "");
        let mut client = router.connect();
        client.send(PUT);
        client.send(format!("4\r\ngood\r\n{rest}"));
        if fin {
            client.half_close();
        }
        let head = client.head();
        assert_eq!(status(&head), 400, "{rest:?}");
        assert!(head.contains(&format!("details=\"{reason}\"")), "{head}");
        assert_eq!(field(&head, "Connection"), Some("close"));
        let seen = told.recv_timeout(PATIENCE).expect("the back-end's end");
        let seen = seen.expect("a reset, and no FIN");
        assert!(
            !seen.ends_with(b"0\r\n\r\n"),
            "{:?}",
            seen.escape_ascii().to_string()
        );
    }
}

#[test]
fn a_broken_download_is_cut_by_reset() {
    for (rest, reason) in [
        ("zz\r\n", "bad-response-chunk"),
        ("5\r\nhello0\r\n\r\n", "bad-response-chunk"),
        ("5\r\nhe", "response-truncated"),
        ("", "response-truncated"),
    ] {
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send(format!("{CHUNKED}4\r\ngood\r\n{rest}"));
        });
        let router = Router::start(&[backend], "", "");
        let mut client = router.connect();
        client.send(GET);
        // The head may or may not arrive before the reset; an end never does.
        let seen = client.until_reset().expect("a reset, and no FIN");
        assert!(
            !seen.ends_with(b"0\r\n\r\n"),
            "{:?}",
            seen.escape_ascii().to_string()
        );
        let log = router.logged();
        assert!(log.contains(&format!("reason={reason} ")), "{log}");
    }
}

#[test]
fn a_chunked_request_is_asked_for_over_any_limit() {
    let route = "mode = \"ask-over\"\nask-over-bytes = 10";
    let router = Router::start(&[says_whether_asked()], route, "");
    for (framing, body, asked) in [
        ("Content-Length: 10", &b"0123456789"[..], "false"),
        ("Content-Length: 11", b"0123456789a", "true"),
        ("Transfer-Encoding: chunked", b"1\r\na\r\n0\r\n\r\n", "true"),
    ] {
        let mut client = router.connect();
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        client.send(body);
        let head = client.head();
        let said = client.body(content_length(&head) as usize);
        assert_eq!(String::from_utf8_lossy(&said), asked, "{framing}");
    }
}

fn says_whether_asked() -> std::net::SocketAddr {
    backend(|mut peer, _| {
        let head = peer.head();
        let asked = head.contains("\r\nExpect: 100-continue\r\n");
        if asked {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        if field(&head, "Transfer-Encoding").is_some() {
            peer.chunked();
        } else {
            peer.digest(content_length(&head));
        }
        peer.send(ok(&asked.to_string()));
    })
}
