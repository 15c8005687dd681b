// SPDX-License-Identifier: GPL-2.0
//! What a route does with heads, as a back-end and a client see it.

use crate::support::*;

/// What the back-end gets of this request, as one line.
fn sent_on(route: &str, request: &str) -> String {
    let backend = mirror();
    let router = Router::start(&[backend], route, "");
    let mut client = router.connect();
    client.send(request);
    let head = client.head();
    assert_eq!(status(&head), 200, "{head}");
    let seen = client.body(content_length(&head) as usize);
    let seen = String::from_utf8(seen).expect("text");
    seen.replace(&backend.to_string(), "BACKEND")
        .trim_end()
        .replace("\r\n", "|")
}

#[test]
fn what_back_ends_are_told_of_the_client() {
    let request = "GET / HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 6.6.6.6\r\n\
                   Forwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n";
    let came = "X-Forwarded-For: 6.6.6.6|Forwarded: for=6.6.6.6|X-Forwarded-Proto: https";
    let ours = "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a:1";
    let rfc = "Forwarded: for=127.0.0.1;host=\"a:1\";proto=http";
    for (heads, told) in [
        ("", ours.to_owned()),
        ("heads.forwarded = \"forwarded\"", rfc.to_owned()),
        ("heads.forwarded = \"both\"", format!("{ours}|{rfc}")),
        ("heads.forwarded = \"none\"", came.to_owned()),
        ("heads.trust = [\"10.0.0.0/8\"]", ours.to_owned()),
        (
            "heads.trust = [\"127.0.0.0/8\"]",
            "Forwarded: for=6.6.6.6|X-Forwarded-Proto: https|\
             X-Forwarded-For: 6.6.6.6, 127.0.0.1|X-Forwarded-Host: a:1"
                .to_owned(),
        ),
    ] {
        assert_eq!(
            sent_on(heads, request),
            format!("GET / HTTP/1.1|Host: a:1|{told}|Via: 1.1 underpass"),
            "{heads}"
        );
    }
}

#[test]
fn another_path_in_place_of_the_routes() {
    let heads = "heads.forwarded = \"none\"\nheads.path";
    for (route, target, expected) in [
        (
            format!("path = \"/api\"\n{heads} = \"/v1\""),
            "/api/x?q",
            "/v1/x?q",
        ),
        (
            format!("path = \"/api\"\n{heads} = \"/\""),
            "http://a/api?q",
            "/?q",
        ),
        (
            format!("path-exact = \"/a\"\n{heads} = \"/b/\""),
            "/a",
            "/b/",
        ),
    ] {
        assert_eq!(
            sent_on(&route, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")),
            format!("GET {expected} HTTP/1.1|Host: a|Via: 1.1 underpass"),
            "{route}"
        );
    }
}

#[test]
fn host_via_additions_and_removals() {
    let request = "GET / HTTP/1.1\r\nX-B: 1\r\nHost: a\r\nx-secret: 2\r\nVia: 1.0 b\r\n\r\n";
    let none = "heads.forwarded = \"none\"\n";
    for (heads, told) in [
        (
            "",
            "X-B: 1|Host: a|x-secret: 2|Via: 1.0 b|Via: 1.1 underpass",
        ),
        (
            "heads.host = \"backend\"",
            "X-B: 1|Host: BACKEND|x-secret: 2|Via: 1.0 b|Via: 1.1 underpass",
        ),
        (
            "heads.host = \"c:2\"",
            "X-B: 1|Host: c:2|x-secret: 2|Via: 1.0 b|Via: 1.1 underpass",
        ),
        (
            "heads.via = \"edge\"",
            "X-B: 1|Host: a|x-secret: 2|Via: 1.0 b|Via: 1.1 edge",
        ),
        (
            "heads.request-remove = [\"X-Secret\", \"x-b\"]\n\
             heads.request-add = [\"X-B: 3\", \"X-C:4\"]",
            "Host: a|Via: 1.0 b|Via: 1.1 underpass|X-B: 3|X-C: 4",
        ),
    ] {
        let seen = sent_on(&format!("{none}{heads}"), request);
        assert_eq!(seen, format!("GET / HTTP/1.1|{told}"), "{heads}");
    }
}

#[test]
fn responses() {
    let answer = "HTTP/1.1 200 Fine\r\nx-B : 1\r\nServer: s\r\nFolded: a\r\n  b\r\n\
                  Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 9\r\nDate: d\r\nContent-Length: 0\r\n\r\n";
    let route = "heads.response-remove = [\"server\"]\nheads.response-add = [\"X-C: 2\"]";
    let router = Router::start(&[answers(answer)], route, "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client.head(),
        "HTTP/1.1 200 Fine\r\nx-B: 1\r\nFolded: a b\r\nDate: d\r\nContent-Length: 0\r\n\
         Via: 1.1 underpass\r\nX-C: 2\r\n\r\n"
    );
}

#[test]
fn hops_are_counted() {
    let router = Router::start(&[mirror()], "trace = true", "");
    let mut client = router.connect();
    let mut ask = |request: &str| {
        client.send(request);
        let head = client.head();
        assert_eq!(status(&head), 200, "{head}");
        let body = client.body(content_length(&head) as usize);
        (head, String::from_utf8(body).expect("text"))
    };
    let (_, seen) = ask("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 2\r\n\r\n");
    assert!(seen.starts_with("OPTIONS * HTTP/1.1\r\n"), "{seen}");
    assert_eq!(field(&seen, "Max-Forwards"), Some("1"));
    let (head, seen) = ask("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!((field(&head, "Via"), seen.as_str()), (None, ""));
    let trace = "TRACE / HTTP/1.1\r\nHost: a\r\nCookie: c\r\nX: y\r\nMax-Forwards: 0\r\n\r\n";
    let (head, seen) = ask(trace);
    assert_eq!(field(&head, "Content-Type"), Some("message/http"));
    assert_eq!(seen, trace.replace("Cookie: c\r\n", ""));
    let (_, seen) = ask("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(seen.starts_with("TRACE / HTTP/1.1\r\n"), "{seen}");
}

#[test]
fn a_loop_ends() {
    // A router that is, through somebody else, its own back-end.
    let entry = std::sync::Arc::new(std::sync::OnceLock::new());
    let known = entry.clone();
    let back_to_it = backend(move |mut peer, _| {
        let address: &std::net::SocketAddr = known.get().expect("it has started");
        let mut again = Client::new(std::net::TcpStream::connect(address).expect("it accepts"));
        again.send(peer.head());
        let head = again.head();
        peer.send(&head);
        peer.send(again.body(content_length(&head) as usize));
    });
    let router = Router::start(&[back_to_it], "", "");
    entry.set(router.address).expect("once");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!(status(&head), 502);
    // The last one logs first: the tenth passage.
    let lines: Vec<_> = (0..10).map(|_| router.logged()).collect();
    assert!(lines[0].contains("reason=loop-detected "), "{lines:?}");
    let refused = |line: &&String| line.contains("reason=loop-detected ");
    assert_eq!(lines.iter().filter(refused).count(), 1, "{lines:?}");
}
