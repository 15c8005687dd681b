// SPDX-License-Identifier: GPL-2.0
//! The field lines of a head, and what Connection says about them.
//!
//! Invariant: Connection can never remove Host, Content-Length or Transfer-Encoding.

use httparse::Header;

use super::line::list;
use super::problem::{self, Problem};

/// Fields of a head at the most.
pub const FIELDS_MAX: usize = 128;

/// Options in Connection at the most; each costs a comparison per field.
const OPTIONS_MAX: usize = 32;

/// Fields for one connection only (RFC 9110 section 7.6.1). Transfer-Encoding and Upgrade
/// are too, but what becomes of these depends on the message.
const HOP_BY_HOP: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "te"];

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
    /// `upgrade` is among the options.
    pub upgrade: bool,
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
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                found.upgrade = true;
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

/// A byte of a token (RFC 9110 section 5.6.2).
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// True for a field name, a method, or a protocol's name.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
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

/// Field lines as they stand on the wire, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// None yet, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends a line. Name and value were checked by the caller.
    pub fn put(&mut self, name: &str, value: &[u8]) {
        put(&mut self.0, name, value);
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .split(|&b| b == b'\n')
            .filter_map(|line| line.strip_suffix(b"\r"))
            .filter_map(|line| {
                let colon = line.iter().position(|&b| b == b':')?;
                let name = std::str::from_utf8(line.get(..colon)?).ok()?;
                // One space was put behind the colon.
                Some((name, line.get(colon + 2..)?))
            })
    }

    /// The values of all fields of this name, in order.
    pub fn values<'l>(&'l self, name: &'l str) -> impl Iterator<Item = &'l [u8]> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// As they stand on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes of all lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Writes one field line.
pub fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
