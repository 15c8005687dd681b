// SPDX-License-Identifier: GPL-2.0
//! Lets bytes of a body gather until many can go on at once.
//!
//! Each send costs segments, acknowledgements and wake-ups at the target, however few its bytes are. So
//! a body whose length is known goes on in bursts of whole segments. A burst is no more than is left of
//! the body, and no more than half of what the sender may send unasked, so that it has no window to wait
//! for; and after `HOLD_MS` what is there goes on.
//!
//! Where a burst was not there in that time, the sender is slow, or waits itself (for acknowledgements, or
//! its peer), and each wait costs it time. So nothing waits at first, and after a wait in vain twice as much
//! goes on without waiting as after the one before, which only many bursts make up for.
//!
//! Invariants: `Hold::want` is not zero only while a body moves; then the queue's work item runs, or
//! the flusher is going to look at the queue, or it looked and wakes it. A body of unknown length never
//! waits: only its ends know what a part of it is worth.

#![forbid(unsafe_code)]

use super::body::Move;
use super::{Engine, Queue};
use crate::framing::{Framing, Next, Receiver};
use crate::sys::clock;
use crate::sys::hook::Endpoint;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};
use kernel::sync::Arc;
use kernel::time::{msecs_to_jiffies, Jiffies};
use kernel::workqueue::WorkItem;

/// Bytes of a burst.
const BURST: u64 = 512 << 10;

/// How long bytes wait, in milliseconds; the timer is coarser (a jiffy).
const HOLD_MS: u32 = 1;

/// Bytes that go on without waiting before the first wait, and after the first one in vain.
const FREE_MIN: u64 = 256 << 10;
/// After the last one of many.
const FREE_MAX: u64 = 64 << 20;

/// What a queue knows of its waiting.
pub(super) struct Hold {
    /// Unread bytes that it waits for; zero: it does not wait.
    want: Atomic<u32>,
    /// Since when it waits, in milliseconds; zero: not yet.
    since: Atomic<u64>,
    /// It waited long enough.
    over: Atomic<u32>,
    /// It is among those that the flusher looks at.
    listed: Atomic<u32>,
    /// At how many bytes taken from the queue it waits again.
    again: Atomic<u64>,
    /// Bytes that go on without waiting after the next wait in vain.
    free: Atomic<u64>,
}

impl Hold {
    pub(super) const fn new() -> Self {
        Self {
            want: Atomic::new(0),
            since: Atomic::new(0),
            over: Atomic::new(0),
            listed: Atomic::new(0),
            again: Atomic::new(FREE_MIN),
            free: Atomic::new(FREE_MIN),
        }
    }

    /// Somebody looks: data that comes meanwhile brings the queue back.
    pub(super) fn look(&self) {
        self.want.store(0, Relaxed);
    }

    /// Whether it waited long enough; that is told once.
    fn is_over(&self) -> bool {
        let over = self.over.load(Relaxed) != 0 && self.over.xchg(0, Full) != 0;
        if over {
            self.since.store(0, Relaxed);
        }
        over
    }

    /// It waited in vain, when so many bytes had been taken.
    fn in_vain(&self, taken: u64) {
        let free = self.free.load(Relaxed);
        self.again.store(taken.saturating_add(free), Relaxed);
        self.free
            .store(free.saturating_mul(2).min(FREE_MAX), Relaxed);
    }

    /// A burst was there in time. A wait in vain costs more than many of these bring.
    fn worked(&self) {
        self.since.store(0, Relaxed);
        let free = self.free.load(Relaxed);
        let less = free.saturating_sub(free >> 5).max(FREE_MIN);
        self.free.store(less, Relaxed);
    }

    /// The flusher looks: until when it waits (milliseconds), if it does.
    fn waits_until(&self) -> Option<u64> {
        let _ = self.listed.xchg(0, Full);
        let since = self.since.load(Relaxed);
        (self.want.load(Relaxed) != 0).then(|| since.saturating_add(HOLD_MS.into()))
    }
}

impl Queue {
    /// Whether data that came is not worth a look yet. Any context, under the socket's lock.
    pub(super) fn gathers(&self) -> bool {
        let want = self.hold.want.load(Relaxed);
        want != 0 && !self.sock().has(want)
    }

    /// How many bytes of `moving` may be taken now; none: it waits for more.
    pub(super) fn burst(self: &Arc<Self>, moving: &mut Move, rx: &Receiver) -> Option<u64> {
        let (Framing::Length(_), Some(target), Next::Content(left)) =
            (moving.comes, &moving.target, rx.next())
        else {
            return Some(u64::MAX);
        };
        let (sock, hold) = (self.sock(), &self.hold);
        let taken = self.rx_bytes.load(Relaxed);
        if hold.is_over() {
            // A sender that sent nothing lost no time.
            if moving.untaken(sock.readable().bytes) > 0 {
                hold.in_vain(taken);
            }
            return Some(u64::MAX);
        }
        if taken < hold.again.load(Relaxed) {
            return Some(u64::MAX);
        }
        let segment = u64::from(target.sock().segment());
        let most = BURST.min(sock.half_window().into());
        let want = u32::try_from(left.min(most)).unwrap_or(u32::MAX).max(1);
        let mut there = self.gathered(moving, want);
        if there.is_none() {
            // Else what was taken would count as unread.
            moving.settle(sock);
            hold.want.store(want, Relaxed);
            // Takes the socket's lock: what comes later finds `want`.
            there = self.gathered(moving, want);
            if there.is_none() && !sock.has(want) && self.waits() {
                return None;
            }
            hold.look();
        }
        hold.worked();
        // All that is there, if that is the rest, or more cannot be waited for.
        let Some(there) = there.filter(|&there| there < left) else {
            return Some(u64::MAX);
        };
        match there.checked_rem(segment) {
            Some(rest) if rest < there => Some(there.saturating_sub(rest)),
            _ => Some(there),
        }
    }

    /// Bytes that were not taken, if they are `want` at least. As many as can be if nothing follows them.
    fn gathered(&self, moving: &Move, want: u32) -> Option<u64> {
        let readable = self.sock().readable();
        let there = moving.untaken(readable.bytes);
        if readable.fin || readable.closed || readable.urgent {
            return Some(u64::MAX);
        }
        (there >= want).then_some(there.into())
    }

    /// Puts it among those that the flusher looks at. False: memory is short.
    fn waits(self: &Arc<Self>) -> bool {
        if self.hold.since.load(Relaxed) == 0 {
            self.hold.since.store(clock::now_ms(), Relaxed);
        }
        // The flusher takes the mark away before it looks at `want`.
        if self.hold.listed.xchg(1, Full) != 0 || self.engine.hold(self) {
            return true;
        }
        self.hold.listed.store(0, Relaxed);
        false
    }
}

impl Engine {
    /// `queue` goes on at the latest when the flusher says so. False: memory is short.
    fn hold(self: &Arc<Self>, queue: &Arc<Queue>) -> bool {
        let held = self.held.lock().push(queue.clone(), GFP_KERNEL);
        if held.is_ok() {
            let delay: Jiffies = msecs_to_jiffies(HOLD_MS);
            let wq = self.wq.queue();
            // Armed already is fine.
            let _ = wq.enqueue_delayed::<Arc<Self>, 2>(self.clone(), delay);
        }
        held.is_ok()
    }
}

impl WorkItem<2> for Engine {
    type Pointer = Arc<Self>;

    /// The flusher.
    fn run(this: Arc<Self>) {
        let held = core::mem::replace(&mut *this.held.lock(), KVec::new());
        let now = clock::now_ms();
        for queue in held {
            match queue.hold.waits_until() {
                None => {}
                Some(until) if now < until && queue.waits() => {}
                Some(_) => {
                    queue.hold.over.store(1, Relaxed);
                    Queue::kick(queue.as_arc_borrow());
                }
            }
        }
    }
}
