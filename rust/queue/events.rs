// SPDX-License-Identifier: GPL-2.0
//! Tells the router: relayed, done, head, closed, in this order.
//!
//! Invariant: what was not delivered stays pending, so nothing lives only in an event. A
//! queue that could not deliver waits in its router's line, and is woken by credit, by any
//! message of the router, or by the clock.

#![forbid(unsafe_code)]

use super::connection::Relayed;
use super::{Inner, Queue};
use crate::framing::{Side, State};
use crate::netlink::event;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;

/// How soon the clock tries again, in milliseconds.
const AGAIN_MS: u64 = 200;

impl Queue {
    /// Delivers what is pending, as far as it goes.
    pub(super) fn deliver(self: &Arc<Self>, inner: &mut Inner) {
        if !self.delivered(inner) {
            self.wait();
        } else if self.place.load(Relaxed) != 0 {
            self.router.forget(self);
        }
    }

    /// Whether nothing is left that waits for the router.
    fn delivered(self: &Arc<Self>, inner: &mut Inner) -> bool {
        if let Some(relayed) = inner.relayed.filter(|relayed| !relayed.told) {
            if !self.sent(event::relayed(self, inner, relayed.status)) {
                return false;
            }
            inner.relayed = Some(Relayed {
                told: true,
                ..relayed
            });
        }
        if let Some(done) = inner.pending.done {
            if !self.sent(event::done(self, &done)) {
                return false;
            }
            inner.pending.done = None;
        }
        if inner.pending.head {
            if self.keeps_answers_waiting() {
                // `writable` brings it back, or the end of the body that is moved in.
                return true;
            }
            if let State::Ready { len, over_limit } = inner.rx.state() {
                let Some(owner) = self.router.take_credit(self) else {
                    return false;
                };
                if !self.sent(event::head(self, inner, len, over_limit, owner)) {
                    if self.side == Side::Front {
                        self.router.cancel_credit(owner);
                    }
                    return false;
                }
                inner.credited = Some(owner);
                inner.known = true;
                self.router.stats.heads.add(1);
            }
            inner.pending.head = false;
        }
        if inner.pending.closed {
            if !self.sent(event::closed(self, inner, false)) {
                return false;
            }
            inner.pending.closed = false;
        }
        true
    }

    /// Whether a client has not got answers yet that are behind its last head. Then its next head waits: the
    /// answer would find no room, or pass those, or have to wait in the router's memory.
    fn keeps_answers_waiting(&self) -> bool {
        if self.side == Side::Back {
            return false;
        }
        let mut out = self.out.lock();
        let open = out.broken().is_none();
        out.holds_head = open && out.writer.is_some();
        out.holds_head || (open && out.unsent() > 0)
    }

    /// Whether it ends by itself, after the last of what it receives: its response was passed on,
    /// and the router heard that there is nothing to do about it.
    pub(super) fn leaves(self: &Arc<Self>, inner: &Inner) -> bool {
        let alone = inner.pending.closed && inner.pending.done.is_none();
        // If it cannot be told, it stays until it can.
        alone && self.rests.load(Relaxed) != 0 && event::closed(self, inner, true).is_ok()
    }

    /// Whether an event was delivered.
    fn sent(&self, result: Result) -> bool {
        match result {
            Ok(()) => return true,
            Err(e) if e == EAGAIN => self.router.note_overflow(self.place.load(Relaxed) == 0),
            // No memory, or no owner: the clock, or the next owner, brings it back.
            Err(_) => {}
        }
        false
    }

    fn wait(self: &Arc<Self>) {
        if self.router.port() == 0 {
            return;
        }
        // Without memory for a place it is left to the clock.
        let _ = self.router.wait(self);
        self.wake_in(AGAIN_MS);
    }

    /// Everything unanswered is told again, to the new owner of that number.
    pub(super) fn offer_again(self: &Arc<Self>, owner: u32) {
        let mut inner = self.inner.lock();
        // It went up to the new owner already. Or another one took over meanwhile, who may have seen the
        // generation: it offers everything itself.
        if inner.credited == Some(owner) || !self.router.is_owner(owner) {
            return;
        }
        inner.credited = None;
        inner.rx.renew();
        match inner.rx.state() {
            State::Ready { .. } => inner.pending.head = true,
            State::Ended(_) => inner.pending.closed = true,
            _ => {}
        }
        drop(inner);
        Queue::kick(self.as_arc_borrow());
    }
}
