// SPDX-License-Identifier: GPL-2.0
//! Raw requests and their verdicts.

use super::*;

const HOP: Hop = Hop {
    client: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    local: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)), 80),
};

fn parse(head: &str) -> Result<Request, Problem> {
    Request::parse(head.as_bytes(), 100)
}

fn forwarded(head: &str) -> String {
    String::from_utf8(parse(head).unwrap().render(HOP, false)).unwrap()
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
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            problem::METHOD_NOT_SERVED,
        ),
        (
            "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
            problem::METHOD_NOT_SERVED,
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
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            problem::CHUNKED_REQUEST,
        ),
        (
            "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
            problem::CHUNKED_REQUEST,
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
    assert_eq!(
        (plain.method.as_str(), plain.path.as_str()),
        ("GET", "/a?b")
    );
    assert_eq!((plain.host.as_str(), plain.length), ("A:1", 0));
    assert!(plain.keep_alive && !plain.expects_continue);
    let upload = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\
                  Content-Length: 18446744073709551615\r\nConnection: close\r\n\r\n";
    let upload = parse(upload).unwrap();
    assert_eq!(upload.length, u64::MAX);
    assert!(upload.expects_continue && !upload.keep_alive);
    let old = parse("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert!(!old.keep_alive && !old.expects_continue);
    assert!(
        parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            .unwrap()
            .keep_alive
    );
    // Framing does not depend on the method.
    let odd = parse("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n").unwrap();
    assert_eq!(odd.length, 7);
}

#[test]
fn rewritten() {
    assert_eq!(
        forwarded(
            "POST /x HTTP/1.1\r\nX-one: 1\r\nhOsT: a\r\nConnection: x-hop, host, content-length\r\n\
             X-Hop: 2\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Forwarded-For: 10.0.0.1\r\n\
             Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        ),
        "POST /x HTTP/1.1\r\nX-one: 1\r\nhOsT: a\r\nContent-Length: 3\r\n\
         X-Forwarded-For: 10.0.0.1, 192.0.2.1\r\nVia: 1.1 underpass\r\n\r\n"
    );
    assert_eq!(
        forwarded("GET http://b:8/y HTTP/1.1\r\nHost: a\r\n\r\n"),
        "GET /y HTTP/1.1\r\nHost: b:8\r\nX-Forwarded-For: 192.0.2.1\r\nVia: 1.1 underpass\r\n\r\n"
    );
    assert_eq!(
        forwarded("GET / HTTP/1.0\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: 192.0.2.2:80\r\nX-Forwarded-For: 192.0.2.1\r\n\
         Via: 1.0 underpass\r\n\r\n"
    );
    let ask = parse("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").unwrap();
    assert!(ask
        .render(HOP, true)
        .ends_with(b"\r\nExpect: 100-continue\r\n\r\n"));
}

#[test]
fn heads_without_end() {
    assert_eq!(
        Request::over_limit(b"GET /xxxxxxxxxxxx", 10),
        problem::TARGET_TOO_LONG
    );
    assert_eq!(
        Request::over_limit(b"\r\nGET /\r\nA: bbbbbbbbb", 10),
        problem::HEAD_TOO_LONG
    );
}
