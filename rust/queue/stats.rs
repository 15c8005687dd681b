// SPDX-License-Identifier: GPL-2.0
//! Counters of one network namespace, which only grow, and the numbers of its objects.

#![forbid(unsafe_code)]

use super::Room;
use crate::framing::Side;
use kernel::sync::atomic::{Atomic, Relaxed};

/// A counter.
pub struct Count(Atomic<u64>);

impl Count {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.add(n, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters; their meaning is in `underpass.yaml`, set `stats`.
pub struct Stats {
    /// Connections accepted.
    pub accepted: Count,
    /// Sockets added by descriptor.
    pub added: Count,
    /// Head events delivered.
    pub heads: Count,
    /// Forwards begun, those without a body left out.
    pub forwards: Count,
    /// Body bytes moved from front to back queues.
    pub front_to_back: Count,
    /// Body bytes moved from back to front queues.
    pub back_to_front: Count,
    /// Body bytes read and thrown away.
    pub discarded: Count,
    /// Events that found a router's socket full.
    pub overflows: Count,
    /// Connections closed because nothing was there to keep them.
    pub refused: Count,
    /// Responses passed on without being shown to a router.
    pub relayed: Count,
    /// Connections whose first head did not come in time.
    pub late: Count,
    /// Its routers.
    pub routers: Room,
    /// Its listeners.
    pub listeners: Room,
    /// Its queues.
    pub queues: Room,
}

impl Stats {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            accepted: Count::new(),
            added: Count::new(),
            heads: Count::new(),
            forwards: Count::new(),
            front_to_back: Count::new(),
            back_to_front: Count::new(),
            discarded: Count::new(),
            overflows: Count::new(),
            refused: Count::new(),
            relayed: Count::new(),
            late: Count::new(),
            routers: Room::new(),
            listeners: Room::new(),
            queues: Room::new(),
        }
    }

    /// Counts `n` body bytes that came from a queue of side `from`.
    pub fn moved(&self, from: Side, n: u64) {
        match from {
            Side::Front => self.front_to_back.add(n),
            Side::Back => self.back_to_front.add(n),
        }
    }
}
