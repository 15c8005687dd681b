// SPDX-License-Identifier: GPL-2.0
//! What was received and not used yet.
//!
//! Invariant: it holds at most the larger of the head limit and `ROOM`. It must not know
//! what its bytes mean.

use std::io;

use bytes::BufMut as _;

use super::stream::Stream;

/// Bytes that are read at once.
const ROOM: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// How much of `bytes` is used up.
    used: usize,
}

impl Input {
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    pub fn consume(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.bytes.len());
        if self.used == self.bytes.len() {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.used = 0;
    }

    /// The whole buffer and how much of it is used up, for somebody who empties it.
    pub fn whole(&mut self) -> (&mut Vec<u8>, usize) {
        (&mut self.bytes, std::mem::take(&mut self.used))
    }

    /// Reads once, so that `limit` bytes are pending at the most; zero is the end. `None`
    /// where there is no room.
    pub fn fill(&mut self, stream: &Stream, limit: usize) -> Option<io::Result<usize>> {
        let have = self.pending().len();
        let room = limit.saturating_sub(have).min(ROOM);
        if room == 0 {
            return None;
        }
        self.bytes.drain(..self.used);
        self.used = 0;
        // What is read to is not cleared before: mostly a few bytes come, or none.
        self.bytes.reserve(room);
        let outcome = stream.try_read(&mut (&mut self.bytes).limit(room));
        if self.bytes.is_empty() {
            // An idle connection holds no memory.
            self.bytes = Vec::new();
        }
        Some(outcome)
    }
}
