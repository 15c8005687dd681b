// SPDX-License-Identifier: GPL-2.0
//! Finds the end of a head, and nothing else about it.
//!
//! The end is the first empty line after the start line (RFC 9112 section 2.1). Empty
//! lines before the start line belong to the head (section 2.2 lets a server skip them).
//! A bare LF also ends a line here: such a head must reach the router at once, which
//! refuses it; waiting for a CRLF that never comes would be a hang. The same holds for what
//! begins with a control character: TLS, spoken to a port where it is not.
//!
//! If a PROXY protocol header is announced, it belongs to the first head. Bytes that
//! cannot be one end the head at once, for the router to refuse.

#![forbid(unsafe_code)]

use super::prelude::Prelude;
use super::text::to_last_line_feed;

/// What a client gets that began its first head and did not send all of it in time.
pub const HEAD_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    Content-Length: 0\r\n\
    Connection: close\r\n\
    Proxy-Status: underpass; error=http_request_error; details=\"head-late\"\r\n\r\n";

/// Verdict on the bytes seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// No end yet, and the limit is not reached.
    NeedMore,
    /// The head is `len` bytes long, its empty line included.
    Done {
        /// Bytes from the start of the message.
        len: u32,
    },
    /// `len` bytes, the limit, hold no end.
    OverLimit {
        /// The limit in bytes.
        len: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In front of everything, in a PROXY protocol header.
    Prelude(Prelude),
    /// Before the start line, where CR and LF are skipped.
    Lead,
    /// Within a line that has text.
    Text,
    /// After an LF.
    LineStart,
    /// After an LF and a CR.
    LineStartCr,
}

/// A scan for the end of one head. Feed it consecutive bytes; the verdict latches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadScan {
    limit: u32,
    seen: u32,
    at: At,
    verdict: Scan,
}

impl HeadScan {
    /// A scan that gives up after `limit` bytes.
    pub const fn new(limit: u32) -> Self {
        Self {
            limit,
            seen: 0,
            at: At::Lead,
            verdict: Scan::NeedMore,
        }
    }

    /// The same, with a PROXY protocol header in front.
    pub const fn with_prelude(limit: u32) -> Self {
        Self {
            limit,
            seen: 0,
            at: At::Prelude(Prelude::Start),
            verdict: Scan::NeedMore,
        }
    }

    /// Bytes of this message that were looked at; the next `feed` starts there.
    pub const fn seen(&self) -> u32 {
        self.seen
    }

    /// The verdict so far.
    pub const fn verdict(&self) -> Scan {
        self.verdict
    }

    /// True if something other than empty lines was seen.
    pub fn has_text(&self) -> bool {
        self.at != At::Lead && self.at != At::Prelude(Prelude::Start)
    }

    /// Looks at the next bytes. Those after the end are not counted as seen.
    pub fn feed(&mut self, bytes: &[u8]) -> Scan {
        let room = self.limit.saturating_sub(self.seen) as usize;
        let within = bytes.get(..room).unwrap_or(bytes);
        let mut rest = within;
        while self.verdict == Scan::NeedMore && !rest.is_empty() {
            // Only the end of a line is of interest, and of that only one that may be the last.
            let skip = match (self.at, rest) {
                (At::Lead, [..=0x1f, ..]) => 0,
                (At::Lead | At::Text, _) => {
                    self.at = At::Text;
                    to_last_line_feed(rest)
                }
                _ => 0,
            };
            rest = rest.get(skip..).unwrap_or(&[]);
            self.seen = self.seen.saturating_add(skip as u32);
            if let (At::Text, [b'\n', b'\r', b'\n', ..]) = (self.at, rest) {
                self.seen = self.seen.saturating_add(3);
                self.at = At::LineStart;
                self.verdict = Scan::Done { len: self.seen };
            } else if let Some((&byte, more)) = rest.split_first() {
                self.seen = self.seen.saturating_add(1);
                self.step(byte);
                rest = more;
            }
        }
        if self.verdict == Scan::NeedMore && self.seen >= self.limit {
            self.verdict = Scan::OverLimit { len: self.limit };
        }
        self.verdict
    }

    fn step(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (At::Prelude(prelude), _) => match prelude.step(byte) {
                Prelude::Done => At::Lead,
                Prelude::Not => {
                    self.verdict = Scan::Done { len: self.seen };
                    At::Text
                }
                more => At::Prelude(more),
            },
            (At::Lead, b'\r' | b'\n') => At::Lead,
            (At::Lead, ..=0x1f) => {
                self.verdict = Scan::Done { len: self.seen };
                At::Text
            }
            (At::LineStart | At::LineStartCr, b'\n') => {
                self.verdict = Scan::Done { len: self.seen };
                At::LineStart
            }
            (At::LineStart, b'\r') => At::LineStartCr,
            (At::Text, b'\n') => At::LineStart,
            _ => At::Text,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(input: &[u8], limit: u32) -> Scan {
        HeadScan::new(limit).feed(input)
    }

    #[test]
    fn ends_at_the_empty_line() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let len = head.len() as u32;
        assert_eq!(whole(head, 100), Scan::Done { len });
        let mut more = head.to_vec();
        more.extend_from_slice(b"body\r\n\r\n");
        assert_eq!(whole(&more, 100), Scan::Done { len });
    }

    #[test]
    fn leading_empty_lines_belong_to_the_head() {
        assert_eq!(
            whole(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", 100),
            Scan::Done { len: 22 }
        );
        let mut lead = HeadScan::new(100);
        assert_eq!(lead.feed(b"\r\n\r\n\r\n"), Scan::NeedMore);
        assert!(!lead.has_text());
    }

    #[test]
    fn bare_lf_ends_lines_so_that_nobody_waits_for_ever() {
        assert_eq!(whole(b"GET /\n\n", 100), Scan::Done { len: 7 });
        assert_eq!(whole(b"GET /\n\r\n", 100), Scan::Done { len: 8 });
        assert_eq!(whole(b"GET /\r\n\n", 100), Scan::Done { len: 8 });
        assert_eq!(whole(b"GET /\r\n\rX\r\n", 100), Scan::NeedMore);
    }

    #[test]
    fn what_begins_no_start_line_ends_at_once() {
        assert_eq!(whole(b"\x16\x03\x01\x02\0", 100), Scan::Done { len: 1 });
        assert_eq!(whole(b"\r\n\0", 100), Scan::Done { len: 3 });
        assert_eq!(whole(b" GET", 100), Scan::NeedMore);
        assert_eq!(whole(b"G\x16", 100), Scan::NeedMore);
    }

    #[test]
    fn a_prelude_belongs_to_the_head() {
        let whole = |input: &[u8], limit| HeadScan::with_prelude(limit).feed(input);
        let input = b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\nmore";
        let len = input.len() as u32 - 4;
        assert_eq!(whole(input, 100), Scan::Done { len });
        let input = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x04\n\n\n\nGET /\r\n\r\n";
        let len = input.len() as u32;
        assert_eq!(whole(input, 100), Scan::Done { len });
        assert_eq!(whole(input, len - 1), Scan::OverLimit { len: len - 1 });
        assert_eq!(whole(b"GET / HTTP/1.1\r\n\r\n", 100), Scan::Done { len: 1 });
        let mut scan = HeadScan::with_prelude(100);
        assert!(!scan.has_text());
        assert_eq!(scan.feed(b"P"), Scan::NeedMore);
        assert!(scan.has_text());
    }

    #[test]
    fn the_limit_holds_at_one_below_at_and_one_above() {
        let head = b"GET / HTTP/1.1\r\n\r\n";
        let len = head.len() as u32;
        assert_eq!(whole(head, len - 1), Scan::OverLimit { len: len - 1 });
        assert_eq!(whole(head, len), Scan::Done { len });
        assert_eq!(whole(head, len + 1), Scan::Done { len });
    }
}
