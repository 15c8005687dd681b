// SPDX-License-Identifier: GPL-2.0
//! What a socket has received: looked at, copied, taken, discarded.
//!
//! Invariants: bytes that are taken stay in the receive queue, and are counted by the caller, until
//! they leave in steps. Closures that run under the socket's lock here only look at bytes.

use super::gen;
use super::pages::Pages;
use super::sieve::{actor, discard_actor, Run, Sieve, Taken, Window};
use super::sock::Sock;
use core::mem::MaybeUninit;
use core::{ptr, slice};
use kernel::bindings;
use kernel::ffi::c_int;
use kernel::prelude::*;

/// What can be read now.
#[derive(Clone, Copy)]
pub struct Readable {
    /// Bytes.
    pub bytes: u32,
    /// After those, the peer's FIN.
    pub fin: bool,
    /// The connection is closed, in whichever way.
    pub closed: bool,
    /// The peer sent urgent data, past which nothing can be read. HTTP has no use for it.
    pub urgent: bool,
}

impl Readable {
    /// Nothing is there, and nothing came to its end: only an event of the socket changes that.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && !self.fin && !self.closed && !self.urgent
    }
}

/// Where bytes stand for a short time: on the stack, if they are few enough, as to allocate and free costs more
/// than to read most heads.
pub struct Place {
    small: [MaybeUninit<u8>; 1024],
    large: Option<KVec<u8>>,
}

impl Place {
    /// With nothing in it.
    pub const fn new() -> Self {
        Self {
            small: [MaybeUninit::uninit(); 1024],
            large: None,
        }
    }
}

impl Sock {
    /// What can be read now.
    pub fn readable(&self) -> Readable {
        // SAFETY: `locked` passes the socket locked.
        self.locked(|sk| unsafe { readable(sk) })
    }

    /// What can be read now; shows `f` the unread bytes of it from the one `ahead` of the first on,
    /// in pieces, until it returns false, unless urgent data is there. Nothing is taken. `f` runs under
    /// the socket's lock: it takes none, and asks no socket.
    pub fn look(&self, ahead: u32, mut f: impl FnMut(&[u8]) -> bool) -> Readable {
        let mut piece = [MaybeUninit::uninit(); 512];
        self.locked(|sk| {
            let mut show = |skb, mut offset: u32, mut left: u32| {
                while left > 0 {
                    let n = left.min(piece.len() as u32);
                    let mut window = Window::new(&mut piece);
                    // SAFETY: `walk` passes a valid range of a valid skb.
                    if unsafe { !window.fill(skb, offset, n) } || !f(window.filled()) {
                        return false;
                    }
                    offset = offset.saturating_add(n);
                    left = left.saturating_sub(n);
                }
                true
            };
            // SAFETY: `locked` passes the socket locked.
            unsafe {
                let readable = readable(sk);
                if !readable.urgent {
                    walk(sk, ahead, &mut show);
                }
                readable
            }
        })
    }

    /// Copies the unread bytes from the one `ahead` of the first on to `to`; says whether it is
    /// full, and so all of it was written.
    pub(super) fn copy_to(&self, ahead: u32, to: &mut [MaybeUninit<u8>]) -> bool {
        let mut window = Window::new(to);
        self.locked(|sk| {
            let fill = |skb, offset, left: u32| {
                let n = left.min(u32::try_from(window.room()).unwrap_or(u32::MAX));
                // SAFETY: `walk` passes a valid range of a valid skb.
                n > 0 && unsafe { window.fill(skb, offset, n) }
            };
            // SAFETY: `locked` passes the socket locked.
            unsafe { walk(sk, ahead, fill) };
        });
        window.room() == 0
    }

    /// The same bytes as `copied`, in `place` if it is large enough.
    pub fn copied_to<'p>(&self, ahead: u32, len: u32, place: &'p mut Place) -> Option<&'p [u8]> {
        let Some(small) = place.small.get_mut(..len as usize) else {
            return Some(place.large.insert(self.copied(ahead, len)?));
        };
        if !self.copy_to(ahead, small) {
            return None;
        }
        // SAFETY: all of it was written, and is borrowed for as long as the slice.
        Some(unsafe { slice::from_raw_parts(small.as_ptr().cast::<u8>(), small.len()) })
    }

    /// `len` unread bytes from the one `ahead` of the first on. None: they are not there, cannot
    /// be read, or memory is short.
    pub fn copied(&self, ahead: u32, len: u32) -> Option<KVec<u8>> {
        let len = len as usize;
        let mut bytes = KVec::with_capacity(len, GFP_KERNEL).ok()?;
        let to = bytes.spare_capacity_mut().get_mut(..len)?;
        if !self.copy_to(ahead, to) {
            return None;
        }
        // SAFETY: the vector was empty, and `len` bytes were written.
        unsafe { bytes.inc_len(len) };
        Some(bytes)
    }

    /// Throws away up to `max` unread bytes; says how many, and what can be read then.
    pub fn discard(&self, max: u64) -> (u64, Readable) {
        let max = usize::try_from(max.min(c_int::MAX as u64)).unwrap_or(0);
        self.locked(|sk| {
            let n = match max {
                0 => 0,
                // SAFETY: valid and locked; the actor does not use its argument.
                _ => unsafe { gen::up_rx_read(sk, ptr::null_mut(), max, Some(discard_actor)) },
            };
            // SAFETY: `locked` passes the socket locked.
            (n.max(0) as u64, unsafe { readable(sk) })
        })
    }

    /// Takes up to `max` unread bytes as `sieve` tells: content into `pages`, or away. They
    /// stay in the receive queue, counted in `ahead`, until a step is full or `settle`.
    pub fn take<S: Sieve>(
        &self,
        ahead: &mut u32,
        sieve: &mut S,
        pages: Option<&mut Pages>,
        max: u64,
    ) -> Taken {
        let max = usize::try_from(max.min(c_int::MAX as u64)).unwrap_or(0);
        let mut run = Run {
            sieve,
            pages,
            stop: None,
        };
        // SAFETY: valid and locked; `run` is what the actor expects, and lives through the
        // call.
        let n = self.locked(|sk| unsafe {
            gen::up_rx_take(sk, ahead, (&raw mut run).cast(), max, Some(actor::<S>))
        });
        Taken {
            bytes: n.max(0) as u64,
            stop: run.stop,
        }
    }

    /// What is to stay unread for long keeps no more memory than it needs, so that more can be received. To
    /// be called while nothing is taken ahead.
    pub fn unpin(&self) {
        // SAFETY: a valid TCP socket, which this task has not locked; process context.
        unsafe { gen::up_rx_unpin(self.raw()) };
    }

    /// The `ahead` bytes that were taken leave the receive queue.
    pub fn settle(&self, ahead: &mut u32) {
        if *ahead > 0 {
            // SAFETY: valid and locked.
            self.locked(|sk| unsafe { gen::up_rx_done(sk, ahead) });
        }
    }
}

/// What can be read now.
///
/// # Safety
///
/// `sk` is a valid TCP socket that this task has locked.
unsafe fn readable(sk: *mut bindings::sock) -> Readable {
    let mut rx = MaybeUninit::<gen::up_rx>::zeroed();
    // SAFETY: as the caller promised; the helper writes all fields, for which zero is valid.
    let rx = unsafe {
        gen::up_rx_status(sk, rx.as_mut_ptr());
        rx.assume_init()
    };
    Readable {
        bytes: rx.inq,
        fin: rx.fin != 0,
        urgent: rx.urgent != 0,
        closed: u32::from(rx.state) == gen::UP_TCP_CLOSE,
    }
}

/// Calls `f` with the unread ranges of the receive queue, from the byte `ahead` of the first on, until
/// it returns false.
///
/// # Safety
///
/// As for `readable`.
unsafe fn walk(
    sk: *mut bindings::sock,
    ahead: u32,
    mut f: impl FnMut(*mut bindings::sk_buff, u32, u32) -> bool,
) {
    // SAFETY: the socket lock keeps the receive queue as it is.
    let mut skb = unsafe { gen::up_rx_first(sk) };
    while !skb.is_null() {
        // SAFETY: `skb` is in the receive queue, under the lock.
        let (offset, len) = unsafe { (gen::up_rx_offset(sk, skb, ahead), gen::up_skb_len(skb)) };
        // What lies before the wanted byte is skipped; what lies after it is whole, since the queue
        // has no gaps.
        let offset = u32::try_from(offset).unwrap_or(0);
        if offset < len && !f(skb, offset, len.wrapping_sub(offset)) {
            break;
        }
        // SAFETY: as above.
        skb = unsafe { gen::up_rx_next(sk, skb) };
    }
}
