// SPDX-License-Identifier: GPL-2.0
//! A listening socket whose connections become front queues.
//!
//! Invariant: connections that were waiting when the listener ended are accepted as well.

#![forbid(unsafe_code)]

use super::connection::From;
use super::{Engine, Queue, Router};
use crate::framing::{Receiver, Side};
use crate::sys::clock;
use crate::sys::hook::{self, Endpoint, Saved, Wake};
use crate::sys::sock::{Addr, FdError, Kind, Sock};
use crate::sys::worker::{Runs, Work};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};
use kernel::sync::{Arc, ArcBorrow};

/// Connections that one run accepts before it lets other work run.
const BATCH: u32 = 64;

/// Values of `Listener::ended`: by whoever said so, or by the work item.
const ENDED: u32 = 1;
const TO_END: u32 = 2;

/// On which terms a listener accepts; see `underpass.yaml`, set `listener`.
#[derive(Clone, Copy)]
pub struct Accept {
    /// Most bytes of a head.
    pub head_limit: u32,
    /// How long a connection has for its first head, in milliseconds.
    pub head_ms: u32,
    /// Most connections at once.
    pub connections: u32,
    /// A PROXY protocol header is in front of the first head.
    pub proxy_protocol: bool,
}

/// A listener.
#[pin_data]
pub struct Listener {
    /// Its number, never zero.
    pub id: u32,
    /// On which terms connections are accepted.
    pub terms: Accept,
    /// Where it listens.
    pub local: Addr,
    /// The owner.
    pub router: Arc<Router>,
    /// Connections accepted.
    pub accepted: Atomic<u64>,
    /// Its queues in the engine's table.
    open: Atomic<u32>,
    engine: Arc<Engine>,
    opened: Atomic<u32>,
    /// Zero, `ENDED` or `TO_END`.
    ended: Atomic<u32>,
    sock: Sock,
    saved: Saved,
    #[pin]
    work: Work<Listener>,
}

impl Listener {
    /// A listener on `sock`, neither adopted nor in the table.
    pub fn new(
        engine: &Arc<Engine>,
        router: &Arc<Router>,
        sock: Sock,
        terms: Accept,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                id: engine.next_id(),
                terms,
                local: sock.local(),
                router: router.clone(),
                accepted: Atomic::new(0),
                open: Atomic::new(0),
                engine: engine.clone(),
                opened: Atomic::new(0),
                ended: Atomic::new(0),
                sock,
                saved: Saved::new(),
                work <- Work::new(router.work.thread()),
            }),
            GFP_KERNEL,
        )
    }

    /// Lets the work item accept. Any context.
    pub fn kick(this: ArcBorrow<'_, Self>) {
        this.engine.workers.queue(this);
    }

    /// Accepts up to `most` connections; says whether more may be there.
    fn accept(&self, most: u32) -> bool {
        for _ in 0..most {
            // `left` comes back for those who wait.
            if !self.router.may_accept() || self.open_now() >= self.terms.connections {
                return false;
            }
            match self.sock.accept() {
                Ok(Some(child)) => self.adopt(child),
                // Nothing there, or no memory: the clock tries again.
                Ok(None) => return false,
                // A client that gave up while it waited.
                Err(e) if e == ECONNABORTED => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn adopt(&self, child: Sock) {
        self.accepted.add(1, Relaxed);
        self.router.note_accepted();
        let limit = self.terms.head_limit;
        let rx = if self.terms.proxy_protocol {
            Receiver::with_prelude(Side::Front, limit)
        } else {
            Receiver::new(Side::Front, limit)
        };
        let from = Some(From {
            listener: self.id,
            head_due: clock::now_ms().saturating_add(self.terms.head_ms.into()),
        });
        let queue = Queue::new(&self.engine, &self.router, child, rx, limit, from);
        let result = queue.and_then(|queue| {
            // Locked, so that it does not end between its adoption and the table.
            let _inner = queue.inner.lock();
            self.engine.add_queue(&queue, unclaimed).map_err(|e| e.0)
        });
        if result.is_err() {
            self.router.stats.refused.add(1);
        }
    }

    /// How many of its queues there are.
    pub fn open_now(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// One of its queues is in the table.
    pub(super) fn entered(&self) {
        self.open.add(1, Relaxed);
    }

    /// One of its queues is there no more.
    pub(super) fn left(this: &Arc<Self>) {
        if this.open.fetch_sub(1, Relaxed) >= this.terms.connections {
            Self::kick(this.as_arc_borrow());
        }
    }

    /// Begins to accept; until then its owner has not heard of it.
    pub fn open(this: &Arc<Self>) {
        this.opened.store(1, Relaxed);
        Self::kick(this.as_arc_borrow());
    }

    /// Whether it accepts nothing new.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Relaxed) != 0
    }

    /// Stops listening, if socket `port` owns it then. Connections that wait to be accepted still are. False: it
    /// does not, and nothing changed.
    pub fn end_of(this: &Arc<Self>, port: u32) -> bool {
        let marked = this.router.if_owner(port, || this.mark(ENDED));
        if marked == Some(true) {
            this.finish();
        }
        marked.is_some()
    }

    /// The same, by the work item. The caller waits for nothing, not even the socket's lock.
    pub(super) fn end_soon(this: &Arc<Self>) {
        if this.mark(TO_END) {
            Self::kick(this.as_arc_borrow());
        }
    }

    /// Whether it is now that it ends, and by whom.
    fn mark(&self, how: u32) -> bool {
        self.ended.cmpxchg(0, how, Full).is_ok()
    }

    fn finish(self: &Arc<Self>) {
        // Its drop waits until no callback runs. When this returns the owner has its socket back.
        drop(hook::release(self));
        self.empty();
    }

    /// Accepts who waits, and then is gone. Without memory for one it stays in the table, and
    /// the clock tries again.
    fn empty(self: &Arc<Self>) {
        // Its owner may let it listen on: who comes from now on is not waited for.
        for _ in 0..=self.sock.backlog() {
            match self.sock.accept() {
                Ok(Some(child)) => self.adopt(child),
                Err(e) if e == ECONNABORTED => {}
                Err(e) if e == ENOMEM => return,
                // An error, EINVAL: its owner shut it down, which ended those who waited.
                Ok(None) | Err(_) => break,
            }
        }
        self.engine.remove_listener(self);
    }
}

impl Endpoint for Listener {
    fn sock(&self) -> &Sock {
        &self.sock
    }

    fn saved(&self) -> &Saved {
        &self.saved
    }

    fn wake(this: ArcBorrow<'_, Self>, what: Wake) {
        if what == Wake::Read {
            Self::kick(this);
        }
    }
}

impl Runs for Listener {
    fn work(&self) -> &Work<Self> {
        &self.work
    }

    fn run(this: Arc<Self>) {
        if this.has_ended() {
            if this.ended.load(Relaxed) == TO_END {
                if let Some(retired) = hook::release(&this) {
                    this.engine.bury_listener(retired);
                }
            }
            // Whoever ended it may be at it: then one of the two finds nothing.
            this.empty();
        } else if this.opened.load(Relaxed) != 0 && this.accept(BATCH) {
            Self::kick(this.as_arc_borrow());
        }
    }
}

/// Whether nobody else has an accepted connection: a program of sockops may have put it in a sockmap, whose
/// place is ours, and without which its close would never end (sock_map_close()).
fn unclaimed(kind: &Kind) -> Result<(), FdError> {
    match kind.taken || kind.has_ulp {
        true => Err((EBUSY, "another program has this connection")),
        false => Ok(()),
    }
}
