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

use super::answer::Onward;
use super::body::Move;
use super::connection::{Done, Queue, Relayed};
use super::output::Flush;
use super::pump::RETRY_MS;
use super::Inner;
use crate::framing::{self, Ending, Framing, Side, State, CRLF, RELAYED_MAX};
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
        if len > RELAYED_MAX as u32 {
            return None;
        }
        let head = self.sock().copied(0, len)?;
        let response = framing::relay(&head, arming.of_head)?;
        let (to, framing) = (&arming.to, response.framing);
        let generation = inner.rx.generation();
        inner.rx.check(generation, framing, false).ok()?;
        let onward = if framing == Framing::None {
            Onward::Nothing
        } else if let Some(bytes) = self.small_body(inner, framing) {
            Onward::WithHead(to.clone(), bytes)
        } else {
            let target = Some(to.clone());
            Onward::Moves(Move::new(target, framing, framing, &[], arming.idle_ms).ok()?)
        };
        let body = onward.with_head();
        let lines = arming.lines.as_slice();
        let size = response
            .size()
            .saturating_add(lines.len())
            .saturating_add(CRLF.len())
            .saturating_add(body.len());
        let more = onward.moves() && self.follows(framing, len);
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
        let _ = out.push(body);
        out.sent = body.len() as u64;
        if onward.moves() {
            out.writer = Some(self.clone());
        }
        if out.flush_before(to.sock(), more) == Flush::Starved {
            to.wake_in(RETRY_MS);
        }
        drop(out);
        // It was checked.
        self.begin(inner, generation, framing, onward).ok()?;
        self.router.stats.relayed.add(1);
        let status = response.status;
        if inner.moving.is_some() {
            inner.relayed = Some(Relayed {
                status,
                told: false,
            });
            return Some(());
        }
        inner.last = Some(Ending::Complete);
        inner.pending.done = Some(Done {
            to: to.id,
            ending: Ending::Complete,
            taken: inner.pending.done.map_or(0, |done| done.taken),
            generation,
            status: Some(status),
        });
        Some(())
    }
}
