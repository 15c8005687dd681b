// SPDX-License-Identifier: GPL-2.0
//! The module's own workqueue, for timed work: the clock and the reaper.
//!
//! Invariant: the queue outlives every item put on it: it is destroyed, after running
//! what is left, when its last user is gone.

use super::gen;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::workqueue::{HasDelayedWork, HasWork, Queue, Work};

/// An owned work queue.
pub struct Workqueue(NonNull<bindings::workqueue_struct>);

// SAFETY: all operations on a `workqueue_struct` are thread-safe.
unsafe impl Send for Workqueue {}
// SAFETY: as above.
unsafe impl Sync for Workqueue {}

impl Workqueue {
    /// ENOMEM if it cannot be made.
    pub fn new() -> Result<Self> {
        // SAFETY: no preconditions.
        let ptr = unsafe { gen::up_alloc_workqueue() };
        NonNull::new(ptr).map(Self).ok_or(ENOMEM)
    }

    /// For `Queue::enqueue`.
    pub fn queue(&self) -> &Queue {
        // SAFETY: the pointer is valid for as long as `self` (type invariant).
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }

    /// Runs the delayed item of `target` now if it is pending, and waits for it.
    pub fn flush_delayed<T: HasDelayedWork<T, ID>, const ID: u64>(target: &Arc<T>) {
        // SAFETY: the pointer comes from a live Arc; `HasDelayedWork` promises that the work
        // is the first field of a `delayed_work`.
        unsafe {
            let work = <T as HasWork<T, ID>>::raw_get_work(Arc::as_ptr(target).cast_mut());
            let dwork = Work::raw_get(work).cast::<bindings::delayed_work>();
            bindings::flush_delayed_work(dwork);
        }
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: owned, and not used afterwards. It drains itself first.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
