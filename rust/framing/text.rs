// SPDX-License-Identifier: GPL-2.0
//! What the bytes of heads are, for those who ask it of every byte.
//!
//! Invariants: `core` only, no allocation, no panic. It must not know what a head is.

#![forbid(unsafe_code)]

/// Whether a byte is one of a token (RFC 9110 section 5.6.2).
static TOKEN: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

const ONES: u64 = u64::from_le_bytes([1; 8]);
const TOPS: u64 = u64::from_le_bytes([0x80; 8]);

/// Whether this is a byte of a token.
pub fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).is_some_and(|&token| token)
}

/// Whether a token is `name`, which is letters in lower case and `-`, in whatever case.
pub fn is_name(token: &[u8], name: &[u8]) -> bool {
    // No other byte of a token becomes one of these by that bit, which makes letters lower case.
    let differs = |(&a, &b): (&u8, &u8)| (a | 0x20) ^ b;
    let pairs = token.iter().zip(name);
    token.len() == name.len() && pairs.fold(0, |all, pair| all | differs(pair)) == 0
}

/// How many bytes in front are surely printable ASCII; of the last few, less than eight, it says
/// nothing.
pub fn plain_text(bytes: &[u8]) -> usize {
    by_eights(bytes, |word| {
        // The top bit of a byte: it is below space; it is DEL, or above. Nothing is carried to
        // the next byte before the first one is found.
        let below = word.wrapping_sub(ONES.wrapping_mul(b' '.into()));
        let above = word.wrapping_add(ONES) | word;
        below | above
    })
}

/// How many bytes come before the first LF that is not followed by text, as far as is known.
pub(super) fn to_last_line_feed(bytes: &[u8]) -> usize {
    let mut at = 0usize;
    loop {
        let rest = bytes.get(at..).unwrap_or(&[]);
        at = at.saturating_add(to_line_feed(rest));
        match bytes.get(at.saturating_add(1)) {
            None | Some(b'\r' | b'\n') => return at,
            Some(_) => at = at.saturating_add(2),
        }
    }
}

/// How many bytes come before the first LF.
fn to_line_feed(bytes: &[u8]) -> usize {
    let at = by_eights(bytes, |word| {
        let other = word ^ u64::from_le_bytes([b'\n'; 8]);
        // The lowest top bit is that of the first byte of `other` that is zero.
        other.wrapping_sub(ONES) & !other
    });
    let rest = bytes.get(at..).unwrap_or(&[]);
    let found = rest.iter().position(|&byte| byte == b'\n');
    at.saturating_add(found.unwrap_or(rest.len()))
}

/// Where `flags` first raises the top bit of one of eight bytes, the first being the lowest; the end of
/// the last eight if nowhere.
fn by_eights(bytes: &[u8], flags: impl Fn(u64) -> u64) -> usize {
    let mut at = 0usize;
    for eight in bytes.chunks_exact(8) {
        let word = eight.try_into().map_or(0, u64::from_le_bytes);
        let found = flags(word) & TOPS;
        if found != 0 {
            return at.saturating_add(found.trailing_zeros() as usize / 8);
        }
        at = at.saturating_add(8);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    #[test]
    fn tokens_are_those_of_the_grammar() {
        for byte in 0..=255u8 {
            let other = b"!#$%&'*+-.^_`|~".contains(&byte);
            let expected = other || byte.is_ascii_alphanumeric();
            assert_eq!(is_token(byte), expected, "{byte}");
        }
    }

    #[test]
    fn plain_text_ends_where_it_should() {
        for length in 0..40usize {
            for at in 0..length {
                for byte in 0..=255u8 {
                    let mut text = std::vec![b'~'; length];
                    text[at] = byte;
                    let plain = matches!(byte, b' '..=b'~');
                    let looked_at = length - length % 8;
                    let expected = if plain { looked_at } else { looked_at.min(at) };
                    assert_eq!(plain_text(&text), expected, "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn names_are_told_whatever_their_case() {
        for name in ["te", "content-length"] {
            for at in 0..name.len() {
                for byte in (0..=255u8).filter(|&byte| is_token(byte)) {
                    let mut token = name.as_bytes().to_vec();
                    token[at] = byte;
                    let expected = token.eq_ignore_ascii_case(name.as_bytes());
                    assert_eq!(is_name(&token, name.as_bytes()), expected, "{byte} at {at}");
                }
            }
        }
        assert!(!is_name(b"te", b"tex") && !is_name(b"tex", b"te"));
    }

    #[test]
    fn lines_with_text_behind_them_are_passed_over() {
        for (bytes, expected) in [
            ("", 0),
            ("a", 1),
            ("\n", 0),
            ("a\n", 1),
            ("a\nb", 3),
            ("a\nb\n", 3),
            ("a\r\nb\r\n\r\n", 5),
            ("a\r\nb\n\nc\n", 4),
            ("0123456789\r\n0123456789\r\n\r\n0123456789\r\n", 23),
        ] {
            assert_eq!(to_last_line_feed(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn line_feeds_are_found_at_every_place() {
        for length in 0..40 {
            let mut line = [0x8a; 40];
            let line = &mut line[..length];
            assert_eq!(to_line_feed(line), length);
            for at in (0..length).rev() {
                line[at] = b'\n';
                assert_eq!(to_line_feed(line), at);
            }
        }
    }
}
