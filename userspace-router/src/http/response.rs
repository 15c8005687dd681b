// SPDX-License-Identifier: GPL-2.0
//! A response head: checked, its body's framing decided, and rewritten for the client.
//!
//! Invariant: framing is keyed on the *request's* method (RFC 9112 section 6.3).

use super::body::{self, Coding, Length};
use super::fields::{self, Connection, Lines, LinesRoom, Taken, FIELDS_MAX};
use super::line;
use super::problem::{self, Problem};
use super::Version;

/// A response that may be relayed.
#[derive(Clone, Debug)]
pub struct Response {
    /// 100 to 599.
    pub status: u16,
    /// What the back-end speaks.
    pub version: Version,
    /// The body's framing.
    pub length: Length,
    /// The back-end lets its connection be used again.
    pub keep_alive: bool,
    /// Protocols that it switches to (101), or wants (426).
    pub upgrade: Vec<String>,
    pub(super) phrase: Vec<u8>,
    /// Field lines that may be sent on, in order.
    pub(super) kept: Lines,
}

impl Response {
    /// Checks a whole head; `method` is that of the request it answers.
    pub fn parse(head: &[u8], method: &str) -> Result<Self, Problem> {
        let flat = line::unfold(head);
        let head = line::strict(&flat).map_err(|_| problem::BAD_RESPONSE)?;
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let outcome = httparse::ParserConfig::default()
            .allow_spaces_after_header_name_in_responses(true)
            .parse_response(&mut parsed, head);
        if !matches!(outcome, Ok(httparse::Status::Complete(_))) {
            return Err(problem::BAD_RESPONSE);
        }
        let status = parsed.code.unwrap_or(0);
        if !(100..600).contains(&status) {
            return Err(problem::BAD_RESPONSE);
        }
        let version = match parsed.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let headers = &*parsed.headers;
        let connection = Connection::of(headers).map_err(|_| problem::BAD_RESPONSE)?;
        let mut kept = Taken::of(&flat, LinesRoom::default());
        // RFC 9110 sections 8.6 and 9.3.6, 9112 section 6.1: these say nothing of a body here,
        // and could only mislead.
        let misleads =
            status < 200 || status == 204 || (method == "CONNECT" && (200..300).contains(&status));
        for header in headers {
            let name = header.name;
            let of_no_body = match status {
                // Clients there are that wait for chunks behind it. Section 6.1 lets any recipient drop it.
                304 => name.eq_ignore_ascii_case("transfer-encoding"),
                _ => misleads && fields::is_one_of(name, &["content-length", "transfer-encoding"]),
            };
            let ends_here = name.eq_ignore_ascii_case("upgrade") || connection.removes(name);
            if !of_no_body && !ends_here {
                kept.take(name, header.value);
            }
        }
        let kept = kept.end();
        Ok(Self {
            status,
            version,
            length: length(headers, version, method, status)?,
            keep_alive: !connection.close && (version == Version::Http11 || connection.keep_alive),
            upgrade: upgrade(headers, status),
            phrase: parsed.reason.unwrap_or_default().as_bytes().to_vec(),
            kept: kept.in_head(flat.into_owned()),
        })
    }

    /// True for 1xx, which another response follows. 101 is the last of HTTP.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

fn length(
    headers: &[httparse::Header],
    version: Version,
    method: &str,
    status: u16,
) -> Result<Length, Problem> {
    let coding = Coding::of(headers);
    let announced = body::content_length(headers).map_err(|_| problem::BAD_RESPONSE)?;
    if coding.is_some() && (announced.is_some() || version == Version::Http10) {
        return Err(problem::BAD_RESPONSE);
    }
    if matches!(coding, Some(Coding::Bad | Coding::Unknown)) {
        return Err(problem::RESPONSE_CODING);
    }
    let bodyless = method == "HEAD"
        || status < 200
        || matches!(status, 204 | 304)
        || (method == "CONNECT" && (200..300).contains(&status));
    Ok(match (coding, announced) {
        _ if bodyless => Length::None,
        (Some(_), _) => Length::Chunked,
        (None, Some(0)) => Length::None,
        (None, Some(bytes)) => Length::Exact(bytes),
        (None, None) => Length::UntilClose,
    })
}

fn upgrade(headers: &[httparse::Header], status: u16) -> Vec<String> {
    if !matches!(status, 101 | 426) {
        return Vec::new();
    }
    fields::values(headers, "upgrade")
        .flat_map(line::list)
        .filter(|protocol| !protocol.is_empty())
        .map(|protocol| String::from_utf8_lossy(protocol).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str, method: &str) -> Result<Response, Problem> {
        Response::parse(head.as_bytes(), method)
    }

    #[test]
    fn framing() {
        for (method, head, length) in [
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                Length::Exact(5),
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                Length::None,
            ),
            ("GET", "HTTP/1.0 200\r\n\r\n", Length::UntilClose),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                Length::None,
            ),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Length::None,
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\ntransfer-ENCODING: Chunked\r\n\r\n",
                Length::Chunked,
            ),
            (
                "CONNECT",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Length::None,
            ),
            (
                "CONNECT",
                "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n",
                Length::Chunked,
            ),
            (
                "GET",
                "HTTP/1.1 101 Switch\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n",
                Length::None,
            ),
            (
                "GET",
                "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
                Length::None,
            ),
            (
                "GET",
                "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n",
                Length::None,
            ),
            ("GET", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", Length::None),
        ] {
            assert_eq!(parse(head, method).unwrap().length, length, "{head}");
        }
    }

    #[test]
    fn what_cannot_be_relayed() {
        for (head, problem) in [
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                problem::RESPONSE_CODING,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                problem::RESPONSE_CODING,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n gzip\r\n\r\n",
                problem::RESPONSE_CODING,
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                problem::BAD_RESPONSE,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                problem::BAD_RESPONSE,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                problem::BAD_RESPONSE,
            ),
            (
                "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
                problem::BAD_RESPONSE,
            ),
            ("HTTP/1.1 200 OK\nA: b\n\n", problem::BAD_RESPONSE),
            ("HTTP/2.0 200 OK\r\n\r\n", problem::BAD_RESPONSE),
            ("HTTP/1.1 600 OK\r\n\r\n", problem::BAD_RESPONSE),
            ("HTTP/1.1 099 OK\r\n\r\n", problem::BAD_RESPONSE),
            ("SSH-2.0-x\r\n\r\n", problem::BAD_RESPONSE),
        ] {
            assert_eq!(parse(head, "GET").err(), Some(problem), "{head}");
        }
    }

    #[test]
    fn reuse_follows_version_and_connection() {
        for (head, reuse) in [
            ("HTTP/1.1 204 A\r\n\r\n", true),
            ("HTTP/1.1 204 A\r\nConnection: Close\r\n\r\n", false),
            ("HTTP/1.0 204 A\r\n\r\n", false),
            ("HTTP/1.0 204 A\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(parse(head, "GET").unwrap().keep_alive, reuse, "{head}");
        }
    }
}
