// SPDX-License-Identifier: GPL-2.0
//! Heads as tables: which are passed on, as what, and what is left of them.

use super::*;
extern crate std;
use std::string::String;
use std::vec::Vec;

const DATE: &str = "Date: x\r\n";

fn head(line: &str, fields: &str) -> Vec<u8> {
    std::format!("{line}\r\n{DATE}{fields}\r\n").into_bytes()
}

fn ok(fields: &str) -> Vec<u8> {
    head("HTTP/1.1 200 OK", fields)
}

fn pieces(relayed: &Relayed<'_>) -> String {
    let mut all = Vec::new();
    relayed.pieces(|piece| all.extend_from_slice(piece));
    assert_eq!(all.len(), relayed.size());
    assert!(relayed.as_it_came().is_none_or(|lines| lines == all));
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn status_and_framing() {
    const LENGTH: &str = "Content-Length: 5\r\n";
    const CHUNKED: &str = "transfer-ENCODING: Chunked\r\n";
    for (line, fields, of_head, expected) in [
        (
            "HTTP/1.1 200 OK",
            LENGTH,
            false,
            Some((200, Framing::Length(5))),
        ),
        (
            "HTTP/1.1 200 ",
            LENGTH,
            false,
            Some((200, Framing::Length(5))),
        ),
        (
            "HTTP/1.1 399 \tA  b ",
            CHUNKED,
            false,
            Some((399, Framing::Chunked)),
        ),
        (
            "HTTP/1.1 200 OK",
            "Content-Length: 0\r\n",
            false,
            Some((200, Framing::None)),
        ),
        (
            "HTTP/1.1 200 OK",
            "Content-Length: 000000000000000001\r\n",
            false,
            Some((200, Framing::Length(1))),
        ),
        (
            "HTTP/1.1 200 OK",
            "Content-Length: 999999999999999999\r\n",
            false,
            Some((200, Framing::Length(999_999_999_999_999_999))),
        ),
        (
            "HTTP/1.1 200 OK",
            "Content-Length: 0000000000000000001\r\n",
            false,
            None,
        ),
        ("HTTP/1.1 204 No", "", false, Some((204, Framing::None))),
        ("HTTP/1.1 304 Not", "", false, Some((304, Framing::None))),
        (
            "HTTP/1.1 304 Not",
            LENGTH,
            false,
            Some((304, Framing::None)),
        ),
        ("HTTP/1.1 200 OK", LENGTH, true, Some((200, Framing::None))),
        ("HTTP/1.1 200 OK", CHUNKED, true, Some((200, Framing::None))),
        ("HTTP/1.1 200 OK", "", true, Some((200, Framing::None))),
        // Until close.
        ("HTTP/1.1 200 OK", "", false, None),
        ("HTTP/1.1 204 No", LENGTH, false, None),
        ("HTTP/1.1 204 No", CHUNKED, true, None),
        ("HTTP/1.1 304 Not", CHUNKED, false, None),
        ("HTTP/1.1 304 Not", CHUNKED, true, None),
        ("HTTP/1.1 199 OK", LENGTH, false, None),
        ("HTTP/1.1 100 Continue", "", false, None),
        ("HTTP/1.1 400 No", LENGTH, false, None),
        ("HTTP/1.1 200", LENGTH, false, None),
        ("HTTP/1.1 20 OK", LENGTH, false, None),
        ("HTTP/1.1 2000 OK", LENGTH, false, None),
        ("HTTP/1.1 +20 OK", LENGTH, false, None),
        ("HTTP/1.1  200 OK", LENGTH, false, None),
        ("HTTP/1.0 200 OK", LENGTH, false, None),
        ("http/1.1 200 OK", LENGTH, false, None),
        ("\r\nHTTP/1.1 200 OK", LENGTH, false, None),
        ("HTTP/1.1 200 \u{e9}", LENGTH, false, None),
        ("HTTP/1.1 200 \u{7f}", LENGTH, false, None),
        ("HTTP/1.1 200 a\0b", LENGTH, false, None),
    ] {
        let head = head(line, fields);
        let got = relay(&head, of_head).map(|r| (r.status, r.framing));
        assert_eq!(got, expected, "{line:?} {fields:?} {of_head}");
    }
}

#[test]
fn what_is_left_of_the_fields() {
    for (fields, left) in [
        ("A: b\r\n", "A: b\r\n"),
        (
            "A:b\r\nC:\t d \t\r\nE:\r\nF: \r\nG:\th\r\nI:j \r\n",
            "A: b\r\nC: d\r\nE: \r\nF: \r\nG: h\r\nI: j\r\n",
        ),
        ("Connection: keep-alive\r\nA: b\r\n", "A: b\r\n"),
        (
            "A: b\r\nCONNECTION:Keep-Alive\r\nKeep-Alive: timeout=5, max=9\r\n",
            "A: b\r\n",
        ),
        (
            "Set-Cookie: a=\u{e9}\r\nset-cookie: c=d, e\tf\r\n",
            "Set-Cookie: a=\u{e9}\r\nset-cookie: c=d, e\tf\r\n",
        ),
        (
            "Date: y\r\nVia: 1.1 x\r\nProxy: z\r\n",
            "Date: y\r\nVia: 1.1 x\r\nProxy: z\r\n",
        ),
    ] {
        let head = ok(&std::format!("{fields}Content-Length: 5\r\n"));
        let relayed = relay(&head, false).unwrap_or_else(|| panic!("{fields:?}"));
        assert_eq!(
            pieces(&relayed),
            std::format!("HTTP/1.1 200 OK\r\n{DATE}{left}Content-Length: 5\r\n")
        );
    }
}

#[test]
fn what_is_for_the_router() {
    for fields in [
        "Connection: close\r\n",
        "Connection: keep-alive, close\r\n",
        "Connection: keep-alive, A\r\n",
        "Connection:\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Upgrade: h2c\r\n",
        "Trailer: A\r\n",
        "te: trailers\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Proxy-Status: a\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\n",
        "A : b\r\n",
        ": b\r\n",
        " A: b\r\n",
        "A\r\n",
        "A: b\r\n c\r\n",
        "A: b\nC: d\r\n",
        "A: b\rC\r\n",
        "A: b\r\r\n",
        "A: b\0\r\n",
        "A: b\u{b}\r\n",
        "A: b\u{7f}\r\n",
        "A\u{e9}: b\r\n",
    ] {
        let head = ok(&std::format!("{fields}Content-Length: 5\r\n"));
        assert_eq!(relay(&head, false), None, "{fields:?}");
    }
    for fields in [
        "Content-Length: \r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: \u{662}\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        for of_head in [false, true] {
            assert_eq!(relay(&ok(fields), of_head), None, "{fields:?}");
        }
    }
    let undated = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(relay(undated, false), None);
}

#[test]
fn only_a_whole_head_and_nothing_else() {
    let head = ok("Content-Length: 5\r\n");
    for cut in 0..head.len() {
        assert_eq!(relay(head.get(..cut).unwrap_or_default(), false), None);
    }
    let mut more = head;
    more.push(b'x');
    assert_eq!(relay(&more, false), None);
}

#[test]
fn limits_hold_at_one_below_at_and_one_above() {
    // The date and the length are fields, too.
    for (more, expected) in [(125, true), (126, true), (127, false)] {
        let head = ok(&("A: b\r\n".repeat(more) + "Content-Length: 5\r\n"));
        assert_eq!(relay(&head, false).is_some(), expected, "{more}");
    }
    let fixed = ok("A: \r\nContent-Length: 5\r\n").len();
    for (size, expected) in [
        (RELAYED_MAX - 1, true),
        (RELAYED_MAX, true),
        (RELAYED_MAX + 1, false),
    ] {
        let head = ok(&std::format!(
            "A: {}\r\nContent-Length: 5\r\n",
            "b".repeat(size - fixed)
        ));
        assert_eq!(head.len(), size);
        assert_eq!(relay(&head, false).is_some(), expected, "{size}");
    }
}

#[test]
fn field_lines() {
    for (lines, are) in [
        ("", true),
        ("Via: 1.1 a\r\n", true),
        ("Via: 1.1 a\r\nB:\r\n", true),
        ("\r\n", false),
        ("A: b", false),
        ("A: b\r\n\r\n", false),
        ("A: b\r\nC\r\n", false),
        ("A: b\nC: d\r\n", false),
    ] {
        assert_eq!(is_field_lines(lines.as_bytes()), are, "{lines:?}");
    }
}
