// SPDX-License-Identifier: GPL-2.0
//! Idle connections to back-ends.
//!
//! Invariants: what is here owes nobody anything; per back-end never more than the limit;
//! the one used last is taken first, so that surplus ones grow old and are closed.
//! It must not do I/O: whoever puts and takes also closes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::address::Address;

/// Idle connections by back-end.
#[derive(Debug)]
pub struct Pool {
    idle: HashMap<Address, Vec<(u32, Instant)>>,
    max: usize,
    time: Duration,
}

impl Pool {
    /// Keeps up to `max` connections per back-end, each for `time`.
    pub fn new(max: usize, time: Duration) -> Self {
        Self {
            idle: HashMap::new(),
            max,
            time,
        }
    }

    /// Puts a connection back. False if it is one too many, and is to be closed.
    #[must_use]
    pub fn put(&mut self, backend: &Address, queue: u32, now: Instant) -> bool {
        let idle = self.idle.entry(backend.clone()).or_default();
        if idle.len() >= self.max {
            return false;
        }
        idle.push((queue, now));
        true
    }

    /// Takes the connection used last.
    pub fn take(&mut self, backend: &Address) -> Option<u32> {
        self.idle.get_mut(backend)?.pop().map(|(queue, _)| queue)
    }

    /// Forgets a connection that is of no use any more.
    pub fn forget(&mut self, backend: &Address, queue: u32) {
        if let Some(idle) = self.idle.get_mut(backend) {
            idle.retain(|&(other, _)| other != queue);
        }
    }

    /// Takes out all that are too old; they are to be closed.
    pub fn expire(&mut self, now: Instant) -> Vec<u32> {
        let mut old = Vec::new();
        for idle in self.idle.values_mut() {
            let fresh = idle.partition_point(|&(_, since)| since + self.time <= now);
            old.extend(idle.drain(..fresh).map(|(queue, _)| queue));
        }
        old
    }

    /// When `expire` will have something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let oldest = |idle: &Vec<(u32, Instant)>| idle.first().map(|&(_, since)| since + self.time);
        self.idle.values().filter_map(oldest).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_in_first_out_within_limits_of_number_and_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let backend = &Address::Tcp(([127, 0, 0, 1], 1).into());
        let mut pool = Pool::new(2, Duration::from_millis(10));
        assert!(pool.put(backend, 1, at(0)) && pool.put(backend, 2, at(5)));
        assert!(!pool.put(backend, 3, at(6)));
        assert_eq!(pool.deadline(), Some(at(10)));
        assert_eq!(pool.expire(at(9)), []);
        assert_eq!(pool.expire(at(10)), [1]);
        assert!(pool.put(backend, 4, at(11)));
        pool.forget(backend, 2);
        assert_eq!((pool.take(backend), pool.take(backend)), (Some(4), None));
        assert_eq!(pool.deadline(), None);
    }
}
