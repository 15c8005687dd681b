// SPDX-License-Identifier: GPL-2.0
//! One reference-counted value that C entry points can find.
//!
//! Invariant: the pointer, if not null, owns one reference to an `Arc<T>`.

use core::ptr;
use kernel::sync::atomic::{Acquire, Atomic, Full};
use kernel::sync::{rcu, Arc};

/// A place for one `Arc<T>`, empty before `set` and after `clear`.
pub struct Global<T> {
    ptr: Atomic<*mut T>,
}

impl<T: Send + Sync> Global<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Self {
            ptr: Atomic::new(ptr::null_mut()),
        }
    }

    /// Puts `value` there, and drops what was there before.
    pub fn set(&self, value: Arc<T>) {
        self.swap(Arc::into_raw(value).cast_mut());
    }

    /// Empties the place. Waits for an RCU grace period.
    pub fn clear(&self) {
        self.swap(ptr::null_mut());
    }

    fn swap(&self, new: *mut T) {
        let old = self.ptr.xchg(new, Full);
        if !old.is_null() {
            rcu::synchronize_rcu();
            // SAFETY: a non-null pointer owns one reference (type invariant), which the
            // swap took out; `get` reads it only within an RCU section, and all that
            // could have seen it are over.
            drop(unsafe { Arc::from_raw(old) });
        }
    }

    /// A reference to the value, if there is one.
    pub fn get(&self) -> Option<Arc<T>> {
        let _guard = rcu::read_lock();
        let ptr = self.ptr.load(Acquire);
        if ptr.is_null() {
            return None;
        }
        // SAFETY: the pointer owns a reference (type invariant) that `swap` drops only after
        // this RCU section, so the value lives here.
        let borrow = unsafe { kernel::sync::ArcBorrow::from_raw(ptr.cast_const()) };
        Some(borrow.into())
    }
}
