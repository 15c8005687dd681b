// SPDX-License-Identifier: GPL-2.0
//! Adopting a socket: its callbacks lead to our endpoint until it is released.
//!
//! Invariants: while adopted, `sk_user_data` owns one reference to the endpoint. Callbacks
//! run in softirq or task context, some inside our own socket calls: they set atomics
//! and enqueue work, and never wait. The reference is dropped only after an RCU grace
//! period, because a callback may still be reading it. Only the socket itself gets our
//! callbacks: neither its children nor an upper layer protocol (`adopted.c`).

use super::gen;
use super::sock::{Kind, Sock};
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use kernel::bindings::sock;
use kernel::prelude::*;
use kernel::sync::{rcu, Arc, ArcBorrow};

/// What happened on a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Data, a connection, FIN, or an error came.
    Read,
    /// There is room to send again.
    Write,
}

/// The callbacks that a socket had before it was adopted.
pub struct Saved(UnsafeCell<gen::up_callbacks>);

// SAFETY: written once, before `sk_user_data` publishes the endpoint; only read later.
unsafe impl Sync for Saved {}
// SAFETY: function pointers.
unsafe impl Send for Saved {}

impl Saved {
    /// None yet.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(gen::up_callbacks {
            data_ready: None,
            state_change: None,
            write_space: None,
            error_report: None,
        }))
    }

    fn get(&self) -> gen::up_callbacks {
        // SAFETY: not written after publication (see `Sync`); before it, only by the one
        // task that adopts.
        unsafe { *self.0.get() }
    }
}

/// Something that a socket's callbacks lead to.
pub trait Endpoint: Send + Sync + Sized + 'static {
    /// The adopted socket.
    fn sock(&self) -> &Sock;
    /// Its former callbacks.
    fn saved(&self) -> &Saved;
    /// Called in any context, possibly with the socket's lock held: must not wait.
    fn wake(this: ArcBorrow<'_, Self>, what: Wake);
}

fn ours<T: Endpoint>() -> gen::up_callbacks {
    gen::up_callbacks {
        data_ready: Some(read_event::<T>),
        state_change: Some(read_event::<T>),
        write_space: Some(write_event::<T>),
        error_report: Some(read_event::<T>),
    }
}

/// Whether two sets are the same functions. Kernel modules are built as one code generation
/// unit, so a function has one address.
fn same(a: &gen::up_callbacks, b: &gen::up_callbacks) -> bool {
    let key = |c: &gen::up_callbacks| {
        [c.data_ready, c.state_change, c.write_space, c.error_report].map(|f| f.map(|f| f as usize))
    };
    key(a) == key(b)
}

/// To be called by module init, before a socket is adopted.
pub fn init() -> Result {
    // SAFETY: process context; module init runs alone.
    kernel::error::to_result(unsafe { gen::up_adopted_init() })
}

/// Calls `f` with both locks of `sk`.
///
/// # Safety
///
/// A valid socket, of which this task holds no lock; process context.
unsafe fn locked<R>(sk: *mut sock, f: impl FnOnce() -> R) -> R {
    // SAFETY: as the caller promised.
    unsafe {
        gen::up_lock_sock(sk);
        gen::up_callback_lock(sk);
    }
    let result = f();
    // SAFETY: taken above.
    unsafe {
        gen::up_callback_unlock(sk);
        gen::up_release_sock(sk);
    }
    result
}

/// Leads the callbacks of `this.sock()` to `this`, if `fits` says so of its kind under the
/// locks. Wakes `this` once, since data may be there already.
pub fn adopt<T: Endpoint>(
    this: &Arc<T>,
    fits: impl FnOnce(&Kind) -> Result<(), super::sock::FdError>,
) -> Result<(), super::sock::FdError> {
    let sk = this.sock().sk();
    let adopted = || {
        let kind = this.sock().kind();
        fits(&kind)?;
        // SAFETY: both locks are held, so nobody else changes callbacks or user data; the
        // endpoint is not published yet, so nobody reads `saved`. `fits` saw that nobody has the
        // place for an upper layer protocol.
        unsafe {
            gen::up_sk_callbacks(sk, this.saved().0.get());
            let user = Arc::into_raw(this.clone());
            gen::up_sk_set_user_data(sk, user.cast_mut().cast());
            gen::up_ulp_hold(sk);
            gen::up_sk_no_options(sk);
            if !kind.listening {
                gen::up_sk_set_callbacks(sk, &ours::<T>());
            }
        }
        Ok(kind.listening)
    };
    // SAFETY: a valid socket; process context, no socket lock held.
    if unsafe { locked(sk, adopted)? } {
        // A child is a copy that is made without its locks, in whatever order. Who began one before that place
        // was taken is done by now: none is born with our callbacks and without it.
        rcu::synchronize_rcu();
        // SAFETY: as above; nobody lets go of it before this returns.
        unsafe { locked(sk, || gen::up_sk_set_callbacks(sk, &ours::<T>())) };
    }
    T::wake(this.as_arc_borrow(), Wake::Read);
    Ok(())
}

/// The reference that `sk_user_data` owned. Its drop waits for an RCU grace period.
pub struct Retired<T: Endpoint>(ManuallyDrop<Arc<T>>);

/// Leads the callbacks back. Nothing if the socket is not adopted by `this`.
pub fn release<T: Endpoint>(this: &Arc<T>) -> Option<Retired<T>> {
    let sk = this.sock().sk();
    let raw = Arc::as_ptr(this);
    let mut now = ours::<T>();
    // SAFETY: both locks are held. The RCU guard that reading user data asks for is replaced by them.
    let let_go = || unsafe {
        let mine = {
            let _rcu = rcu::read_lock();
            gen::up_sk_user_data(sk).cast::<T>().cast_const() == raw
        };
        if mine {
            gen::up_sk_callbacks(sk, &mut now);
            if same(&now, &ours::<T>()) {
                gen::up_sk_set_callbacks(sk, &this.saved().get());
            } else {
                // Another module put its own there unasked, and may have saved ours. They do
                // nothing once user data is gone, but this module must stay.
                gen::up_module_get();
                pr_warn!("an adopted socket has foreign callbacks: the module stays for ever\n");
            }
            gen::up_sk_set_user_data(sk, core::ptr::null_mut());
            // Its owner may have asked for it since.
            gen::up_sk_no_options(sk);
        }
        // The reference that user data owned.
        mine.then(|| Arc::from_raw(raw))
    };
    // SAFETY: a valid socket; process context, no socket lock held.
    let retired = unsafe { locked(sk, let_go) };
    retired.map(|arc| Retired(ManuallyDrop::new(arc)))
}

impl<T: Endpoint> Retired<T> {
    /// Drops many after a single grace period.
    pub fn drop_all(mut many: KVec<Self>) {
        if many.is_empty() {
            return;
        }
        rcu::synchronize_rcu();
        while let Some(one) = many.pop() {
            ManuallyDrop::new(one).let_go();
        }
    }

    /// To be called once, a grace period after `release`.
    fn let_go(&mut self) {
        // SAFETY: a valid socket, whose callbacks were led back a grace period ago.
        unsafe { gen::up_ulp_leave(self.0.sock().sk()) };
        // SAFETY: taken once, by the one call.
        drop(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

impl<T: Endpoint> Drop for Retired<T> {
    fn drop(&mut self) {
        rcu::synchronize_rcu();
        self.let_go();
    }
}

/// Calls `f` with the endpoint of `sk`, if it is adopted.
///
/// # Safety
///
/// `sk` is valid, and its callbacks were installed by `adopt::<T>`.
unsafe fn with<T: Endpoint>(sk: *mut sock, f: impl FnOnce(ArcBorrow<'_, T>)) {
    let _rcu = rcu::read_lock();
    // SAFETY: valid socket, RCU read lock held.
    let user = unsafe { gen::up_sk_user_data(sk) }.cast::<T>();
    if !user.is_null() {
        // SAFETY: user data owns a reference of an `Arc<T>` (module invariant) that is
        // dropped only after this RCU section.
        f(unsafe { ArcBorrow::from_raw(user.cast_const()) });
    }
}

/// `sk_data_ready`, `sk_state_change` and `sk_error_report`.
///
/// # Safety
///
/// As for `with`.
unsafe extern "C" fn read_event<T: Endpoint>(sk: *mut sock) {
    // SAFETY: TCP calls it with a valid socket that `adopt::<T>` put it on.
    unsafe { with::<T>(sk, |e| T::wake(e, Wake::Read)) };
}

/// `sk_write_space`.
///
/// # Safety
///
/// As for `with`.
unsafe extern "C" fn write_event<T: Endpoint>(sk: *mut sock) {
    // SAFETY: as above.
    unsafe {
        with::<T>(sk, |e| {
            // sk_stream_write_space() clears SOCK_NOSPACE, without which no further
            // event would come.
            if let Some(saved) = e.saved().get().write_space {
                saved(sk);
            }
            T::wake(e, Wake::Write);
        });
    }
}
