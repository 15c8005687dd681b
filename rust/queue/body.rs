// SPDX-License-Identifier: GPL-2.0
//! A body that is being moved: how it is parsed, and how it leaves.
//!
//! Invariants: a chunk announces only bytes that are held, so a source that fails leaves no
//! chunk incomplete; the last chunk goes out only if the body ended as it should, and once.
//! All memory except that of `pages` is allocated before the move begins.

#![forbid(unsafe_code)]

use super::Queue;
use crate::framing::{ChunkLine, Framing, Next, Pace, Receiver, Trailers};
use crate::framing::{CRLF, LAST_CHUNK, TRAILERS_MAX};
use crate::sys::clock;
use crate::sys::pages::Pages;
use crate::sys::sieve::{Piece, Sieve, Stop, Taken};
use crate::sys::sock::Sock;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Bytes that are taken at once from a coded body, whose chunks may be tiny: a bound for the
/// time under the socket lock.
const CODED_MAX: u64 = 256 << 10;

/// What ends the last chunk that has content, and the body, if no trailers go out.
const ENDS: &[&[u8]] = &[CRLF, LAST_CHUNK, CRLF];
/// Bytes of it.
const ENDS_LEN: usize = CRLF.len() + LAST_CHUNK.len() + CRLF.len();

/// For how long a body may stand still, and how slow it may be.
#[derive(Clone, Copy, Default)]
pub struct Patience {
    /// The move ends when it stood still for so long, in milliseconds.
    pub idle_ms: Option<u32>,
    /// And when fewer bytes moved in that time.
    pub idle_bytes: Option<u32>,
}

/// A body that is being moved.
pub struct Move {
    /// Where to; none: thrown away.
    pub target: Option<Arc<Queue>>,
    /// How it comes.
    pub comes: Framing,
    /// How it leaves; of no meaning without a target.
    pub leaves: Framing,
    /// The move ends when it stood still for so long, in milliseconds.
    pub idle_ms: Option<u32>,
    /// And when it is slower than this.
    pub pace: Option<Pace>,
    /// Taken from this queue and not yet given to the target.
    pub pages: Pages,
    /// Bytes at the front of the receive queue that were taken.
    ahead: u32,
    kept: Kept,
    ended: bool,
}

/// Trailer fields that go on: the names that may, and what came of them.
struct Kept {
    allow: KVec<u8>,
    lines: KVec<u8>,
    len: usize,
}

impl Kept {
    fn lines(&self) -> &[u8] {
        self.lines.get(..self.len).unwrap_or(&[])
    }
}

/// The body as `sys` takes it.
struct Tracked<'a> {
    rx: &'a mut Receiver,
    kept: &'a mut Kept,
}

impl Sieve for Tracked<'_> {
    fn next(&self) -> Piece {
        match self.rx.next() {
            Next::Content(n) => Piece::Content(n),
            Next::Look => Piece::Frame,
            Next::Over => Piece::End,
        }
    }

    fn take(&mut self, n: u32) {
        self.rx.take(n.into());
    }

    fn look(&mut self, bytes: &[u8]) -> Option<usize> {
        let Kept { allow, lines, len } = &mut *self.kept;
        let mut trailers = Trailers::new(allow, lines, len);
        // Which rule was broken is of no use to anybody who could hear of it.
        self.rx.look(bytes, &mut trailers).ok()
    }
}

impl Move {
    /// Of a body of which nothing was taken yet. `allow` names trailer fields that go on, in
    /// lower case and separated by commas.
    pub fn new(
        target: Option<Arc<Queue>>,
        comes: Framing,
        leaves: Framing,
        allow: &[u8],
        patience: Patience,
    ) -> Result<Self> {
        let Patience {
            idle_ms,
            idle_bytes,
        } = patience;
        let mut kept = Kept {
            allow: KVec::new(),
            lines: KVec::new(),
            len: 0,
        };
        if !allow.is_empty() {
            kept.allow.extend_from_slice(allow, GFP_KERNEL)?;
            kept.lines.resize(TRAILERS_MAX as usize, 0, GFP_KERNEL)?;
        }
        Ok(Self {
            target,
            comes,
            leaves,
            idle_ms,
            pace: idle_bytes
                .zip(idle_ms)
                .map(|(bytes, ms)| Pace::new(bytes, ms, clock::now_ms())),
            pages: Pages::new()?,
            ahead: 0,
            kept,
            ended: false,
        })
    }

    /// Whether content is put into chunks.
    fn codes(&self) -> bool {
        self.leaves == Framing::Chunked && self.target.is_some()
    }

    /// Takes up to `max` bytes of the body from `sock`, and makes what is content of it ready
    /// to leave, in the empty `pages`.
    pub(super) fn take(&mut self, rx: &mut Receiver, sock: &Sock, max: u64) -> Taken {
        let codes = self.codes();
        let max = match self.comes {
            Framing::Chunked => max.min(CODED_MAX),
            _ => max,
        };
        if codes {
            if let Err(stop) = self.pages.open(ChunkLine::MAX as u32, ENDS_LEN as u32) {
                let stop = Some(stop);
                return Taken { bytes: 0, stop };
            }
        }
        let mut tracked = Tracked {
            rx: &mut *rx,
            kept: &mut self.kept,
        };
        let pages = self.target.is_some().then_some(&mut self.pages);
        let taken = sock.take(&mut self.ahead, &mut tracked, pages, max);
        if codes {
            let size = self.pages.bytes();
            let last = size > 0 && rx.is_whole() && self.kept.len == 0;
            let tail = if last { ENDS } else { &[CRLF] };
            self.pages.close(ChunkLine::new(size).as_bytes(), tail);
            self.ended |= last;
        }
        taken
    }

    /// The first `n` bytes of the receive queue are not of the body, and of no more use. Called
    /// before anything was taken.
    pub fn pass(&mut self, n: u32) {
        self.ahead = n;
    }

    /// Bytes of `readable` that were not taken.
    pub(super) fn untaken(&self, readable: u32) -> u32 {
        readable.saturating_sub(self.ahead)
    }

    /// What was taken leaves the receive queue of `sock`, which whoever looks at it otherwise
    /// relies on.
    pub(super) fn settle(&mut self, sock: &Sock) {
        sock.settle(&mut self.ahead);
    }

    /// The body ended as it should: puts into the empty `pages` what tells that, if there is
    /// such a thing. `NoMemory` changes nothing.
    pub(super) fn end(&mut self) -> Result<(), Stop> {
        if !self.ended && self.codes() {
            self.pages.put(&[LAST_CHUNK, self.kept.lines(), CRLF])?;
        }
        self.ended = true;
        Ok(())
    }

    /// The body ended as it should, and all of it was at least put into `pages`.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}
