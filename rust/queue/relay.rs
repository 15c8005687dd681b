// SPDX-License-Identifier: GPL-2.0
//! Passes on to the client a response that the router need not see.
//!
//! A `route` arms the back-end's queue for one head: the next one, whatever it is, disarms it. It
//! goes to the client only if `framing::relay` is certain about it, the whole request went to the
//! back-end, and the client's queue takes it; everything else goes up to the router.
//!
//! Invariants: an armed queue whose peer has not received the whole request has a writer. A queue is
//! disarmed by a body into it that does not end complete, by its end, and by whatever else is sent or
//! answered there. A head that is not passed on is untouched. Nothing fails after something has changed.

#![forbid(unsafe_code)]

use super::answer::{follows, Onward, SMALL_MAX};
use super::body::{Move, Patience};
use super::connection::{Done, Queue, Relayed};
use super::lines::Lines;
use super::output::{size, Flush};
use super::pump::RETRY_MS;
use super::Inner;
use crate::framing::{self, Ending, Framing, Side, State, CRLF, RELAYED_MAX};
use crate::sys::hook::Endpoint;
use crate::sys::receive::{Place, Readable};
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;

/// The bit of a note that says so.
const PASSED_ON: u64 = 1 << 63;

/// What a `route` allowed of the response.
pub struct Arming {
    /// The client's queue.
    pub to: Arc<Queue>,
    /// What goes behind the lines of the response.
    pub lines: Arc<Lines>,
    /// The request is HEAD.
    pub of_head: bool,
    /// How long the body may stand still.
    pub patience: Patience,
}

impl Queue {
    /// A head is ready, seen with `readable`. None: it is for the router. Else it was passed on; true:
    /// there is more to do than to wait for the next event of the socket.
    pub(super) fn relay(self: &Arc<Self>, inner: &mut Inner, readable: Readable) -> Option<bool> {
        if self.side == Side::Front {
            return None;
        }
        let (armed, whole) = {
            let mut out = self.out.lock();
            (out.disarm(), out.writer.is_none())
        };
        // A `done` that still waits would be lost to the one of this response.
        let told = inner.pending.done.is_none();
        armed
            .filter(|_| whole && told)
            .and_then(|arming| self.pass_on(inner, &arming, readable))
    }

    // A KiB of the stack is for this alone, and not for all that a queue does.
    #[inline(never)]
    fn pass_on(
        self: &Arc<Self>,
        inner: &mut Inner,
        arming: &Arming,
        readable: Readable,
    ) -> Option<bool> {
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
        // What may be the whole of a small body is copied with its head.
        let behind = readable.bytes.saturating_sub(len);
        let behind = if behind <= SMALL_MAX { behind } else { 0 };
        let mut place = Place::new();
        let bytes = self
            .sock()
            .copied_to(0, len.saturating_add(behind), &mut place)?;
        let (head, behind) = bytes.split_at_checked(len as usize)?;
        let response = framing::relay(head, arming.of_head)?;
        let (to, framing) = (&arming.to, response.framing);
        let generation = inner.rx.generation();
        inner.rx.check(generation, framing, false).ok()?;
        let small = match framing {
            Framing::Length(n) => usize::try_from(n).ok().and_then(|n| behind.get(..n)),
            _ => None,
        };
        let onward = match (framing, small) {
            (Framing::None, _) => Onward::Nothing,
            (_, Some(body)) => Onward::WithHead(to.clone(), body.len() as u32),
            _ => {
                let target = Some(to.clone());
                Onward::Moves(Move::new(target, framing, framing, &[], arming.patience).ok()?)
            }
        };
        let body = small.unwrap_or(&[]);
        let tidied;
        let lines = match response.as_it_came() {
            Some(lines) => lines,
            None => {
                tidied = tidied_lines(&response)?;
                tidied.as_slice()
            }
        };
        let parts = [lines, arming.lines.as_slice(), CRLF, body];
        let more = onward.moves() && follows(framing, len, readable);
        let mut out = to.out.lock();
        if out.writer.is_some() || out.broken().is_some() || !out.has_room(size(&parts)) {
            return None;
        }
        // Before the client can have it, and send what gets a note of its own.
        let note = to.note.load(Relaxed);
        to.note.store(note | PASSED_ON, Relaxed);
        let Ok(flushed) = out.put(to.sock(), &parts, more) else {
            to.note.store(note, Relaxed);
            return None;
        };
        out.sent = body.len() as u64;
        to.rests.store(u32::from(!onward.moves()), Relaxed);
        if onward.moves() {
            out.writer = Some(self.clone());
        }
        drop(out);
        if flushed == Flush::Starved {
            to.wake_in(RETRY_MS);
        }
        // It was checked.
        let busy = self.begin(inner, generation, framing, onward).ok()?;
        self.router.stats.relayed.add(1);
        let status = response.status;
        if inner.moving.is_some() {
            inner.relayed = Some(Relayed {
                status,
                told: false,
            });
            return Some(busy);
        }
        inner.last = Some(Ending::Complete);
        inner.pending.done = Some(Done {
            to: to.id,
            ending: Ending::Complete,
            taken: inner.pending.done.map_or(0, |done| done.taken),
            generation,
            status: Some(status),
            may_wait: false,
        });
        Some(busy)
    }
}

/// What goes on of a response's lines, where that is not what came. None: memory is short.
fn tidied_lines(response: &framing::Relayed<'_>) -> Option<KVec<u8>> {
    let mut lines = KVec::with_capacity(response.size(), GFP_KERNEL).ok()?;
    response.pieces(|piece| {
        // There is room.
        let _ = lines.extend_from_slice(piece, GFP_KERNEL);
    });
    Some(lines)
}
