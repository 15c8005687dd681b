// SPDX-License-Identifier: GPL-2.0
//! The answer to a head: it leaves the receive queue, and its body begins to move.
//!
//! A small body that is there whole is not moved separately: it goes out with the head, in one
//! send, and is done at once.
//!
//! Invariant: nothing fails after something has changed; whatever can fail comes before `begin`.

#![forbid(unsafe_code)]

use super::body::Move;
use super::connection::{Done, Queue};
use super::Inner;
use crate::framing::{Ending, Framing, Refusal};
use crate::sys::hook::Endpoint;
use crate::sys::receive::Readable;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;

/// Bytes of the largest body that is copied to go out with its head: as much as one skb
/// holds in a page.
pub(super) const SMALL_MAX: u32 = 2048;

/// What becomes of a body.
pub enum Onward {
    /// There is none.
    Nothing,
    /// It moves, or is thrown away.
    Moves(Move),
    /// So many bytes of it, which are all, went to this queue, with the head.
    WithHead(Arc<Queue>, u32),
}

impl Onward {
    /// Whether the target has a writer from now on.
    pub fn moves(&self) -> bool {
        matches!(self, Self::Moves(_))
    }
}

/// Whether content of the body is there behind the head of `head` bytes, of what is `readable`. Of a
/// chunked one only the tracker could say.
pub fn follows(framing: Framing, head: u32, readable: Readable) -> bool {
    framing != Framing::Chunked && readable.bytes > head
}

impl Queue {
    /// The body behind the head that waits, if it is small and there whole.
    pub fn small_body(&self, inner: &Inner, framing: Framing) -> Option<KVec<u8>> {
        let Framing::Length(bytes) = framing else {
            return None;
        };
        let bytes = u32::try_from(bytes).ok()?;
        if bytes == 0 || bytes > SMALL_MAX {
            return None;
        }
        let (head, readable) = (inner.rx.head_len(), self.sock().readable());
        if readable.bytes < head.saturating_add(bytes) || readable.urgent {
            return None;
        }
        self.sock().copied(head, bytes)
    }

    /// Answers the head of this queue, or its parked body; says whether there is more to do than to
    /// wait for the next event of the socket. Fails only where `Receiver::check` does, before
    /// anything. What goes out with the head was sent.
    pub fn begin(
        &self,
        inner: &mut Inner,
        generation: u32,
        framing: Framing,
        onward: Onward,
    ) -> Result<bool, Refusal> {
        let discard = match &onward {
            Onward::Nothing => true,
            Onward::Moves(moving) => moving.target.is_none(),
            Onward::WithHead(..) => false,
        };
        let answer = inner.rx.answer(generation, framing, discard)?;
        self.rests.store(0, Relaxed);
        self.settle_credit(inner);
        let mut gone = answer.drop_head;
        match onward {
            Onward::Moves(mut moving) if answer.moving => {
                self.router.stats.forwards.add(1);
                moving.pass(answer.drop_head);
                inner.moving = Some(moving);
                inner.last = None;
                self.touch();
                return Ok(true);
            }
            // Of a body that was parked whole, nothing is left.
            Onward::Nothing | Onward::Moves(_) => {}
            Onward::WithHead(to, n) => {
                gone = gone.saturating_add(n);
                let n = u64::from(n);
                inner.rx.take(n);
                let taken = inner.rx.taken();
                // It was taken whole.
                let _ = inner.rx.finish();
                self.router.stats.forwards.add(1);
                self.router.stats.moved(self.side, n);
                let may_wait = to.out.lock().armed_to().is_some();
                self.rx_bytes.add(n, Relaxed);
                to.tx_bytes.add(n, Relaxed);
                inner.last = Some(Ending::Complete);
                inner.pending.done = Some(Done {
                    to: to.id,
                    ending: Ending::Complete,
                    taken,
                    generation,
                    status: None,
                    may_wait,
                });
            }
        }
        let (n, rest) = self.sock().discard(gone.into());
        if n != u64::from(gone) {
            // Urgent data stands within: what follows cannot be told apart.
            self.sock().abort();
        }
        Ok(!rest.is_empty())
    }
}
