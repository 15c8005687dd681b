// SPDX-License-Identifier: GPL-2.0
//! The module's threads, `underpass/0` and so on, and the work items that run in them.
//!
//! There is one thread for each CPU that is online when the module is loaded; they are assigned to routers
//! in turn. None is bound to a CPU: the scheduler, or the administrator, decides where it runs.
//! Why threads, and not a workqueue of the kernel: docs/performance.md, "Threads of the module".
//!
//! Invariants: an item always runs in the same thread, after those that were queued there before,
//! and never twice at the same time. If it is queued while it runs, it runs again. A queued
//! item owns a reference to its object. Items may sleep, for memory or locks; those queued after them wait
//! meanwhile, so they must not wait for anything else, least of all for another item.

use super::gen;
use core::ptr::{self, NonNull};
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{Arc, ArcBorrow};
use kernel::types::Opaque;

/// An object that has a work item.
pub trait Runs: Send + Sync + Sized + 'static {
    /// Its work item: a field of its own. One of something else is never queued.
    fn work(&self) -> &Work<Self>;
    /// What the item does. Process context.
    fn run(this: Arc<Self>);
}

/// The work item of an object.
#[pin_data]
#[repr(C)]
pub struct Work<T> {
    // First: `run` gets its address.
    #[pin]
    raw: Opaque<bindings::kthread_work>,
    /// The object, once it was queued.
    object: Atomic<*mut T>,
    thread: u32,
}

// SAFETY: `raw` is only passed to functions that lock it, and hands an `Arc<T>` to another
// thread, which `T: Send + Sync` allows.
unsafe impl<T: Send + Sync> Send for Work<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Work<T> {}

impl<T: Runs> Work<T> {
    /// An item that runs in `thread`, as of [`Workers::next`].
    pub fn new(thread: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|slot: *mut bindings::kthread_work| {
                // SAFETY: `slot` is valid for writes and will not move. These are the values of
                // KTHREAD_WORK_INIT: a list's node that points to itself is in no list.
                unsafe {
                    let node = &raw mut (*slot).node;
                    slot.write(bindings::kthread_work {
                        node: bindings::list_head { next: node, prev: node },
                        func: Some(run::<T>),
                        worker: ptr::null_mut(),
                        canceling: 0,
                    });
                }
            }),
            object: Atomic::new(ptr::null_mut()),
            thread,
        })
    }

    /// Where it runs, for an item that shall run there, too.
    pub fn thread(&self) -> u32 {
        self.thread
    }
}

/// What a thread calls for an item.
///
/// # Safety
///
/// `work` is of [`Workers::queue`], and the thread has taken it out of its list and does not touch
/// it afterwards, as `kthread_worker_fn` does.
unsafe extern "C" fn run<T: Runs>(work: *mut bindings::kthread_work) {
    // SAFETY: `Workers::queue` passes the first field of a `Work<T>`, whose object is kept by the
    // reference that was queued with it.
    let object = unsafe { (*work.cast::<Work<T>>()).object.load(Relaxed) };
    // SAFETY: `Workers::queue` made it of an `Arc` and left that reference to this run.
    T::run(unsafe { Arc::from_raw(object) });
}

/// A thread; never null, stopped when it is dropped.
struct Worker(NonNull<bindings::kthread_worker>);

// SAFETY: what is done with a `kthread_worker` here locks it.
unsafe impl Send for Worker {}
// SAFETY: as above.
unsafe impl Sync for Worker {}

impl Worker {
    fn start(number: u32) -> Result<Self> {
        // SAFETY: the format is followed by what it names.
        let raw = unsafe {
            from_err_ptr(bindings::kthread_create_worker_on_node(
                0,
                bindings::NUMA_NO_NODE,
                c"underpass/%u".as_char_ptr(),
                number,
            ))?
        };
        let worker = Self(NonNull::new(raw).ok_or(ENOMEM)?);
        // SAFETY: just created, so the task is there; it lives until the worker is destroyed.
        unsafe {
            let task = (*raw).task;
            gen::up_sched_batch(task);
            bindings::wake_up_process(task);
        }
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SAFETY: owned, and not used afterwards. It runs what is left before it stops. No caller
        // runs in the thread itself: the engine, which has all of them, is dropped by module exit.
        unsafe { bindings::kthread_destroy_worker(self.0.as_ptr()) };
    }
}

/// All threads.
pub struct Workers {
    all: KVec<Worker>,
    given: Atomic<u32>,
}

impl Workers {
    /// ENOMEM, EINTR.
    pub fn start() -> Result<Self> {
        let mut all = KVec::new();
        // SAFETY: no preconditions.
        for number in 0..unsafe { gen::up_online_cpus() } {
            all.push(Worker::start(number)?, GFP_KERNEL)?;
        }
        Ok(Self {
            all,
            given: Atomic::new(0),
        })
    }

    /// A thread for new work: each in turn.
    pub fn next(&self) -> u32 {
        let turn = self.given.fetch_add(1, Relaxed);
        turn.checked_rem(self.all.len() as u32).unwrap_or(0)
    }

    /// Lets the item of `this` run, unless it is waiting to. Any context.
    pub fn queue<T: Runs>(&self, this: ArcBorrow<'_, T>) {
        let work = this.work();
        // What is no part of the object would not be kept by a reference of it.
        let offset = ptr::from_ref(work)
            .addr()
            .wrapping_sub(ptr::from_ref::<T>(&this).addr());
        if offset >= size_of::<T>() {
            return;
        }
        let Some(worker) = self.all.get(work.thread as usize) else {
            return; // `next` gave its number.
        };
        let object = Arc::into_raw(Arc::<T>::from(this)).cast_mut();
        // Always the same, so it does not matter who else does this now.
        work.object.store(object, Relaxed);
        // SAFETY: the item is initialised, always goes to the same worker, since there is one
        // `Workers`, and is a part of the object, which the reference that `object` is keeps until
        // it was run. What it consists of is changed under the worker's lock.
        if !unsafe { bindings::kthread_queue_work(worker.0.as_ptr(), work.raw.get()) } {
            // It is in the list with a reference of its own.
            // SAFETY: of the `into_raw` above.
            drop(unsafe { Arc::from_raw(object) });
        }
    }

    /// Waits until what was queued before has run. Not to be called by an item.
    pub fn flush(&self) {
        for worker in &self.all {
            // SAFETY: a valid worker; the caller is not one of its items.
            unsafe { bindings::kthread_flush_worker(worker.0.as_ptr()) };
        }
    }
}
