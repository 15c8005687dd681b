// SPDX-License-Identifier: GPL-2.0
//! What a router notes with a client's queue, for its successor: which back-end is asked,
//! and how the response is to leave. Nothing else of an exchange outlives its router.
//!
//! ```text
//! 63        passed on or answered: nothing more of a response is to come from the router
//! 62 .. 40  mark of the route's rules for responses
//! 39 .. 36  the connection ends with the exchange, HTTP/1.0, HEAD, always set
//! 35        the client's address is that of the socket (no PROXY protocol header named another)
//! 31 .. 0   the back-end's queue
//! ```
//!
//! Invariant: zero is the note of a queue on which no request was ever answered. The layout is an
//! agreement between versions of the router; a change of it must move the bit that is always set.

use super::{Download, Exchange};
use crate::http::Version;

const ANSWERED: u64 = 1 << 63;
const MARK_AT: u32 = 40;
const MARK_MAX: u32 = (1 << 23) - 1;
const DIRECT: u64 = 1 << 35;
const WRITTEN: u64 = 1 << 36;
const HEAD: u64 = 1 << 37;
const HTTP10: u64 = 1 << 38;
const CLOSE: u64 = 1 << 39;

/// What a note says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The queue of the back-end that has the request, or 0.
    pub back: u32,
    /// Of the rules for responses, see `Rewrite::mark`.
    pub mark: u32,
    /// The request is HEAD.
    pub of_head: bool,
    /// The client speaks HTTP/1.0.
    pub http10: bool,
    /// The client's connection ends with the exchange.
    pub close: bool,
    /// The final response's head went to the client.
    pub answered: bool,
    /// No PROXY protocol header told whose connection it is, so that it need not be remembered.
    pub direct: bool,
}

impl Note {
    /// On the connection of a client whose request is refused.
    pub const LAST: Self = Self {
        back: 0,
        mark: 0,
        of_head: false,
        http10: false,
        close: true,
        answered: true,
        direct: false,
    };

    /// As the kernel keeps it.
    pub fn bits(self) -> u64 {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        u64::from(self.back)
            | WRITTEN
            | (u64::from(self.mark & MARK_MAX) << MARK_AT)
            | flag(self.of_head, HEAD)
            | flag(self.http10, HTTP10)
            | flag(self.close, CLOSE)
            | flag(self.answered, ANSWERED)
            | flag(self.direct, DIRECT)
    }

    /// Reads it; `None` if there is none, or it is not of this layout.
    pub fn of(bits: u64) -> Option<Self> {
        let set = |bit: u64| bits & bit != 0;
        set(WRITTEN).then(|| Self {
            back: bits as u32,
            mark: (bits >> MARK_AT) as u32 & MARK_MAX,
            of_head: set(HEAD),
            http10: set(HTTP10),
            close: set(CLOSE),
            answered: set(ANSWERED),
            direct: set(DIRECT),
        })
    }
}

impl Exchange {
    /// With what sends the request on. Its body may go behind the final response.
    pub(super) fn note_asked(&self) -> Option<u64> {
        Some(self.note(self.download != Download::Awaiting))
    }

    /// With what is the last that the router sends the client.
    pub(super) fn note_answered(&self) -> Option<u64> {
        Some(self.note(true))
    }

    fn note(&self, answered: bool) -> u64 {
        let note = Note {
            back: self.back().unwrap_or(0),
            mark: self.plan.terms.rewrite.mark(),
            of_head: self.request.method() == "HEAD",
            http10: self.request.version == Version::Http10,
            close: self.close,
            answered,
            direct: self.place.direct,
        };
        note.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_hold_what_was_put_in() {
        for bits in 0..32 {
            let note = Note {
                back: u32::MAX - bits,
                mark: MARK_MAX - bits,
                of_head: bits & 1 != 0,
                http10: bits & 2 != 0,
                close: bits & 4 != 0,
                answered: bits & 8 != 0,
                direct: bits & 16 != 0,
            };
            assert_eq!(Note::of(note.bits()), Some(note));
        }
        assert_eq!(Note::of(0), None);
        // As the kernel does when it passes a response on.
        let passed = Note::of(Note::default().bits() | (1 << 63));
        assert!(passed.is_some_and(|note| note.answered && !note.close));
    }
}
