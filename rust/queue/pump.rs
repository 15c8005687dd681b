// SPDX-License-Identifier: GPL-2.0
//! What a queue's work item does: collects heads, moves bodies, flushes, ends.
//!
//! Invariants: runs in process context; holds the queue's `inner`, and while it moves the
//! target's `out`. A byte counts as taken once it was gathered; it is in `Move::pages` until
//! the target's socket took it. It never waits for the network: where the target is full, the target's `Wake::Write` brings it back.

#![forbid(unsafe_code)]

use super::connection::{Done, Life, Queue};
use super::output::{Flush, Output};
use super::{close, Inner};
use crate::framing::{Broken, Ending, Fin, Framing, Next, State};
use crate::sys::hook::Endpoint;
use crate::sys::pages::GatherError;
use crate::sys::sock::{Readable, SendError};
use kernel::sync::atomic::Relaxed;
use kernel::sync::lock::mutex::MutexGuard;
use kernel::sync::Arc;

/// Bytes that one run moves before it lets other queues run.
const BUDGET: u64 = 1 << 20;
/// How soon to try again when memory is short, in milliseconds.
pub(super) const RETRY_MS: u64 = 50;

fn allowance(inner: &Inner) -> u64 {
    match inner.rx.next() {
        Next::Content(n) => n,
        Next::Look | Next::Over => 0,
    }
}

/// What a step of a move leads to.
enum Step {
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
        // A draining queue may close once all is out.
        if self.inner.lock().life != Life::Open {
            self.advance();
        }
    }

    /// Goes on with whatever is to be done.
    pub(super) fn advance(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        match inner.life {
            Life::Gone => return,
            Life::Draining { .. } => return close::drain_step(self, inner),
            Life::Open => {}
        }
        if self.router.expired() && close::orphaned(self, &inner) {
            drop(inner);
            return close::end_orphan(self);
        }
        self.flush_own();
        let mut budget = BUDGET;
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
                Step::Wait => break,
                Step::Yield => {
                    Queue::kick(self.as_arc_borrow());
                    break;
                }
                Step::Retry => {
                    self.wake_in(RETRY_MS);
                    break;
                }
            }
        }
        if matches!(inner.rx.state(), State::Ended(_)) && !inner.known {
            // A client that left before its first head: nobody knows of it.
            drop(inner);
            return close::end(self, close::How::Close);
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
    fn collect(&self, inner: &mut Inner) -> Step {
        // Read before the bytes: if it tells of a FIN, the bytes seen after it are all.
        let readable = self.sock().readable();
        if self.refuse_urgent(readable) {
            return Step::Wait;
        }
        let scanned = inner.rx.scanned();
        if readable.bytes > scanned {
            let rx = &mut inner.rx;
            self.sock().peek(scanned, |piece| !rx.scan(piece));
            if matches!(inner.rx.state(), State::Ready { .. }) {
                inner.pending.head = true;
                return Step::Again;
            }
        }
        if inner.rx.scanned() < readable.bytes {
            // The piece could not be read; it stays there.
            return Step::Retry;
        }
        if readable.fin {
            if inner.rx.fin() == Fin::Ended {
                inner.pending.closed = true;
            }
        } else if readable.closed {
            self.broken(inner);
        } else {
            return Step::Wait;
        }
        Step::Again
    }

    /// While a head waits for its answer: notices that the connection broke.
    fn watch(&self, inner: &mut Inner) -> Step {
        let readable = self.sock().readable();
        if readable.closed {
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
    fn refuse_urgent(&self, readable: Readable) -> bool {
        let refused = readable.urgent && !readable.closed;
        if refused {
            // `sk_state_change` brings the queue back.
            self.sock().abort();
        }
        refused
    }

    fn broken(&self, inner: &mut Inner) {
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
    fn break_output(&self) {
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
        if let Some(owner) = inner.credited.take() {
            self.router.return_credit(owner);
        }
    }

    fn discard_step(&self, inner: &mut Inner, budget: &mut u64) -> Step {
        if *budget == 0 {
            return Step::Yield;
        }
        let n = self.sock().discard(allowance(inner).min(*budget));
        if n == 0 {
            return self.source_state(inner);
        }
        *budget = budget.saturating_sub(n);
        self.router.stats.discarded.add(n);
        self.note_taken(n);
        inner.rx.take(n);
        if inner.rx.finish() {
            self.finish(inner, Ending::Complete);
        }
        Step::Again
    }

    fn note_taken(&self, n: u64) {
        self.rx_bytes.add(n, Relaxed);
        self.touch();
    }

    /// Nothing could be read: is it only late, or is it the end?
    fn source_state(&self, inner: &mut Inner) -> Step {
        let readable = self.sock().readable();
        if self.refuse_urgent(readable) {
            return Step::Wait;
        }
        // Urgent data may keep bytes back also after the connection is gone.
        if readable.bytes > 0 && !readable.urgent {
            return Step::Again;
        }
        if readable.fin && !readable.urgent {
            if let Fin::MoveEnded(ending) = inner.rx.fin() {
                self.finish(inner, ending);
            }
            return Step::Again;
        }
        if readable.closed {
            self.broken(inner);
            return Step::Again;
        }
        Step::Wait
    }

    fn move_step(&self, inner: &mut Inner, budget: &mut u64) -> Step {
        let Some(target) = inner.moving.as_ref().and_then(|m| m.target.clone()) else {
            return Step::Wait;
        };
        let mut out = target.out.lock();
        match out.flush(target.sock()) {
            Flush::Empty => self.move_bytes(inner, &target, out, budget),
            Flush::Blocked => Step::Wait,
            Flush::Starved => Step::Retry,
            Flush::Broken(errno) => {
                drop(out);
                self.target_broke(inner, errno)
            }
        }
    }

    /// Gathers and sends until one side has enough.
    fn move_bytes(
        &self,
        inner: &mut Inner,
        target: &Arc<Queue>,
        mut out: MutexGuard<'_, Output>,
        budget: &mut u64,
    ) -> Step {
        let mut starved = false;
        loop {
            if *budget == 0 {
                return Step::Yield;
            }
            let want = allowance(inner).min(*budget);
            let Some(moving) = inner.moving.as_mut() else {
                return Step::Wait;
            };
            if moving.pages.bytes() == 0 {
                match self.sock().gather(&mut moving.pages, want) {
                    Ok(0) => {
                        drop(out);
                        return self.source_state(inner);
                    }
                    Ok(n) => {
                        inner.rx.take(n);
                        self.note_taken(n);
                    }
                    Err(GatherError::NoMemory) => return Step::Retry,
                    Err(GatherError::Unreadable) => {
                        drop(out);
                        return self.unreadable(inner);
                    }
                }
            }
            match target.sock().send_pages(&mut moving.pages) {
                Ok(n) => {
                    starved = false;
                    *budget = budget.saturating_sub(n);
                    out.sent = out.sent.saturating_add(n);
                    target.tx_bytes.add(n, Relaxed);
                    self.router.stats.moved(self.side, n);
                    self.touch();
                    if moving.pages.bytes() == 0 && inner.rx.finish() {
                        drop(out);
                        self.finish(inner, Ending::Complete);
                        return Step::Again;
                    }
                }
                // Room may have come between the refusal and the wish to be told of it;
                // twice in a row it is memory that is short.
                Err(SendError::Blocked) if target.sock().want_write() => {
                    if starved {
                        return Step::Retry;
                    }
                    starved = true;
                }
                Err(SendError::Blocked) => return Step::Wait,
                Err(SendError::Broken(errno)) => {
                    out.set_broken(errno);
                    drop(out);
                    return self.target_broke(inner, errno);
                }
            }
        }
    }

    fn target_broke(&self, inner: &mut Inner, errno: u32) -> Step {
        self.park(inner, Ending::TargetError(errno));
        Step::Again
    }

    fn unreadable(&self, inner: &mut Inner) -> Step {
        if let Broken::MoveEnded(ending) = inner.rx.broken(kernel::bindings::EIO) {
            self.finish(inner, ending);
        }
        Step::Again
    }

    /// Stops the move before its end. What was gathered and not sent is lost.
    pub(super) fn park(&self, inner: &mut Inner, ending: Ending) {
        if inner.rx.park().is_ok() {
            self.finish(inner, ending);
        }
    }

    /// A move ended: tells the target what that means, and notes what the router has to hear.
    fn finish(&self, inner: &mut Inner, ending: Ending) {
        let Some(moving) = inner.moving.take() else {
            return;
        };
        if let Some(target) = &moving.target {
            let mut out = target.out.lock();
            out.writer = None;
            let fin = ending == Ending::Complete && moving.framing == Framing::UntilClose;
            if fin {
                out.want_fin();
                // If data of the router still waits, the FIN goes after it.
                if out.flush(target.sock()) == Flush::Starved {
                    target.wake_in(RETRY_MS);
                }
            }
            drop(out);
            if ending.aborts_target() {
                // It must not take a part for the whole.
                target.sock().abort();
            }
        }
        inner.last = Some(ending);
        inner.pending.done = Some(Done {
            to: moving.target.as_ref().map_or(0, |t| t.id),
            ending,
            taken: inner.rx.taken(),
            generation: inner.rx.generation(),
        });
        inner.pending.closed |= matches!(inner.rx.state(), State::Ended(_));
    }
}
