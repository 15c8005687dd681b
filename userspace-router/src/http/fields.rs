// SPDX-License-Identifier: GPL-2.0
//! The field lines of a head, and what Connection says about them.
//!
//! Invariant: Connection can never remove Host, Content-Length or Transfer-Encoding, nor what says who the client is.

use httparse::Header;

use super::forwarded::is_about_the_client;
use super::line::list;
use super::problem::{self, Problem};

/// Fields of a head at the most.
pub const FIELDS_MAX: usize = 128;

/// Options in Connection at the most; each costs a comparison per field.
const OPTIONS_MAX: usize = 32;

/// Fields for one connection only (RFC 9110 section 7.6.1). Transfer-Encoding and Upgrade
/// are too, but what becomes of these depends on the message.
const HOP_BY_HOP: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "te"];

/// Fields that Connection must not remove, whatever it names; with those below.
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
        // A client could take back what a proxy in front says of it, if that passes its Connection on.
        let is_protected = || is_one_of(name, &PROTECTED) || is_about_the_client(name.as_bytes());
        is_one_of(name, &HOP_BY_HOP) || (!is_protected() && named())
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

/// Field lines as they stand on the wire, in order: `name: value` and CRLF. They stand in the head that
/// they came with, and those that were put anew behind it.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

/// Where a line stands: they are walked several times.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: usize,
    /// Bytes of the field's name.
    name: usize,
    end: usize,
}

/// Whether two names are the same to those who tell neither case nor `_` from `-`, as CGI does, or no sign from
/// another, as some servers do for it.
pub fn is_alike(name: &[u8], other: &[u8]) -> bool {
    let dashed = |b: &u8| match *b {
        b if b.is_ascii_alphanumeric() => b.to_ascii_lowercase(),
        _ => b'-',
    };
    name.len() == other.len() && name.iter().map(dashed).eq(other.iter().map(dashed))
}

/// Whether a back-end may take this for a length or a coding, though it is none.
pub fn is_framing_in_disguise(name: &str) -> bool {
    // Nearly all that are of that length are the field itself, which is told quickly.
    let is = |known: &&str| {
        !name.eq_ignore_ascii_case(known) && is_alike(name.as_bytes(), known.as_bytes())
    };
    ["content-length", "transfer-encoding"].iter().any(is)
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
    /// All lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        self.marks.iter().filter_map(|mark| {
            let bytes = self.bytes.get(mark.start..mark.end)?;
            let (name, rest) = bytes.split_at_checked(mark.name)?;
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

    /// No less than the bytes of all lines.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Drops all lines, and leaves their room to others.
    pub fn take_room(&mut self) -> LinesRoom {
        self.marks.clear();
        LinesRoom(std::mem::take(&mut self.marks))
    }
}

/// Room for marks, of lines that are no more.
#[derive(Debug, Default)]
pub struct LinesRoom(Vec<Mark>);

/// Those lines of a head that are taken, while what they are found by still borrows it.
#[derive(Debug)]
pub struct Taken<'h> {
    head: &'h [u8],
    marks: Vec<Mark>,
    /// Lines that do not stand in the head as they are to be.
    anew: Vec<u8>,
}

impl<'h> Taken<'h> {
    /// None yet.
    pub fn of(head: &'h [u8], room: LinesRoom) -> Self {
        Self {
            head,
            marks: room.0,
            anew: Vec::new(),
        }
    }

    /// Takes a line that the parser found in the head. It stays where it is if it stands there as `put`
    /// would write it.
    pub fn take(&mut self, name: &str, value: &[u8]) {
        let at = |part: &[u8]| part.as_ptr().addr().checked_sub(self.head.as_ptr().addr());
        let tidy = || {
            let (start, value_at) = (at(name.as_bytes())?, at(value)?);
            let colon = start.checked_add(name.len())?;
            let between = self.head.get(colon..value_at)? == b": ";
            let behind = self.head.get(value_at.checked_add(value.len())?..)?;
            (between && behind.starts_with(b"\r\n")).then_some(Mark {
                start,
                name: name.len(),
                end: value_at + value.len() + 2,
            })
        };
        match tidy() {
            Some(mark) => self.marks.push(mark),
            None => self.put(name, value),
        }
    }

    /// Puts a line anew. Name and value were checked by the caller.
    pub fn put(&mut self, name: &str, value: &[u8]) {
        let start = self.head.len() + self.anew.len();
        put(&mut self.anew, name, value);
        self.marks.push(Mark {
            start,
            name: name.len(),
            end: self.head.len() + self.anew.len(),
        });
    }

    /// Lets go of the head.
    pub fn end(self) -> Marks {
        let Self { marks, anew, .. } = self;
        Marks { marks, anew }
    }
}

/// Where the lines of a head stand in it, or behind it.
#[derive(Debug)]
pub struct Marks {
    marks: Vec<Mark>,
    anew: Vec<u8>,
}

impl Marks {
    /// The lines. The head is that from which they were taken.
    pub fn in_head(self, mut head: Vec<u8>) -> Lines {
        if !self.anew.is_empty() {
            head.extend_from_slice(&self.anew);
        }
        Lines {
            bytes: head,
            marks: self.marks,
        }
    }
}

/// Writes one field line.
pub fn put(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: &[u8]) {
    out.extend_from_slice(name.as_ref());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
