// SPDX-License-Identifier: GPL-2.0
//! Finds the end of a PROXY protocol header in front of the first head, and nothing else
//! about it (version 1 and 2 of the specification by HAProxy's authors).
//!
//! Version 2 is binary, so the scan for an empty line must not look into it. The router
//! reads the addresses, and checks them.
//! Invariant: bytes that cannot begin such a header end the scan at once, so that nothing
//! waits for bytes that never come.

#![forbid(unsafe_code)]

/// Begins version 1.
const V1: &[u8] = b"PROXY ";
/// Bytes of the longest version 1 header, CRLF included (section 2.1).
const V1_MAX: u32 = 107;
/// Begins version 2 (section 2.2).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a version 2 header before its addresses: signature, command, family, length.
const V2_FIXED: u32 = 16;

/// Verdict on the bytes seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prelude {
    /// No byte was seen.
    Start,
    /// It goes on.
    More(At),
    /// It ended with the last byte.
    Done,
    /// This is none.
    Not,
}

/// Where in a header the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// So many bytes of version 1; the last was CR or not.
    V1(u32, bool),
    /// So many bytes of version 2's fixed part, of which the last two are the length.
    V2(u32, u16),
    /// So many bytes of version 2 are left.
    V2Rest(u16),
}

impl Prelude {
    /// After one more byte.
    pub fn step(self, byte: u8) -> Self {
        let at = match self {
            Self::Start if V1.first() == Some(&byte) => return Self::More(At::V1(1, false)),
            Self::Start if V2.first() == Some(&byte) => return Self::More(At::V2(1, 0)),
            Self::Start => return Self::Not,
            Self::Done | Self::Not => return self,
            Self::More(at) => at,
        };
        match at {
            At::V1(n, cr) => v1(n, cr, byte),
            At::V2(n, length) => v2(n, length, byte),
            At::V2Rest(0 | 1) => Self::Done,
            At::V2Rest(left) => Self::More(At::V2Rest(left.saturating_sub(1))),
        }
    }
}

fn v1(n: u32, cr: bool, byte: u8) -> Prelude {
    match V1.get(n as usize) {
        Some(&expected) if expected != byte => return Prelude::Not,
        Some(_) => {}
        None if cr && byte == b'\n' => return Prelude::Done,
        None if cr || !matches!(byte, b' '..=b'~' | b'\r') => return Prelude::Not,
        None => {}
    }
    let n = n.saturating_add(1);
    if n >= V1_MAX {
        return Prelude::Not;
    }
    Prelude::More(At::V1(n, byte == b'\r'))
}

fn v2(n: u32, length: u16, byte: u8) -> Prelude {
    if V2.get(n as usize).is_some_and(|&expected| expected != byte) {
        return Prelude::Not;
    }
    let n = n.saturating_add(1);
    // Big endian; the bytes before the last two are shifted out again.
    let length = (length << 8) | u16::from(byte);
    match (n < V2_FIXED, length) {
        (true, _) => Prelude::More(At::V2(n, length)),
        (false, 0) => Prelude::Done,
        (false, left) => Prelude::More(At::V2Rest(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    /// The verdict, and after how many bytes it came.
    fn run(input: &[u8]) -> (Prelude, usize) {
        let mut prelude = Prelude::Start;
        for (n, &byte) in input.iter().enumerate() {
            prelude = prelude.step(byte);
            if matches!(prelude, Prelude::Done | Prelude::Not) {
                return (prelude, n + 1);
            }
        }
        (prelude, input.len())
    }

    #[test]
    fn version_1_ends_at_its_crlf() {
        let line = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n";
        let more = [&line[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(run(&more), (Prelude::Done, line.len()));
        assert!(matches!(run(&line[..line.len() - 1]).0, Prelude::More(_)));
    }

    #[test]
    fn version_2_ends_where_its_length_says() {
        for length in [0usize, 1, 12, 36, 216, 65_535] {
            let mut header = V2.to_vec();
            header.extend_from_slice(&[0x21, 0x11]);
            header.extend_from_slice(&(length as u16).to_be_bytes());
            // Empty lines inside do not end it.
            header.extend(b"\r\n\r\n".iter().cycle().take(length));
            let end = header.len();
            header.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(run(&header), (Prelude::Done, end));
        }
    }

    #[test]
    fn what_is_none_is_seen_at_once() {
        for (input, at) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], 1),
            (b"PUT / HTTP/1.1\r\n\r\n", 2),
            (b"\r\n\r\nGET", 5),
            (b"PROXY TCP4\nX", 11),
            (b"PROXY A\rB", 9),
            (b"PROXY A\0", 8),
        ] {
            assert_eq!(run(input), (Prelude::Not, at), "{}", input.escape_ascii());
        }
        let long = [&b"PROXY "[..], &[b'x'; 200]].concat();
        assert_eq!(run(&long), (Prelude::Not, V1_MAX as usize));
    }
}
