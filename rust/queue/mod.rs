// SPDX-License-Identifier: GPL-2.0
//! Listeners, queues and their owners: the objects of the module, and what moves bytes.
//!
//! # Locks, in the order in which they are taken
//!
//! 1. `Queue::inner`, of one queue at a time: what it receives and where that goes.
//! 2. `Queue::out`, of one queue at a time: what is sent to its peer. A move from S to T
//!    holds `S.inner` and `T.out`; the opposite move `T.inner` and `S.out`: no cycle,
//!    because nobody takes an `inner` while holding an `out`. A response that is passed on
//!    holds the `inner` of its queue, takes the arming under `out` of the same, releases
//!    that, and takes the client's `out`.
//! 3. `Router::outbox`, under which a socket is peeked at, then `Router::state`.
//! 4. `Router::lines`, alone or under an `inner`.
//! 5. `Engine::tables`, or a shard of `Engine::queues`, then `Router::state`; and
//!    `Engine::graves`, alone. Under these the only wait is for memory.
//! 6. a socket lock, within one function of `sys::sock::Sock`, never two. Nothing is locked inside.
//!
//! Callbacks (`hook::Endpoint::wake`) take none of these: they set a flag and enqueue the
//! work item of their queue, which does everything in process context.
//!
//! # Life
//!
//! A queue is referenced by the table, by its socket's `sk_user_data`, by a pending work item, and
//! by a move from or to it. `close::end` takes all of these back. A socket holds a
//! reference to the module, so the module cannot be unloaded while there is a queue.

#![forbid(unsafe_code)]

mod answer;
mod body;
mod clock;
mod close;
mod connection;
mod engine;
mod events;
mod lines;
mod listener;
mod outbox;
mod output;
mod pump;
mod relay;
mod room;
mod router;
mod stats;
mod table;
mod transfer;
mod waiting;

pub use self::answer::{follows, Onward};
pub use self::body::{Move, Patience};
pub use self::close::{cancel, end as close, end_locked as close_locked, How};
pub use self::connection::{Done, Inner, Life, Queue};
pub use self::engine::{Engine, ENGINE};
pub use self::listener::{Accept, Listener};
pub use self::outbox::When;
pub use self::output::{size, Flush, Output};
pub use self::relay::Arming;
pub use self::room::Room;
pub use self::router::{Router, Terms};
pub use self::stats::Stats;
