// SPDX-License-Identifier: GPL-2.0
//! Takes bytes out of a receive queue, directed by a sieve that knows what they are.
//!
//! Invariants: all of this runs under the socket lock, in process context. Exactly those bytes leave the
//! queue that the sieve was told of. Content is not looked at; everything else is shown to the sieve
//! in small pieces on the stack.

use super::pages::Pages;
use core::mem::MaybeUninit;
use kernel::bindings::{self, sk_buff};
use kernel::ffi::{c_int, c_void};

/// Bytes that are shown at once.
const PIECE: usize = 64;

/// What the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of content, at the most.
    Content(u64),
    /// Not content.
    Frame,
    /// Not to be taken.
    End,
}

/// Tells content from what frames it.
pub trait Sieve {
    /// What the next byte is.
    fn next(&self) -> Piece;
    /// `n` bytes of content were taken, no more than `next` said.
    fn take(&mut self, n: u32);
    /// Looks at bytes that are not content, and says how many of them to take. `None`: they
    /// make no sense, and nothing is to be taken any more.
    fn look(&mut self, bytes: &[u8]) -> Option<usize>;
}

/// Why fewer bytes were taken than are there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// No memory now; nothing was lost, try again.
    NoMemory,
    /// They are not readable by the CPU (device memory).
    Unreadable,
    /// The sieve refused them.
    Refused,
}

/// What a run over the receive queue took.
#[derive(Clone, Copy)]
pub struct Taken {
    /// Bytes, of content and of what frames it.
    pub bytes: u64,
    /// Why it stopped, if not because of `End`, the limit, a full batch or the queue's end.
    pub stop: Option<Stop>,
}

/// What one run of `up_rx_take` works on.
pub(super) struct Run<'a, S: Sieve> {
    pub(super) sieve: &'a mut S,
    /// Where content goes; nowhere: it is thrown away.
    pub(super) pages: Option<&'a mut Pages>,
    pub(super) stop: Option<Stop>,
}

impl<S: Sieve> Run<'_, S> {
    /// Takes up to `max` bytes of `skb` from `offset` on; says how many.
    ///
    /// # Safety
    ///
    /// The range lies within the valid `skb`, which is not changed meanwhile.
    unsafe fn take(&mut self, skb: *mut sk_buff, offset: u32, max: u32) -> u32 {
        let mut took = 0u32;
        while took < max && self.stop.is_none() {
            let at = offset.saturating_add(took);
            let left = max.wrapping_sub(took);
            let (wanted, got) = match self.sieve.next() {
                Piece::End => break,
                Piece::Content(n) => {
                    let n = u32::try_from(n).unwrap_or(u32::MAX).min(left);
                    let got = match &mut self.pages {
                        // SAFETY: as the caller promised, since `n` is within `max`.
                        Some(pages) => unsafe { pages.add(skb, at, n, &mut self.stop) },
                        None => n,
                    };
                    self.sieve.take(got);
                    (n, got)
                }
                // SAFETY: as the caller promised.
                Piece::Frame => (1, unsafe { self.look(skb, at, left) }),
            };
            took = took.saturating_add(got);
            if got < wanted {
                break;
            }
        }
        took
    }

    /// Shows the next bytes, `left` at the most; says how many were taken.
    ///
    /// # Safety
    ///
    /// As for `take`.
    unsafe fn look(&mut self, skb: *mut sk_buff, offset: u32, left: u32) -> u32 {
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let n = left.min(PIECE as u32);
        let mut window = Window::new(&mut piece);
        // SAFETY: as the caller promised, since `n` is within `left`.
        if unsafe { !window.fill(skb, offset, n) } {
            self.stop = Some(Stop::Unreadable);
            return 0;
        }
        match self.sieve.look(window.filled()) {
            Some(used) => u32::try_from(used).unwrap_or(n).min(n),
            None => {
                self.stop = Some(Stop::Refused);
                0
            }
        }
    }
}

/// The actor of `up_rx_take` that takes what a sieve says.
///
/// # Safety
///
/// `arg` is a `Run<S>`; the rest as `up_rx_take` passes it.
pub(super) unsafe extern "C" fn actor<S: Sieve>(
    arg: *mut c_void,
    skb: *mut sk_buff,
    offset: u32,
    max: usize,
) -> c_int {
    // SAFETY: `Sock::take` passes a `Run<S>` that it borrows for the call.
    let run = unsafe { &mut *arg.cast::<Run<'_, S>>() };
    let max = u32::try_from(max)
        .unwrap_or(u32::MAX)
        .min(c_int::MAX as u32);
    // SAFETY: up_rx_take() passes a range of a valid skb, under the socket lock.
    unsafe { run.take(skb, offset, max) as c_int }
}

/// The actor of `up_rx_read` that throws all bytes away.
///
/// # Safety
///
/// None is needed: it looks at nothing.
pub(super) unsafe extern "C" fn discard_actor(
    _arg: *mut c_void,
    _skb: *mut sk_buff,
    _offset: u32,
    max: usize,
) -> c_int {
    c_int::try_from(max).unwrap_or(c_int::MAX)
}

/// Where a copy of the front of a receive queue goes. Invariant: the first `done` bytes of `to` were
/// written.
pub(super) struct Window<'a> {
    to: &'a mut [MaybeUninit<u8>],
    done: usize,
}

impl<'a> Window<'a> {
    /// All of `to` is to be filled.
    pub(super) fn new(to: &'a mut [MaybeUninit<u8>]) -> Self {
        Self { to, done: 0 }
    }

    /// Bytes that still fit.
    pub(super) fn room(&self) -> usize {
        self.to.len().saturating_sub(self.done)
    }

    /// What was filled.
    pub(super) fn filled(&self) -> &[u8] {
        let filled = self.to.get(..self.done).unwrap_or(&[]);
        // SAFETY: they were written (type invariant), and `MaybeUninit<u8>` is laid out as `u8`.
        unsafe { core::slice::from_raw_parts(filled.as_ptr().cast(), filled.len()) }
    }

    /// Copies `n` bytes of `skb` from `offset`; false if they could not be.
    ///
    /// # Safety
    ///
    /// The range lies within the valid `skb`.
    pub(super) unsafe fn fill(&mut self, skb: *mut sk_buff, offset: u32, n: u32) -> bool {
        let end = self.done.saturating_add(n as usize);
        let Some(to) = self.to.get_mut(self.done..end) else {
            return false;
        };
        let to = to.as_mut_ptr().cast();
        // SAFETY: `to` has room for `n` bytes, and the range lies within the skb.
        let failed = unsafe { bindings::skb_copy_bits(skb, offset as c_int, to, n as c_int) };
        if failed == 0 {
            self.done = end;
        }
        failed == 0
    }
}
