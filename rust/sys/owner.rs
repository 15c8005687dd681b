// SPDX-License-Identifier: GPL-2.0
//! Reports that a netlink socket is gone.
//!
//! The notifier runs in the task that closes the socket and may sleep.

use super::netns::NetId;
use core::cell::UnsafeCell;
use kernel::bindings;
use kernel::ffi::{c_int, c_ulong, c_void};
use kernel::prelude::*;

/// What wants to know.
pub trait Owners {
    /// The generic netlink socket `portid` of `net` was closed.
    fn gone(net: NetId, portid: u32);
}

struct Block(UnsafeCell<bindings::notifier_block>);

// SAFETY: only the notifier chain, under its own lock, changes the block after registration.
unsafe impl Sync for Block {}

static BLOCK: Block = Block(UnsafeCell::new(bindings::notifier_block {
    notifier_call: None,
    next: core::ptr::null_mut(),
    priority: 0,
}));

/// The registration; ends with its drop.
pub struct Notifier(());

impl Notifier {
    /// Starts to call `T::gone`. To be called once, by module init.
    pub fn register<T: Owners>() -> Result<Self> {
        let block = BLOCK.0.get();
        // SAFETY: module init runs alone, and the block is not registered yet.
        unsafe { (*block).notifier_call = Some(released::<T>) };
        // SAFETY: the block is static.
        kernel::error::to_result(unsafe { bindings::netlink_register_notifier(block) })?;
        Ok(Self(()))
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        // SAFETY: registered by `register`, once. Calls that run are waited for.
        unsafe { bindings::netlink_unregister_notifier(BLOCK.0.get()) };
    }
}

/// The notifier's call.
///
/// # Safety
///
/// `data` is what netlink passes with `event`.
unsafe extern "C" fn released<T: Owners>(
    _block: *mut bindings::notifier_block,
    event: c_ulong,
    data: *mut c_void,
) -> c_int {
    if event == bindings::NETLINK_URELEASE as c_ulong {
        // SAFETY: with this event the chain passes a `netlink_notify` (netlink_release()).
        let notify = unsafe { &*data.cast::<bindings::netlink_notify>() };
        if notify.protocol == bindings::NETLINK_GENERIC as c_int {
            T::gone(NetId::new(notify.net), notify.portid);
        }
    }
    bindings::NOTIFY_DONE as c_int
}
