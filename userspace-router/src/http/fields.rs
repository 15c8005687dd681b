// SPDX-License-Identifier: GPL-2.0
//! The field lines of a head: Content-Length, Connection, and what is sent on.
//!
//! Invariant: Connection can never remove Host, Content-Length or Transfer-Encoding.

use httparse::Header;

use super::line::list;
use super::problem::{self, Problem};

/// Fields of a head at the most.
pub const FIELDS_MAX: usize = 128;

/// Options in Connection at the most; each costs a comparison per field.
const OPTIONS_MAX: usize = 32;

/// Fields for one connection only (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Fields that Connection must not remove, whatever it names.
const PROTECTED: [&str; 3] = ["host", "content-length", "transfer-encoding"];

/// What Connection said.
#[derive(Debug, Default)]
pub struct Connection<'a> {
    options: Vec<&'a [u8]>,
    /// `close` is among the options.
    pub close: bool,
    /// `keep-alive` is among the options.
    pub keep_alive: bool,
}

impl<'a> Connection<'a> {
    /// Collects the options of all Connection fields.
    pub fn of(headers: &[Header<'a>]) -> Result<Self, Problem> {
        let mut found = Self::default();
        for option in values(headers, "connection").flat_map(list) {
            if option.eq_ignore_ascii_case(b"close") {
                found.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                found.keep_alive = true;
            } else if found.options.len() >= OPTIONS_MAX {
                return Err(problem::MANY_OPTIONS);
            } else {
                found.options.push(option);
            }
        }
        Ok(found)
    }

    /// True if the field of this name ends at this hop.
    pub fn removes(&self, name: &str) -> bool {
        let named = || {
            self.options
                .iter()
                .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
        };
        is_one_of(name, &HOP_BY_HOP) || (!is_one_of(name, &PROTECTED) && named())
    }
}

/// True if `name` is one of `names`, which are in lower case.
pub fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The values of all fields of this name, in order.
pub fn values<'a: 'h, 'h>(
    headers: &'h [Header<'a>],
    name: &'h str,
) -> impl Iterator<Item = &'a [u8]> + 'h {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// The one Content-Length, if there is any (RFC 9112 section 6.2).
pub fn content_length(headers: &[Header]) -> Result<Option<u64>, Problem> {
    let mut all = values(headers, "content-length");
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

/// Writes one field line.
pub fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
