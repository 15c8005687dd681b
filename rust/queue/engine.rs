// SPDX-License-Identifier: GPL-2.0
//! All objects, and the threads that serve them. What happens by time is in `clock.rs`.
//!
//! Invariants: the tables hold exactly the existing routers, and the listeners and queues whose
//! sockets are adopted; no id is in use twice at the same time.

#![forbid(unsafe_code)]

use super::clock::Graves;
use super::room::ROUTERS_MAX;
use super::table::Table;
use super::{Listener, Queue, Router, Stats, Terms};
use crate::sys::global::Global;
use crate::sys::hook::{self, Endpoint};
use crate::sys::netns::{Namespaces, NetId};
use crate::sys::owner::Owners;
use crate::sys::sock::{FdError, Kind};
use crate::sys::worker::Workers;
use crate::sys::workqueue::Workqueue;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::workqueue::{impl_has_delayed_work, new_delayed_work, DelayedWork};

const NO_MEMORY: FdError = (ENOMEM, "no memory now; try again");
const TAKEN_OVER: FdError = (EPERM, "the router was taken over meanwhile");

/// The engine, between module init and exit.
pub static ENGINE: Global<Engine> = Global::new();

pub(super) struct Tables {
    pub(super) listeners: RBTree<u32, Arc<Listener>>,
    pub(super) routers: RBTree<u32, Arc<Router>>,
    stats: RBTree<NetId, Arc<Stats>>,
}

/// See the file's head.
#[pin_data]
pub struct Engine {
    /// Run the work items of queues, listeners and routers.
    pub(super) workers: Workers,
    /// Serves the clock, and the reaper, which sleeps long.
    pub(super) wq: Workqueue,
    last_id: Atomic<u32>,
    pub(super) stopping: Atomic<u32>,
    /// No queue is due earlier than this (milliseconds).
    pub(super) next_due: Atomic<u64>,
    #[pin]
    pub(super) queues: Table,
    #[pin]
    pub(super) tables: Mutex<Tables>,
    #[pin]
    pub(super) graves: Mutex<Graves>,
    #[pin]
    reaper: DelayedWork<Engine, 1>,
    #[pin]
    clock: DelayedWork<Engine, 0>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, 0> for Engine { self.clock }
    impl HasDelayedWork<Self, 1> for Engine { self.reaper }
}

impl Engine {
    /// An engine without objects.
    pub fn new() -> Result<Arc<Self>> {
        let tables = Tables {
            listeners: RBTree::new(),
            routers: RBTree::new(),
            stats: RBTree::new(),
        };
        let (workers, wq) = (Workers::start()?, Workqueue::new()?);
        Arc::pin_init(
            pin_init!(Self {
                workers,
                wq,
                last_id: Atomic::new(0),
                stopping: Atomic::new(0),
                next_due: Atomic::new(u64::MAX),
                queues <- Table::new(),
                tables <- new_mutex!(tables, "underpass_tables"),
                graves <- new_mutex!(Graves::new(), "underpass_graves"),
                reaper <- new_delayed_work!("underpass_reaper"),
                clock <- new_delayed_work!("underpass_clock"),
            }),
            GFP_KERNEL,
        )
    }

    /// Ends the clock and waits for all work. Module exit: there are no queues or listeners,
    /// since each holds the module.
    pub fn stop(this: &Arc<Self>) {
        this.stopping.store(1, Relaxed);
        // What ran before that may set the clock's timer.
        this.workers.flush();
        // So may a run of the clock that did not see it; the next one does not.
        Workqueue::flush_delayed::<_, 0>(this);
        Workqueue::flush_delayed::<_, 0>(this);
        // What still runs may set the reaper's timer, which no flush waits for.
        this.workers.flush();
        Workqueue::flush_delayed::<_, 1>(this);
    }

    /// A number for a new object.
    pub fn next_id(&self) -> u32 {
        loop {
            let id = self.last_id.fetch_add(1, Relaxed).wrapping_add(1);
            // After 2^32 objects an old one may still have its number.
            if id != 0 && self.queue(id).is_none() && !self.is_listed(id) {
                return id;
            }
        }
    }

    /// Whether a router or a listener has this number.
    fn is_listed(&self, id: u32) -> bool {
        let tables = self.tables.lock();
        tables.routers.get(&id).is_some() || tables.listeners.get(&id).is_some()
    }

    /// The counters of a namespace.
    pub fn stats(&self, net: NetId) -> Result<Arc<Stats>> {
        let mut tables = self.tables.lock();
        if let Some(stats) = tables.stats.get(&net) {
            return Ok(stats.clone());
        }
        let stats = Arc::new(Stats::new(), GFP_KERNEL)?;
        tables
            .stats
            .try_create_and_insert(net, stats.clone(), GFP_KERNEL)?;
        Ok(stats)
    }

    /// The router whose socket is `port` of `net`.
    pub fn router_of(&self, net: NetId, port: u32) -> Option<Arc<Router>> {
        let tables = self.tables.lock();
        let found = tables
            .routers
            .values()
            .find(|r| r.net == net && r.port() == port);
        found.cloned()
    }

    /// A router by number.
    pub fn router(&self, id: u32) -> Option<Arc<Router>> {
        self.tables.lock().routers.get(&id).cloned()
    }

    /// A listener by number.
    pub fn listener(&self, id: u32) -> Option<Arc<Listener>> {
        self.tables.lock().listeners.get(&id).cloned()
    }

    /// A queue by number.
    pub fn queue(&self, id: u32) -> Option<Arc<Queue>> {
        self.queues.get(id)
    }

    /// The first router after number `last`.
    pub fn router_after(&self, last: u32) -> Option<Arc<Router>> {
        after(&self.tables.lock().routers, last)
    }

    /// The first listener after number `last`.
    pub fn listener_after(&self, last: u32) -> Option<Arc<Listener>> {
        after(&self.tables.lock().listeners, last)
    }

    /// The first queue after number `last`.
    pub fn queue_after(&self, last: u32) -> Option<Arc<Queue>> {
        self.queues.after(last)
    }

    /// Makes a router for socket `port`. ENOSPC: the namespace has `ROUTERS_MAX`.
    pub fn add_router(
        self: &Arc<Self>,
        net: NetId,
        port: u32,
        terms: Terms,
    ) -> Result<Arc<Router>> {
        let stats = self.stats(net)?;
        let thread = self.workers.next();
        let router = Router::new(self.next_id(), thread, net, port, terms, stats)?;
        router.stats.routers.take(ROUTERS_MAX)?;
        let mut tables = self.tables.lock();
        let inserted = tables
            .routers
            .try_create_and_insert(router.id, router.clone(), GFP_KERNEL);
        drop(tables);
        if inserted.is_err() {
            router.stats.routers.give();
        }
        inserted?;
        Ok(router)
    }

    /// Adopts the socket of a queue, if `fits` allows it, and puts the queue in the table.
    pub fn add_queue(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        fits: impl FnOnce(&Kind) -> Result<(), FdError>,
    ) -> Result<(), FdError> {
        queue.router.enter_queue()?;
        let adopted = adopt(queue.id, queue, fits);
        let node = adopted.inspect_err(|_| queue.router.leave_queue())?;
        self.queues.add(queue.id, node);
        if let Some(listener) = self.listener(queue.listener) {
            listener.entered();
        }
        self.arm();
        Ok(())
    }

    /// Adopts the socket of a listener, if `fits` allows it, and puts the listener in the table. EPERM: socket
    /// `port` is not the owner any more.
    pub fn add_listener(
        self: &Arc<Self>,
        listener: &Arc<Listener>,
        port: u32,
        fits: impl FnOnce(&Kind) -> Result<(), FdError>,
    ) -> Result<(), FdError> {
        listener.router.enter_listener()?;
        let adopted = adopt(listener.id, listener, fits);
        let node = adopted.inspect_err(|_| listener.router.leave_listener())?;
        let mut tables = self.tables.lock();
        // Under the lock: who takes over from now on finds it there, and may count on it. Who did
        // before would not hear of it.
        if listener.router.port() != port {
            drop(tables);
            listener.router.leave_listener();
            // Its drop waits until no callback runs.
            drop(hook::release(listener));
            return Err(TAKEN_OVER);
        }
        tables.listeners.insert(node);
        drop(tables);
        self.arm();
        Ok(())
    }

    /// Takes a queue out of the table.
    pub(super) fn remove_queue(&self, queue: &Arc<Queue>) {
        if self.queues.remove(queue.id) {
            queue.router.leave_queue();
            if let Some(listener) = self.listener(queue.listener) {
                Listener::left(&listener);
            }
        }
    }

    /// Takes a listener out of the table; false if it was not there.
    pub(super) fn remove_listener(&self, listener: &Arc<Listener>) -> bool {
        let found = self.tables.lock().listeners.remove(&listener.id);
        if found.is_some() {
            listener.router.leave_listener();
        }
        found.is_some()
    }

    /// The owner's socket, `port`, is gone: its objects live on for the grace time.
    pub fn lose_owner(self: &Arc<Self>, router: &Arc<Router>, port: u32, grace: Option<u32>) {
        router.lose_owner(port, grace);
        self.drop_if_empty(router);
        self.arm();
    }

    /// Tells the new owner of `router`, of that number, all that is not answered.
    pub fn offer_again(self: &Arc<Self>, router: &Arc<Router>, owner: u32) {
        let mut last = 0;
        while let Some(queue) = self.queue_after(last) {
            last = queue.id;
            if Arc::ptr_eq(&queue.router, router) {
                queue.offer_again(owner);
            }
        }
        self.arm();
    }

    pub(super) fn drop_if_empty(&self, router: &Arc<Router>) {
        let mut tables = self.tables.lock();
        let dropped = if router.end_if_empty() {
            tables.routers.remove(&router.id)
        } else {
            None
        };
        drop(tables);
        if dropped.is_some() {
            router.stats.routers.give();
        }
        drop(dropped);
    }
}

/// Adopts the socket of `this`, which then has its place in a table. Not before: who is found there
/// can be ended, by another command or by the clock, and what is not adopted yet has nothing to let go
/// of. It would be adopted afterwards, for ever.
fn adopt<T: Endpoint>(
    id: u32,
    this: &Arc<T>,
    fits: impl FnOnce(&Kind) -> Result<(), FdError>,
) -> Result<RBTreeNode<u32, Arc<T>>, FdError> {
    let node = RBTreeNode::new(id, this.clone(), GFP_KERNEL).map_err(|_| NO_MEMORY)?;
    hook::adopt(this, fits).map(|()| node)
}

fn after<T>(tree: &RBTree<u32, Arc<T>>, last: u32) -> Option<Arc<T>> {
    let cursor = tree.cursor_lower_bound(&last.checked_add(1)?)?;
    Some(cursor.current().1.clone())
}

impl Owners for Engine {
    fn gone(net: NetId, portid: u32) {
        if let Some(engine) = ENGINE.get() {
            // Two commands at once may have made it two.
            while let Some(router) = engine.router_of(net, portid) {
                engine.lose_owner(&router, portid, None);
            }
        }
    }
}

impl Namespaces for Engine {
    fn gone(net: NetId) {
        let Some(engine) = ENGINE.get() else {
            return;
        };
        // A socket holds its namespace, so no queue or listener can be left here.
        let mut last = 0;
        while let Some(router) = engine.router_after(last) {
            last = router.id;
            if router.net == net {
                router.lose_owner(router.port(), None);
                engine.drop_if_empty(&router);
            }
        }
        let stats = engine.tables.lock().stats.remove(&net);
        drop(stats);
    }
}
