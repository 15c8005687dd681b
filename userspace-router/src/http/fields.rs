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

/// True for a field name, a method, or a protocol's name.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(underpass_framing::is_token)
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

/// Field lines as they stand on the wire, in order: `name: value` and CRLF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    bytes: Vec<u8>,
    /// How long each one's name is, and where the line ends: they are walked several times.
    marks: Vec<(usize, usize)>,
}

/// One of `Lines`.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l> {
    /// All of it.
    pub bytes: &'l [u8],
    /// The field's name.
    pub name: &'l [u8],
    /// Its value.
    pub value: &'l [u8],
}

impl Line<'_> {
    /// Whether the name is this one, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether the name is one of these, in whatever case.
    pub fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is(name))
    }
}

impl Lines {
    /// None yet, with room for so many bytes and lines.
    pub fn with_capacity(bytes: usize, lines: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            marks: Vec::with_capacity(lines),
        }
    }

    /// Appends a line. Name and value were checked by the caller.
    pub fn put(&mut self, name: &str, value: &[u8]) {
        put(&mut self.bytes, name, value);
        self.marks.push((name.len(), self.bytes.len()));
    }

    /// Appends a line of `head` that the parser found there. It is copied as it stands if it is as
    /// `put` would write it.
    pub fn put_from(&mut self, head: &[u8], name: &str, value: &[u8]) {
        let at = name.as_ptr().addr().checked_sub(head.as_ptr().addr());
        let size = name.len() + value.len() + 4;
        let line = at.and_then(|at| head.get(at..)?.get(..size));
        let tidy = line.filter(|line| {
            let rest = line.strip_prefix(name.as_bytes());
            let rest = rest.and_then(|rest| rest.strip_prefix(b": "));
            rest.and_then(|rest| rest.strip_prefix(value)) == Some(b"\r\n")
        });
        let Some(line) = tidy else {
            return self.put(name, value);
        };
        self.bytes.extend_from_slice(line);
        self.marks.push((name.len(), self.bytes.len()));
    }

    /// All lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        let mut start = 0;
        self.marks.iter().filter_map(move |&(name, end)| {
            let bytes = self.bytes.get(start..end)?;
            start = end;
            let (name, rest) = bytes.split_at_checked(name)?;
            let value = rest.get(2..rest.len().checked_sub(2)?)?;
            Some(Line { bytes, name, value })
        })
    }

    /// The values of all fields of this name, in order.
    pub fn values<'l>(&'l self, name: &'l str) -> impl Iterator<Item = &'l [u8]> {
        self.iter()
            .filter(move |line| line.is(name))
            .map(|line| line.value)
    }

    /// As they stand on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of all lines.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes one field line.
pub fn put(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: &[u8]) {
    out.extend_from_slice(name.as_ref());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
