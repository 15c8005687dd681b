// SPDX-License-Identifier: GPL-2.0
//! PROXY protocol headers, from proxies in front and to back-ends.

use std::net::SocketAddr;

use crate::support::*;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Version 2 of 10.1.2.3:4660 to 10.4.5.6:80, with an extension.
fn v2_ipv4() -> Vec<u8> {
    let rest = b"\x21\x11\0\x10\x0a\x01\x02\x03\x0a\x04\x05\x06\x12\x34\0\x50\x04\0\x01\0";
    [V2, rest].concat()
}

/// Version 2 of [2001:db8::1]:4660 to [2001:db8::2]:80.
fn v2_ipv6() -> Vec<u8> {
    let mut header = [V2, b"\x21\x21\0\x24"].concat();
    for last in [1, 2] {
        header.extend_from_slice(b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0");
        header.push(last);
    }
    header.extend_from_slice(b"\x12\x34\0\x50");
    header
}

/// Answers with what it was told of the client.
fn teller() -> SocketAddr {
    backend(|mut peer, _| loop {
        let head = peer.head();
        if head.is_empty() {
            return;
        }
        peer.send(ok(field(&head, "X-Forwarded-For").expect("a field")));
    })
}

fn behind_a_proxy(address: &str) -> Router {
    let tables = format!(
        "[pool.p]\n{}\n[[route]]\npool = \"p\"\n",
        list("backends", &[teller()])
    );
    let listener = format!("address = \"{address}\"\nproxy-protocol = true");
    Router::launch(&listener, &tables, "")
}

#[test]
fn the_client_is_whom_the_header_names() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let router = behind_a_proxy(address);
        let own = router.address.ip().to_string();
        for (header, client, port) in [
            (
                b"PROXY TCP4 10.1.2.3 10.4.5.6 4660 80\r\n".to_vec(),
                "10.1.2.3",
                Some(4660),
            ),
            (
                b"PROXY TCP6 2001:DB8::1 ::1 4660 80\r\n".to_vec(),
                "2001:db8::1",
                Some(4660),
            ),
            (v2_ipv4(), "10.1.2.3", Some(4660)),
            (v2_ipv6(), "2001:db8::1", Some(4660)),
            (b"PROXY UNKNOWN\r\n".to_vec(), &own, None),
            ([V2, b"\x20\0\0\0"].concat(), &own, None),
        ] {
            let mut peer = router.connect();
            // Byte by byte, the header and a little more.
            for byte in &header {
                peer.send([*byte]);
            }
            peer.send(GET);
            assert_eq!(peer.answer(), (200, client.to_owned()));
            // It holds for all requests of the connection, and comes once.
            assert_eq!(peer.get("/", ""), (200, client.to_owned()));
            for _ in 0..2 {
                let log = router.logged();
                let expected = match (port, client.contains(':')) {
                    (Some(port), true) => format!("client=[{client}]:{port} "),
                    (Some(port), false) => format!("client={client}:{port} "),
                    (None, true) => format!("client=[{client}]:"),
                    (None, false) => format!("client={client}:"),
                };
                assert!(log.starts_with(&expected), "{log}");
            }
        }
    }
}

#[test]
fn who_does_not_say_it_properly_is_reset() {
    let router = behind_a_proxy("127.0.0.1:0");
    for (bytes, reason) in [
        (GET.to_vec(), "proxy-header-missing"),
        (
            b"PROXY TCP4 10.1.2.3 10.4.5.6 4660 800000\r\n".to_vec(),
            "proxy-header-malformed",
        ),
        (
            [V2, b"\x21\x11\0\x01\x0a"].concat(),
            "proxy-header-malformed",
        ),
    ] {
        let mut peer = router.connect();
        // In one write: a second one could meet the reset, and take it from who reads.
        peer.send([&bytes, GET].concat());
        assert!(peer.ends_by_reset());
        let log = router.logged();
        assert!(
            log.contains(&format!("status=0 reason={reason} asked=-")),
            "{log}"
        );
    }
    // Nobody who is not asked for it gets away with one.
    let plain = Router::start(&[teller()], "", "");
    let mut peer = plain.connect();
    peer.send(b"PROXY TCP4 10.1.2.3 10.4.5.6 4660 80\r\n\r\n");
    assert_eq!(status(&peer.head()), 400);
}

/// Reads a header, then serves; tells both of what came first.
fn told_by_proxy(version: u8, tell: std::sync::mpsc::Sender<Vec<u8>>) -> SocketAddr {
    backend(move |mut peer, number| {
        let header = match version {
            1 => peer.line().into_bytes(),
            _ => {
                let mut header = peer.body(16);
                let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
                header.extend(peer.body(length));
                header
            }
        };
        tell.send(header).expect("the test waits");
        while !peer.head().is_empty() {
            peer.send(ok(&number.to_string()));
        }
    })
}

#[test]
fn back_ends_are_told_once_a_connection_and_it_is_not_shared() {
    for version in [1, 2] {
        let (tell, told) = std::sync::mpsc::channel();
        let pool = format!("proxy-protocol = \"v{version}\"");
        let router = Router::with_pool(&[told_by_proxy(version, tell)], &pool, "");
        let (mut first, mut second) = (router.connect(), router.connect());
        for (client, number) in [(&mut first, "1"), (&mut second, "2")] {
            // The same connection for the same client.
            for _ in 0..2 {
                assert_eq!(client.get("/", "").1, number);
            }
            let header = told.recv_timeout(PATIENCE).expect("a header");
            let ours = client.stream.local_addr().expect("an address");
            let expected = match version {
                1 => format!(
                    "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}",
                    ours.port(),
                    router.address.port()
                )
                .into_bytes(),
                _ => [
                    V2,
                    b"\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01",
                    &ours.port().to_be_bytes(),
                    &router.address.port().to_be_bytes(),
                ]
                .concat(),
            };
            assert_eq!(header, expected);
        }
        assert_eq!(first.get("/", "").1, "1");
    }
}

#[test]
fn a_connection_of_nobody_else_ends_with_its_client() {
    let (tell, told) = std::sync::mpsc::channel();
    let backend = backend(move |mut peer, _| {
        peer.line();
        peer.head();
        peer.send(ok(""));
        assert!(peer.head().is_empty());
        tell.send(()).expect("the test waits");
    });
    let pool = "proxy-protocol = \"v1\"";
    let router = Router::with_pool(&[backend], pool, "idle-ms = 86400000");
    assert_eq!(router.get("/", "").0, 200);
    told.recv_timeout(PATIENCE).expect("a FIN");
}

/// In by version 2 over IPv6, out by version 1; a body and a decline in between.
#[test]
fn what_came_in_goes_out() {
    let (tell, told) = std::sync::mpsc::channel();
    let taker = backend(move |mut peer, number| {
        tell.send(peer.line()).expect("the test waits");
        take(peer, number);
    });
    let tables = format!(
        "[pool.p]\n{}\nproxy-protocol = \"v1\"\n[[route]]\npool = \"p\"\n",
        list("backends", &[nobody(), taker])
    );
    let listener = "address = \"[::1]:0\"\nproxy-protocol = true";
    let router = Router::launch(listener, &tables, "");
    let mut peer = router.connect();
    peer.send(v2_ipv6());
    peer.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(peer.answer(), (200, sha256(b"abc")));
    assert_eq!(
        told.recv_timeout(PATIENCE).as_deref(),
        Ok("PROXY TCP6 2001:db8::1 2001:db8::2 4660 80")
    );
}
