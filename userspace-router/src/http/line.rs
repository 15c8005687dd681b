// SPDX-License-Identifier: GPL-2.0
//! Checks a head's bytes before anything is parsed: line ends and control characters.
//!
//! httparse is lenient about bare LF and folding; peers that are lenient in different
//! ways are how requests get smuggled. So the strict rules stand here, in one place.
//! It must not know about fields.

use std::borrow::Cow;

use super::problem::{self, Problem};

/// Drops the empty lines before the start line (RFC 9112 section 2.2) and checks the rest.
pub fn strict(head: &[u8]) -> Result<&[u8], Problem> {
    let mut rest = head;
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        rest = after;
    }
    let mut at = 0;
    loop {
        // Most of a head is plain text.
        at += underpass_framing::plain_text(rest.get(at..).unwrap_or_default());
        at += match rest.get(at..) {
            Some([b'\r', b'\n', b' ' | b'\t', ..]) => return Err(problem::OBS_FOLD),
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\r', ..]) => return Err(problem::BARE_CR),
            Some([b'\n', ..]) => return Err(problem::BARE_LF),
            Some([0..=8 | 0xb..=0x1f | 0x7f, ..]) => return Err(problem::CONTROL),
            Some([_, ..]) => 1,
            Some([]) | None => return Ok(rest),
        };
    }
}

/// Puts folded fields of a response on one line (RFC 9112 section 5.2): each fold becomes a
/// space. One behind the status line belongs to no field, and is left for `strict` to refuse.
pub fn unfold(head: &[u8]) -> Cow<'_, [u8]> {
    let folds_at = |at: usize| matches!(head.get(at..at + 3), Some([b'\r', b'\n', b' ' | b'\t']));
    // Empty lines may be in front of it.
    let mut bytes = (0..).zip(head).skip_while(|(_, b)| b"\r\n".contains(b));
    let start_line = bytes.find(|&(_, &b)| b == b'\r').map_or(0, |(at, _)| at);
    if !(start_line + 1..head.len()).any(folds_at) {
        return Cow::Borrowed(head);
    }
    let mut out = Vec::with_capacity(head.len());
    let mut at = 0;
    while let Some(&byte) = head.get(at) {
        if at > start_line && folds_at(at) {
            out.push(b' ');
            at += 3;
            while matches!(head.get(at), Some(b' ' | b'\t')) {
                at += 1;
            }
        } else {
            out.push(byte);
            at += 1;
        }
    }
    Cow::Owned(out)
}

/// The elements of a comma-separated list, trimmed. Empty ones are yielded too.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_become_spaces() {
        for (head, flat) in [
            (&b"A\r\nB: c\r\n\r\n"[..], &b"A\r\nB: c\r\n\r\n"[..]),
            (b"\r\n\r\nA\r\n B: c\r\n\r\n", b"\r\n\r\nA\r\n B: c\r\n\r\n"),
            (
                b"A\r\nB: c\r\n \t d\r\n\te\r\n\r\n",
                b"A\r\nB: c d e\r\n\r\n",
            ),
            (
                b"A\r\nB:\r\n 5\r\nC: d\r\n\r\n",
                b"A\r\nB: 5\r\nC: d\r\n\r\n",
            ),
            (
                b"A\r\n B: c\r\nD: e\r\n f\r\n\r\n",
                b"A\r\n B: c\r\nD: e f\r\n\r\n",
            ),
            (b"\r\n ", b"\r\n "),
            (b"", b""),
        ] {
            assert_eq!(unfold(head), flat, "{:?}", head.escape_ascii().to_string());
        }
    }

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
