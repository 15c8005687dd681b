// SPDX-License-Identifier: GPL-2.0
//! The share of one of several routers in what the file allows all of them together.
//!
//! Invariant: no share is zero unless the whole is. `threads` shares of the connections are no more than
//! the whole, which the checks of the file ensure. Settings of a listener are not divided, so that it
//! goes on when the number of routers changes.

use std::sync::Arc;

use super::{Config, Link};

impl Config {
    /// What each of `routers` gets.
    #[must_use]
    pub fn part(mut self, routers: u32) -> Self {
        let part = |whole: usize| whole.min((whole / (routers.max(1) as usize)).max(1));
        for pool in &mut self.pools {
            let link = &pool.link;
            let link = Link {
                connections: part(link.connections),
                waiting: part(link.waiting),
                ..Link::clone(link)
            };
            Arc::make_mut(pool).link = Arc::new(link);
        }
        // The cast loses nothing: a part is no more than the whole.
        self.limits.queues = part(self.limits.queues as usize) as u32;
        self.limits.idle_connections = part(self.limits.idle_connections);
        self
    }
}
