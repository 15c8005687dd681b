// SPDX-License-Identifier: GPL-2.0
//! Heads that are refused, and what is forwarded of good ones.

use crate::support::*;

#[test]
fn bad_heads_get_their_status_and_reason() {
    let router = Router::start(&[taker()], "", "head-bytes = 1024\ntarget-bytes = 512");
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(2_000)
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(2_000));
    for (request, code, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "no-host"),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bare-lf"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unknown-transfer-coding"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 501, "method-not-served"),
        ("P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "length-and-coding"),
        ("P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400, "many-content-lengths"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "unknown-version"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, "method-not-served"),
        ("P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: x\r\n\r\nx", 417, "unknown-expectation"),
        (&long, 431, "head-too-long"),
        (&target, 414, "target-too-long"),
    ] {
        let mut client = router.connect();
        client.send(request);
        let head = client.head();
        assert_eq!(status(&head), code, "{request}\n{head}");
        assert!(head.contains(&format!("details=\"{reason}\"")), "{head}");
        let length = content_length(&head) as usize;
        assert_eq!(client.rest().len(), length);
        let log = router.logged();
        assert!(log.contains(&format!("status={code} reason={reason} ")), "{log}");
    }
}

/// TLS where none is spoken: such a client waits for an answer, and sends no empty line.
#[test]
fn what_begins_no_head_is_refused_at_once() {
    let router = Router::start(&[taker()], "", "");
    // A ClientHello; a PROXY header of version 2 where none is announced.
    for begin in [
        &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    ] {
        let mut client = router.connect();
        client.send(begin);
        let head = client.head();
        assert_eq!(status(&head), 400, "{head}");
        assert!(head.contains("details=\"not-http\""), "{head}");
        client.rest();
        let log = router.logged();
        assert!(log.contains(" status=400 reason=not-http "), "{log}");
    }
}

#[test]
fn what_is_forwarded() {
    let backend = backend(|mut peer, _| {
        let head = peer.head();
        peer.send(ok(&head));
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send(
        "GET http://other:1/x?y HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\
         Connection: upgrade, x-mine\r\nX-Mine: 1\r\nx-CASE: 2\r\n\r\n",
    );
    let head = client.head();
    let seen = client.body(content_length(&head) as usize);
    assert_eq!(
        String::from_utf8(seen).expect("text"),
        "GET /x?y HTTP/1.1\r\nHost: other:1\r\nx-CASE: 2\r\n\
         X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: other:1\r\nVia: 1.1 underpass\r\n\r\n"
    );
    assert_eq!(field(&head, "Via"), Some("1.1 underpass"));
}

#[test]
fn max_forwards_is_for_what_is_served() {
    let router = Router::start(&[taker()], "host = \"a\"", "");
    for (target, host, code, reason) in [
        ("/x", "a", 200, "-"),
        ("/x", "other", 404, "no-route"),
        ("/../x", "a", 400, "dot-segments"),
    ] {
        let mut client = router.connect();
        client.send(format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: {host}\r\nMax-Forwards: 0\r\n\r\n"
        ));
        assert_eq!(status(&client.head()), code, "{target} {host}");
        let log = router.logged();
        assert!(
            log.contains(&format!("status={code} reason={reason} ")),
            "{log}"
        );
    }
    // No route serves CONNECT and TRACE, whatever it is for.
    for start in [
        "TRACE /../x HTTP/1.1\r\nHost: other",
        "CONNECT other:1 HTTP/1.1\r\nHost: other:1",
    ] {
        let mut client = router.connect();
        client.send(format!("{start}\r\nMax-Forwards: 0\r\n\r\n"));
        assert_eq!(status(&client.head()), 501, "{start}");
    }
}

#[test]
fn no_route() {
    let router = Router::start(&[taker()], "host = \"only.example\"", "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: other\r\n\r\n");
    let head = client.head();
    assert_eq!(status(&head), 404);
    client.body(content_length(&head) as usize);
    // The connection lives on.
    client.send("GET / HTTP/1.1\r\nHost: Only.Example:80\r\n\r\n");
    assert_eq!(status(&client.head()), 200);
}

#[test]
fn http_10() {
    let router = Router::start(&[taker()], "", "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let head = client.head();
    assert_eq!(field(&head, "Connection"), Some("keep-alive"));
    client.body(64);
    client.send("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
    let head = client.head();
    assert_eq!(field(&head, "Connection"), Some("close"));
    assert_eq!(client.rest(), sha256(b"hi").into_bytes());
}

#[test]
fn a_head_in_single_bytes() {
    let router = Router::start(&[taker()], "", "");
    let mut client = router.connect();
    for byte in b"\r\nPUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" {
        client.send([*byte]);
    }
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(b"hi").into_bytes());
}
