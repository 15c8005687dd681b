// SPDX-License-Identifier: GPL-2.0
//! What a command was for, in the 64 bits that come back with its answer: front (32 bits),
//! serial (29), kind (3).

use crate::engine::Token;
use crate::exchange::Tag;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A command of an exchange.
    Tagged(Tag),
    /// A connection to a back-end is taken over.
    Adopt,
    /// A listening socket is taken over; its number stands for the front.
    Listener,
}

const KINDS: [Kind; 5] = [
    Kind::Tagged(Tag::IntoBack),
    Kind::Tagged(Tag::IntoFront),
    Kind::Tagged(Tag::Ending),
    Kind::Adopt,
    Kind::Listener,
];

/// The part of a serial that a token holds.
pub fn token_serial(serial: u32) -> u32 {
    serial & (u32::MAX >> 3)
}

impl Kind {
    /// Packs it.
    pub fn token(self, front: u32, serial: u32) -> Token {
        let kind = KINDS.iter().position(|&kind| kind == self).unwrap_or(2) as u64;
        Token((u64::from(front) << 32) | (u64::from(token_serial(serial)) << 3) | kind)
    }

    /// Unpacks it: kind, front, serial.
    pub fn of(token: Token) -> (Self, u32, u32) {
        let kind = KINDS.get((token.0 & 7) as usize).copied();
        let serial = (token.0 as u32) >> 3;
        (
            kind.unwrap_or(Self::Tagged(Tag::Ending)),
            (token.0 >> 32) as u32,
            serial,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_what_was_put_in() {
        for kind in KINDS {
            for (front, serial) in [(0, 0), (7, 9), (u32::MAX, u32::MAX >> 3)] {
                assert_eq!(Kind::of(kind.token(front, serial)), (kind, front, serial));
            }
        }
    }
}
