// SPDX-License-Identifier: GPL-2.0
//! What happens by time: the clock wakes what is due, the reaper drops what nobody can see any more.
//!
//! Invariants: the clock ticks only while there is something to wait for, and only wakes
//! work items; it takes no socket's lock. The reaper waits for one grace period for all queues that ended recently,
//! and for one for all listeners.

#![forbid(unsafe_code)]

use super::engine::{Engine, Tables};
use super::{Listener, Queue, Router};
use crate::sys::clock;
use crate::sys::hook::{Endpoint, Retired};
use kernel::prelude::*;
use kernel::sync::atomic::{Full, Relaxed};
use kernel::sync::Arc;
use kernel::time::{msecs_to_jiffies, Jiffies};
use kernel::workqueue::WorkItem;

/// How often the clock looks, in milliseconds.
const TICK_MS: u32 = 100;

/// How many milliseconds queues that ended wait for others, to be dropped after one grace period.
const BURY_MS: u32 = 20;

/// What a callback may still see.
pub(super) struct Graves {
    queues: KVec<Retired<Queue>>,
    listeners: KVec<Retired<Listener>>,
}

impl Graves {
    pub(super) const fn new() -> Self {
        Self {
            queues: KVec::new(),
            listeners: KVec::new(),
        }
    }
}

/// Gives `retired` back if there is no memory: its drop waits, which is nothing to do under the lock.
fn lay<T: Endpoint>(grave: &mut KVec<Retired<T>>, retired: Retired<T>) -> Result<(), Retired<T>> {
    if grave.reserve(1, GFP_KERNEL).is_err() {
        return Err(retired);
    }
    grave.push_within_capacity(retired).map_err(|full| full.0)
}

impl Engine {
    /// Lets the clock look before long.
    pub(super) fn arm(self: &Arc<Self>) {
        let delay: Jiffies = msecs_to_jiffies(TICK_MS);
        // Armed already is fine.
        let _ = self
            .wq
            .queue()
            .enqueue_delayed::<Arc<Self>, 0>(self.clone(), delay);
    }

    /// Drops `retired` once no callback can see it. Without memory for the list it is dropped
    /// here, which waits for a grace period.
    pub(super) fn bury(self: &Arc<Self>, retired: Retired<Queue>) {
        let laid = lay(&mut self.graves.lock().queues, retired);
        if laid.is_ok() {
            self.reap();
        }
    }

    /// The same.
    pub(super) fn bury_listener(self: &Arc<Self>, retired: Retired<Listener>) {
        let laid = lay(&mut self.graves.lock().listeners, retired);
        if laid.is_ok() {
            self.reap();
        }
    }

    /// Lets the reaper come.
    fn reap(self: &Arc<Self>) {
        let delay: Jiffies = msecs_to_jiffies(BURY_MS);
        let wq = self.wq.queue();
        // Armed already is fine.
        let _ = wq.enqueue_delayed::<Arc<Self>, 1>(self.clone(), delay);
    }

    /// Ends what the routers left that did not come back in time.
    fn expire(self: &Arc<Self>) {
        let mut last = 0;
        while let Some(router) = self.router_after(last) {
            last = router.id;
            if router.expired() {
                self.end_listeners(&router);
            }
            self.drop_if_empty(&router);
        }
    }

    fn end_listeners(&self, router: &Arc<Router>) {
        let mut last = 0;
        while let Some(listener) = self.listener_after(last) {
            last = listener.id;
            if Arc::ptr_eq(&listener.router, router) {
                Listener::end_soon(&listener);
            }
        }
    }

    /// A queue is due at `at` (milliseconds), which its `due` says already.
    pub(super) fn note_due(&self, at: u64) {
        let mut next = self.next_due.load(Relaxed);
        while at < next {
            match self.next_due.cmpxchg(next, at, Full) {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Wakes what is due; says whether there is anything to wait for at all. Looks at the queues
    /// only if one of them is: there may be ten thousand, and most are idle.
    fn wake_due(&self) -> bool {
        let now = clock::now_ms();
        let lost = |tables: &Tables| tables.routers.values().any(|router| router.expired());
        let expired = lost(&self.tables.lock());
        if expired || self.next_due.load(Relaxed) <= now {
            // Before any queue is looked at: who becomes due meanwhile notes it again.
            let _ = self.next_due.xchg(u64::MAX, Full);
            self.queues.each(|queue| {
                let due = queue.due.load(Relaxed);
                if due != 0 && due <= now {
                    queue.due.store(0, Relaxed);
                    Queue::kick(queue.as_arc_borrow());
                } else if expired && queue.router.expired() {
                    Queue::kick(queue.as_arc_borrow());
                }
                if due > now {
                    self.note_due(due);
                }
            });
        }
        let some = !self.queues.is_empty();
        let tables = self.tables.lock();
        for listener in tables.listeners.values() {
            // What memory or the limit of orphans stopped.
            Listener::kick(listener.as_arc_borrow());
        }
        let mut waits = false;
        for router in tables.routers.values() {
            if router.take_left() || router.is_overflowed() {
                self.workers.queue(router.as_arc_borrow());
            }
            waits |= router.port() == 0 || router.is_overflowed();
        }
        some || waits || !tables.listeners.is_empty()
    }
}

impl WorkItem<0> for Engine {
    type Pointer = Arc<Self>;

    /// The clock.
    fn run(this: Arc<Self>) {
        this.expire();
        if this.wake_due() && this.stopping.load(Relaxed) == 0 {
            this.arm();
        }
    }
}

impl WorkItem<1> for Engine {
    type Pointer = Arc<Self>;

    /// The reaper.
    fn run(this: Arc<Self>) {
        let graves = core::mem::replace(&mut *this.graves.lock(), Graves::new());
        Retired::drop_all(graves.queues);
        Retired::drop_all(graves.listeners);
    }
}
