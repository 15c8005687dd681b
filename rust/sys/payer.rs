// SPDX-License-Identifier: GPL-2.0
//! The memory cgroup that pays for what is allocated for a socket: the one the socket itself is charged to.
//!
//! Invariant: a `Payer` holds a reference to its cgroup until it has been charged.

use super::gen;
use super::sock::Sock;
use kernel::bindings;

/// A memory cgroup, or the root group, which is never charged.
pub struct Payer(*mut bindings::mem_cgroup);

impl Payer {
    /// Who is charged for `sock`.
    pub fn of(sock: &Sock) -> Self {
        // SAFETY: a valid socket of TCP, whose group stands since it was made or accepted.
        Self(unsafe { gen::up_payer_get(sock.sk()) })
    }

    /// Runs `f`; what it allocates with GFP_KERNEL_ACCOUNT is charged to this group, as accept() and
    /// socket() charge it to the caller's. Where there is no group, the task's own pays.
    pub fn pays<R>(&self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` holds a reference of the group until the former one is set again.
        let former = unsafe { gen::up_payer_set(self.0) };
        let result = f();
        // SAFETY: whoever set the former one keeps its reference for longer than this call.
        unsafe { gen::up_payer_set(former) };
        result
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        // SAFETY: the reference taken in `of`; a null pointer is left alone.
        unsafe { gen::up_payer_put(self.0) };
    }
}
