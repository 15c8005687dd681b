// SPDX-License-Identifier: GPL-2.0
//! A response head: checked, its body's framing decided, and rewritten for the client.
//!
//! Invariant: framing is keyed on the *request's* method (RFC 9112 section 6.3).

use super::fields::{self, Connection, FIELDS_MAX};
use super::line;
use super::problem::{self, Problem};
use super::Version;

/// How long a response's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No body.
    None,
    /// So many bytes.
    Exact(u64),
    /// Up to the back-end's FIN.
    UntilClose,
}

/// A response that may be relayed.
#[derive(Clone, Debug)]
pub struct Response {
    /// 100 to 599.
    pub status: u16,
    /// The body's framing.
    pub length: Length,
    /// The back-end lets its connection be used again.
    pub keep_alive: bool,
    phrase: Vec<u8>,
    kept: Vec<u8>,
}

impl Response {
    /// Checks a whole head; `method` is that of the request it answers.
    pub fn parse(head: &[u8], method: &str) -> Result<Self, Problem> {
        let head = line::strict(head).map_err(|_| problem::BAD_RESPONSE)?;
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
        if status == 101 {
            return Err(problem::UNASKED_UPGRADE);
        }
        let headers = &*parsed.headers;
        let connection = Connection::of(headers).map_err(|_| problem::BAD_RESPONSE)?;
        let is_11 = parsed.version == Some(1);
        let length = length(headers, method, status)?;
        let mut response = Self {
            status,
            length,
            keep_alive: !connection.close && (is_11 || connection.keep_alive),
            phrase: parsed.reason.unwrap_or_default().as_bytes().to_vec(),
            kept: Vec::with_capacity(head.len()),
        };
        for header in headers {
            // RFC 9110 section 8.6: no length in 1xx and 204, where it could only mislead.
            let misleads = (status < 200 || status == 204)
                && header.name.eq_ignore_ascii_case("content-length");
            if !misleads && !connection.removes(header.name) {
                fields::put(&mut response.kept, header.name, header.value);
            }
        }
        Ok(response)
    }

    /// True for 1xx, which another response follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// The head for a client. With `close`, it learns that the connection ends after it.
    pub fn render(&self, version: Version, close: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.kept.len() + self.phrase.len() + 80);
        out.extend_from_slice(format!("HTTP/1.1 {} ", self.status).as_bytes());
        out.extend_from_slice(&self.phrase);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.kept);
        if !self.is_interim() {
            fields::put(&mut out, "Via", b"1.1 underpass");
            if close {
                fields::put(&mut out, "Connection", b"close");
            } else if version == Version::Http10 {
                fields::put(&mut out, "Connection", b"keep-alive");
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn length(headers: &[httparse::Header], method: &str, status: u16) -> Result<Length, Problem> {
    let has_coding = fields::values(headers, "transfer-encoding")
        .next()
        .is_some();
    let announced = fields::content_length(headers).map_err(|_| problem::BAD_RESPONSE)?;
    if has_coding && announced.is_some() {
        return Err(problem::BAD_RESPONSE);
    }
    if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
        return Ok(Length::None);
    }
    if has_coding {
        return Err(problem::CHUNKED_RESPONSE);
    }
    Ok(match announced {
        Some(0) => Length::None,
        Some(bytes) => Length::Exact(bytes),
        None => Length::UntilClose,
    })
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
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                problem::CHUNKED_RESPONSE,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                problem::BAD_RESPONSE,
            ),
            ("HTTP/1.1 101 Switch\r\n\r\n", problem::UNASKED_UPGRADE),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                problem::BAD_RESPONSE,
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
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
    fn rewriting_keeps_order_and_case_and_drops_the_hop() {
        let head = "HTTP/1.0 200 Fine\r\nX-b : 1\r\nConnection: x-hop, Content-Length\r\n\
                    X-Hop: 1\r\nKeep-Alive: 5\r\ncontent-LENGTH: 3\r\n\r\n";
        let response = parse(head, "GET").unwrap();
        assert!(!response.keep_alive);
        let kept = "HTTP/1.1 200 Fine\r\nX-b: 1\r\ncontent-LENGTH: 3\r\nVia: 1.1 underpass\r\n";
        let render = |version, close| String::from_utf8(response.render(version, close)).unwrap();
        assert_eq!(render(Version::Http11, false), format!("{kept}\r\n"));
        assert_eq!(
            render(Version::Http11, true),
            format!("{kept}Connection: close\r\n\r\n")
        );
        assert_eq!(
            render(Version::Http10, false),
            format!("{kept}Connection: keep-alive\r\n\r\n")
        );
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
