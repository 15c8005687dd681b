// SPDX-License-Identifier: GPL-2.0
//! Checks a head's bytes before anything is parsed: line ends and control characters.
//!
//! httparse is lenient about bare LF and folding; peers that are lenient in different
//! ways are how requests get smuggled. So the strict rules stand here, in one place.
//! It must not know about fields.

use super::problem::{self, Problem};

/// Drops the empty lines before the start line (RFC 9112 section 2.2) and checks the rest.
pub fn strict(head: &[u8]) -> Result<&[u8], Problem> {
    let mut rest = head;
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        rest = after;
    }
    let mut previous = 0u8;
    for (at, &byte) in rest.iter().enumerate() {
        let next = rest.get(at + 1).copied();
        match byte {
            b'\n' if previous != b'\r' => return Err(problem::BARE_LF),
            b'\n' if matches!(next, Some(b' ' | b'\t')) => return Err(problem::OBS_FOLD),
            b'\n' | b'\t' => {}
            b'\r' if next != Some(b'\n') => return Err(problem::BARE_CR),
            b'\r' => {}
            0..=0x1f | 0x7f => return Err(problem::CONTROL),
            _ => {}
        }
        previous = byte;
    }
    Ok(rest)
}

/// The elements of a comma-separated list, trimmed. Empty ones are yielded too.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_strict() {
        for (head, verdict) in [
            (&b"A\r\nB: c\r\n\r\n"[..], Ok(&b"A\r\nB: c\r\n\r\n"[..])),
            (b"\r\n\r\nA\r\n\r\n", Ok(b"A\r\n\r\n")),
            (b"A\nB: c\r\n\r\n", Err(problem::BARE_LF)),
            (b"\nA\r\n\r\n", Err(problem::BARE_LF)),
            (b"A\r\nB: c\rd\r\n\r\n", Err(problem::BARE_CR)),
            (b"A\r\nB: c\r\r\n\r\n", Err(problem::BARE_CR)),
            (b"A\r\nB: c\r\n d\r\n\r\n", Err(problem::OBS_FOLD)),
            (b"A\r\n\tB: c\r\n\r\n", Err(problem::OBS_FOLD)),
            (b"A\r\nB: \0\r\n\r\n", Err(problem::CONTROL)),
            (b"A\r\nB: \x0b\r\n\r\n", Err(problem::CONTROL)),
            (b"A\r\nB: \x7f\r\n\r\n", Err(problem::CONTROL)),
            (b"A\r\nB: a\tb\r\n\r\n", Ok(b"A\r\nB: a\tb\r\n\r\n")),
        ] {
            assert_eq!(
                strict(head),
                verdict,
                "{:?}",
                head.escape_ascii().to_string()
            );
        }
    }
}
