// SPDX-License-Identifier: GPL-2.0
//! What a socket sends.
//!
//! Invariant: nothing here waits for room; bytes that found none stay with the caller.

use super::gen;
use super::pages::Pages;
use super::sock::{Sock, EAGAIN_NR};
use core::mem::MaybeUninit;
use core::ptr;
use kernel::bindings;
use kernel::ffi::c_int;

/// Why bytes were not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The peer's window or memory is full; `write_space` will come.
    Blocked,
    /// The connection broke (an errno, positive).
    Broken(u32),
}

/// Parts that go out in one send.
pub const PARTS_MAX: usize = 4;

impl Sock {
    /// Sends what fits of `parts`, the first `PARTS_MAX` of them; says how many bytes. `more`: the
    /// caller sends more at once, which is waited for (MSG_MORE).
    pub fn send(&self, parts: &[&[u8]], more: bool) -> Result<usize, SendError> {
        const NOTHING: bindings::kvec = bindings::kvec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let mut vecs = [NOTHING; PARTS_MAX];
        let (mut count, mut bytes) = (0usize, 0usize);
        for (vec, part) in vecs.iter_mut().zip(parts) {
            vec.iov_base = part.as_ptr().cast_mut().cast();
            vec.iov_len = part.len();
            bytes = bytes.saturating_add(part.len());
            count = count.saturating_add(1);
        }
        let mut msg = message();
        if more {
            msg.msg_flags |= gen::UP_MSG_MORE;
        }
        let vecs = vecs.as_mut_ptr();
        // SAFETY: the first `count` of `vecs` describe parts, which are only read, during this call.
        let n = unsafe { bindings::kernel_sendmsg(self.raw(), &mut msg, vecs, count, bytes) };
        sent(n)
    }

    /// Sends what fits of `pages` without copying, and drops it from there.
    pub fn send_pages(&self, pages: &mut Pages) -> Result<u64, SendError> {
        let pending = pages.pending();
        // SAFETY: the entries are valid pages that `pages` holds through the call; the
        // socket takes references of its own for what it keeps.
        let n = unsafe {
            gen::up_send_pages(
                self.raw(),
                pending.as_ptr(),
                pending.len() as u32,
                usize::try_from(pages.bytes()).unwrap_or(0),
            )
        };
        let n = sent(n)? as u64;
        pages.advance(n);
        Ok(n)
    }

    /// Asks for `write_space` once there is room; true if there is room now.
    pub fn want_write(&self) -> bool {
        // SAFETY: a valid socket with its `struct socket`, which `self` holds.
        unsafe { gen::up_sk_want_write(self.sk()) }
    }
}

/// A message header without address or control data, that never waits nor signals.
fn message() -> bindings::msghdr {
    // SAFETY: `msghdr` is plain C data for which all zero is "nothing".
    let mut msg: bindings::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    msg.msg_flags = gen::UP_MSG_SEND;
    msg
}

fn sent(n: c_int) -> Result<usize, SendError> {
    match n {
        EAGAIN_NR => Err(SendError::Blocked),
        // Memory that is short now comes back like window that is short now.
        n if n == -(bindings::ENOBUFS as c_int) || n == -(bindings::ENOMEM as c_int) => {
            Err(SendError::Blocked)
        }
        n => usize::try_from(n).map_err(|_| SendError::Broken(n.unsigned_abs())),
    }
}
