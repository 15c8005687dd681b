// SPDX-License-Identifier: GPL-2.0
//! The chunked transfer coding (RFC 9112 section 7.1) by recursive descent, a function for
//! each rule of the grammar:
//!
//! ```text
//! chunked-body   = *chunk last-chunk trailer-section CRLF
//! chunk          = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-ext      = *( BWS ";" any text )
//! trailer-section = *( field-line CRLF )
//! ```
//! The limits are this project's: 16 digits, 4096 bytes a line, 1 MiB of extensions but no
//! more than 16 KiB plus the content, 4096 bytes of trailers, the empty line included.

use underpass_framing::Malformed;

/// What bytes hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The content.
    pub content: Vec<u8>,
    /// Bytes that belong to the body: to its end, to the end of the input, or to the byte
    /// that is wrong.
    pub used: usize,
    /// The trailer fields that may be kept, as lines; none before the end.
    pub kept: Vec<u8>,
    /// How it ends.
    pub end: End,
}

/// How the input ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The body is whole.
    Whole,
    /// It goes on, with so many bytes of content, or something else where that is zero.
    More(u64),
    /// The byte behind those used is wrong.
    Bad(Malformed),
}

/// Reads a body. Of trailers, those named in `allow` (lower case) are kept, in `room` bytes.
pub fn read(bytes: &[u8], allow: &[&str], room: usize) -> Seen {
    let mut reader = Reader {
        bytes,
        at: 0,
        content: Vec::new(),
        extensions: 0,
    };
    let mut kept = Vec::new();
    let end = match reader.body(&mut |name, line| {
        let name = name.to_ascii_lowercase();
        if allow.contains(&&*name) && kept.len() + line.len() <= room {
            kept.extend_from_slice(line);
        }
    }) {
        Ok(()) => End::Whole,
        Err(end) => end,
    };
    if end != End::Whole {
        kept.clear();
    }
    Seen {
        content: reader.content,
        used: reader.at,
        kept,
        end,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    content: Vec<u8>,
    extensions: usize,
}

type Step<T> = Result<T, End>;

impl Reader<'_> {
    fn peek(&self) -> Step<u8> {
        self.bytes.get(self.at).copied().ok_or(End::More(0))
    }

    fn expect(&mut self, text: &[u8], why: Malformed) -> Step<()> {
        for &byte in text {
            if self.peek()? != byte {
                return Err(End::Bad(why));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn body(&mut self, keep: &mut dyn FnMut(&str, &[u8])) -> Step<()> {
        loop {
            let start = self.at;
            let size = self.size()?;
            self.extension(start)?;
            self.expect(b"\r\n", Malformed::Extension)?;
            if size == 0 {
                return self.trailers(keep);
            }
            self.data(size)?;
            self.expect(b"\r\n", Malformed::ContentEnd)?;
        }
    }

    fn size(&mut self) -> Step<u64> {
        let mut digits = String::new();
        while self.peek()?.is_ascii_hexdigit() {
            if digits.len() == 16 {
                return Err(End::Bad(Malformed::SizeTooLong));
            }
            digits.push(self.peek()?.into());
            self.at += 1;
        }
        u64::from_str_radix(&digits, 16).map_err(|_| End::Bad(Malformed::Size))
    }

    /// All that may stand between size and CRLF; `start` is where the line begins.
    fn extension(&mut self, start: usize) -> Step<()> {
        let first = self.at;
        while b" \t".contains(&self.peek()?) {
            self.extension_byte(start)?;
        }
        match self.peek()? {
            b';' => {}
            b'\r' if self.at == first => return Ok(()),
            _ if self.at == first => return Err(End::Bad(Malformed::Size)),
            // What stands there counts, before it is looked at.
            _ => {
                self.extension_byte(start)?;
                self.at -= 1;
                return Err(End::Bad(Malformed::Size));
            }
        }
        while self.peek()? != b'\r' {
            if self.peek()? != b'\t' && self.peek()?.is_ascii_control() {
                return Err(End::Bad(Malformed::Extension));
            }
            self.extension_byte(start)?;
        }
        Ok(())
    }

    fn extension_byte(&mut self, start: usize) -> Step<()> {
        self.extensions += 1;
        if self.at + 1 - start > 4096 {
            return Err(End::Bad(Malformed::LineTooLong));
        }
        if self.extensions > (1 << 20).min((16 << 10) + self.content.len()) {
            return Err(End::Bad(Malformed::ExtensionsTooLong));
        }
        self.at += 1;
        Ok(())
    }

    fn data(&mut self, size: u64) -> Step<()> {
        let have = self.bytes.get(self.at..).unwrap_or_default();
        let take = have.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        self.content.extend_from_slice(&have[..take]);
        self.at += take;
        match size - take as u64 {
            0 => Ok(()),
            left => Err(End::More(left)),
        }
    }

    fn trailers(&mut self, keep: &mut dyn FnMut(&str, &[u8])) -> Step<()> {
        let start = self.at;
        // A limit is passed by the first byte behind it, whatever that byte is.
        let limited = &self.bytes[..self.bytes.len().min(start + 4096)];
        let full = self.bytes.len() > limited.len();
        let mut inner = Reader {
            bytes: limited,
            at: start,
            content: Vec::new(),
            extensions: 0,
        };
        let mut end = inner.field_lines(keep);
        self.at = inner.at;
        if full && end == Err(End::More(0)) {
            end = Err(End::Bad(Malformed::TrailersTooLong));
        }
        end
    }

    fn field_lines(&mut self, keep: &mut dyn FnMut(&str, &[u8])) -> Step<()> {
        while self.peek()? != b'\r' {
            let start = self.at;
            while is_tchar(self.peek()?) {
                self.at += 1;
            }
            let name = String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned();
            if name.is_empty() {
                return Err(End::Bad(Malformed::TrailerName));
            }
            self.expect(b":", Malformed::TrailerName)?;
            while self.peek()? == b'\t' || !self.peek()?.is_ascii_control() {
                self.at += 1;
            }
            self.expect(b"\r\n", Malformed::TrailerValue)?;
            keep(&name, &self.bytes[start..self.at]);
        }
        self.expect(b"\r\n", Malformed::TrailerName)
    }
}

/// RFC 9110 section 5.6.2.
fn is_tchar(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}
