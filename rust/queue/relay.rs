// SPDX-License-Identifier: GPL-2.0
//! Passes a response on to the client that the router need not see.
//!
//! A `route` arms the back-end's queue for one head: the next one, whatever it is, disarms it. It
//! goes to the client only if `framing::relay` is sure of it, the whole request went to the
//! back-end, and the client's queue takes it; everything else goes up to the router.
//!
//! Invariants: an armed queue whose peer has not got the whole request has a writer; what ends
//! a body other than complete, a queue, or what else is sent or answered there disarms. A head
//! that is not passed on is untouched. Nothing fails once something changed.

#![forbid(unsafe_code)]

use super::body::Move;
use super::connection::{Done, Queue, Relayed};
use super::output::Flush;
use super::pump::RETRY_MS;
use super::Inner;
use crate::framing::{self, Ending, Framing, Refusal, Side, State, CRLF, RELAYED_MAX};
use crate::sys::hook::Endpoint;
use kernel::prelude::*;
use kernel::sync::Arc;

/// What a `route` allowed of the response.
pub struct Arming {
    /// The client's queue.
    pub to: Arc<Queue>,
    /// Field lines that go behind those of the response.
    pub lines: KVec<u8>,
    /// The request is HEAD.
    pub of_head: bool,
    /// How long the body may stand still, in milliseconds.
    pub idle_ms: Option<u32>,
}

impl Queue {
    /// A head is ready. True if it was passed on; if not, it is for the router.
    pub(super) fn relay(self: &Arc<Self>, inner: &mut Inner) -> bool {
        if self.side == Side::Front {
            return false;
        }
        let (armed, whole) = {
            let mut out = self.out.lock();
            (out.disarm(), out.writer.is_none())
        };
        // A `done` that still waits would be lost to the one of this response.
        let told = inner.pending.done.is_none();
        armed
            .filter(|_| whole && told)
            .is_some_and(|arming| self.pass_on(inner, &arming).is_some())
    }

    fn pass_on(self: &Arc<Self>, inner: &mut Inner, arming: &Arming) -> Option<()> {
        let State::Ready {
            len,
            over_limit: false,
        } = inner.rx.state()
        else {
            return None;
        };
        let head = self.copied(len as usize)?;
        let response = framing::relay(&head, arming.of_head)?;
        let (to, framing) = (&arming.to, response.framing);
        let generation = inner.rx.generation();
        inner.rx.check(generation, framing, false).ok()?;
        let moving = if framing == Framing::None {
            None
        } else {
            let target = Some(to.clone());
            Some(Move::new(target, framing, framing, &[], arming.idle_ms).ok()?)
        };
        let lines = arming.lines.as_slice();
        let size = response
            .size()
            .saturating_add(lines.len())
            .saturating_add(CRLF.len());
        let mut out = to.out.lock();
        if out.writer.is_some() || out.broken().is_some() || !out.has_room(size) {
            return None;
        }
        out.reserve(size).ok()?;
        // Room was reserved.
        response.pieces(|piece| {
            let _ = out.push(piece);
        });
        let _ = out.push(lines);
        let _ = out.push(CRLF);
        out.sent = 0;
        if moving.is_some() {
            out.writer = Some(self.clone());
        } else if out.flush(to.sock()) == Flush::Starved {
            // Where a body follows, its move flushes.
            to.wake_in(RETRY_MS);
        }
        drop(out);
        // It was checked.
        let moves = self.begin(inner, generation, framing, moving).ok()?;
        self.router.stats.relayed.add(1);
        if moves {
            inner.relayed = Some(Relayed {
                status: response.status,
                told: false,
            });
        } else {
            inner.last = Some(Ending::Complete);
            inner.pending.done = Some(Done {
                to: to.id,
                ending: Ending::Complete,
                taken: 0,
                generation,
                status: Some(response.status),
            });
        }
        Some(())
    }

    /// The first `len` unread bytes, if they are not too many for a head that is passed on.
    fn copied(&self, len: usize) -> Option<KVec<u8>> {
        if len > RELAYED_MAX {
            return None;
        }
        let mut head = KVec::with_capacity(len, GFP_KERNEL).ok()?;
        self.sock().peek(0, |piece| {
            let left = len.saturating_sub(head.len());
            let piece = piece.get(..left).unwrap_or(piece);
            head.extend_from_slice(piece, GFP_KERNEL).is_ok() && head.len() < len
        });
        (head.len() == len).then_some(head)
    }

    /// Answers the head of this queue, or its parked body: drops the one and begins to move the
    /// other. True if a body moves. Fails only where `Receiver::check` does, before anything.
    pub fn begin(
        &self,
        inner: &mut Inner,
        generation: u32,
        framing: Framing,
        moving: Option<Move>,
    ) -> Result<bool, Refusal> {
        let discard = moving.as_ref().is_none_or(|m| m.target.is_none());
        let answer = inner.rx.answer(generation, framing, discard)?;
        if self.sock().discard(answer.drop_head.into()) != u64::from(answer.drop_head) {
            // Urgent data stands within the head: what follows cannot be told apart.
            self.sock().abort();
        }
        self.settle_credit(inner);
        if answer.moving {
            self.router.stats.forwards.add(1);
            inner.moving = moving;
            inner.last = None;
            self.touch();
        }
        Ok(answer.moving)
    }
}
