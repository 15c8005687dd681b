// SPDX-License-Identifier: GPL-2.0
//! The trailer section of a chunked body (RFC 9112 section 7.1.2): checked, and dropped except
//! for the fields that are allowed.
//!
//! Invariants: a field that frames, routes or authenticates is never kept, whatever is
//! allowed (RFC 9110 section 6.5.1); memory is the caller's and bounded; an incomplete
//! field is not kept.

#![forbid(unsafe_code)]

use super::chunked::Malformed;
use super::text::is_token;

/// Names that are never passed on as trailers, in lower case.
const NEVER: [&[u8]; 17] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-authorization",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// True if a field of this name, in lower case, may be passed on where it is allowed.
pub fn may_be_trailer(name: &[u8]) -> bool {
    !NEVER.contains(&name)
}

/// What is allowed, and where it is kept.
#[derive(Debug)]
pub struct Trailers<'a> {
    allow: &'a [u8],
    kept: &'a mut [u8],
    len: &'a mut usize,
}

impl<'a> Trailers<'a> {
    /// Keeps fields whose names stand in `allow` (lower case, separated by commas) as whole
    /// lines in the first `len` bytes of `kept`. Those that find no room are dropped.
    pub fn new(allow: &'a [u8], kept: &'a mut [u8], len: &'a mut usize) -> Self {
        Self { allow, kept, len }
    }

    fn push(&mut self, byte: u8) -> bool {
        let Some(place) = self.kept.get_mut(*self.len) else {
            return false;
        };
        *place = byte;
        *self.len = self.len.saturating_add(1);
        true
    }

    /// Whether the name that was pushed last, `bytes` long, is allowed.
    fn allows(&self, bytes: usize) -> bool {
        let start = self.len.saturating_sub(bytes);
        let Some(name) = self.kept.get(start..*self.len) else {
            return false;
        };
        let wanted = |other: &&[u8]| other.eq_ignore_ascii_case(name);
        !NEVER.iter().any(wanted) && self.allow.split(|&b| b == b',').any(|n| wanted(&n))
    }

    fn pop(&mut self, bytes: usize) {
        *self.len = self.len.saturating_sub(bytes);
    }
}

/// Where in a trailer line the next byte is. `kept` counts bytes of this line that were
/// pushed; a line that is dropped has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Within the name.
    Name { length: u32, kept: u32 },
    /// Within the value.
    Value { kept: u32 },
    /// Behind the CR of a line.
    Cr { kept: u32 },
    /// Behind the CR of the empty line.
    LastCr,
    /// Behind the empty line.
    Over,
}

impl Field {
    pub(super) const fn start() -> Self {
        Self::Name { length: 0, kept: 0 }
    }

    pub(super) fn step(self, byte: u8, trailers: &mut Trailers<'_>) -> Result<Self, Malformed> {
        // A line that loses its room loses what it has.
        let keep = |kept: u32, trailers: &mut Trailers<'_>| {
            if kept == 0 {
                0
            } else if trailers.push(byte) {
                kept.saturating_add(1)
            } else {
                trailers.pop(kept as usize);
                0
            }
        };
        Ok(match self {
            Self::Name { length: 0, .. } if byte == b'\r' => Self::LastCr,
            Self::Name { length, kept } if byte == b':' && length > 0 => {
                if kept == length && trailers.allows(length as usize) {
                    Self::Value {
                        kept: keep(kept, trailers),
                    }
                } else {
                    trailers.pop(kept as usize);
                    Self::Value { kept: 0 }
                }
            }
            Self::Name { length, kept } if is_token(byte) => {
                let kept = if kept == length && trailers.push(byte) {
                    kept.saturating_add(1)
                } else {
                    trailers.pop(kept as usize);
                    0
                };
                Self::Name {
                    length: length.saturating_add(1),
                    kept,
                }
            }
            Self::Name { .. } => return Err(Malformed::TrailerName),
            Self::Value { kept } => {
                let kept = keep(kept, trailers);
                match byte {
                    b'\r' => Self::Cr { kept },
                    b'\t' | b' '..=b'~' | 0x80.. => Self::Value { kept },
                    _ => return Err(Malformed::TrailerValue),
                }
            }
            Self::Cr { kept } if byte == b'\n' => {
                keep(kept, trailers);
                Self::start()
            }
            Self::Cr { .. } => return Err(Malformed::TrailerValue),
            Self::LastCr if byte == b'\n' => Self::Over,
            Self::LastCr => return Err(Malformed::TrailerName),
            Self::Over => Self::Over,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunked::Chunked;
    use super::*;
    extern crate std;
    use std::string::String;

    fn kept(section: &str, allow: &str, room: usize) -> String {
        let mut body = Chunked::new();
        let mut memory = std::vec![0u8; room];
        let mut len = 0;
        let input = std::format!("0\r\n{section}\r\n");
        let trailers = &mut Trailers::new(allow.as_bytes(), &mut memory, &mut len);
        assert_eq!(body.look(input.as_bytes(), trailers), Ok(input.len()));
        assert!(body.is_done());
        String::from_utf8(memory.get(..len).unwrap_or_default().to_vec()).unwrap_or_default()
    }

    #[test]
    fn only_what_is_allowed_is_kept() {
        let section = "A: 1\r\nBB: 2\r\na: 3\r\nB:4\r\n";
        assert_eq!(kept(section, "", 100), "");
        assert_eq!(kept(section, "a", 100), "A: 1\r\na: 3\r\n");
        assert_eq!(kept(section, "bb,b", 100), "BB: 2\r\nB:4\r\n");
        assert_eq!(kept(section, "x,a", 0), "");
    }

    #[test]
    fn what_frames_or_authenticates_is_never_kept() {
        let section = "Content-Length: 1\r\ntransfer-encoding: chunked\r\nHost: a\r\n\
                       Authorization: b\r\nGrpc-Status: 0\r\n";
        let allow = "content-length,transfer-encoding,host,authorization,grpc-status";
        assert_eq!(kept(section, allow, 500), "Grpc-Status: 0\r\n");
    }

    #[test]
    fn a_field_without_room_is_dropped_whole() {
        let section = "A: 1\r\nA: 22\r\nA: 3\r\n";
        for room in 0..30 {
            let kept = kept(section, "a", room);
            assert!(
                kept.is_empty() || kept.ends_with("\r\n"),
                "{room}: {kept:?}"
            );
            assert!(kept.len() <= room);
        }
        assert_eq!(kept(section, "a", 12), "A: 1\r\nA: 3\r\n");
    }
}
