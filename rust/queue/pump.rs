// SPDX-License-Identifier: GPL-2.0
//! What a queue's work item does: collects heads, gets bodies moved, flushes, ends.
//!
//! Invariants: runs in process context, and holds the queue's `inner`. It never waits for the
//! network: a socket event, or the clock, runs it again.

#![forbid(unsafe_code)]

use super::connection::{Life, Queue};
use super::output::Flush;
use super::{close, Inner};
use crate::framing::{Broken, Fin, Side, State};
use crate::sys::hook::Endpoint;
use crate::sys::receive::Readable;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;

/// Bytes that one run moves before it lets other queues run.
const BUDGET: u64 = 1 << 20;
/// How soon to try again when memory is short, in milliseconds.
pub(super) const RETRY_MS: u64 = 50;

/// What a step leads to.
pub(super) enum Step {
    /// The state changed; look at it again.
    Again,
    /// A socket event will bring the queue back.
    Wait,
    /// The budget is used up.
    Yield,
    /// No memory now; the clock brings the queue back.
    Retry,
}

impl Queue {
    /// The peer takes bytes again: data first, then whoever moves a body in.
    pub(super) fn writable(self: &Arc<Self>) {
        let mut out = self.out.lock();
        if out.is_starved() {
            return self.writable_in(RETRY_MS);
        }
        let flushed = out.flush(self.sock());
        let writer = match flushed {
            Flush::Blocked => None,
            Flush::Starved => {
                self.wake_in(RETRY_MS);
                None
            }
            Flush::Empty | Flush::Broken(_) => out.writer.clone(),
        };
        drop(out);
        if let Some(writer) = writer {
            Queue::kick(writer.as_arc_borrow());
        }
        // A draining queue may close once all is out, and a head may go up that waited for it.
        let inner = self.inner.lock();
        let waited = inner.life != Life::Open || inner.pending.head;
        drop(inner);
        if waited {
            self.advance();
        }
    }

    /// Goes on with whatever is to be done, until `BUDGET` bytes of a body were moved. Process
    /// context; the caller holds no lock.
    pub(super) fn advance(self: &Arc<Self>) {
        let mut budget = BUDGET;
        let mut inner = self.inner.lock();
        match inner.life {
            Life::Gone => return,
            Life::Draining { .. } => return close::drain_step(self, inner),
            Life::Open => {}
        }
        if self.router.expired() && close::orphaned(self, &inner) {
            if self.side == Side::Front && matches!(inner.rx.state(), State::Collecting(_)) {
                // A head that is there, and was not looked at yet, is answered.
                let _ = self.collect(&mut inner);
            }
            drop(inner);
            return close::end_orphan(self);
        }
        self.flush_own();
        loop {
            let step = match inner.rx.state() {
                State::Collecting(_) => self.collect(&mut inner),
                State::Moving { discard: true, .. } => self.discard_step(&mut inner, &mut budget),
                State::Moving { .. } => self.move_step(&mut inner, &mut budget),
                State::Ready { .. } | State::Parked(_) => self.watch(&mut inner),
                State::Ended(_) => self.watch_ended(),
            };
            match step {
                Step::Again => {}
                Step::Wait if self.stands_still(&mut inner) => {}
                Step::Wait if self.is_late(&inner) => {
                    drop(inner);
                    return close::end_late(self);
                }
                Step::Wait => break,
                Step::Yield => {
                    Queue::kick(self.as_arc_borrow());
                    break;
                }
                Step::Retry if self.stands_still(&mut inner) => {}
                Step::Retry => {
                    self.wake_in(RETRY_MS);
                    break;
                }
            }
        }
        if matches!(inner.rx.state(), State::Ended(_)) && (!inner.known || self.leaves(&inner)) {
            // A client that left before its first head: nobody knows of it. Or one that has all it
            // asked for, but may not have read it yet: what it said besides must not make a reset of its end.
            let unread = inner.known && self.sock().readable().bytes > 0;
            drop(inner);
            return match unread {
                true => close::farewell(self),
                false => close::end(self, close::How::Close),
            };
        }
        if let Some(moving) = &mut inner.moving {
            moving.settle(self.sock());
        }
        self.deliver(&mut inner);
    }

    fn flush_own(self: &Arc<Self>) {
        let mut out = self.out.lock();
        if out.flush(self.sock()) == Flush::Starved {
            self.wake_in(RETRY_MS);
        }
    }

    /// Looks for the end of the next head.
    fn collect(self: &Arc<Self>, inner: &mut Inner) -> Step {
        let (scanned, rx) = (inner.rx.scanned(), &mut inner.rx);
        let readable = self.sock().look(scanned, |piece| !rx.scan(piece));
        if self.refuse_urgent(readable) {
            return Step::Wait;
        }
        if matches!(inner.rx.state(), State::Ready { .. }) {
            let busy = self.relay(inner, readable);
            inner.pending.head = busy.is_none();
            if inner.pending.head {
                self.rests.store(0, Relaxed);
            }
            // Of a head that waits for the router, `watch` would find no more than was seen.
            return match busy.unwrap_or(readable.closed) {
                true => Step::Again,
                false => Step::Wait,
            };
        }
        if inner.rx.scanned() < readable.bytes && !readable.closed {
            // In device memory, where no head can be read; `sk_state_change` brings the queue back.
            self.sock().abort();
            return Step::Wait;
        }
        if readable.fin {
            if inner.rx.fin() == Fin::Ended {
                inner.pending.closed = true;
            }
        } else if readable.closed {
            self.broken(inner);
        } else {
            if readable.bytes > 0 {
                // It stays until the rest of the head is there.
                self.sock().unpin();
            }
            return Step::Wait;
        }
        Step::Again
    }

    /// While a head waits for its answer: notices that the connection broke.
    fn watch(self: &Arc<Self>, inner: &mut Inner) -> Step {
        let readable = self.sock().readable();
        if readable.closed {
            if matches!(inner.rx.state(), State::Ready { .. }) {
                // It has no response to this head, whatever was passed on to it before.
                self.rests.store(0, Relaxed);
            }
            self.broken(inner);
        } else {
            self.refuse_urgent(readable);
        }
        Step::Wait
    }

    /// After the peer's FIN: notices that it does not read any more either.
    fn watch_ended(&self) -> Step {
        if self.sock().readable().closed {
            self.break_output();
        }
        Step::Wait
    }

    /// Urgent data would stand in the way of all that follows, and its byte would be counted by
    /// some readers and not by others: the connection is reset. True if it was, now.
    pub(super) fn refuse_urgent(&self, readable: Readable) -> bool {
        let refused = readable.urgent && !readable.closed;
        if refused {
            // `sk_state_change` brings the queue back.
            self.sock().abort();
        }
        refused
    }

    pub(super) fn broken(self: &Arc<Self>, inner: &mut Inner) {
        self.break_output();
        match inner.rx.broken(self.errno()) {
            Broken::Later => {}
            Broken::Ended => {
                inner.pending.closed = true;
                // An unanswered head is gone with its sender.
                inner.pending.head = false;
                self.settle_credit(inner);
            }
            Broken::MoveEnded(ending) => self.finish(inner, ending),
        }
    }

    /// Nothing can be sent any more: whoever moves a body in here hears of it now, and not
    /// only when its next byte comes.
    pub(super) fn break_output(&self) {
        let mut out = self.out.lock();
        out.set_broken(self.errno());
        let writer = out.writer.clone();
        drop(out);
        if let Some(writer) = writer {
            Queue::kick(writer.as_arc_borrow());
        }
    }

    /// The head was answered, or never will be.
    pub fn settle_credit(&self, inner: &mut Inner) {
        if let Some(owner) = inner.credited.take().filter(|_| self.side == Side::Front) {
            self.router.return_credit(owner);
        }
    }
}
