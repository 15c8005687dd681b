// SPDX-License-Identifier: GPL-2.0
//! Queues that wait for their router: for credit, or for room in its socket.
//!
//! Invariants: a queue has one place, in one of the two lines, or none (zero). A queue that waits for credit keeps
//! its place until its head went up or no longer needs to, so that none overtakes it.

#![forbid(unsafe_code)]

use super::Queue;
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;

/// Queues by their places.
type Line = RBTree<u64, Arc<Queue>>;

/// See the file's head. Under `Router::state`.
pub struct Waiting {
    heads: Line,
    events: Line,
    next_place: u64,
    count: u32,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self {
            heads: Line::new(),
            events: Line::new(),
            next_place: 1,
            count: 0,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Puts a queue with a head behind the others, unless it is among them. ENOMEM.
    pub(super) fn for_credit(&mut self, queue: &Arc<Queue>) -> Result {
        let place = queue.place.load(Relaxed);
        if place != 0 && self.heads.get(&place).is_none() {
            // It waited for room, which is there.
            drop(self.take(place));
        }
        self.put(queue, |waiting| &mut waiting.heads)
    }

    /// Puts a queue with an event behind the others, unless it waits already. ENOMEM.
    pub(super) fn for_room(&mut self, queue: &Arc<Queue>) -> Result {
        self.put(queue, |waiting| &mut waiting.events)
    }

    fn put(&mut self, queue: &Arc<Queue>, line: impl FnOnce(&mut Self) -> &mut Line) -> Result {
        if queue.place.load(Relaxed) == 0 {
            let place = self.next_place;
            drop(line(self).try_create_and_insert(place, queue.clone(), GFP_KERNEL)?);
            queue.place.store(place, Relaxed);
            self.next_place = place.wrapping_add(1);
            self.count = self.count.saturating_add(1);
        }
        Ok(())
    }

    /// Whose turn it is when there is credit.
    pub(super) fn first_head(&self) -> Option<&Arc<Queue>> {
        self.heads.values().next()
    }

    /// Takes out who has this place.
    pub(super) fn take(&mut self, place: u64) -> Option<Arc<Queue>> {
        let queue = match self.heads.remove(&place) {
            Some(queue) => queue,
            None => self.events.remove(&place)?,
        };
        queue.place.store(0, Relaxed);
        self.count = self.count.saturating_sub(1);
        Some(queue)
    }

    /// Takes out who waited longest for room.
    pub(super) fn pop_event(&mut self) -> Option<Arc<Queue>> {
        let place = *self.events.keys().next()?;
        self.take(place)
    }
}
