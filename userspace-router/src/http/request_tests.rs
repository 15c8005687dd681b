// SPDX-License-Identifier: GPL-2.0
//! Raw requests and their verdicts.

use super::*;

fn parse(head: &str) -> Result<Request, Problem> {
    Request::parse(head.as_bytes(), 100)
}

#[test]
fn refused() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100));
    let fields = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "A: b\r\n".repeat(FIELDS_MAX)
    );
    let options = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n",
        "a,".repeat(40)
    );
    for (head, problem) in [
        ("GET / HTTP/1.1\r\n\r\n", problem::NO_HOST),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            problem::MANY_HOSTS,
        ),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", problem::BAD_HOST),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", problem::BAD_HOST),
        ("GET http://b/ HTTP/1.1\r\n\r\n", problem::NO_HOST),
        ("GET / HTTP/1.1\nHost: a\n\n", problem::BARE_LF),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            problem::BARE_CR,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", problem::OBS_FOLD),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            problem::CONTROL,
        ),
        (
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            problem::BAD_FIELD_NAME,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            problem::BAD_FIELD_NAME,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
            problem::BAD_FIELD_NAME,
        ),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", problem::BAD_VERSION),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", problem::BAD_VERSION),
        (
            "GET / http/1.1\r\nHost: a\r\n\r\n",
            problem::BAD_REQUEST_LINE,
        ),
        ("GET /\r\nHost: a\r\n\r\n", problem::BAD_REQUEST_LINE),
        (
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            problem::BAD_REQUEST_LINE,
        ),
        (
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            problem::BAD_REQUEST_LINE,
        ),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", problem::BAD_METHOD),
        (
            " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            problem::BAD_REQUEST_LINE,
        ),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", problem::BAD_TARGET),
        (
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            problem::BAD_TARGET,
        ),
        (
            "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
            problem::BAD_AUTHORITY,
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            problem::CONNECT_BODY,
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            problem::CONNECT_BODY,
        ),
        (
            "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            problem::TRACE_BODY,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: -1\r\n\r\n",
            problem::BAD_MAX_FORWARDS,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n",
            problem::BAD_MAX_FORWARDS,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a b\r\n\r\n",
            problem::BAD_UPGRADE,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a,/,b\r\n\r\n",
            problem::BAD_UPGRADE,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            problem::LENGTH_AND_CODING,
        ),
        (
            "P / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            problem::CODING_IN_10,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            problem::UNKNOWN_CODING,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n",
            problem::BAD_CODING,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n",
            problem::BAD_CODING,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            problem::BAD_CODING,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            problem::CONTROL,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n",
            problem::UNKNOWN_CODING,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            problem::BAD_CODING,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            problem::UNKNOWN_CODING,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            problem::MANY_LENGTHS,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            problem::BAD_LENGTH,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            problem::BAD_LENGTH,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
            problem::BAD_LENGTH,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n",
            problem::BAD_LENGTH,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            problem::BAD_LENGTH,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
            problem::BAD_LENGTH,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n",
            problem::UNKNOWN_EXPECTATION,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
            problem::UNKNOWN_EXPECTATION,
        ),
        (&long, problem::TARGET_TOO_LONG),
        (&fields, problem::MANY_FIELDS),
        (&options, problem::MANY_OPTIONS),
    ] {
        assert_eq!(parse(head).err(), Some(problem), "{}", head.escape_debug());
    }
}

#[test]
fn understood() {
    let plain = parse("\r\nGET /a?b HTTP/1.1\r\nHost: A:1\r\n\r\n").unwrap();
    assert_eq!((plain.method(), plain.path()), ("GET", "/a?b"));
    assert_eq!((plain.host(), plain.length), ("A:1", Length::None));
    assert!(plain.keep_alive && !plain.expects_continue);
    let upload = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\
                  Content-Length: 18446744073709551615\r\nConnection: close\r\n\r\n";
    let upload = parse(upload).unwrap();
    assert_eq!(upload.length, Length::Exact(u64::MAX));
    assert!(upload.expects_continue && !upload.keep_alive);
    let old = parse("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert!(!old.keep_alive && !old.expects_continue);
    assert!(
        parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            .unwrap()
            .keep_alive
    );
    // Framing does not depend on the method.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "P"] {
        for (field, length) in [
            ("Content-Length: 7", Length::Exact(7)),
            ("Content-Length: 0", Length::None),
            ("Transfer-Encoding: chunked", Length::Chunked),
            ("tRANSFER-eNCODING: Chunked", Length::Chunked),
            ("X: y", Length::None),
        ] {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(parse(&head).unwrap().length, length, "{head}");
        }
    }
    let tunnel = parse("CONNECT b:1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((tunnel.path(), tunnel.host()), ("b:1", "b:1"));
}

#[test]
fn an_upgrade_is_one_only_if_all_is_there() {
    for (head, protocols, keep_alive) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket, x/1\r\n\r\n",
            &["websocket", "x/1"][..],
            true,
        ),
        // RFC 9110 section 5.6.1.2: empty elements are none.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ,a,,b,\r\n\r\n",
            &["a", "b"],
            true,
        ),
        // Without the option, in HTTP/1.0, and with a body.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            &[],
            true,
        ),
        (
            "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            &[],
            false,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\
             Content-Length: 1\r\n\r\n",
            &[],
            false,
        ),
    ] {
        let request = parse(head).unwrap();
        assert_eq!(request.upgrade, protocols, "{head}");
        assert_eq!(request.keep_alive, keep_alive, "{head}");
    }
}

#[test]
fn an_upgrade_offers_so_many_protocols() {
    // As long as the request lives each takes many times the memory of its bytes in the head.
    for (count, fits) in [(16, true), (17, false)] {
        let offers = "a,".repeat(count);
        for fields in [
            format!("Upgrade: {offers}"),
            "Upgrade: a\r\n".repeat(count).trim_end().to_owned(),
        ] {
            let head =
                format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n{fields}\r\n\r\n");
            let offered = parse(&head).map(|request| request.upgrade.len());
            let expected = if fits {
                Ok(count)
            } else {
                Err(problem::BAD_UPGRADE)
            };
            assert_eq!(offered, expected, "{head}");
        }
    }
}

#[test]
fn max_forwards_is_for_two_methods() {
    let hops = |method, value| {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
        parse(&head).map(|request| request.max_forwards)
    };
    assert_eq!(hops("TRACE", "0"), Ok(Some(0)));
    assert_eq!(hops("OPTIONS", "18446744073709551615"), Ok(Some(u64::MAX)));
    // Beyond what can be counted.
    for value in ["18446744073709551616", "99999999999999999999999999999"] {
        assert_eq!(hops("OPTIONS", value), Ok(Some(u64::MAX)), "{value}");
    }
    for value in ["", "+1", "99999999999999999999x"] {
        assert_eq!(
            hops("OPTIONS", value),
            Err(problem::BAD_MAX_FORWARDS),
            "{value}"
        );
    }
    assert_eq!(hops("GET", "nonsense"), Ok(None));
}

#[test]
fn heads_without_end() {
    for (head, problem) in [
        ("GET /xxxxxxxxxxxx", problem::TARGET_TOO_LONG),
        ("GET /xxxxxxxxxx HTTP/1.1\r\nA: b", problem::TARGET_TOO_LONG),
        // The target alone counts, of a line that is longer.
        ("GET /xxxxxxxxx HTTP/1.1\r\nA: b", problem::HEAD_TOO_LONG),
        ("GETGETGETGET /", problem::HEAD_TOO_LONG),
        ("\r\nGET /\r\nA: bbbbbbbbb", problem::HEAD_TOO_LONG),
        ("GET\r\nA: bbbbbbbbbbbb", problem::HEAD_TOO_LONG),
        ("\r\n\r\n", problem::HEAD_TOO_LONG),
    ] {
        assert_eq!(Request::over_limit(head.as_bytes(), 10), problem, "{head}");
    }
}

#[test]
fn the_parser_takes_no_request_line_that_is_wrong() {
    let head = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    for at in 0..17 {
        for byte in 0..=255 {
            let mut changed = head.to_vec();
            changed[at] = byte;
            let mut longer = head.to_vec();
            longer.insert(at, byte);
            for head in [changed, longer] {
                if Request::parse(head.as_slice(), 100).is_ok() {
                    let text = line::strict(&head).unwrap();
                    let said = head.escape_ascii();
                    assert_eq!(request_line(text, 100), Ok(()), "{said}");
                }
            }
        }
    }
}
