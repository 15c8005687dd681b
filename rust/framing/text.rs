// SPDX-License-Identifier: GPL-2.0
//! Classes of bytes in heads, for code that checks every byte.
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
    let behind = bytes.get(1..).unwrap_or(&[]);
    let mut at = 0usize;
    for (these, next) in bytes.chunks_exact(8).zip(behind.chunks_exact(8)) {
        // Of a byte zero is left if it is LF, and the one behind it is CR, LF, or a control character near them.
        let feeds = word(these) ^ u64::from_le_bytes([b'\n'; 8]);
        let ends = (word(next) & u64::from_le_bytes([0xf8; 8])) ^ u64::from_le_bytes([0x08; 8]);
        let found = first_zero(feeds | ends);
        if found != 0 {
            at = at.saturating_add(found.trailing_zeros() as usize / 8);
            break;
        }
        at = at.saturating_add(8);
    }
    let rest = bytes.get(at..).unwrap_or(&[]);
    let last = |(at, &byte): (usize, &u8)| {
        let next = rest.get(at.saturating_add(1));
        byte == b'\n' && next.is_none_or(|next| matches!(next, b'\r' | b'\n'))
    };
    let found = rest.iter().enumerate().position(last);
    at.saturating_add(found.unwrap_or(rest.len()))
}

/// Eight bytes, the first being the lowest.
fn word(eight: &[u8]) -> u64 {
    eight.try_into().map_or(0, u64::from_le_bytes)
}

/// Has top bits, of which the lowest is that of the first byte that is zero.
fn first_zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// Where `flags` first raises the top bit of one of eight bytes, the first being the lowest; the end of
/// the last eight if nowhere.
fn by_eights(bytes: &[u8], flags: impl Fn(u64) -> u64) -> usize {
    let mut at = 0usize;
    for eight in bytes.chunks_exact(8) {
        let found = flags(word(eight)) & TOPS;
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
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
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

    proptest! {
        #[test]
        fn the_last_line_feed_is_found_wherever_it_stands(
            text in vec(select(b"abc\n\n\r\t\x08\x0b\x8a\xff".as_slice()), 0..40),
        ) {
            let last = |&at: &usize| {
                let next = text.get(at + 1);
                text[at] == b'\n' && next.is_none_or(|next| b"\r\n".contains(next))
            };
            let expected = (0..text.len()).find(last).unwrap_or(text.len());
            prop_assert_eq!(to_last_line_feed(&text), expected);
        }
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
}
