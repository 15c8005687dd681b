// SPDX-License-Identifier: GPL-2.0
//! Network namespaces, by identity only, and their end.
//!
//! Invariant: a `NetId` is compared, never dereferenced.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use kernel::bindings;
use kernel::prelude::*;

/// Which network namespace. Valid as an identity until `Namespaces::gone`; a held socket
/// holds its namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetId(usize);

impl NetId {
    pub(super) fn new(net: *const bindings::net) -> Self {
        Self(net as usize)
    }
}

/// What wants to know of a namespace's end.
pub trait Namespaces {
    /// `net` ends; nothing in it can run any more.
    fn gone(net: NetId);
}

struct Ops(UnsafeCell<bindings::pernet_operations>);

// SAFETY: written before registration only, by module init; the kernel locks it afterwards.
unsafe impl Sync for Ops {}

static OPS: Ops = Ops(UnsafeCell::new(
    // SAFETY: plain C data for which all zero means "unset".
    unsafe { MaybeUninit::zeroed().assume_init() },
));

/// The registration; ends with its drop, which calls `gone` for every namespace.
pub struct Watch(());

impl Watch {
    /// Starts to call `T::gone`. To be called once, by module init.
    pub fn register<T: Namespaces>() -> Result<Self> {
        // SAFETY: module init runs alone, and `OPS` is static and not registered yet.
        kernel::error::to_result(unsafe {
            (*OPS.0.get()).exit = Some(exit::<T>);
            bindings::register_pernet_subsys(OPS.0.get())
        })?;
        Ok(Self(()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: registered by `register`.
        unsafe { bindings::unregister_pernet_subsys(OPS.0.get()) };
    }
}

/// The `exit` of the namespace operations.
///
/// # Safety
///
/// `net` is a namespace that ends.
unsafe extern "C" fn exit<T: Namespaces>(net: *mut bindings::net) {
    T::gone(NetId::new(net));
}
