// SPDX-License-Identifier: GPL-2.0
//! Netlink messages under construction.
//!
//! Invariant: the skb is valid and has a generic netlink header; attributes are appended
//! and fail with EMSGSIZE when it is full.

use super::genl::{Request, FAMILY};
use super::netns::NetId;
use super::{gen, sock::Sock};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use kernel::bindings::{self, sk_buff};
use kernel::error::to_result;
use kernel::ffi::{c_int, c_void};
use kernel::prelude::*;

/// Writes attributes at the tail of a message.
pub struct Writer {
    skb: NonNull<sk_buff>,
    header: NonNull<c_void>,
}

impl Writer {
    /// Starts a message in `skb`; EMSGSIZE if there is no room for its header.
    ///
    /// # Safety
    ///
    /// `skb` is valid for as long as the result, and used by nobody else.
    pub(super) unsafe fn start(
        skb: NonNull<sk_buff>,
        portid: u32,
        seq: u32,
        flags: u32,
        cmd: u8,
    ) -> Result<Self> {
        // SAFETY: valid by the caller's promise; the family is static.
        let header = unsafe {
            bindings::genlmsg_put(skb.as_ptr(), portid, seq, FAMILY.get(), flags as c_int, cmd)
        };
        let header = NonNull::new(header).ok_or(EMSGSIZE)?;
        Ok(Self { skb, header })
    }

    pub(super) fn end(&mut self) {
        // SAFETY: `header` was returned by genlmsg_put() for this skb.
        unsafe { gen::up_genlmsg_end(self.skb.as_ptr(), self.header.as_ptr()) };
    }

    fn put(&mut self, attr: u16, data: &[u8]) -> Result {
        let len = c_int::try_from(data.len()).map_err(|_| EMSGSIZE)?;
        // SAFETY: valid skb (type invariant); the room is checked.
        to_result(unsafe {
            gen::up_nla_put(self.skb.as_ptr(), attr.into(), len, data.as_ptr().cast())
        })
    }

    /// Adds the first `len` bytes of `value`, one at least; the others are zero.
    fn small(&mut self, attr: u16, len: c_int, value: [u8; 4]) -> Result {
        let padded = u32::from_ne_bytes(value);
        // SAFETY: valid skb (type invariant); the room is checked.
        to_result(unsafe { gen::up_nla_put_small(self.skb.as_ptr(), attr.into(), len, padded) })
    }

    /// Adds a u16.
    pub fn u16(&mut self, attr: u16, value: u16) -> Result {
        let [a, b] = value.to_ne_bytes();
        self.small(attr, 2, [a, b, 0, 0])
    }

    /// Adds a u32.
    pub fn u32(&mut self, attr: u16, value: u32) -> Result {
        self.small(attr, 4, value.to_ne_bytes())
    }

    /// Adds a `uint`: 4 bytes where the value fits, else 8 (nla_put_uint()).
    pub fn uint(&mut self, attr: u16, value: u64) -> Result {
        match u32::try_from(value) {
            Ok(small) => self.u32(attr, small),
            Err(_) => self.put(attr, &value.to_ne_bytes()),
        }
    }

    /// Adds a flag.
    pub fn flag(&mut self, attr: u16) -> Result {
        self.put(attr, &[])
    }

    /// Adds bytes.
    pub fn bytes(&mut self, attr: u16, value: &[u8]) -> Result {
        match value.try_into() {
            // An IPv4 address.
            Ok(word) => self.u32(attr, u32::from_ne_bytes(word)),
            Err(_) => self.put(attr, value),
        }
    }

    /// Adds the first `len` unread bytes of `sock`, without a copy between; EAGAIN if there
    /// are fewer.
    pub fn front_of(&mut self, attr: u16, sock: &Sock, len: u32) -> Result {
        let n = c_int::try_from(len).map_err(|_| EMSGSIZE)?;
        // SAFETY: valid skb; nla_reserve() checks the room.
        let nla = unsafe { bindings::nla_reserve(self.skb.as_ptr(), attr.into(), n) };
        if nla.is_null() {
            return Err(EMSGSIZE);
        }
        // SAFETY: the payload of `len` bytes follows the header, and belongs to this message alone,
        // which whoever made it gives up if this fails.
        let to = unsafe {
            let payload = nla.cast::<MaybeUninit<u8>>();
            let payload = payload.add(size_of::<bindings::nlattr>());
            core::slice::from_raw_parts_mut(payload, len as usize)
        };
        if sock.copy_to(0, to) {
            Ok(())
        } else {
            Err(EAGAIN)
        }
    }
}

/// A message of its own, to be sent to one socket.
pub struct Message {
    writer: Writer,
}

impl Message {
    fn new(size: usize, portid: u32, seq: u32, cmd: u8) -> Result<Self> {
        // SAFETY: no preconditions; process context.
        let skb = NonNull::new(unsafe { gen::up_genlmsg_new(size) }).ok_or(ENOMEM)?;
        // SAFETY: just made, and owned by the result.
        match unsafe { Writer::start(skb, portid, seq, 0, cmd) } {
            Ok(writer) => Ok(Self { writer }),
            Err(e) => {
                // SAFETY: owned, and given up here.
                unsafe { gen::up_nlmsg_free(skb.as_ptr()) };
                Err(e)
            }
        }
    }

    /// A reply to `request`.
    pub fn reply(request: &Request<'_>, cmd: u8, size: usize) -> Result<Self> {
        Self::new(size, request.portid(), request.seq(), cmd)
    }

    /// An event, which no queue has to do with and no socket waits for.
    pub fn event(cmd: u8, size: usize) -> Result<Self> {
        Self::new(size, 0, 0, cmd)
    }

    /// For the attributes.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Answers `request` with this.
    pub fn answer(self, request: &Request<'_>) -> Result {
        self.send(request, request.portid())
    }

    /// Sends this to socket `portid` in the namespace of `request`, without waiting.
    pub fn send(mut self, request: &Request<'_>, portid: u32) -> Result {
        self.writer.end();
        let (net, skb) = (request.raw_net(), self.writer.skb);
        core::mem::forget(self);
        // SAFETY: the request's namespace lives through it. The skb is given up to the call,
        // also if it fails.
        to_result(unsafe { gen::up_genlmsg_unicast(net, skb.as_ptr(), portid) })
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: owned, and not sent (that forgets `self`).
        unsafe { gen::up_nlmsg_free(self.writer.skb.as_ptr()) };
    }
}

/// Several events that are sent at once, whole or not at all.
pub struct Batch {
    skb: NonNull<sk_buff>,
}

// SAFETY: owned, and an skb may be used on any CPU.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty one with room for `size` bytes of messages.
    pub fn new(size: usize) -> Result<Self> {
        // SAFETY: no preconditions; process context.
        let skb = unsafe { gen::up_genlmsg_new(size) };
        Ok(Self {
            skb: NonNull::new(skb).ok_or(ENOMEM)?,
        })
    }

    /// Adds one event that `fill` writes. EMSGSIZE: no room is left for it. No failure adds
    /// a part.
    pub fn add(&mut self, cmd: u8, fill: impl FnOnce(&mut Writer) -> Result) -> Result {
        // SAFETY: valid skb.
        let before = unsafe { (*self.skb.as_ptr()).len };
        // SAFETY: valid for as long as `self`; used here only, until `end`.
        let mut writer = unsafe { Writer::start(self.skb, 0, 0, 0, cmd)? };
        let filled = fill(&mut writer);
        match filled {
            Ok(()) => writer.end(),
            // SAFETY: valid skb, cut back to where this event began.
            Err(_) => unsafe { bindings::skb_trim(self.skb.as_ptr(), before) },
        }
        filled
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        // SAFETY: valid skb.
        unsafe { (*self.skb.as_ptr()).len as usize }
    }

    /// Sends it to socket `portid` in the namespace of `near`, without waiting. If that fails
    /// it comes back: EAGAIN, the reader's buffer is full (it sees ENOBUFS), or memory is short;
    /// ECONNREFUSED, the reader is gone.
    pub fn send(self, near: &Sock, portid: u32) -> Result<(), (Error, Self)> {
        let net = near.raw_net();
        // Not a second reference: what is delivered is charged to the reader's socket until
        // its last one goes, which would be ours, and may be after the socket.
        // SAFETY: valid skb; process context.
        let copy = unsafe { gen::up_skb_clone(self.skb.as_ptr()) };
        if copy.is_null() {
            return Err((EAGAIN, self));
        }
        // SAFETY: the socket `near` holds its namespace. The clone is given up to the call, also
        // if it fails.
        let sent = to_result(unsafe { gen::up_genlmsg_unicast(net, copy, portid) });
        sent.map_err(|error| (error, self))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: the reference is owned.
        unsafe { gen::up_nlmsg_free(self.skb.as_ptr()) };
    }
}

/// What a dump knows from one call to the next, and where it writes.
pub struct Dump<'a> {
    pub(super) skb: NonNull<sk_buff>,
    pub(super) portid: u32,
    pub(super) seq: u32,
    pub(super) net: NetId,
    /// The last object that was written; zero at the start. Kept between calls.
    pub last: &'a mut u32,
}

impl Dump<'_> {
    /// Whose objects are asked for.
    pub fn net(&self) -> NetId {
        self.net
    }

    /// The netlink port of who asks.
    pub fn portid(&self) -> u32 {
        self.portid
    }

    /// Writes one object by `fill`. EMSGSIZE: not now, this part of the dump is full.
    pub fn entry(&mut self, cmd: u8, fill: impl FnOnce(&mut Writer) -> Result) -> Result {
        // SAFETY: valid skb.
        let before = unsafe { (*self.skb.as_ptr()).len };
        // SAFETY: valid for as long as `self`; used here only, until `end`.
        let mut writer =
            unsafe { Writer::start(self.skb, self.portid, self.seq, bindings::NLM_F_MULTI, cmd)? };
        match fill(&mut writer) {
            Ok(()) => {
                writer.end();
                Ok(())
            }
            Err(e) => {
                // SAFETY: valid skb, cut back to where this entry began.
                unsafe { bindings::skb_trim(self.skb.as_ptr(), before) };
                Err(e)
            }
        }
    }
}
