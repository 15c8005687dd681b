// SPDX-License-Identifier: GPL-2.0
//! Whether a response head may go to the client without being shown to the router.
//!
//! The router remains the judge of heads: this passes on only what the router would certainly
//! pass on, byte for byte, and leaves everything else to it. So it is stricter than HTTP
//! (RFC 9112 sections 4 to 6), and knows every field that the router treats specially;
//! hop-by-hop fields that need no answer (`Connection: keep-alive`, `Keep-Alive`) are
//! left out, and a value is preceded by one space, as the router writes it.
//!
//! Invariants: `core` only, no allocation, no panic. It must not guess: in doubt, `None`.

#![forbid(unsafe_code)]

use super::body::Framing;
use super::chunked::CRLF;
use super::text::{is_name, is_token, plain_text};

/// Bytes of a head that is passed on, at the most.
pub const RELAYED_MAX: usize = 16 << 10;
/// Fields of it at the most: as many as the router takes.
const FIELDS_MAX: u32 = 128;
/// Digits of a length that need no thought about overflow.
const DIGITS_MAX: usize = 18;

/// A final response that may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed<'a> {
    /// 200 to 399.
    pub status: u16,
    /// `None`, `Length` of one byte at least, or `Chunked`.
    pub framing: Framing,
    /// All lines, without the empty one.
    lines: &'a [u8],
    /// Bytes of what goes on of them.
    size: usize,
    /// That is all of them, as they came.
    whole: bool,
}

/// Looks at a whole head; `of_head` says that it answers HEAD. `None`: it is for the router.
pub fn relay(head: &[u8], of_head: bool) -> Option<Relayed<'_>> {
    if head.len() > RELAYED_MAX {
        return None;
    }
    let (line, mut rest) = split_line(head)?;
    let status = status(line)?;
    let mut found = Found {
        size: line.len(),
        whole: true,
        ..Found::default()
    };
    while rest != CRLF {
        let (field, after) = Field::split(rest)?;
        found.note(&field)?;
        rest = after;
    }
    Some(Relayed {
        status,
        framing: found.framing(status, of_head)?,
        lines: head.strip_suffix(CRLF)?,
        size: found.size,
        whole: found.whole,
    })
}

/// True if this is field lines and nothing else, or nothing.
pub fn is_field_lines(mut bytes: &[u8]) -> bool {
    while let Some((_, after)) = Field::split(bytes) {
        bytes = after;
    }
    bytes.is_empty()
}

impl<'a> Relayed<'a> {
    /// Bytes of all pieces.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What goes on, if that is all lines as they came.
    pub fn as_it_came(&self) -> Option<&'a [u8]> {
        self.whole.then_some(self.lines)
    }

    /// Calls `put` with what goes on, in order: the lines without the empty one behind them.
    pub fn pieces(&self, mut put: impl FnMut(&'a [u8])) {
        if self.whole {
            return put(self.lines);
        }
        let Some((line, mut rest)) = split_line(self.lines) else {
            return;
        };
        put(line);
        while let Some((field, after)) = Field::split(rest) {
            rest = after;
            if field.is_dropped() {
                continue;
            }
            if field.is_tidy() {
                put(field.line);
                continue;
            }
            for piece in [field.name, b": ", field.value, CRLF] {
                put(piece);
            }
        }
    }
}

/// What the fields say.
#[derive(Default)]
struct Found {
    fields: u32,
    date: bool,
    length: Option<u64>,
    chunked: bool,
    size: usize,
    whole: bool,
}

impl Found {
    /// Takes note of one field; `None` if the router has to look at it.
    fn note(&mut self, field: &Field<'_>) -> Option<()> {
        self.fields = self.fields.saturating_add(1);
        if self.fields > FIELDS_MAX {
            return None;
        }
        match field.kind() {
            Kind::Special => return None,
            Kind::Connection if !field.value.eq_ignore_ascii_case(b"keep-alive") => return None,
            Kind::Connection | Kind::KeepAlive => {
                self.whole = false;
                return Some(());
            }
            Kind::Length if self.length.is_some() => return None,
            Kind::Length => self.length = Some(number(field.value)?),
            Kind::Coding if self.chunked || !field.value.eq_ignore_ascii_case(b"chunked") => {
                return None;
            }
            Kind::Coding => self.chunked = true,
            Kind::Date => self.date = true,
            Kind::Other => {}
        }
        self.whole &= field.is_tidy();
        self.size = self.size.saturating_add(field.size());
        Some(())
    }

    /// How long the body is (RFC 9112 section 6.3), where there is one way to read it and no
    /// FIN is needed to end it.
    fn framing(&self, status: u16, of_head: bool) -> Option<Framing> {
        // The router would add a Date.
        if !self.date {
            return None;
        }
        match (self.length, self.chunked) {
            (Some(_), true) => None,
            // These must not be in it.
            (Some(_), _) | (_, true) if status == 204 => None,
            // The router drops it, for clients that wait for chunks then.
            (_, true) if status == 304 => None,
            _ if of_head || matches!(status, 204 | 304) => Some(Framing::None),
            (Some(0), false) => Some(Framing::None),
            (Some(length), false) => Some(Framing::Length(length)),
            (None, true) => Some(Framing::Chunked),
            (None, false) => None,
        }
    }
}

/// What a field is to whoever passes it on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One that the router may treat in a way of its own in a response.
    Special,
    Connection,
    KeepAlive,
    /// Content-Length.
    Length,
    /// Transfer-Encoding.
    Coding,
    Date,
    Other,
}

/// One field.
struct Field<'a> {
    /// All of its line, CRLF included.
    line: &'a [u8],
    name: &'a [u8],
    /// Without the white space around it.
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// The field in front, and what follows its line.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let colon = bytes.iter().position(|&b| !is_token(b))?;
        let (name, rest) = bytes.split_at_checked(colon)?;
        let (rest, after) = split_line(rest)?;
        let value = rest.strip_suffix(CRLF)?.strip_prefix(b":")?;
        let (line, _) = bytes.split_at_checked(colon.checked_add(rest.len())?)?;
        if name.is_empty() {
            return None;
        }
        let value = trimmed(value);
        Some((Self { line, name, value }, after))
    }

    fn kind(&self) -> Kind {
        let is = |name: &[u8]| is_name(self.name, name);
        let begins = || {
            self.name
                .get(..6)
                .is_some_and(|six| is_name(six, b"proxy-"))
        };
        // The length tells most of them apart.
        match self.name.len() {
            2 if is(b"te") => Kind::Special,
            4 if is(b"date") => Kind::Date,
            7 if is(b"trailer") || is(b"upgrade") => Kind::Special,
            10 if is(b"connection") => Kind::Connection,
            10 if is(b"keep-alive") => Kind::KeepAlive,
            14 if is(b"content-length") => Kind::Length,
            17 if is(b"transfer-encoding") => Kind::Coding,
            _ if begins() => Kind::Special,
            _ => Kind::Other,
        }
    }

    /// It ends at this hop, and asks nothing of it.
    fn is_dropped(&self) -> bool {
        matches!(self.kind(), Kind::Connection | Kind::KeepAlive)
    }

    /// Bytes of the line that goes on.
    fn size(&self) -> usize {
        // Colon, space, CRLF.
        let (name, value) = (self.name.len(), self.value.len());
        name.saturating_add(value).saturating_add(4)
    }

    /// The line is as it would be written here.
    fn is_tidy(&self) -> bool {
        let space = self.name.len().saturating_add(1);
        self.line.len() == self.size() && self.line.get(space) == Some(&b' ')
    }
}

/// The line in front with its CRLF, and what follows it. None with a bare CR or LF, or another
/// control character, HTAB left out; a line that begins with white space is nobody's here.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = |&b: &u8| matches!(b, b'\t' | b' '..=b'~' | 0x80..);
    let plain = plain_text(bytes);
    let rest = bytes.get(plain..)?;
    let end = plain.checked_add(rest.iter().position(|b| !text(b))?)?;
    let (line, after) = bytes.split_at_checked(end.checked_add(CRLF.len())?)?;
    line.ends_with(CRLF).then_some((line, after))
}

/// The status in a status line, if it is one that may be passed on.
fn status(line: &[u8]) -> Option<u16> {
    let (digits, rest) = line.strip_prefix(b"HTTP/1.1 ")?.split_at_checked(3)?;
    // Of a phrase that is not ASCII the router passes nothing on.
    if rest.first() != Some(&b' ') || !line.is_ascii() {
        return None;
    }
    let status = u16::try_from(number(digits)?).ok()?;
    (200..400).contains(&status).then_some(status)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &b| {
        let digit = char::from(b).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
