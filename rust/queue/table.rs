// SPDX-License-Identifier: GPL-2.0
//! The queues by their numbers, in shards: routers on different CPUs seldom contend for a lock, though each
//! of their commands looks queues up. Numbers are consecutive, so neighbours are in
//! different shards.
//!
//! Invariant: a queue is in the shard of its number. One shard is locked at a time.

#![forbid(unsafe_code)]

use super::Queue;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::{new_mutex, Arc, Mutex};
use pin_init::pin_init_array_from_fn;

const SHARDS: usize = 16;

type Shard = RBTree<u32, Arc<Queue>>;

/// See the file's head.
#[pin_data]
pub struct Table {
    #[pin]
    shards: [Mutex<Shard>; SHARDS],
}

impl Table {
    /// Without queues.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            shards <- pin_init_array_from_fn(|_| new_mutex!(RBTree::new(), "underpass_queues")),
        })
    }

    fn shard(&self, id: u32) -> Option<&Mutex<Shard>> {
        self.shards.get(id as usize % SHARDS)
    }

    /// The queue of that number.
    pub fn get(&self, id: u32) -> Option<Arc<Queue>> {
        self.shard(id)?.lock().get(&id).cloned()
    }

    /// Adds the queue of `node`, whose number, `id`, no other has.
    pub fn add(&self, id: u32, node: RBTreeNode<u32, Arc<Queue>>) {
        if let Some(shard) = self.shard(id) {
            shard.lock().insert(node);
        }
    }

    /// Takes one out; false if it was not there.
    pub fn remove(&self, id: u32) -> bool {
        let found = self
            .shard(id)
            .and_then(|shard| shard.lock().remove_node(&id));
        // Whatever is dropped with it, is so without the lock.
        found.is_some()
    }

    /// The one with the least number above `last`.
    pub fn after(&self, last: u32) -> Option<Arc<Queue>> {
        let from = last.checked_add(1)?;
        let first = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            let cursor = shard.cursor_lower_bound(&from)?;
            Some(cursor.current().1.clone())
        };
        let candidates = self.shards.iter().filter_map(first);
        candidates.min_by_key(|queue| queue.id)
    }

    /// Shows all of them, under the lock of a shard.
    pub fn each(&self, mut f: impl FnMut(&Arc<Queue>)) {
        for shard in &self.shards {
            shard.lock().values().for_each(&mut f);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().is_empty())
    }
}
