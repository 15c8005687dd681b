// SPDX-License-Identifier: GPL-2.0
//! The chunked transfer coding (RFC 9112 section 7.1): parsed, and generated anew.
//!
//! Content is never looked at: the caller asks how many bytes of it come next, and shows
//! only what is between. Chunks are not passed on as they came: the content is put
//! into new ones, so that no two parsers can read the same chunk line in two ways, and
//! extensions end here (section 7.1.1 lets every recipient drop them).
//!
//! Invariants: every line ends by CRLF; sizes have at most 16 hex digits, lines, extensions
//! and trailers have limits; an error, once found, stays. A broken body never ends with
//! a last chunk: that would be a valid, truncated message.

#![forbid(unsafe_code)]

use super::trailer::{Field, Trailers};

/// Hex digits of a chunk size: enough for 64 bits, and checked before shifting.
const DIGITS_MAX: u8 = 16;
/// Bytes of one chunk line, CRLF not counted.
pub const LINE_MAX: u32 = 4096;
/// Bytes of all extensions of one body.
pub const EXTENSIONS_MAX: u32 = 1 << 20;
/// Bytes of extensions that a body without content may have; each byte of content allows
/// one more. What costs more to read past than it carries is an attack.
pub const EXTENSIONS_FREE: u64 = 16 << 10;
/// Bytes of the trailer section.
pub const TRAILERS_MAX: u32 = 4096;

/// What is wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A chunk line does not begin with hex digits, or they are followed by something else
    /// than an extension or CRLF.
    Size,
    /// A chunk size has more than 16 digits.
    SizeTooLong,
    /// A chunk line is longer than [`LINE_MAX`].
    LineTooLong,
    /// A control character, or a bare CR or LF, stands in an extension.
    Extension,
    /// The extensions are longer than [`EXTENSIONS_MAX`], or than the content allows.
    ExtensionsTooLong,
    /// CRLF is missing behind a chunk's content.
    ContentEnd,
    /// A trailer line does not begin with a field name and a colon.
    TrailerName,
    /// A control character, or a bare CR or LF, stands in a trailer's value.
    TrailerValue,
    /// The trailer section is longer than [`TRAILERS_MAX`].
    TrailersTooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before or within the digits.
    Size,
    /// In white space behind the digits, which only an extension may follow.
    Space,
    /// In an extension.
    Extension,
    /// Behind the CR of a chunk line.
    SizeCr,
    /// In the content.
    Content,
    /// Behind the content.
    ContentEnd,
    /// Behind the CR that follows the content.
    ContentCr,
    /// In the trailer section.
    Trailer(Field),
    /// Behind the last CRLF.
    Done,
    /// An error was found.
    Broken(Malformed),
}

/// A chunked body that is being taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    digits: u8,
    /// The size that the line says so far; then what is left of the chunk.
    left: u64,
    line: u32,
    extensions: u32,
    trailers: u32,
    content: u64,
}

impl Chunked {
    /// Before the first chunk.
    pub const fn new() -> Self {
        Self {
            at: At::Size,
            digits: 0,
            left: 0,
            line: 0,
            extensions: 0,
            trailers: 0,
            content: 0,
        }
    }

    /// Bytes of content that come next. Zero: what comes next has to be shown to `look`,
    /// unless the body is over.
    pub fn content(&self) -> u64 {
        match self.at {
            At::Content => self.left,
            _ => 0,
        }
    }

    /// True behind the last byte.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Notes that `n` bytes of content were taken; more than there are is cut to it.
    pub fn take(&mut self, n: u64) {
        let n = n.min(self.content());
        self.left = self.left.saturating_sub(n);
        self.content = self.content.saturating_add(n);
        if self.at == At::Content && self.left == 0 {
            self.at = At::ContentEnd;
        }
    }

    /// Looks at the next bytes, up to content, the end or a byte that is wrong; says how many
    /// are used up. An error is told when its byte comes first, so that what was used up
    /// before it counts the same at any segmentation. Fields that `trailers` allows are kept
    /// there.
    pub fn look(&mut self, bytes: &[u8], trailers: &mut Trailers<'_>) -> Result<usize, Malformed> {
        let mut used = 0usize;
        for &byte in bytes {
            match self.at {
                At::Content | At::Done => break,
                At::Broken(why) => return Err(why),
                _ => {}
            }
            if let Err(why) = self.step(byte, trailers) {
                self.at = At::Broken(why);
                return if used == 0 { Err(why) } else { Ok(used) };
            }
            used = used.saturating_add(1);
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8, trailers: &mut Trailers<'_>) -> Result<(), Malformed> {
        self.at = match self.at {
            At::Size => return self.size(byte),
            At::Space => {
                self.count_extension()?;
                match byte {
                    b' ' | b'\t' => At::Space,
                    b';' => At::Extension,
                    _ => return Err(Malformed::Size),
                }
            }
            At::Extension => match byte {
                b'\r' => At::SizeCr,
                b'\t' | b' '..=b'~' | 0x80.. => {
                    self.count_extension()?;
                    At::Extension
                }
                _ => return Err(Malformed::Extension),
            },
            At::SizeCr if byte == b'\n' => self.line_end(),
            At::SizeCr => return Err(Malformed::Extension),
            At::ContentEnd if byte == b'\r' => At::ContentCr,
            At::ContentCr if byte == b'\n' => {
                self.line = 0;
                At::Size
            }
            At::ContentEnd | At::ContentCr => return Err(Malformed::ContentEnd),
            At::Trailer(field) => {
                self.trailers = self.trailers.saturating_add(1);
                if self.trailers > TRAILERS_MAX {
                    return Err(Malformed::TrailersTooLong);
                }
                match field.step(byte, trailers)? {
                    Field::Over => At::Done,
                    next => At::Trailer(next),
                }
            }
            // `look` stops before these.
            At::Content | At::Done | At::Broken(_) => self.at,
        };
        Ok(())
    }

    fn size(&mut self, byte: u8) -> Result<(), Malformed> {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
            b'A'..=b'F' => byte.wrapping_sub(b'A').wrapping_add(10),
            _ if self.digits == 0 => return Err(Malformed::Size),
            b'\r' => {
                self.at = At::SizeCr;
                return Ok(());
            }
            b';' | b' ' | b'\t' => {
                self.count_extension()?;
                self.at = if byte == b';' {
                    At::Extension
                } else {
                    At::Space
                };
                return Ok(());
            }
            _ => return Err(Malformed::Size),
        };
        if self.digits >= DIGITS_MAX {
            return Err(Malformed::SizeTooLong);
        }
        self.digits = self.digits.saturating_add(1);
        self.line = self.line.saturating_add(1);
        self.left = (self.left << 4) | u64::from(digit);
        Ok(())
    }

    fn count_extension(&mut self) -> Result<(), Malformed> {
        self.line = self.line.saturating_add(1);
        if self.line > LINE_MAX {
            return Err(Malformed::LineTooLong);
        }
        self.extensions = self.extensions.saturating_add(1);
        let allowed = EXTENSIONS_FREE.saturating_add(self.content);
        if self.extensions > EXTENSIONS_MAX || u64::from(self.extensions) > allowed {
            return Err(Malformed::ExtensionsTooLong);
        }
        Ok(())
    }

    fn line_end(&mut self) -> At {
        self.digits = 0;
        if self.left == 0 {
            At::Trailer(Field::start())
        } else {
            At::Content
        }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

/// What ends a chunk's content, and the trailer section.
pub const CRLF: &[u8] = b"\r\n";
/// The last chunk's line. Trailers follow, and [`CRLF`].
pub const LAST_CHUNK: &[u8] = b"0\r\n";

/// The line of a chunk that holds so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLine {
    bytes: [u8; ChunkLine::MAX],
    first: usize,
}

impl ChunkLine {
    /// Bytes of the longest line: 16 digits and CRLF.
    pub const MAX: usize = 18;

    /// `size` must not be zero: that would be the last chunk.
    pub fn new(size: u64) -> Self {
        let mut bytes = *b"0000000000000000\r\n";
        let mut first = DIGITS_MAX as usize;
        let mut left = size;
        while left > 0 {
            first = first.saturating_sub(1);
            if let Some(digit) = bytes.get_mut(first) {
                let value = (left & 15) as u8;
                *digit = match value {
                    0..=9 => b'0'.wrapping_add(value),
                    _ => b'a'.wrapping_add(value.wrapping_sub(10)),
                };
            }
            left >>= 4;
        }
        Self { bytes, first }
    }

    /// The line, CRLF included.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.first..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::String;
    use std::vec::Vec;

    /// Content, kept trailers, and how many bytes were used; fed in pieces of `step`.
    fn decode(
        input: &[u8],
        step: usize,
        allow: &[u8],
    ) -> Result<(Vec<u8>, String, usize), Malformed> {
        let mut body = Chunked::new();
        let (mut kept, mut len) = ([0u8; TRAILERS_MAX as usize], 0);
        let mut content = Vec::new();
        let mut used = 0;
        for piece in input.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() && !body.is_done() {
                let n = match body.content() {
                    0 => {
                        let mut trailers = Trailers::new(allow, &mut kept, &mut len);
                        body.look(rest, &mut trailers)?
                    }
                    n => {
                        let n = rest.len().min(n as usize);
                        content.extend_from_slice(&rest[..n]);
                        body.take(n as u64);
                        n
                    }
                };
                used += n;
                rest = &rest[n..];
            }
        }
        Ok((
            content,
            String::from_utf8_lossy(&kept[..len]).into_owned(),
            used,
        ))
    }

    #[test]
    fn content_and_end_at_any_split() {
        let input = b"5\r\nhello\r\n1;a=\"b\" ; c\r\n \r\n00A\t ;x\r\n0123456789\r\n0\r\nX-A: 1\r\nB: 2\r\n\r\nGET";
        for step in 1..input.len() {
            let (content, kept, used) = decode(input, step, b"x-a").unwrap();
            assert_eq!(content, b"hello 0123456789");
            assert_eq!(kept, "X-A: 1\r\n");
            assert_eq!(used, input.len() - 3);
        }
    }

    #[test]
    fn what_is_malformed() {
        for (input, why) in [
            (&b"\r\n"[..], Malformed::Size),
            (b"g\r\n", Malformed::Size),
            (b"+1\r\n", Malformed::Size),
            (b"-1\r\n", Malformed::Size),
            (b" 1\r\n", Malformed::Size),
            (b"0x1\r\n", Malformed::Size),
            (b"1 \r\n", Malformed::Size),
            (b"1\n", Malformed::Size),
            (b"1\x0b\r\n", Malformed::Size),
            (b"1\r1", Malformed::Extension),
            (b"1;a\n", Malformed::Extension),
            (b"1;a\rb", Malformed::Extension),
            (b"1;a\0", Malformed::Extension),
            (b"00000000000000001\r\n", Malformed::SizeTooLong),
            (b"1\r\nab", Malformed::ContentEnd),
            (b"1\r\na\n", Malformed::ContentEnd),
            (b"1\r\na\r\r", Malformed::ContentEnd),
            (b"0\r\n\n", Malformed::TrailerName),
            (b"0\r\n\rX", Malformed::TrailerName),
            (b"0\r\nA b: c\r\n", Malformed::TrailerName),
            (b"0\r\nA : c\r\n", Malformed::TrailerName),
            (b"0\r\nA\r\n", Malformed::TrailerName),
            (b"0\r\n: c\r\n", Malformed::TrailerName),
            (b"0\r\n A: c\r\n", Malformed::TrailerName),
            (b"0\r\nA: c\n", Malformed::TrailerValue),
            (b"0\r\nA: c\rB", Malformed::TrailerValue),
            (b"0\r\nA: \x01", Malformed::TrailerValue),
        ] {
            let name = input.escape_ascii();
            assert_eq!(decode(input, 1, b"a"), Err(why), "{name}");
            assert_eq!(decode(input, input.len(), b"a"), Err(why), "{name}");
        }
    }

    #[test]
    fn the_largest_size_fits() {
        let mut body = Chunked::new();
        let mut len = 0;
        let line = b"fffffffffffffffF\r\n";
        let used = body.look(line, &mut Trailers::new(&[], &mut [], &mut len));
        assert_eq!((used, body.content()), (Ok(line.len()), u64::MAX));
    }

    #[test]
    fn limits_hold_at_one_below_at_and_one_above() {
        let line = |n: usize| [b"1", &b";"[..], &std::vec![b'x'; n - 2][..], b"\r\n"].concat();
        let most = LINE_MAX as usize;
        for (n, fits) in [(most - 1, true), (most, true), (most + 1, false)] {
            let verdict = decode(&line(n), 7, b"").err();
            assert_eq!(verdict, (!fits).then_some(Malformed::LineTooLong), "{n}");
        }
        let trailers = |n: usize| [&b"0\r\nA:"[..], &std::vec![b'x'; n - 6], b"\r\n\r\n"].concat();
        let most = TRAILERS_MAX as usize;
        for (n, fits) in [(most - 1, true), (most, true), (most + 1, false)] {
            let verdict = decode(&trailers(n), 7, b"a").err();
            assert_eq!(
                verdict,
                (!fits).then_some(Malformed::TrailersTooLong),
                "{n}"
            );
        }
    }

    #[test]
    fn extensions_are_bounded_by_what_they_carry() {
        // Chunks of one byte, each with 100 bytes of extension: 100 to 1.
        let chunk = [b"1;", &[b'x'; 99][..], b"\r\na\r\n"].concat();
        let many = chunk.repeat(1000);
        assert_eq!(
            decode(&many, 4096, b"").err(),
            Some(Malformed::ExtensionsTooLong)
        );
        // As many extensions beside enough content are fine.
        let chunk = [b"64;", &[b'x'; 99][..], b"\r\n", &[b'a'; 100], b"\r\n"].concat();
        assert!(decode(&chunk.repeat(1000), 4096, b"").is_ok());
        // Up to the total, whatever the content.
        let chunk = [&b"1000;"[..], &[b'x'; 999], b"\r\n", &[b'a'; 4096], b"\r\n"].concat();
        let verdict = |n| decode(&chunk.repeat(n), 1 << 20, b"").err();
        assert_eq!(verdict(1 << 10), None);
        assert_eq!(verdict(1 << 11), Some(Malformed::ExtensionsTooLong));
    }

    #[test]
    fn a_chunk_line_is_what_the_decoder_reads() {
        for size in [
            1,
            9,
            10,
            15,
            16,
            255,
            256,
            65_536,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let line = ChunkLine::new(size);
            let text = std::format!("{size:x}\r\n");
            assert_eq!(line.as_bytes(), text.as_bytes());
            let mut body = Chunked::new();
            let mut len = 0;
            let trailers = &mut Trailers::new(&[], &mut [], &mut len);
            assert_eq!(body.look(line.as_bytes(), trailers), Ok(text.len()));
            assert_eq!(body.content(), size);
        }
    }
}
