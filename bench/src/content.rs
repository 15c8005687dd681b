// SPDX-License-Identifier: GPL-2.0
//! The bytes of bodies. Whoever knows a body's seed can make it and judge it, from any offset on,
//! without keeping it.
//!
//! Bodies repeat with a prime period, so that bytes which arrive at a wrong offset differ,
//! whatever multiple of a page or a segment they were shifted by.

use crate::CHUNK;

/// Prime, and just longer than a chunk.
const PERIOD: usize = 262_147;
/// How far apart in the period bodies of neighbouring seeds begin.
const STRIDE: u64 = 7_919;

/// All bodies there are.
#[derive(Debug)]
pub struct Content {
    /// The period twice, so that a chunk from any place in it is one slice.
    block: Vec<u8>,
}

impl Default for Content {
    fn default() -> Self {
        Self::new()
    }
}

impl Content {
    /// Makes the period.
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let period = std::iter::repeat_with(|| {
            // Xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        });
        let mut block: Vec<u8> = period.take(PERIOD).collect();
        block.extend_from_within(..);
        Self { block }
    }

    /// The body `seed` from `offset` on: `left` bytes, or a chunk if that is less.
    pub fn piece(&self, seed: u64, offset: u64, left: u64) -> &[u8] {
        let start = (seed.wrapping_mul(STRIDE).wrapping_add(offset) % PERIOD as u64) as usize;
        &self.block[start..start + CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))]
    }

    /// Where `data` differs from the body `seed` at `offset`, if it does: the offset in the body.
    pub fn difference(&self, seed: u64, offset: u64, data: &[u8]) -> Option<u64> {
        let mut at = offset;
        for part in data.chunks(CHUNK) {
            let piece = self.piece(seed, at, part.len() as u64);
            if piece != part {
                let same = piece.iter().zip(part).take_while(|(a, b)| a == b).count();
                return Some(at + same as u64);
            }
            at += part.len() as u64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_it_is_judged_by() {
        let content = Content::new();
        let mut body = Vec::new();
        while body.len() < 1_000_000 {
            let piece = content.piece(3, body.len() as u64, 1_000_000 - body.len() as u64);
            body.extend_from_slice(piece);
        }
        assert_eq!(content.difference(3, 0, &body), None);
        assert_eq!(content.difference(3, 4096, &body[4096..]), None);
        body[700_001] ^= 1;
        assert_eq!(content.difference(3, 0, &body), Some(700_001));
    }

    #[test]
    fn a_shifted_body_and_another_seeds_differ() {
        let content = Content::new();
        let piece = content.piece(1, 0, 65536);
        assert!(content.difference(2, 0, piece).is_some());
        for shift in [1, 1448, 4096, 65536, CHUNK as u64] {
            assert!(content.difference(1, shift, piece).is_some(), "{shift}");
        }
    }
}
