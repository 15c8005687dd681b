// SPDX-License-Identifier: GPL-2.0
//! Moves a body from its queue to another one, or discards it, and ends the move.
//!
//! Invariants: holds the source's `inner`, and while bytes go out the target's `out`. A
//! byte counts as taken once it was gathered; it is in `Move::pages` until the target's
//! socket took it. While there are any, nothing after them is looked at, not even a FIN.
//! A forward is complete only when the target has taken all of it. If the target is full,
//! its `Wake::Write` runs the source again.

#![forbid(unsafe_code)]

use super::body::Move;
use super::close::ABORTED;
use super::connection::{Done, Queue};
use super::output::{Flush, Output};
use super::pump::{Step, RETRY_MS};
use super::Inner;
use crate::framing::{Broken, Ending, Fin, Framing, Next, Side, State};
use crate::sys::clock;
use crate::sys::hook::Endpoint;
use crate::sys::send::SendError;
use crate::sys::sieve::Stop;
use kernel::sync::atomic::Relaxed;
use kernel::sync::lock::mutex::MutexGuard;
use kernel::sync::Arc;

impl Queue {
    /// Throws bytes of the body away.
    pub(super) fn discard_step(self: &Arc<Self>, inner: &mut Inner, budget: &mut u64) -> Step {
        if *budget == 0 {
            return Step::Yield;
        }
        let Some(moving) = inner.moving.as_mut() else {
            return Step::Wait;
        };
        let taken = moving.take(&mut inner.rx, self.sock(), *budget);
        self.note_taken(taken.bytes, budget);
        self.router.stats.discarded.add(taken.bytes);
        if inner.rx.finish() {
            self.finish(inner, Ending::Complete);
            return Step::Again;
        }
        match taken.stop {
            Some(why) => self.stopped(inner, why),
            None if taken.bytes > 0 => Step::Again,
            None => self.source_state(inner),
        }
    }

    fn note_taken(&self, n: u64, budget: &mut u64) {
        if n > 0 {
            *budget = budget.saturating_sub(n);
            self.rx_bytes.add(n, Relaxed);
            self.touch();
        }
    }

    /// Bytes are there and could not be taken.
    fn stopped(self: &Arc<Self>, inner: &mut Inner, why: Stop) -> Step {
        match why {
            Stop::NoMemory => return Step::Retry,
            Stop::Unreadable => {
                if let Broken::MoveEnded(ending) = inner.rx.broken(kernel::bindings::EIO) {
                    self.finish(inner, ending);
                }
            }
            Stop::Refused => {
                if inner.rx.malformed() {
                    self.finish(inner, Ending::Malformed);
                }
            }
        }
        Step::Again
    }

    /// Nothing could be read: is it only late, or is it the end?
    fn source_state(self: &Arc<Self>, inner: &mut Inner) -> Step {
        let readable = self.sock().readable();
        if self.refuse_urgent(readable) {
            return Step::Wait;
        }
        let untaken = |m: &Move| m.untaken(readable.bytes) > 0;
        // Urgent data may keep bytes back also after the connection is gone.
        if inner.moving.as_ref().is_some_and(untaken) && !readable.urgent {
            return Step::Again;
        }
        if readable.fin && !readable.urgent {
            if inner.rx.fin_completes() {
                let Some(moving) = inner.moving.as_mut() else {
                    return Step::Wait;
                };
                if moving.end().is_err() {
                    return Step::Retry;
                }
                if moving.pages.bytes() > 0 {
                    // The end that the target gets; `move_bytes` comes back to the FIN.
                    return Step::Again;
                }
            }
            self.source_fin(inner);
            return Step::Again;
        }
        if readable.closed {
            self.broken(inner);
            return Step::Again;
        }
        Step::Wait
    }

    fn source_fin(self: &Arc<Self>, inner: &mut Inner) {
        if let Fin::MoveEnded(ending) = inner.rx.fin() {
            self.finish(inner, ending);
        }
    }

    /// Brings bytes of the body to the target.
    pub(super) fn move_step(self: &Arc<Self>, inner: &mut Inner, budget: &mut u64) -> Step {
        let Some(target) = inner.moving.as_ref().and_then(|m| m.target.clone()) else {
            return Step::Wait;
        };
        let mut out = target.out.lock();
        match out.flush(target.sock()) {
            Flush::Empty => self.move_bytes(inner, &target, out, budget),
            Flush::Blocked => {
                drop(out);
                self.blocked(inner)
            }
            Flush::Starved => Step::Retry,
            Flush::Broken(errno) => {
                drop(out);
                self.target_broke(inner, errno)
            }
        }
    }

    /// Gathers and sends until one side has enough.
    fn move_bytes(
        self: &Arc<Self>,
        inner: &mut Inner,
        target: &Arc<Queue>,
        mut out: MutexGuard<'_, Output>,
        budget: &mut u64,
    ) -> Step {
        let mut starved = false;
        loop {
            let Some(moving) = inner.moving.as_mut() else {
                return Step::Wait;
            };
            if moving.pages.bytes() == 0 {
                if moving.has_ended() {
                    drop(out);
                    if inner.rx.finish() {
                        self.finish(inner, Ending::Complete);
                    } else {
                        self.source_fin(inner);
                    }
                    return Step::Again;
                }
                if inner.rx.next() == Next::Over {
                    if moving.end().is_err() {
                        return Step::Retry;
                    }
                    continue;
                }
                if *budget == 0 {
                    return Step::Yield;
                }
                let taken = moving.take(&mut inner.rx, self.sock(), *budget);
                self.note_taken(taken.bytes, budget);
                if taken.stop == Some(Stop::Refused) || taken.bytes == 0 {
                    drop(out);
                    return match taken.stop {
                        Some(why) => self.stopped(inner, why),
                        None => self.source_state(inner),
                    };
                }
                continue;
            }
            match target.sock().send_pages(&mut moving.pages) {
                Ok(n) => {
                    starved = false;
                    out.sent = out.sent.saturating_add(n);
                    target.tx_bytes.add(n, Relaxed);
                    self.router.stats.moved(self.side, n);
                    self.touch();
                }
                // Room may have come between the refusal and the wish to be told of it;
                // twice in a row it is memory that is short.
                Err(SendError::Blocked) if target.sock().want_write() => {
                    if starved {
                        out.starve();
                        return Step::Retry;
                    }
                    starved = true;
                }
                Err(SendError::Blocked) => {
                    drop(out);
                    return self.blocked(inner);
                }
                Err(SendError::Broken(errno)) => {
                    out.set_broken(errno);
                    drop(out);
                    return self.target_broke(inner, errno);
                }
            }
        }
    }

    /// The target takes nothing now. A client whose connection broke meanwhile is not waited for: nobody
    /// is there for the response, and a body that lacks something will never be whole. (What a back-end
    /// sent before it broke still goes to its client, as slow as that is.)
    fn blocked(self: &Arc<Self>, inner: &mut Inner) -> Step {
        if self.side != Side::Front {
            return Step::Wait;
        }
        let readable = self.sock().readable();
        if !readable.closed || readable.fin {
            return Step::Wait;
        }
        let unread = inner
            .moving
            .as_ref()
            .map_or(0, |m| m.untaken(readable.bytes));
        if inner.rx.lacks(unread) {
            self.broken(inner);
            return Step::Again;
        }
        self.break_output();
        Step::Wait
    }

    fn target_broke(self: &Arc<Self>, inner: &mut Inner, errno: u32) -> Step {
        self.park(inner, Ending::TargetError(errno));
        Step::Again
    }

    /// Whether a move stood still for too long, and was ended; if not yet, the clock
    /// looks again in time.
    pub(super) fn stands_still(self: &Arc<Self>, inner: &mut Inner) -> bool {
        let Some(moving) = &inner.moving else {
            return false;
        };
        let Some(idle) = moving.idle_ms else {
            return false;
        };
        let now = clock::now_ms();
        let due = self.last_moved(moving).saturating_add(idle.into());
        let slow = now < due;
        if slow && self.keeps_pace(inner, now, due) {
            return false;
        }
        let Some(moving) = &inner.moving else {
            return false;
        };
        // A socket takes a little whenever its peer reads some, so that a slow one moves, too.
        let waits = |target: &Arc<Queue>| target.out.lock().unsent() > 0;
        let holds = moving.pages.bytes() > 0 || moving.target.as_ref().is_some_and(waits);
        let ending = match (holds, slow) {
            (true, false) => Ending::TargetStalled,
            (false, false) => Ending::SourceStalled,
            (true, true) => Ending::TargetSlow,
            (false, true) => Ending::SourceSlow,
        };
        self.park(inner, ending);
        true
    }

    /// Whether a move that does not stand still is quick enough so far; the clock looks again
    /// when it next has to be, or at `due`.
    fn keeps_pace(&self, inner: &mut Inner, now: u64, due: u64) -> bool {
        let Inner { moving, rx, .. } = inner;
        let Some(moving) = moving else {
            return true;
        };
        let Some(pace) = &mut moving.pace else {
            self.wake_at(due);
            return true;
        };
        if now >= pace.due() {
            // What the target did not take may be with us, and does not count.
            let moved = match &moving.target {
                Some(target) => target.out.lock().sent,
                None => rx.taken(),
            };
            if !pace.keeps_up(now, moved) {
                return false;
            }
        }
        self.wake_at(due.min(pace.due()));
        true
    }

    /// When a byte of a move from here moved last, or of a tunnel one the other way
    /// (milliseconds).
    pub(super) fn last_moved(&self, moving: &Move) -> u64 {
        let here = self.moved_at.load(Relaxed);
        match &moving.target {
            Some(target) if moving.leaves == Framing::Tunnel => {
                here.max(target.moved_at.load(Relaxed))
            }
            _ => here,
        }
    }

    /// Stops the move before its end. What was gathered and not sent is lost.
    pub(super) fn park(self: &Arc<Self>, inner: &mut Inner, ending: Ending) {
        if inner.rx.park().is_ok() {
            self.finish(inner, ending);
        }
    }

    /// A move ended: tells the target what that means, and notes what the router has to hear.
    pub(super) fn finish(self: &Arc<Self>, inner: &mut Inner, ending: Ending) {
        let Some(mut moving) = inner.moving.take() else {
            return;
        };
        moving.settle(self.sock());
        let mut response_due = false;
        let relayed = inner.relayed.take();
        if let Some(target) = &moving.target {
            let mut out = target.out.lock();
            out.writer = None;
            if core::mem::take(&mut out.holds_head) {
                Queue::kick(target.as_arc_borrow());
            }
            if ending == Ending::Complete {
                response_due = out.armed_to().is_some();
                target.rests.store(u32::from(relayed.is_some()), Relaxed);
            } else {
                let _ = out.disarm();
                out.cut_off();
            }
            if ending.aborts_target() {
                // Whoever ends it once told, and before it is reset here, must not end it by FIN.
                out.set_broken(ABORTED);
            }
            if ending == Ending::Complete && moving.leaves.ends_by_fin() {
                out.want_fin();
                // If data of the router still waits, the FIN goes after it.
                if out.flush(target.sock()) == Flush::Starved {
                    target.wake_in(RETRY_MS);
                }
            }
        }
        inner.last = Some(ending);
        inner.pending.done = Some(Done {
            to: moving.target.as_ref().map_or(0, |t| t.id),
            ending,
            taken: inner.rx.taken(),
            generation: inner.rx.generation(),
            status: relayed.map(|relayed| relayed.status),
            may_wait: response_due,
        });
        inner.pending.closed |= matches!(inner.rx.state(), State::Ended(_));
        if let Some(target) = moving.target.filter(|_| ending.aborts_target()) {
            // Told first: what the reset leads to at the target must not be taken for the cause.
            self.deliver(inner);
            // It must not take a part for the whole.
            target.sock().abort();
        }
    }
}
