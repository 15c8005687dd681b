// SPDX-License-Identifier: GPL-2.0
//! How long a body is, as the fields of a head say (RFC 9112 section 6).
//!
//! Invariant: what two parsers could understand in two ways has no `Length`.

use httparse::Header;

use super::fields;
use super::line::list;
use super::problem::{self, Problem};

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No body, or one of no bytes.
    None,
    /// So many bytes.
    Exact(u64),
    /// The transfer coding `chunked`.
    Chunked,
    /// Up to the FIN; responses only.
    UntilClose,
}

/// What Transfer-Encoding says, where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Exactly `chunked`, once.
    Chunked,
    /// Empty, with stray commas, or chunked more than once.
    Bad,
    /// Some other coding, alone or among others.
    Unknown,
}

impl Coding {
    /// Looks at all Transfer-Encoding fields; `None` if there is none.
    pub fn of(headers: &[Header]) -> Option<Self> {
        let codings: Vec<_> = fields::values(headers, "transfer-encoding")
            .flat_map(list)
            .collect();
        let is_chunked = |name: &&[u8]| name.eq_ignore_ascii_case(b"chunked");
        Some(match codings.len() {
            0 => return None,
            _ if codings.iter().any(|name| name.is_empty()) => Self::Bad,
            _ if !codings.iter().all(is_chunked) => Self::Unknown,
            1 => Self::Chunked,
            _ => Self::Bad,
        })
    }
}

/// The one Content-Length, if there is any (RFC 9112 section 6.2).
pub fn content_length(headers: &[Header]) -> Result<Option<u64>, Problem> {
    let mut all = fields::values(headers, "content-length");
    let Some(value) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(problem::MANY_LENGTHS);
    }
    // `parse` alone would take a sign.
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(problem::BAD_LENGTH);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .map(Some)
        .ok_or(problem::BAD_LENGTH)
}

/// What the value of this field is where it says how long a body is, in the one spelling that nobody reads in another
/// way: `chunked` in lower case, a length without zeros in front. It was checked before.
pub fn plain<'v>(name: &str, value: &'v [u8]) -> &'v [u8] {
    if fields::is_one_of(name, &["transfer-encoding"]) && value != b"chunked" {
        return b"chunked";
    }
    let mut value = value;
    if fields::is_one_of(name, &["content-length"]) {
        while let Some(rest) = value.strip_prefix(b"0").filter(|rest| !rest.is_empty()) {
            value = rest;
        }
    }
    value
}
