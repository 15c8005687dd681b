// SPDX-License-Identifier: GPL-2.0
//! How many objects there are, and may be.
//!
//! A router may hand over sockets and close their descriptors, after which
//! RLIMIT_NOFILE no longer counts them: these limits do.
//!
//! Invariant: an object has its place from before it is in the engine's table until it has left it.

#![forbid(unsafe_code)]

use crate::sys::sock::FdError;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

/// Routers of one network namespace.
pub const ROUTERS_MAX: u32 = 256;
/// Listeners of one network namespace.
pub const LISTENERS_MAX: u32 = 1024;
/// Queues of one network namespace.
pub const QUEUES_MAX: u32 = 1 << 20;

/// How many of `most` queues there may be before clients wait. The rest is for back-ends: were all of them clients,
/// none could be served, and whoever waits would take each place that one leaves.
pub const fn for_clients(most: u32) -> u32 {
    most - most / 8
}

/// A router has all the queues it asked for.
pub const FULL: FdError = (
    ENOSPC,
    "the router has `queues-max` queues; end some, or attach with more",
);
/// `QUEUES_MAX` are there.
pub const QUEUES_FULL: FdError = (ENOSPC, "the network namespace has 1048576 queues");
/// `LISTENERS_MAX` are there.
pub const LISTENERS_FULL: FdError = (ENOSPC, "the network namespace has 1024 listeners");

/// Places for objects of one kind.
pub struct Room(Atomic<u32>);

impl Room {
    /// Nobody is there.
    pub const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// How many places are taken.
    pub fn taken(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Takes a place, one of `most`. ENOSPC: there is none.
    pub fn take(&self, most: u32) -> Result {
        let before = self.0.fetch_add(1, Relaxed);
        if before < most {
            return Ok(());
        }
        self.give();
        Err(ENOSPC)
    }

    /// Gives a place back.
    pub fn give(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
