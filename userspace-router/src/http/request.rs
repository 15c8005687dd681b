// SPDX-License-Identifier: GPL-2.0
//! A request head: checked against RFC 9110 and 9112, and rewritten for a back-end.
//!
//! Invariant: a `Request` exists only if its framing is beyond doubt. Everything that two
//! parsers could understand in two ways is a `Problem`.

use std::net::{IpAddr, SocketAddr};

use super::fields::{self, Connection, FIELDS_MAX};
use super::line;
use super::problem::{self, Problem};
use super::target::{self, Target};
use super::Version;

/// A request that may be forwarded.
#[derive(Clone, Debug)]
pub struct Request {
    /// As received; methods are case-sensitive.
    pub method: String,
    /// Origin-form, or `*`.
    pub path: String,
    /// Host and port that the client wants; empty for an HTTP/1.0 client that named none.
    pub host: String,
    /// What the client speaks.
    pub version: Version,
    /// Bytes of body; zero where there is none.
    pub length: u64,
    /// The client waits for 100 before it sends the body.
    pub expects_continue: bool,
    /// The client wants to use its connection again.
    pub keep_alive: bool,
    /// Field lines that are sent on, with Content-Length and Host in their places.
    pub(super) kept: Vec<u8>,
    /// Values of X-Forwarded-For, joined.
    forwarded_for: Vec<u8>,
}

/// What this hop adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// The client's address.
    pub client: IpAddr,
    /// The address that the client connected to: the Host of a request without one.
    pub local: SocketAddr,
}

impl Request {
    /// Checks a whole head, its empty line included. `target_max` is in bytes.
    pub fn parse(head: &[u8], target_max: usize) -> Result<Self, Problem> {
        let head = line::strict(head)?;
        let (method, raw_target) = request_line(head, target_max)?;
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(problem::BAD_REQUEST_LINE),
            Err(error) => return Err(why(error)),
        }
        let version = match parsed.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let headers = &*parsed.headers;
        if matches!(method, "CONNECT" | "TRACE") {
            return Err(problem::METHOD_NOT_SERVED);
        }
        let target = Target::parse(method, raw_target)?;
        let field_host = host(headers, version)?;
        let connection = Connection::of(headers)?;
        let length = length(headers, version)?;
        let expects_continue = expectation(headers, version)?;

        let host = target.authority.as_deref().unwrap_or(field_host).to_owned();
        let mut request = Self {
            method: method.to_owned(),
            path: target.path,
            version,
            length,
            expects_continue,
            keep_alive: match version {
                Version::Http11 => !connection.close,
                Version::Http10 => connection.keep_alive && !connection.close,
            },
            kept: Vec::with_capacity(head.len()),
            forwarded_for: Vec::new(),
            host,
        };
        request.keep(headers, &connection);
        Ok(request)
    }

    fn keep(&mut self, headers: &[httparse::Header], connection: &Connection) {
        for header in headers {
            let name = header.name;
            if connection.removes(name) || name.eq_ignore_ascii_case("expect") {
                continue;
            }
            if name.eq_ignore_ascii_case("x-forwarded-for") {
                self.forwarded_for.extend_from_slice(header.value);
                self.forwarded_for.extend_from_slice(b", ");
            } else if name.eq_ignore_ascii_case("host") {
                fields::put(&mut self.kept, name, self.host.as_bytes());
            } else {
                fields::put(&mut self.kept, name, header.value);
            }
        }
        let has_host = fields::values(headers, "host").next().is_some();
        if !has_host && !self.host.is_empty() {
            fields::put(&mut self.kept, "Host", self.host.as_bytes());
        }
    }

    /// The head for a back-end; with `ask`, it has to say whether it takes the body.
    pub fn render(&self, hop: Hop, ask: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.kept.len() + self.path.len() + 160);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.path.as_bytes());
        // Always 1.1: whatever the client speaks, this hop speaks 1.1.
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(&self.kept);
        if self.host.is_empty() {
            fields::put(&mut out, "Host", hop.local.to_string().as_bytes());
        }
        let mut forwarded = self.forwarded_for.clone();
        forwarded.extend_from_slice(hop.client.to_string().as_bytes());
        fields::put(&mut out, "X-Forwarded-For", &forwarded);
        let via: &[u8] = match self.version {
            Version::Http10 => b"1.0 underpass",
            Version::Http11 => b"1.1 underpass",
        };
        fields::put(&mut out, "Via", via);
        if ask {
            fields::put(&mut out, "Expect", b"100-continue");
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// True where doing it twice is doing it once (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method.as_str(),
            "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE"
        )
    }

    /// What to answer to the beginning of a head that has no end within the limit.
    pub fn over_limit(head: &[u8], target_max: usize) -> Problem {
        let start = head.trim_ascii_start();
        let line = start.split(|&b| b == b'\n').next().unwrap_or_default();
        if line.len() > target_max {
            problem::TARGET_TOO_LONG
        } else {
            problem::HEAD_TOO_LONG
        }
    }
}

/// Splits the first line at its two spaces, and checks each part's limits.
fn request_line(head: &[u8], target_max: usize) -> Result<(&str, &str), Problem> {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(problem::BAD_REQUEST_LINE);
    };
    let text = |bytes, problem| std::str::from_utf8(bytes).map_err(|_| problem);
    let is_version =
        |digits: &[u8]| matches!(digits, [a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit());
    match version.strip_prefix(b"HTTP/") {
        Some(b"1.1" | b"1.0") => {}
        Some(digits) if is_version(digits) => return Err(problem::BAD_VERSION),
        _ => return Err(problem::BAD_REQUEST_LINE),
    }
    if target.len() > target_max {
        return Err(problem::TARGET_TOO_LONG);
    }
    if method.is_empty() || !method.iter().all(|&b| is_token(b)) {
        return Err(problem::BAD_METHOD);
    }
    Ok((
        text(method, problem::BAD_METHOD)?,
        text(target, problem::BAD_TARGET)?,
    ))
}

/// A byte of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn host<'a>(headers: &[httparse::Header<'a>], version: Version) -> Result<&'a str, Problem> {
    let mut all = fields::values(headers, "host");
    let Some(value) = all.next() else {
        return match version {
            Version::Http10 => Ok(""),
            Version::Http11 => Err(problem::NO_HOST),
        };
    };
    if all.next().is_some() {
        return Err(problem::MANY_HOSTS);
    }
    let value = std::str::from_utf8(value).map_err(|_| problem::BAD_HOST)?;
    target::host(value)?;
    Ok(value)
}

/// RFC 9112 section 6.3, with every doubt refused.
fn length(headers: &[httparse::Header], version: Version) -> Result<u64, Problem> {
    let codings: Vec<_> = fields::values(headers, "transfer-encoding").collect();
    let length = fields::content_length(headers)?;
    let Some(coding) = codings.first() else {
        return Ok(length.unwrap_or(0));
    };
    if version == Version::Http10 {
        return Err(problem::CODING_IN_10);
    }
    if length.is_some() {
        return Err(problem::LENGTH_AND_CODING);
    }
    if codings
        .iter()
        .any(|coding| line::list(coding).any(<[u8]>::is_empty))
    {
        return Err(problem::BAD_CODING);
    }
    if codings.len() > 1 || !coding.eq_ignore_ascii_case(b"chunked") {
        let all_chunked = codings
            .iter()
            .flat_map(|coding| line::list(coding))
            .all(|name| name.eq_ignore_ascii_case(b"chunked"));
        return Err(if all_chunked {
            problem::BAD_CODING
        } else {
            problem::UNKNOWN_CODING
        });
    }
    Err(problem::CHUNKED_REQUEST)
}

fn expectation(headers: &[httparse::Header], version: Version) -> Result<bool, Problem> {
    let mut all = fields::values(headers, "expect");
    // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
    let (Some(value), Version::Http11) = (all.next(), version) else {
        return Ok(false);
    };
    if all.next().is_some() || !value.eq_ignore_ascii_case(b"100-continue") {
        return Err(problem::UNKNOWN_EXPECTATION);
    }
    Ok(true)
}

fn why(error: httparse::Error) -> Problem {
    match error {
        httparse::Error::HeaderName => problem::BAD_FIELD_NAME,
        httparse::Error::HeaderValue => problem::BAD_FIELD_VALUE,
        httparse::Error::TooManyHeaders => problem::MANY_FIELDS,
        httparse::Error::Version => problem::BAD_VERSION,
        // The method was checked before, so what is no token is in the target.
        httparse::Error::Token => problem::BAD_TARGET,
        _ => problem::BAD_REQUEST_LINE,
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
