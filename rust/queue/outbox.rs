// SPDX-License-Identifier: GPL-2.0
//! Events on their way to a router: several leave in one message.
//!
//! A queue's work item puts its event here and enqueues the work item of the router, which
//! runs after those of all queues that are waiting, and sends their events with one wake-up
//! of the reader. An event that needs no action ([`When::Later`]) wakes nobody: it goes with the next
//! event, or within a tick of the clock. Any command of the router sends them first, so that no
//! answer overtakes what happened before it.
//!
//! Invariants: a batch that the reader has no room for stays, and nothing more is accepted until
//! it has left: what is refused here stays pending with its queue. The clock sends it again, as it may
//! hold the last events, after which no queue would come back. `near` is set if there is a
//! batch.

#![forbid(unsafe_code)]

use super::{Queue, Router, ENGINE};
use crate::sys::hook::Endpoint;
use crate::sys::message::{Batch, Writer};
use crate::sys::worker::{Runs, Work};
use kernel::prelude::*;
use kernel::sync::atomic::{Full, Relaxed};
use kernel::sync::lock::mutex::MutexGuard;
use kernel::sync::Arc;

/// Bytes of the largest batch that more is added to: with its skb a page.
const BATCH_MAX: usize = 3 << 10;
/// Of the smallest.
const BATCH_MIN: usize = 256;

/// When an event has to leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Behind those of the queues whose work items are enqueued already.
    Soon,
    /// With the next one, or by the clock: nobody has to do anything about it.
    Later,
}

/// What waits.
pub struct Outbox {
    batch: Option<Batch>,
    /// A queue with an event in there; its socket holds the namespace.
    near: Option<Arc<Queue>>,
    /// Bytes that the next batch gets: what is allocated in vain is charged to the reader.
    size: usize,
    /// The reader had no room.
    stuck: bool,
    /// The work item that sends it is enqueued.
    coming: bool,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self {
            batch: None,
            near: None,
            size: BATCH_MIN,
            stuck: false,
            coming: false,
        }
    }

    /// Whether the batch left, or there is none.
    fn send(&mut self, port: u32) -> Result {
        let (Some(batch), Some(near)) = (self.batch.take(), &self.near) else {
            return Ok(());
        };
        let used = batch.len();
        match batch.send(near.sock(), port) {
            Err((error, batch)) if error == EAGAIN => {
                self.batch = Some(batch);
                self.stuck = true;
                return Err(EAGAIN);
            }
            // The reader is gone. The next one asks for the state of everything.
            Err((error, _)) => pr_debug!("events for port {port} are lost: {error:?}\n"),
            Ok(()) => self.size = used.clamp(BATCH_MIN, BATCH_MAX),
        }
        self.stuck = false;
        self.coming = false;
        self.near = None;
        Ok(())
    }

    /// What was told to the former owner is of no use to the next.
    pub(super) fn drop_all(&mut self) {
        self.batch = None;
        self.near = None;
        self.stuck = false;
        self.coming = false;
    }
}

impl Router {
    /// Puts an event of `q`, of `size` bytes at the most, behind the others. EAGAIN: the router
    /// reads nothing; ECONNREFUSED: there is none; ENOMEM. `fill` may run twice.
    pub fn post(
        self: &Arc<Self>,
        q: &Arc<Queue>,
        cmd: u8,
        size: usize,
        when: When,
        fill: impl Fn(&mut Writer) -> Result,
    ) -> Result {
        let mut outbox = self.outbox.lock();
        // Under the lock in which the owner changes: else it could be the former one's.
        let port = self.port();
        if port == 0 {
            return Err(ECONNREFUSED);
        }
        if outbox.stuck {
            outbox.send(port)?;
        }
        if let Some(batch) = &mut outbox.batch {
            match batch.add(cmd, &fill) {
                Err(error) if error == EMSGSIZE => {
                    outbox.send(port)?;
                    outbox.size = BATCH_MAX;
                }
                result => return result.map(|()| self.follow(outbox, q, when)),
            }
        }
        let mut batch = Batch::new(size.max(outbox.size))?;
        batch.add(cmd, &fill)?;
        outbox.batch = Some(batch);
        outbox.near = Some(q.clone());
        self.follow(outbox, q, when);
        Ok(())
    }

    /// Lets the work item follow that sends what is in `outbox`, or leaves that to the clock.
    fn follow(self: &Arc<Self>, mut outbox: MutexGuard<'_, Outbox>, q: &Queue, when: When) {
        match when {
            When::Later => self.left.store(1, Relaxed),
            When::Soon if outbox.coming => {}
            When::Soon => {
                outbox.coming = true;
                drop(outbox);
                // Enqueued already is fine: that run comes after this.
                q.engine.workers.queue(self.as_arc_borrow());
            }
        }
    }

    /// Whether events were left to the clock since it asked last. They may have gone since.
    pub(super) fn take_left(&self) -> bool {
        self.left.load(Relaxed) != 0 && self.left.xchg(0, Full) != 0
    }

    /// Sends what waits. Events that found no room stay.
    pub fn send_events(&self) -> Result {
        let mut outbox = self.outbox.lock();
        let port = self.port();
        if port == 0 {
            outbox.drop_all();
            return Ok(());
        }
        outbox.send(port)
    }
}

impl Runs for Router {
    fn work(&self) -> &Work<Self> {
        &self.work
    }

    /// After an event, and as long as the reader has no room, by the clock.
    fn run(this: Arc<Self>) {
        match this.send_events() {
            Ok(()) => this.wake_waiting(),
            Err(_) => {
                let first = !this.is_overflowed();
                this.note_overflow(first);
                // What it waits for may be the last events of all: nothing else asks for the clock.
                if let Some(engine) = ENGINE.get() {
                    engine.arm();
                }
            }
        }
    }
}
