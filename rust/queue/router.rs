// SPDX-License-Identifier: GPL-2.0
//! A router: the netlink socket that owns listeners and queues, or what such a socket left.
//!
//! Invariants: `port` is zero while no socket owns the router; `heads_out` counts the clients'
//! heads that were sent up and are not answered, and never exceeds `credit`.

#![forbid(unsafe_code)]

use super::lines::LastLines;
use super::outbox::Outbox;
use super::room::{for_clients, FULL, LISTENERS_FULL, LISTENERS_MAX, QUEUES_FULL, QUEUES_MAX};
use super::waiting::Waiting;
use super::{Queue, Room, Stats};
use crate::framing::Side;
use crate::sys::{clock, netns::NetId, sock::FdError, worker::Work};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{new_mutex, Arc, Mutex};

/// Default number of unanswered heads of clients.
const CREDIT: u32 = 1024;
/// Default grace time in milliseconds.
const GRACE_MS: u32 = 30_000;
/// Default number of queues at once.
const QUEUES: u32 = 1 << 17;
/// Connections that are accepted for a router without a socket.
const ORPHANS_MAX: u32 = 1024;
/// Waiting queues that are woken by one message of the router.
const WAKE_BATCH: u32 = 64;

/// What a router may ask for when it attaches.
#[derive(Clone, Copy)]
pub struct Terms {
    /// Unanswered heads of clients.
    pub credit: Option<u32>,
    /// Grace time in milliseconds.
    pub grace: Option<u32>,
    /// Queues at once.
    pub queues_max: Option<u32>,
}

/// What `Router::state` guards.
pub struct State {
    /// Counts owners.
    owner: u32,
    /// Unanswered heads of clients that are allowed.
    pub credit: u32,
    /// Heads sent up and not answered.
    pub heads_out: u32,
    /// Grace time in milliseconds.
    pub grace: u32,
    /// When its socket was closed, in milliseconds.
    gone_at: Option<u64>,
    /// Nobody came in time, and nobody can any more.
    over: bool,
    /// Queues with an event that could not be delivered yet.
    pub waiting: Waiting,
    /// Connections accepted since the socket is gone.
    orphans: u32,
    /// Events that found the socket full.
    pub overflows: u64,
}

/// A router.
#[pin_data]
pub struct Router {
    /// Its number, never zero.
    pub id: u32,
    /// Its namespace.
    pub net: NetId,
    /// Counters of the namespace.
    pub stats: Arc<Stats>,
    port: Atomic<u32>,
    overflowed: Atomic<u32>,
    /// Events wait for the clock, or did.
    pub(super) left: Atomic<u32>,
    queues_max: Atomic<u32>,
    /// Its queues.
    pub queues: Room,
    /// Its listeners.
    pub listeners: Room,
    /// What goes behind responses that are passed on.
    #[pin]
    pub lines: LastLines,
    #[pin]
    state: Mutex<State>,
    #[pin]
    pub(super) outbox: Mutex<Outbox>,
    #[pin]
    pub(super) work: Work<Router>,
}

impl Router {
    /// A router owned by socket `port`. All that is its own runs in `thread`.
    pub fn new(
        id: u32,
        thread: u32,
        net: NetId,
        port: u32,
        terms: Terms,
        stats: Arc<Stats>,
    ) -> Result<Arc<Self>> {
        let state = State {
            owner: 0,
            credit: terms.credit.unwrap_or(CREDIT),
            heads_out: 0,
            grace: terms.grace.unwrap_or(GRACE_MS),
            gone_at: None,
            over: false,
            waiting: Waiting::new(),
            orphans: 0,
            overflows: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                id,
                net,
                stats,
                port: Atomic::new(port),
                overflowed: Atomic::new(0),
                left: Atomic::new(0),
                queues_max: Atomic::new(terms.queues_max.unwrap_or(QUEUES)),
                queues: Room::new(),
                listeners: Room::new(),
                lines <- LastLines::new(),
                state <- new_mutex!(state, "underpass_router"),
                outbox <- new_mutex!(Outbox::new(), "underpass_outbox"),
                work <- Work::new(thread),
            }),
            GFP_KERNEL,
        )
    }

    /// The owner's netlink port, or zero.
    pub fn port(&self) -> u32 {
        self.port.load(Relaxed)
    }

    /// Does `f` if the owner is socket `port`, which it is until `f` returns. `f` only sets atomics.
    pub(super) fn if_owner<R>(&self, port: u32, f: impl FnOnce() -> R) -> Option<R> {
        let _state = self.state.lock();
        (self.port() == port).then(f)
    }

    /// Shows the state to `f`.
    pub fn with<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.lock())
    }

    /// The owner's socket, `port`, is gone, or says so. Nothing if another one took over meanwhile.
    pub fn lose_owner(&self, port: u32, grace: Option<u32>) {
        // Held, as in `new_owner`.
        let mut outbox = self.outbox.lock();
        let mut state = self.state.lock();
        if self.port() != port {
            return;
        }
        state.gone_at = Some(clock::now_ms());
        state.orphans = 0;
        if let Some(grace) = grace {
            state.grace = grace;
        }
        self.port.store(0, Relaxed);
        drop(state);
        outbox.drop_all();
    }

    /// Socket `port` is the owner from now on. The caller offers everything again. Returns its number, and the
    /// port of the socket that was it until now, or zero; none: its time is over.
    pub fn new_owner(&self, port: u32, terms: Terms) -> Option<(u32, u32)> {
        // Held, so that a head is told either to the former owner, and dropped here, or to this
        // one; never to this one under the number that it had for the other.
        let mut outbox = self.outbox.lock();
        let mut state = self.state.lock();
        if state.over {
            return None;
        }
        state.gone_at = None;
        state.owner = state.owner.wrapping_add(1);
        state.heads_out = 0;
        if let Some(credit) = terms.credit {
            state.credit = credit;
        }
        if let Some(grace) = terms.grace {
            state.grace = grace;
        }
        if let Some(most) = terms.queues_max {
            self.queues_max.store(most, Relaxed);
        }
        // Under the lock, so that of two who come at once one is told of the other.
        let changed = (state.owner, self.port());
        self.port.store(port, Relaxed);
        drop(state);
        outbox.drop_all();
        Some(changed)
    }

    /// Whether its grace time is over. Once this was said, nobody becomes its owner.
    pub fn expired(&self) -> bool {
        if self.port() != 0 {
            return false;
        }
        let mut state = self.state.lock();
        let ends = |at: u64| at.saturating_add(u64::from(state.grace));
        let late = state.gone_at.is_some_and(|at| clock::now_ms() >= ends(at));
        state.over |= late && self.port() == 0;
        state.over
    }

    /// Ends it if it has neither owner nor listeners nor queues: it is only a memory then, of no
    /// use. Whether that was so.
    pub(super) fn end_if_empty(&self) -> bool {
        let mut state = self.state.lock();
        let empty = self.port() == 0 && self.queues.taken() == 0 && self.listeners.taken() == 0;
        state.over |= empty;
        empty
    }

    /// Whether one more connection may be accepted for it.
    pub fn may_accept(&self) -> bool {
        let room = self.queues.taken() < for_clients(self.queues_max())
            && self.stats.queues.taken() < for_clients(QUEUES_MAX);
        room && (self.port() != 0 || self.state.lock().orphans < ORPHANS_MAX)
    }

    /// Queues that it may have at once.
    pub fn queues_max(&self) -> u32 {
        self.queues_max.load(Relaxed)
    }

    /// Takes a place for a queue.
    pub(super) fn enter_queue(&self) -> Result<(), FdError> {
        self.queues.take(self.queues_max()).map_err(|_| FULL)?;
        self.stats.queues.take(QUEUES_MAX).map_err(|_| {
            self.queues.give();
            QUEUES_FULL
        })
    }

    /// Gives the place of a queue back.
    pub(super) fn leave_queue(&self) {
        self.queues.give();
        self.stats.queues.give();
    }

    /// Takes a place for a listener.
    pub(super) fn enter_listener(&self) -> Result<(), FdError> {
        let entered = self.stats.listeners.take(LISTENERS_MAX);
        entered.map_err(|_| LISTENERS_FULL)?;
        // As many as the namespace may have, so it is never refused here.
        let _ = self.listeners.take(u32::MAX);
        Ok(())
    }

    /// Gives the place of a listener back.
    pub(super) fn leave_listener(&self) {
        self.listeners.give();
        self.stats.listeners.give();
    }

    /// A connection was accepted for it.
    pub fn note_accepted(&self) {
        self.stats.accepted.add(1);
        if self.port() == 0 {
            let mut state = self.state.lock();
            state.orphans = state.orphans.saturating_add(1);
        }
    }

    /// Takes credit for the head of `queue`, of the owner of the number it returns. None: it waits for it
    /// in line now, or for the clock where there is no memory for a place.
    pub fn take_credit(&self, queue: &Arc<Queue>) -> Option<u32> {
        let mut state = self.state.lock();
        if queue.side == Side::Back {
            // The owner has as many of them as it made, and what they say may be what gives credit back.
            return Some(state.owner);
        }
        let turn = state
            .waiting
            .first_head()
            .is_none_or(|q| Arc::ptr_eq(q, queue));
        if turn && state.heads_out < state.credit {
            state.heads_out = state.heads_out.saturating_add(1);
            return Some(state.owner);
        }
        let _ = state.waiting.for_credit(queue);
        None
    }

    /// Whether `owner` is the number of the owner now.
    pub fn is_owner(&self, owner: u32) -> bool {
        self.state.lock().owner == owner
    }

    /// Gives the credit of one head back, which may let another one go up.
    pub fn return_credit(&self, owner: u32) {
        let next = {
            let mut state = self.state.lock();
            state.give_back(owner);
            state.next_head()
        };
        if let Some(queue) = next {
            Queue::kick(queue.as_arc_borrow());
        }
    }

    /// An event found the socket full: all waiting is tried again on the next message. `first`: it did not
    /// before.
    pub fn note_overflow(&self, first: bool) {
        self.overflowed.store(1, Relaxed);
        if first {
            self.stats.overflows.add(1);
            let mut state = self.state.lock();
            state.overflows = state.overflows.saturating_add(1);
        }
    }

    /// The router sent a message: what happened before goes up before its answer. It may have
    /// read some, too.
    pub fn heard(&self) {
        if self.send_events().is_ok() {
            self.wake_waiting();
        }
    }

    /// Whether an event found the socket full, and no room is known of since.
    pub(super) fn is_overflowed(&self) -> bool {
        self.overflowed.load(Relaxed) != 0
    }

    /// There may be room: what waits is tried again.
    pub(super) fn wake_waiting(&self) {
        if !self.is_overflowed() {
            return;
        }
        self.overflowed.store(0, Relaxed);
        let head = self.state.lock().next_head();
        if let Some(queue) = head {
            Queue::kick(queue.as_arc_borrow());
        }
        for _ in 0..WAKE_BATCH {
            let next = self.state.lock().waiting.pop_event();
            match next {
                Some(queue) => Queue::kick(queue.as_arc_borrow()),
                None => return,
            }
        }
        self.overflowed.store(1, Relaxed);
    }

    /// Gives the credit of a head back that did not go up.
    pub fn cancel_credit(&self, owner: u32) {
        self.state.lock().give_back(owner);
    }

    /// Puts `queue` behind the others that wait for room, unless it waits already. ENOMEM: the clock
    /// finds it.
    pub fn wait(&self, queue: &Arc<Queue>) -> Result {
        self.state.lock().waiting.for_room(queue)
    }

    /// Takes `queue` out, if it waits. That may let another head go up.
    pub fn forget(&self, queue: &Queue) {
        let mut state = self.state.lock();
        let found = state.waiting.take(queue.place.load(Relaxed));
        let next = state.next_head();
        // Its drop may free memory; not under the lock.
        drop(state);
        drop(found);
        if let Some(next) = next {
            Queue::kick(next.as_arc_borrow());
        }
    }
}

impl State {
    /// A former owner's credit is no one's any more.
    fn give_back(&mut self, owner: u32) {
        if owner == self.owner {
            self.heads_out = self.heads_out.saturating_sub(1);
        }
    }

    /// Whose head may go up now, of those that wait for that.
    fn next_head(&self) -> Option<Arc<Queue>> {
        match self.heads_out < self.credit {
            true => self.waiting.first_head().cloned(),
            false => None,
        }
    }
}
