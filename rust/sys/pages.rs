// SPDX-License-Identifier: GPL-2.0
//! Bytes on their way from one socket to another, by page reference.
//!
//! Invariants: every entry from `first` on owns one reference to its page; `bytes` is the
//! sum of their lengths. Payload is never written to: pages may be shared with their
//! sender. Only linear parts of socket buffers, which belong to a slab, and short runs are
//! copied, to a page of which the unused rest is ours alone. A failure adds nothing.

use super::gen;
use super::sieve::Stop;
use core::ptr::{self, NonNull};
use kernel::bindings::{self, bio_vec, sk_buff};
use kernel::ffi::c_int;
use kernel::prelude::*;

/// Entries of one batch: as many frags as a few socket buffers have.
const MAX_ENTRIES: usize = 64;
const PAGE: u32 = gen::UP_PAGE_SIZE;
/// Runs shorter than this are copied, many to a page: a reference each would hold a whole
/// page for a few bytes, and fill a batch with next to nothing.
const SMALL: u32 = 256;

/// A page that bytes are copied to, and how much of it is used.
struct CopyPage {
    page: NonNull<bindings::page>,
    used: u32,
}

/// Places for what will stand in front of a batch and behind it, in bytes. The batch's first
/// entry is at the former, still empty.
#[derive(Clone, Copy)]
struct Frame {
    front: u32,
    back: u32,
}

/// A batch of bytes, in order.
pub struct Pages {
    entries: KVec<bio_vec>,
    first: usize,
    bytes: u64,
    copy: Option<CopyPage>,
    frame: Option<Frame>,
}

// SAFETY: page references may be dropped and pages read on any CPU.
unsafe impl Send for Pages {}

impl Pages {
    /// An empty batch.
    pub fn new() -> Result<Self> {
        Ok(Self {
            entries: KVec::with_capacity(MAX_ENTRIES, GFP_KERNEL)?,
            first: 0,
            bytes: 0,
            copy: None,
            frame: None,
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps places for `front` bytes before all that is added from here on and `back` bytes
    /// behind it, so that `close` needs no memory. The batch is empty. `NoMemory` changes
    /// nothing.
    pub fn open(&mut self, front: u32, back: u32) -> Result<(), Stop> {
        let need = front.saturating_add(back);
        let (page, at) = self.room(need)?;
        if self.push(page.as_ptr(), at, 0) {
            self.use_up(at.saturating_add(need));
            self.frame = Some(Frame { front, back });
        }
        Ok(())
    }

    /// Puts `line` and `tail` in the places that `open` kept, around what was added since;
    /// where that is nothing, gives them back. What is longer than its place is cut.
    pub fn close(&mut self, line: &[u8], tail: &[&[u8]]) {
        let Some(Frame { front, back }) = self.frame.take() else {
            return;
        };
        let Some(entry) = self.entries.first_mut() else {
            return;
        };
        let (page, at) = (entry.bv_page, entry.bv_offset);
        if self.bytes == 0 {
            self.clear();
            // Nothing was copied behind it.
            self.use_up(at);
            return;
        }
        let line = line.get(..front as usize).unwrap_or(line);
        let len = line.len() as u32;
        entry.bv_len = len;
        self.bytes = self.bytes.saturating_add(len.into());
        // SAFETY: `open` kept `front` bytes here for this alone.
        unsafe { write(page, at, line) };
        let start = at.saturating_add(front);
        let mut len = 0u32;
        for part in tail {
            let part = part
                .get(..back.saturating_sub(len) as usize)
                .unwrap_or(part);
            // SAFETY: `open` kept `back` bytes from `start` on for this alone.
            unsafe { write(page, start.saturating_add(len), part) };
            len = len.saturating_add(part.len() as u32);
        }
        // `is_full` left an entry for it.
        self.push(page, start, len);
    }

    /// Adds a copy of all `parts`. The batch is empty. `NoMemory` changes nothing.
    pub fn put(&mut self, parts: &[&[u8]]) -> Result<(), Stop> {
        for part in parts {
            if let Err(stop) = self.put_one(part) {
                self.clear();
                return Err(stop);
            }
        }
        Ok(())
    }

    fn put_one(&mut self, mut rest: &[u8]) -> Result<(), Stop> {
        while !rest.is_empty() {
            let (page, used) = self.room(1)?;
            let n = rest.len().min(PAGE.wrapping_sub(used) as usize);
            let (part, more) = rest.split_at_checked(n).unwrap_or((rest, &[]));
            // SAFETY: the page is ours alone from `used` on, and `n` bytes fit in it.
            unsafe { write(page.as_ptr(), used, part) };
            if !self.push(page.as_ptr(), used, n as u32) {
                return Err(Stop::NoMemory);
            }
            self.use_up(used.saturating_add(n as u32));
            rest = more;
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        let kept = usize::from(self.frame.is_some());
        self.entries.len().saturating_add(kept) >= MAX_ENTRIES
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
            self.clear();
        }
    }

    fn clear(&mut self) {
        for entry in self.pending() {
            // SAFETY: the entry owns a reference (type invariant), and goes below.
            unsafe { gen::up_put_page(entry.bv_page) };
        }
        self.entries.clear();
        self.first = 0;
        self.bytes = 0;
    }

    /// Adds bytes of a page, with a reference of their own unless they follow the last
    /// entry's. False if there is no place.
    fn push(&mut self, page: *mut bindings::page, offset: u32, len: u32) -> bool {
        if let Some(last) = self.entries.last_mut().filter(|e| e.bv_len > 0) {
            let follows = last.bv_page == page
                && last.bv_offset.checked_add(last.bv_len) == Some(offset)
                && offset.checked_add(len).is_some();
            if follows {
                last.bv_len = last.bv_len.saturating_add(len);
                self.bytes = self.bytes.saturating_add(len.into());
                return true;
            }
        }
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
        self.bytes = self.bytes.saturating_add(len.into());
        true
    }

    /// Adds up to `max` bytes of `skb` from `offset` on; says how many. If it is fewer for
    /// another reason than a full batch, `stop` says which.
    ///
    /// # Safety
    ///
    /// `skb` is valid and not changed meanwhile, and has `offset + max` bytes.
    pub(super) unsafe fn add(
        &mut self,
        skb: *mut sk_buff,
        offset: u32,
        max: u32,
        stop: &mut Option<Stop>,
    ) -> u32 {
        // SAFETY: as the caller promised.
        unsafe { self.add_skb(skb, offset, max, false, stop) }
    }

    /// As `add`; `nested` for a member of another one's frag list.
    ///
    /// # Safety
    ///
    /// As for `add`.
    unsafe fn add_skb(
        &mut self,
        skb: *mut sk_buff,
        offset: u32,
        max: u32,
        nested: bool,
        stop: &mut Option<Stop>,
    ) -> u32 {
        // SAFETY: the caller's skb is valid.
        if unsafe { !gen::up_skb_readable(skb) } {
            *stop = Some(Stop::Unreadable);
            return 0;
        }
        let mut took = 0u32;
        // SAFETY: the caller's skb is valid.
        let headlen = unsafe { gen::up_skb_headlen(skb) };
        if offset < headlen {
            let n = headlen.wrapping_sub(offset).min(max);
            // SAFETY: the range lies within the linear part.
            took = unsafe { self.copy(skb, offset, n, stop) };
            if took < n {
                return took;
            }
        }
        let mut start = headlen;
        // SAFETY: the caller's skb is valid.
        let frags = unsafe { gen::up_skb_nr_frags(skb) };
        for i in 0..frags {
            if took >= max {
                return took;
            }
            let at = offset.saturating_add(took);
            let (mut off, mut len) = (0u32, 0u32);
            // SAFETY: `i` is below the number of frags of a valid skb.
            let page = unsafe { gen::up_skb_frag(skb, i, &mut off, &mut len) };
            let skip = at.saturating_sub(start);
            start = start.saturating_add(len);
            if skip >= len {
                continue;
            }
            let n = len.wrapping_sub(skip).min(max.wrapping_sub(took));
            let got = if n < SMALL {
                // SAFETY: the range lies within this frag.
                unsafe { self.copy(skb, at, n, stop) }
            } else if self.push(page, off.saturating_add(skip), n) {
                n
            } else {
                0
            };
            took = took.saturating_add(got);
            if got < n {
                return took;
            }
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
                    unsafe { self.copy(part, skip, n, stop) }
                } else {
                    // SAFETY: as the caller promised for the whole skb.
                    unsafe { self.add_skb(part, skip, n, true, stop) }
                };
                took = took.saturating_add(got);
                if got < n {
                    break;
                }
            }
            // SAFETY: `part` is a valid member of the list.
            part = unsafe { gen::up_skb_next(part) };
        }
        took
    }

    /// Adds a copy of `n` bytes of `skb` from `offset` on; says how many, as `add` does.
    ///
    /// # Safety
    ///
    /// The range lies within the valid `skb`.
    unsafe fn copy(
        &mut self,
        skb: *mut sk_buff,
        offset: u32,
        n: u32,
        stop: &mut Option<Stop>,
    ) -> u32 {
        let mut took = 0u32;
        while took < n {
            let (page, used) = match self.room(1) {
                Ok(room) => room,
                Err(why) => {
                    *stop = Some(why);
                    break;
                }
            };
            let len = n.wrapping_sub(took).min(PAGE.wrapping_sub(used));
            let from = offset.saturating_add(took);
            // SAFETY: the page is ours alone from `used` on, `len` bytes fit in it, and
            // the range lies within the skb.
            let failed = unsafe {
                let to = place(page.as_ptr(), used);
                bindings::skb_copy_bits(skb, from as c_int, to.cast(), len as c_int)
            };
            if failed != 0 {
                *stop = Some(Stop::Unreadable);
                break;
            }
            if !self.push(page.as_ptr(), used, len) {
                break;
            }
            self.use_up(used.saturating_add(len));
            took = took.saturating_add(len);
        }
        took
    }

    /// A page to copy to, and from where on `need` bytes of it are free.
    fn room(&mut self, need: u32) -> Result<(NonNull<bindings::page>, u32), Stop> {
        if let Some(c) = &self.copy {
            if c.used.saturating_add(need) <= PAGE {
                return Ok((c.page, c.used));
            }
        }
        // SAFETY: no preconditions; this runs in process context.
        let page = NonNull::new(unsafe { gen::up_alloc_page() }).ok_or(Stop::NoMemory)?;
        self.drop_copy_page();
        self.copy = Some(CopyPage { page, used: 0 });
        Ok((page, 0))
    }

    /// The copy page is used up to `used`.
    fn use_up(&mut self, used: u32) {
        if let Some(c) = &mut self.copy {
            c.used = used;
        }
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
        self.clear();
        self.drop_copy_page();
    }
}

/// The address of byte `at` of a copy page.
///
/// # Safety
///
/// `at` lies within the page, which was made by `up_alloc_page`.
unsafe fn place(page: *mut bindings::page, at: u32) -> *mut u8 {
    // SAFETY: as the caller promised; the page is in the direct map.
    unsafe { gen::up_page_address(page).cast::<u8>().add(at as usize) }
}

/// Writes `bytes` to a copy page.
///
/// # Safety
///
/// The range lies within the page, which was made by `up_alloc_page`, and nobody else reads
/// or writes it yet.
unsafe fn write(page: *mut bindings::page, at: u32, bytes: &[u8]) {
    // SAFETY: as the caller promised.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place(page, at), bytes.len()) };
}
