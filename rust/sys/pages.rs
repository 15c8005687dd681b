// SPDX-License-Identifier: GPL-2.0
//! Bytes on their way from one socket to another, by page reference.
//!
//! Invariants: every entry from `first` on owns one reference of its page; `bytes` is the
//! sum of their lengths. Payload is never written to: pages may be shared with whoever
//! sent them. Only linear parts of socket buffers, which belong to a slab, are copied.

use super::gen;
use core::ptr::{self, NonNull};
use kernel::bindings::{self, bio_vec, sk_buff};
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;

/// Entries of one batch: as many frags as a few socket buffers have.
const MAX_ENTRIES: usize = 64;
const PAGE: u32 = gen::UP_PAGE_SIZE;

/// A page that linear bytes are copied to, and how much of it is used.
struct CopyPage {
    page: NonNull<bindings::page>,
    used: u32,
}

/// A batch of bytes, in order.
pub struct Pages {
    entries: KVec<bio_vec>,
    first: usize,
    bytes: u64,
    copy: Option<CopyPage>,
}

// SAFETY: page references may be dropped and pages read on any CPU.
unsafe impl Send for Pages {}

/// Why bytes could not be gathered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GatherError {
    /// No memory now; nothing was lost, try again.
    NoMemory,
    /// The frags are not readable by the CPU (device memory).
    Unreadable,
}

impl Pages {
    /// An empty batch.
    pub fn new() -> Result<Self> {
        Ok(Self {
            entries: KVec::with_capacity(MAX_ENTRIES, GFP_KERNEL)?,
            first: 0,
            bytes: 0,
            copy: None,
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES
    }

    /// The entries still to be sent.
    pub(super) fn pending(&self) -> &[bio_vec] {
        self.entries.get(self.first..).unwrap_or(&[])
    }

    /// Drops `n` bytes from the front.
    pub(super) fn advance(&mut self, n: u64) {
        let mut left = n.min(self.bytes);
        self.bytes = self.bytes.wrapping_sub(left);
        while left > 0 {
            let Some(entry) = self.entries.get_mut(self.first) else {
                break;
            };
            let len = u64::from(entry.bv_len);
            if left < len {
                entry.bv_len = entry.bv_len.wrapping_sub(left as u32);
                entry.bv_offset = entry.bv_offset.wrapping_add(left as u32);
                break;
            }
            left = left.wrapping_sub(len);
            // SAFETY: the entry owns a reference (type invariant), given up here as
            // `first` moves past it.
            unsafe { gen::up_put_page(entry.bv_page) };
            self.first = self.first.wrapping_add(1);
        }
        if self.bytes == 0 {
            self.entries.clear();
            self.first = 0;
        }
    }

    /// Adds one page reference, taking a new one.
    fn push(&mut self, page: *mut bindings::page, offset: u32, len: u32) -> bool {
        let entry = bio_vec {
            bv_page: page,
            bv_len: len,
            bv_offset: offset,
        };
        if self.is_full() || self.entries.push_within_capacity(entry).is_err() {
            return false;
        }
        // SAFETY: the caller's page is held by a socket buffer or by `copy`.
        unsafe { gen::up_get_page(page) };
        self.bytes = self.bytes.saturating_add(u64::from(len));
        true
    }

    /// Adds up to `max` bytes of `skb` from `offset` on; says how many.
    ///
    /// # Safety
    ///
    /// `skb` is valid and not changed meanwhile.
    unsafe fn add_skb(
        &mut self,
        skb: *mut sk_buff,
        offset: u32,
        max: u32,
        nested: bool,
    ) -> Result<u32, GatherError> {
        let mut took = 0u32;
        // SAFETY: the caller's skb is valid.
        let headlen = unsafe { gen::up_skb_headlen(skb) };
        // SAFETY: as above.
        if unsafe { !gen::up_skb_readable(skb) } {
            return Err(GatherError::Unreadable);
        }
        if offset < headlen {
            let n = headlen.wrapping_sub(offset).min(max);
            // SAFETY: the range lies within the linear part.
            took = unsafe { self.copy(skb, offset, n)? };
            if took < n {
                return Ok(took);
            }
        }
        let mut start = headlen;
        // SAFETY: the caller's skb is valid.
        let frags = unsafe { gen::up_skb_nr_frags(skb) };
        for i in 0..frags {
            let at = offset.saturating_add(took);
            let (mut off, mut len) = (0u32, 0u32);
            // SAFETY: `i` is below the number of frags of a valid skb.
            let page = unsafe { gen::up_skb_frag(skb, i, &mut off, &mut len) };
            let skip = at.saturating_sub(start);
            start = start.saturating_add(len);
            if took >= max {
                return Ok(took);
            }
            if skip >= len {
                continue;
            }
            let n = len.wrapping_sub(skip).min(max.wrapping_sub(took));
            if !self.push(page, off.saturating_add(skip), n) {
                return Ok(took);
            }
            took = took.saturating_add(n);
        }
        // SAFETY: the caller's skb is valid.
        let mut part = unsafe { gen::up_skb_frag_list(skb) };
        while !part.is_null() && took < max {
            // SAFETY: members of the frag list of a valid skb are valid.
            let len = unsafe { gen::up_skb_len(part) };
            let skip = offset.saturating_add(took).saturating_sub(start);
            start = start.saturating_add(len);
            if skip < len {
                let n = len.wrapping_sub(skip).min(max.wrapping_sub(took));
                let got = if nested {
                    // SAFETY: the range lies within `part`. No deeper recursion: copied.
                    unsafe { self.copy(part, skip, n)? }
                } else {
                    // SAFETY: as the caller promised for the whole skb.
                    unsafe { self.add_skb(part, skip, n, true)? }
                };
                took = took.saturating_add(got);
                if got < n {
                    break;
                }
            }
            // SAFETY: `part` is a valid member of the list.
            part = unsafe { gen::up_skb_next(part) };
        }
        Ok(took)
    }

    /// Adds a copy of `n` bytes of `skb` from `offset` on; says how many fitted.
    ///
    /// # Safety
    ///
    /// The range lies within the valid `skb`.
    unsafe fn copy(&mut self, skb: *mut sk_buff, offset: u32, n: u32) -> Result<u32, GatherError> {
        let mut took = 0u32;
        while took < n && !self.is_full() {
            let (page, used) = match &self.copy {
                Some(c) if c.used < PAGE => (c.page, c.used),
                _ => (self.new_copy_page()?, 0),
            };
            let len = n.wrapping_sub(took).min(PAGE.wrapping_sub(used));
            let from = offset.saturating_add(took);
            // SAFETY: the page is ours alone from `used` on, `len` bytes fit in it, and
            // the range lies within the skb.
            let failed = unsafe {
                let to = gen::up_page_address(page.as_ptr())
                    .cast::<u8>()
                    .add(used as usize);
                bindings::skb_copy_bits(skb, from as c_int, to.cast(), len as c_int)
            };
            if failed != 0 {
                return Err(GatherError::Unreadable);
            }
            if !self.push(page.as_ptr(), used, len) {
                break;
            }
            if let Some(c) = &mut self.copy {
                c.used = used.saturating_add(len);
            }
            took = took.saturating_add(len);
        }
        Ok(took)
    }

    fn new_copy_page(&mut self) -> Result<NonNull<bindings::page>, GatherError> {
        // SAFETY: no preconditions; this runs in process context.
        let page = NonNull::new(unsafe { gen::up_alloc_page() }).ok_or(GatherError::NoMemory)?;
        self.drop_copy_page();
        self.copy = Some(CopyPage { page, used: 0 });
        Ok(page)
    }

    fn drop_copy_page(&mut self) {
        if let Some(c) = self.copy.take() {
            // SAFETY: `copy` owned the allocation's reference.
            unsafe { gen::up_put_page(c.page.as_ptr()) };
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.advance(u64::MAX);
        self.drop_copy_page();
    }
}

/// What one run of `up_rx_read` works on.
pub(super) struct Gather<'a> {
    pub(super) pages: &'a mut Pages,
    pub(super) error: Option<GatherError>,
}

/// The actor of `up_rx_read` that keeps bytes.
///
/// # Safety
///
/// `arg` is a `Gather`; the rest as `up_rx_read` passes it.
pub(super) unsafe extern "C" fn gather_actor(
    arg: *mut c_void,
    skb: *mut sk_buff,
    offset: u32,
    max: usize,
) -> c_int {
    // SAFETY: `Sock::gather` passes a `Gather` that it borrows for the call.
    let gather = unsafe { &mut *arg.cast::<Gather<'_>>() };
    let max = u32::try_from(max)
        .unwrap_or(u32::MAX)
        .min(c_int::MAX as u32);
    // SAFETY: tcp_read_sock() passes a valid skb and holds the socket lock.
    match unsafe { gather.pages.add_skb(skb, offset, max, false) } {
        Ok(n) => n as c_int,
        Err(e) => {
            gather.error = Some(e);
            0
        }
    }
}

/// The actor of `up_rx_read` that throws bytes away.
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

/// Where a copy of the front of a receive queue goes.
pub(super) struct Window<'a> {
    pub(super) to: &'a mut [u8],
    pub(super) done: usize,
}

impl Window<'_> {
    /// Copies `n` bytes of `skb` from `offset`; false if they could not be.
    ///
    /// # Safety
    ///
    /// The range lies within the valid `skb`.
    pub(super) unsafe fn fill(&mut self, skb: *mut sk_buff, offset: u32, n: u32) -> bool {
        let to = self
            .to
            .get_mut(self.done..self.done.saturating_add(n as usize))
            .map_or(ptr::null_mut(), |s| s.as_mut_ptr());
        if to.is_null() {
            return false;
        }
        // SAFETY: `to` has room for `n` bytes, and the range lies within the skb.
        let failed =
            unsafe { bindings::skb_copy_bits(skb, offset as c_int, to.cast(), n as c_int) };
        if failed == 0 {
            self.done = self.done.saturating_add(n as usize);
        }
        failed == 0
    }
}
