// SPDX-License-Identifier: GPL-2.0
//! A request head: checked against RFC 9110 and 9112, and rewritten for a back-end.
//!
//! Invariant: a `Request` exists only if its framing is beyond doubt. Everything that two
//! parsers could understand in two ways is a `Problem`.

use std::mem::{self, MaybeUninit};

use super::body::{self, Coding, Length};
use super::fields::{self, is_token, Connection, Lines, LinesRoom, Taken, FIELDS_MAX};
use super::line;
use super::problem::{self, Problem};
use super::target::{self, Target};
use super::Version;

/// Protocols that a client may offer to switch to; each has memory of its own as long as the request lives.
const PROTOCOLS_MAX: usize = 16;

/// Methods that servers know (RFC 9110 section 9.3, RFC 5789).
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// A request that may be forwarded.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, path and host, one behind the other, and where the first two end.
    names: String,
    method_end: usize,
    path_end: usize,
    /// What the client speaks.
    pub version: Version,
    /// The body's framing; never until close.
    pub length: Length,
    /// The client waits for 100 before it sends the body.
    pub expects_continue: bool,
    /// The client wants to use its connection again.
    pub keep_alive: bool,
    /// Protocols that the client offers to switch to. Empty unless it did all that it takes:
    /// the option `upgrade` in Connection, HTTP/1.1, and no body.
    pub upgrade: Vec<String>,
    /// Hops that are left, of TRACE and OPTIONS only (RFC 9110 section 7.6.2).
    pub max_forwards: Option<u64>,
    /// The client takes trailers.
    pub(super) te_trailers: bool,
    /// Field lines that may be sent on, in order, with Host as it is to be understood.
    pub(super) kept: Lines,
}

/// Room that a request leaves to another.
#[derive(Debug, Default)]
pub struct Room {
    names: String,
    kept: LinesRoom,
}

impl Request {
    /// Checks a whole head, its empty line included. `target_max` is in bytes.
    pub fn parse(head: impl Into<Vec<u8>>, target_max: usize) -> Result<Self, Problem> {
        Self::parse_in(&mut Room::default(), head.into(), target_max)
    }

    /// The same, in the room of another, which is used up.
    pub fn parse_in(
        room: &mut Room,
        received: Vec<u8>,
        target_max: usize,
    ) -> Result<Self, Problem> {
        // The scan for a head's end has ended it there.
        if let Some(..=0x1f) = received.iter().find(|b| !b"\r\n".contains(b)) {
            return Err(problem::NOT_HTTP);
        }
        let head = line::strict(&received)?;
        // Four KiB, of which most heads need a tenth: not filled in vain.
        let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut headers) {
            Ok(httparse::Status::Complete(_)) => {}
            refused => {
                request_line(head, target_max)?;
                return Err(refused.err().map_or(problem::BAD_REQUEST_LINE, why));
            }
        }
        let (Some(method), Some(raw_target)) = (parsed.method, parsed.path) else {
            return Err(problem::BAD_REQUEST_LINE);
        };
        if raw_target.len() > target_max {
            return Err(problem::TARGET_TOO_LONG);
        }
        if is_method_in_disguise(method) {
            return Err(problem::BAD_METHOD);
        }
        // It is no more lenient here, which the fuzzing looks at.
        debug_assert_eq!(request_line(head, target_max), Ok(()));
        let version = match parsed.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let headers = &*parsed.headers;
        let target = Target::parse(method, raw_target)?;
        let field_host = host(headers, version)?;
        let connection = Connection::of(headers)?;
        let length = length(headers, version)?;
        match (method, length) {
            (_, Length::None) => {}
            ("CONNECT", _) => return Err(problem::CONNECT_BODY),
            ("TRACE", _) => return Err(problem::TRACE_BODY),
            _ => {}
        }
        let expects_continue = expectation(headers, version)?;
        let upgrade = upgrade(headers, &connection, version)?;
        let max_forwards = match method {
            "TRACE" | "OPTIONS" => max_forwards(headers)?,
            _ => None,
        };
        let bodyless = length == Length::None;
        let keep_alive = match version {
            // What follows the body of a request that wants to switch is in doubt.
            Version::Http11 => !connection.close && (bodyless || upgrade.is_empty()),
            Version::Http10 => connection.keep_alive && !connection.close,
        };
        let te_trailers = fields::values(headers, "te")
            .flat_map(line::list)
            .any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
        let mut kept = Taken::of(&received, mem::take(&mut room.kept));
        for header in headers {
            let name = header.name;
            // Expect and Upgrade were understood, and are written anew where they are wanted.
            if connection.removes(name) || fields::is_one_of(name, &["expect", "upgrade"]) {
                continue;
            }
            // What frames the body here must be what frames it there.
            if fields::is_framing_in_disguise(name) {
                continue;
            }
            match target.authority {
                Some(host) if name.eq_ignore_ascii_case("host") => kept.put(name, host.as_bytes()),
                _ => kept.take(name, body::plain(name, header.value)),
            }
        }
        let host = target.authority.unwrap_or(field_host);
        let mut names = mem::take(&mut room.names);
        names.clear();
        names.reserve(method.len() + target.path.len() + host.len());
        names.push_str(method);
        let method_end = names.len();
        names.push_str(&target.path);
        let path_end = names.len();
        names.push_str(host);
        let kept = kept.end();
        Ok(Self {
            names,
            method_end,
            path_end,
            version,
            length,
            expects_continue,
            keep_alive,
            upgrade: if bodyless { upgrade } else { Vec::new() },
            max_forwards,
            te_trailers,
            kept: kept.in_head(received),
        })
    }

    /// Bytes of the head that it holds.
    pub fn head_size(&self) -> usize {
        self.kept.size()
    }

    /// Leaves its room to another, and says nothing afterwards.
    pub fn take_room(&mut self) -> Room {
        Room {
            names: mem::take(&mut self.names),
            kept: self.kept.take_room(),
        }
    }

    /// As received; methods are case-sensitive.
    pub fn method(&self) -> &str {
        self.names.get(..self.method_end).unwrap_or_default()
    }

    /// Origin-form, `*`, or the authority of a CONNECT.
    pub fn path(&self) -> &str {
        let path = self.method_end..self.path_end;
        self.names.get(path).unwrap_or_default()
    }

    /// Host and port that the client wants; empty for an HTTP/1.0 client that named none.
    pub fn host(&self) -> &str {
        self.names.get(self.path_end..).unwrap_or_default()
    }

    /// True where doing it twice is doing it once (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
    }

    /// What to answer to the beginning of a head that has no end within the limit.
    pub fn over_limit(head: &[u8], target_max: usize) -> Problem {
        let start = head.trim_ascii_start();
        let line = start.split(|&b| b == b'\n').next().unwrap_or_default();
        let target = line.split(|&b| b == b' ').nth(1).unwrap_or_default();
        if target.len() > target_max {
            problem::TARGET_TOO_LONG
        } else {
            problem::HEAD_TOO_LONG
        }
    }
}

/// What is wrong with the first line, if that is what the parser does not like: it is split at its two
/// spaces, and each part's limits are checked.
fn request_line(head: &[u8], target_max: usize) -> Result<(), Problem> {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(problem::BAD_REQUEST_LINE);
    };
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
    if !is_token(method) {
        return Err(problem::BAD_METHOD);
    }
    Ok(())
}

/// Whether some servers read another method than this one: they take letters in lower case for those in upper case, so
/// that `head` has no body in its response, and `trace` is TRACE.
pub fn is_method_in_disguise(method: &str) -> bool {
    method.bytes().any(|b| b.is_ascii_lowercase())
        && METHODS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(method))
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

/// RFC 9112 section 6.3, with every doubt refused. The method has no say in it.
fn length(headers: &[httparse::Header], version: Version) -> Result<Length, Problem> {
    let length = body::content_length(headers)?;
    let Some(coding) = Coding::of(headers) else {
        return Ok(match length {
            None | Some(0) => Length::None,
            Some(bytes) => Length::Exact(bytes),
        });
    };
    if version == Version::Http10 {
        return Err(problem::CODING_IN_10);
    }
    if length.is_some() {
        return Err(problem::LENGTH_AND_CODING);
    }
    match coding {
        Coding::Chunked => Ok(Length::Chunked),
        Coding::Bad => Err(problem::BAD_CODING),
        Coding::Unknown => Err(problem::UNKNOWN_CODING),
    }
}

/// The protocols of Upgrade, if the client means it (RFC 9110 section 7.8).
fn upgrade(
    headers: &[httparse::Header],
    connection: &Connection,
    version: Version,
) -> Result<Vec<String>, Problem> {
    if version == Version::Http10 || !connection.upgrade {
        return Ok(Vec::new());
    }
    fields::values(headers, "upgrade")
        .flat_map(line::list)
        .filter(|protocol| !protocol.is_empty())
        .enumerate()
        .map(|(nth, protocol)| {
            let is_protocol = protocol.splitn(2, |&b| b == b'/').all(is_token);
            let fits = is_protocol && nth < PROTOCOLS_MAX;
            let text = std::str::from_utf8(protocol).ok().filter(|_| fits);
            text.map(str::to_owned).ok_or(problem::BAD_UPGRADE)
        })
        .collect()
}

fn max_forwards(headers: &[httparse::Header]) -> Result<Option<u64>, Problem> {
    let mut all = fields::values(headers, "max-forwards");
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    match (digits, all.next()) {
        // What is too large to be counted is lowered to what can be (RFC 9110 section 7.6.2).
        (Some(digits), None) => Ok(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => Err(problem::BAD_MAX_FORWARDS),
    }
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
