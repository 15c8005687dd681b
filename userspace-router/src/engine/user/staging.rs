// SPDX-License-Identifier: GPL-2.0
//! Body bytes that left their source and are not in their target's socket yet.
//!
//! Invariants: a batch is built only on empty staging, so that it holds no more than one
//! input buffer and its framing; a chunk line never announces bytes that are not
//! here.

use underpass_framing::{ChunkLine, CRLF, LAST_CHUNK};

/// One batch.
#[derive(Debug, Default)]
pub struct Staging {
    bytes: Vec<u8>,
    /// How much of `bytes` is of no use any more.
    used: usize,
    /// The content goes into a chunk, before which there is room for its line.
    chunk: bool,
}

impl Staging {
    /// What the target shall have next.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// The target took so many.
    pub fn advance(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.bytes.len());
    }

    /// Begins a batch; what was left of the last one must have gone.
    pub fn begin(&mut self, chunk: bool) {
        self.bytes.clear();
        self.used = 0;
        self.chunk = chunk;
        if chunk {
            self.bytes.resize(ChunkLine::MAX, 0);
        }
    }

    pub fn push(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
    }

    /// Takes all content of a buffer, of which `used` bytes are of no use, and empties it:
    /// without a copy where the batch is empty.
    pub fn push_all(&mut self, content: &mut Vec<u8>, used: usize) {
        if self.bytes.is_empty() {
            std::mem::swap(&mut self.bytes, content);
            self.used = used;
        } else {
            self.push(content.get(used..).unwrap_or_default());
            content.clear();
        }
    }

    /// Ends a batch: what it holds of content is one chunk, if chunks are wanted.
    pub fn end(&mut self) {
        if !std::mem::take(&mut self.chunk) {
            return;
        }
        let size = self.bytes.len().saturating_sub(ChunkLine::MAX);
        if size == 0 {
            // That would be the last chunk.
            self.bytes.clear();
            return;
        }
        let line = ChunkLine::new(size as u64);
        let line = line.as_bytes();
        self.used = ChunkLine::MAX - line.len();
        if let Some(room) = self.bytes.get_mut(self.used..ChunkLine::MAX) {
            room.copy_from_slice(line);
        }
        self.bytes.extend_from_slice(CRLF);
    }

    /// Adds the end of a chunked body, with these trailer lines.
    pub fn push_last_chunk(&mut self, trailers: &[u8]) {
        for part in [LAST_CHUNK, trailers, CRLF] {
            self.bytes.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_one_chunk_whatever_its_size() {
        let mut staging = Staging::default();
        for size in [1, 9, 15, 16, 255, 4096, 65_535, 65_536] {
            staging.begin(true);
            let content = vec![b'x'; size];
            for piece in content.chunks(1000) {
                staging.push(piece);
            }
            staging.end();
            let mut expected = format!("{size:x}\r\n").into_bytes();
            expected.extend_from_slice(&content);
            expected.extend_from_slice(b"\r\n");
            assert_eq!(staging.bytes(), expected);
            staging.advance(expected.len());
            assert!(staging.is_empty());
        }
    }

    #[test]
    fn no_content_is_no_chunk_which_would_end_the_body() {
        let mut staging = Staging::default();
        staging.begin(true);
        staging.end();
        assert!(staging.is_empty());
        staging.push_last_chunk(b"A: b\r\n");
        assert_eq!(staging.bytes(), b"0\r\nA: b\r\n\r\n");
    }

    #[test]
    fn a_whole_buffer_is_taken_whatever_the_batch_holds() {
        let mut staging = Staging::default();
        let mut input = b"used and content".to_vec();
        staging.begin(false);
        staging.push_all(&mut input, 9);
        assert_eq!((staging.bytes(), input.len()), (&b"content"[..], 0));
        let mut more = b"and more".to_vec();
        staging.push_all(&mut more, 4);
        assert_eq!((staging.bytes(), more.len()), (&b"contentmore"[..], 0));
        staging.begin(true);
        let mut chunk = b"in a chunk".to_vec();
        staging.push_all(&mut chunk, 3);
        staging.end();
        assert_eq!(staging.bytes(), b"7\r\na chunk\r\n");
    }
}
