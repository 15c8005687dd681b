// SPDX-License-Identifier: GPL-2.0
//! What the engine passes on by itself is what this router would have sent: its parser in
//! `framing` and `Response` are written independently, and must not part.

use std::time::SystemTime;

use proptest::prelude::*;
use underpass_framing::{relay, Framing, Relayed};

use super::{Length, Onward, Response, Rewrite, Version};

const STATUS: [&str; 10] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 \r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 302  Found \t\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "HTTP/1.1 200\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 101 Go\r\n",
    "\r\nHTTP/1.1 200 OK\r\n",
];

const FIELDS: [&str; 26] = [
    "Content-Length: 5\r\n",
    "content-length:0\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: +5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tChunked \r\n",
    "Transfer-Encoding: gzip\r\n",
    "Connection: keep-alive\r\n",
    "connection:KEEP-ALIVE\r\n",
    "Connection: close\r\n",
    "Connection: A\r\n",
    "Keep-Alive: timeout=5\r\n",
    "Upgrade: h2c\r\n",
    "Trailer: A\r\n",
    "TE: trailers\r\n",
    "Proxy-Connection: keep-alive\r\n",
    "Proxy-Status: a\r\n",
    "Via: 1.0 x\r\n",
    "A: b\r\n",
    "A:b\r\n",
    "A: \t b c\t \r\n",
    "A:\r\n",
    "A : b\r\n",
    "A: b\r\n c\r\n",
    "Set-Cookie: a=\u{e9}; b\r\n",
    "Date: y\r\n",
];

/// A head of pieces, most of them good, with some bytes changed or put in.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![4 => Just(0), 1 => 0..STATUS.len()];
    let field = prop_oneof![Just(0usize), Just(18), 0..FIELDS.len()];
    let date = prop_oneof![6 => Just("Date: x\r\n"), 1 => Just("")];
    let spoil = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<u8>(), any::<bool>()),
        0..3,
    );
    let spoil = prop_oneof![3 => Just(Vec::new()), 1 => spoil];
    (status, prop::collection::vec(field, 0..6), date, spoil).prop_map(
        |(status, fields, date, spoil)| {
            let mut head = STATUS[status].to_owned() + date;
            head.extend(fields.iter().map(|&field| FIELDS[field]));
            head += "\r\n";
            let mut head = head.into_bytes();
            for (at, byte, insert) in spoil {
                let at = at.index(head.len());
                match insert {
                    true => head.insert(at, byte),
                    false => head[at] = byte,
                }
            }
            head
        },
    )
}

fn same(head: &[u8], relayed: &Relayed, method: &str) {
    let shown = head.escape_ascii();
    let response = match Response::parse(head, method) {
        Ok(response) => response,
        Err(problem) => panic!("{problem:?} for the router: {shown}"),
    };
    let length = match relayed.framing {
        Framing::None => Length::None,
        Framing::Length(length) => Length::Exact(length),
        Framing::Chunked => Length::Chunked,
        Framing::UntilClose | Framing::Tunnel => panic!("{:?}: {shown}", relayed.framing),
    };
    assert_eq!((response.status, response.length), (relayed.status, length));
    assert!(
        response.keep_alive && response.upgrade.is_empty(),
        "{shown}"
    );
    let onward = Onward {
        version: Version::Http11,
        close: false,
        leaves: length,
        time: SystemTime::UNIX_EPOCH,
    };
    let rewrite = Rewrite::default();
    let mut passed = Vec::new();
    relayed.pieces(|piece| passed.extend_from_slice(piece));
    passed.extend_from_slice(&rewrite.behind_response().expect("nothing is removed"));
    passed.extend_from_slice(b"\r\n");
    let rendered = response.render(onward, &rewrite);
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(text(&passed), text(&rendered), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_passed_on_is_what_the_router_would_send(head in head(), of_head in any::<bool>()) {
        if let Some(relayed) = relay(&head, of_head) {
            same(&head, &relayed, if of_head { "HEAD" } else { "GET" });
        }
    }
}

#[test]
fn every_field_alone() {
    let mut sure = 0;
    for status in STATUS {
        for field in FIELDS {
            for more in [
                "",
                "Content-Length: 5\r\n",
                "Transfer-Encoding: chunked\r\n",
            ] {
                let head = format!("{status}Date: x\r\n{field}{more}\r\n");
                for method in ["GET", "HEAD"] {
                    if let Some(relayed) = relay(head.as_bytes(), method == "HEAD") {
                        sure += 1;
                        same(head.as_bytes(), &relayed, method);
                    }
                }
            }
        }
    }
    // Of these 1,560 heads so many are beyond doubt: a parser that doubts all proves nothing.
    assert!(sure > 200, "{sure}");
}
