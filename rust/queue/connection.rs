// SPDX-License-Identifier: GPL-2.0
//! A queue: the kernel's end of one TCP connection.
//!
//! Invariants: `inner` and `out` are guarded by their locks, in the order of `mod.rs`; all other
//! fields never change, or are atomic hints. A queue in the engine's table is adopted by
//! its socket; one whose life is `Gone` is in neither.

#![forbid(unsafe_code)]

use super::body::Move;
use super::output::Output;
use super::{Engine, Router};
use crate::framing::{Ending, Receiver, Side, State};
use crate::sys::clock;
use crate::sys::hook::{Endpoint, Saved, Wake};
use crate::sys::payer::Payer;
use crate::sys::sock::{Addr, Sock};
use crate::sys::worker::{Runs, Work};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};
use kernel::sync::{new_mutex, Arc, ArcBorrow, Mutex};

/// Whether the router still has a say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It has.
    Open,
    /// It has not; the last bytes go out.
    Draining {
        /// Bytes that may still be read and thrown away; none: do not wait for the peer.
        left: Option<u64>,
        /// When to close anyway, in milliseconds.
        deadline: u64,
    },
    /// Nothing is left of it but references.
    Gone,
}

/// How the last forward ended, until the router was told.
#[derive(Clone, Copy)]
pub struct Done {
    /// The target's id; zero: discarded.
    pub to: u32,
    /// How.
    pub ending: Ending,
    /// Body bytes taken.
    pub taken: u64,
    /// The head it belongs to.
    pub generation: u32,
    /// Of a response that the router was not shown.
    pub status: Option<u16>,
    /// All went well, and the response, which may be passed on, is still to be told.
    pub may_wait: bool,
}

/// Where an accepted connection comes from.
#[derive(Clone, Copy, Default)]
pub struct From {
    /// The listener's number.
    pub listener: u32,
    /// When its first head has to be there, in milliseconds.
    pub head_due: u64,
}

/// A response whose body moves and whose head the router was not shown.
#[derive(Clone, Copy)]
pub struct Relayed {
    /// Of the response.
    pub status: u16,
    /// The router knows.
    pub told: bool,
}

/// Events that the router has not got yet.
#[derive(Default)]
pub struct Pending {
    /// A forward ended.
    pub done: Option<Done>,
    /// A head is ready.
    pub head: bool,
    /// Nothing more will be received.
    pub closed: bool,
}

/// The receiving half, under `Queue::inner`.
pub struct Inner {
    /// Heads and bodies.
    pub rx: Receiver,
    /// The body that is being moved; present exactly while `rx` is moving.
    pub moving: Option<Move>,
    /// What moves was passed on without the router.
    pub relayed: Option<Relayed>,
    /// What the router has to hear.
    pub pending: Pending,
    /// How the last forward ended.
    pub last: Option<Ending>,
    /// The current head was sent up to the owner of this number; a client's holds credit of it.
    pub credited: Option<u32>,
    /// The router heard of this queue.
    pub known: bool,
    /// Whether the router has a say.
    pub life: Life,
}

/// A queue.
#[pin_data]
pub struct Queue {
    /// Its number, never zero.
    pub id: u32,
    /// Towards whom.
    pub side: Side,
    /// The listener that accepted it, or zero.
    pub listener: u32,
    /// Until when its first head has to be there, in milliseconds; zero: for ever.
    head_due: u64,
    /// Most bytes of a head.
    pub head_limit: u32,
    /// The peer's address.
    pub peer: Addr,
    /// The local address.
    pub local: Addr,
    /// The owner.
    pub router: Arc<Router>,
    /// The engine it runs on.
    pub engine: Arc<Engine>,
    sock: Sock,
    saved: Saved,
    read_wake: Atomic<u32>,
    write_wake: Atomic<u32>,
    errno: Atomic<u32>,
    /// Its place among the router's waiting, or zero; changed under `Router::state`.
    pub(super) place: Atomic<u64>,
    /// When the clock should wake it, in milliseconds, or zero.
    pub(super) due: Atomic<u64>,
    /// When a body byte last moved from here, in milliseconds.
    pub(super) moved_at: Atomic<u64>,
    /// Body bytes taken from here.
    pub rx_bytes: Atomic<u64>,
    /// Body bytes put in here.
    pub tx_bytes: Atomic<u64>,
    /// The last response was passed on, whole: nothing is left to say here until the next head.
    pub(super) rests: Atomic<u32>,
    /// What the router wants to remember of the exchange here. Changed by its commands, and by a
    /// response that is passed on, which cannot be before the command that allowed it.
    pub note: Atomic<u64>,
    #[pin]
    work: Work<Queue>,
    /// The receiving half.
    #[pin]
    pub inner: Mutex<Inner>,
    /// The sending half.
    #[pin]
    pub out: Mutex<Output>,
}

impl Queue {
    /// A queue on `sock`, of which `rx` receives heads of `limit` bytes at the most. Neither
    /// adopted nor in the table.
    pub fn new(
        engine: &Arc<Engine>,
        router: &Arc<Router>,
        sock: Sock,
        rx: Receiver,
        limit: u32,
        from: Option<From>,
    ) -> Result<Arc<Self>> {
        let side = rx.side();
        let From { listener, head_due } = from.unwrap_or_default();
        // It is written where it stands, and not moved there.
        let inner = init!(Inner {
            rx,
            moving: None,
            relayed: None,
            pending: Pending::default(),
            last: None,
            credited: None,
            // The router knows what it added itself.
            known: listener == 0,
            life: Life::Open,
        });
        let payer = Payer::of(&sock);
        let queue = pin_init!(Self {
            id: engine.next_id(),
            side,
            listener,
            head_due,
            head_limit: limit,
            peer: sock.peer(),
            local: sock.local(),
            router: router.clone(),
            engine: engine.clone(),
            sock,
            saved: Saved::new(),
            read_wake: Atomic::new(0),
            write_wake: Atomic::new(0),
            errno: Atomic::new(0),
            place: Atomic::new(0),
            due: Atomic::new(0),
            moved_at: Atomic::new(0),
            rx_bytes: Atomic::new(0),
            tx_bytes: Atomic::new(0),
            rests: Atomic::new(0),
            note: Atomic::new(0),
            work <- Work::new(router.work.thread()),
            inner <- new_mutex!(inner, "underpass_inner"),
            out <- new_mutex!(Output::init(), "underpass_out"),
        });
        payer.pays(|| Arc::pin_init(queue, GFP_KERNEL_ACCOUNT))
    }

    /// Whether its first head did not come in time; if it still may, the clock looks again.
    /// The router knows of nobody without a head, and so cannot do that.
    pub(super) fn is_late(&self, inner: &Inner) -> bool {
        if self.head_due == 0 || inner.known {
            return false;
        }
        let late = clock::now_ms() >= self.head_due;
        if !late {
            self.wake_at(self.head_due);
        }
        late && matches!(inner.rx.state(), State::Collecting(_))
    }

    /// Lets the work item look at everything. Any context.
    pub fn kick(this: ArcBorrow<'_, Self>) {
        this.read_wake.store(1, Relaxed);
        Self::enqueue(this);
    }

    fn enqueue(this: ArcBorrow<'_, Self>) {
        // If it is pending already, that run sees the flag: it is read after the item
        // stops being pending.
        this.engine.workers.queue(this);
    }

    /// A body begins or goes on: it does not stand still.
    pub fn touch(&self) {
        self.moved_at.store(clock::now_ms(), Relaxed);
    }

    /// Asks the clock to wake it in `ms` milliseconds.
    pub(super) fn wake_in(&self, ms: u64) {
        self.wake_at(clock::now_ms().saturating_add(ms));
    }

    /// As `Wake::Write`, in `ms` milliseconds. Called by the work item.
    pub(super) fn writable_in(&self, ms: u64) {
        self.write_wake.store(1, Relaxed);
        self.wake_in(ms);
    }

    /// Asks the clock to wake it at `at` (milliseconds), or earlier if somebody asked that.
    /// Whoever is woken too early asks again.
    pub(super) fn wake_at(&self, at: u64) {
        let mut due = self.due.load(Relaxed);
        while due == 0 || at < due {
            match self.due.cmpxchg(due, at, Full) {
                Ok(_) => return self.engine.note_due(at),
                Err(now) => due = now,
            }
        }
    }

    /// The error of the connection (an errno, positive); `ECONNRESET` where TCP gave none.
    pub(super) fn errno(&self) -> u32 {
        // A send reports and clears the socket's own error, hence the copy.
        match (self.errno.load(Relaxed), self.sock.error()) {
            (0, 0) => kernel::bindings::ECONNRESET,
            (0, now) => now,
            (kept, _) => kept,
        }
    }
}

impl Endpoint for Queue {
    fn sock(&self) -> &Sock {
        &self.sock
    }

    fn saved(&self) -> &Saved {
        &self.saved
    }

    fn wake(this: ArcBorrow<'_, Self>, what: Wake) {
        match what {
            Wake::Read => {
                let errno = this.sock.error();
                if errno != 0 {
                    this.errno.store(errno, Relaxed);
                }
                this.read_wake.store(1, Relaxed);
            }
            Wake::Write => this.write_wake.store(1, Relaxed),
        }
        Self::enqueue(this);
    }
}

impl Runs for Queue {
    fn work(&self) -> &Work<Self> {
        &self.work
    }

    fn run(this: Arc<Self>) {
        if this.write_wake.xchg(0, Full) != 0 {
            this.writable();
        }
        if this.read_wake.xchg(0, Full) != 0 {
            this.advance();
        }
    }
}
