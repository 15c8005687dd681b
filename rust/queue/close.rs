// SPDX-License-Identifier: GPL-2.0
//! The end of a queue: what it releases, in which order.
//!
//! Invariants: `end` is final, and safe to call at any time and more than once. A queue
//! that was ended has no move, is nobody's target, and gets no more commands. The last
//! references are dropped by the engine's reaper, after an RCU grace period.

#![forbid(unsafe_code)]

use super::connection::Life;
use super::output::Flush;
use super::pump::RETRY_MS;
use super::{Inner, Queue};
use crate::framing::{Ending, Side, State, HEAD_LATE};
use crate::sys::clock;
use crate::sys::hook::{self, Endpoint};
use kernel::sync::atomic::Relaxed;
use kernel::sync::lock::mutex::MutexGuard;
use kernel::sync::Arc;

/// How long data that was accepted may take to go out, in milliseconds.
const FLUSH_MS: u64 = 30_000;
/// How long a body of a router that is gone may stand still, in milliseconds.
const STALL_MS: u64 = 60_000;
/// Bytes that one run of a drain reads.
const DRAIN_BUDGET: u64 = 1 << 20;
/// Bytes and milliseconds of a drain that the kernel starts itself.
const FAREWELL: (u64, u64) = (1 << 20, 5_000);

/// What a client gets whose request found no router within its grace time.
const NO_ROUTER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Length: 0\r\n\
    Connection: close\r\n\
    Proxy-Status: underpass; error=proxy_internal_error; details=\"no-router\"\r\n\r\n";

/// The errno of a sending half whose body was cut off here.
pub(super) const ABORTED: u32 = kernel::bindings::ECONNABORTED;

/// In which way to end.
#[derive(Clone, Copy)]
pub enum How {
    /// Data out, then FIN (a reset where bytes are unread).
    Close,
    /// Reset, now.
    Abort,
    /// Data out, FIN, then read and discard so much for so long (milliseconds).
    Drain(u64, u64),
}

/// Ends a queue. Its id is no longer open to commands when this returns.
pub fn end(this: &Arc<Queue>, how: How) {
    end_locked(this, this.inner.lock(), how);
}

/// The same, for whoever looked whether it may be ended; `inner` is of `this`.
pub fn end_locked(this: &Arc<Queue>, mut inner: MutexGuard<'_, Inner>, how: How) {
    if inner.life != Life::Open {
        return;
    }
    this.settle_credit(&mut inner);
    let how = match how {
        // A head that nobody was told of: unread, it would make a reset of the close, which takes
        // back what the client has not read yet.
        How::Close if inner.pending.head && this.side == Side::Front => {
            How::Drain(FAREWELL.0, FAREWELL.1)
        }
        how => how,
    };
    let (left, ms) = match how {
        How::Drain(bytes, ms) => (Some(bytes), ms),
        How::Close | How::Abort => (None, FLUSH_MS),
    };
    // A body that was on its way from here: its target must not take it for whole.
    if let Some(mut moving) = inner.moving.take() {
        moving.settle(this.sock());
        if let Some(target) = moving.target {
            {
                let mut out = target.out.lock();
                out.writer = None;
                let _ = out.disarm();
                // Whoever ends it before it is reset here must not end it by FIN.
                out.set_broken(ABORTED);
            }
            target.sock().abort();
        }
    }
    inner.relayed = None;
    inner.pending = Default::default();
    this.router.forget(this);
    inner.life = Life::Draining {
        left,
        deadline: clock::now_ms().saturating_add(ms),
    };
    // A body on its way to here: its source hears of it as of a broken target.
    let mut out = this.out.lock();
    out.close();
    // Part of a body went out, and the rest will not: the peer must not take it for whole.
    let cut = out.writer.is_some() || out.broken() == Some(ABORTED);
    let writer = out.writer.take();
    if writer.is_some() {
        out.set_broken(ABORTED);
    }
    drop(out);
    if matches!(how, How::Abort) || cut {
        this.sock().abort();
        gone(this, inner);
    } else {
        drain_step(this, inner);
    }
    if let Some(writer) = writer {
        Queue::kick(writer.as_arc_borrow());
    }
}

/// Goes on with ending; `inner` is of `this`.
pub(super) fn drain_step(this: &Arc<Queue>, inner: MutexGuard<'_, Inner>) {
    let Life::Draining { left, deadline } = inner.life else {
        return;
    };
    let late = clock::now_ms() >= deadline;
    let mut inner = inner;
    let flushed = {
        let mut out = this.out.lock();
        if left.is_some() {
            out.want_fin();
        }
        out.flush(this.sock())
    };
    // Nothing more to read for, once all is out.
    let mut enough = left.is_none_or(|left| left == 0);
    if let Some(left) = left.filter(|&left| left > 0) {
        let (n, readable) = this.sock().discard(left.min(DRAIN_BUDGET));
        this.router.stats.discarded.add(n);
        let left = left.saturating_sub(n);
        inner.life = Life::Draining {
            left: Some(left),
            deadline,
        };
        // Past urgent data nothing can be read.
        enough = left == 0
            || readable.urgent
            || (readable.bytes == 0 && (readable.fin || readable.closed));
        if readable.bytes > 0 && !enough {
            Queue::kick(this.as_arc_borrow());
        }
    }
    let over = match flushed {
        Flush::Broken(_) => true,
        Flush::Empty => enough || late,
        Flush::Blocked | Flush::Starved => {
            if late {
                // The peer must not take a part of what was sent for the whole.
                this.sock().abort();
            }
            late
        }
    };
    if over {
        gone(this, inner);
    } else if flushed == Flush::Starved {
        this.wake_in(RETRY_MS);
    } else {
        this.wake_at(deadline);
    }
}

/// Lets go of everything. `inner` is of `this`.
fn gone(this: &Arc<Queue>, mut inner: MutexGuard<'_, Inner>) {
    inner.life = Life::Gone;
    drop(inner);
    this.due.store(0, Relaxed);
    let retired = hook::release(this);
    // FIN now; the socket itself is released with the last reference.
    this.sock().shutdown_both();
    this.engine.remove_queue(this);
    if let Some(retired) = retired {
        this.engine.bury(retired);
    }
}

/// Whether a queue of an expired router has nothing left to wait for.
pub(super) fn orphaned(this: &Arc<Queue>, inner: &Inner) -> bool {
    let stale = |at: u64| clock::now_ms().saturating_sub(at) >= STALL_MS;
    match &inner.moving {
        Some(moving) => stale(this.last_moved(moving)),
        None => match &this.out.lock().writer {
            Some(writer) => stale(writer.moved_at.load(Relaxed)),
            None => true,
        },
    }
}

/// Ends a queue whose router did not come back.
pub(super) fn end_orphan(this: &Arc<Queue>) {
    let (waits, cut) = {
        let inner = this.inner.lock();
        let waits = this.side == Side::Front && matches!(inner.rx.state(), State::Ready { .. });
        (waits, this.out.lock().is_cut())
    };
    if cut {
        // It took a forward back, and did not live to say what follows.
        end(this, How::Abort);
    } else if waits {
        end_with(this, NO_ROUTER);
    } else {
        end(this, How::Close);
    }
}

/// Ends a connection whose first head did not come in time.
pub(super) fn end_late(this: &Arc<Queue>) {
    this.router.stats.late.add(1);
    let begun = this.inner.lock().rx.scanned() > 0;
    if begun {
        end_with(this, HEAD_LATE);
    } else {
        // It asked nothing.
        end(this, How::Close);
    }
}

/// Says why, and reads for a while what the client still sends, so that it can read that.
fn end_with(this: &Arc<Queue>, response: &[u8]) {
    let mut out = this.out.lock();
    if out.writer.is_none() {
        // Without memory for it the connection ends without a word.
        let _ = out.put(this.sock(), &[response], false);
    }
    // In the midst of a body it would be taken for a part of that, which `end` cuts off.
    drop(out);
    farewell(this);
}

/// Ends a connection after its last word, and reads for a while what still comes.
pub(super) fn farewell(this: &Arc<Queue>) {
    end(this, How::Drain(FAREWELL.0, FAREWELL.1));
}

/// The router takes a forward back.
pub fn cancel(this: &Arc<Queue>, inner: &mut Inner) {
    this.park(inner, Ending::Cancelled);
    // The reply tells; an event would tell it twice.
    inner.pending.done = None;
}
