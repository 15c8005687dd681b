// SPDX-License-Identifier: GPL-2.0
//! A command as it was received, and what its sender is told if it is refused.
//!
//! Invariant: the kernel has validated all attributes by the command's policy, so each has the
//! length of its kind.

use super::gen;
use super::genl::FAMILY;
use super::netns::NetId;
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::ffi::c_int;
use kernel::prelude::*;

/// A refused command: errno, words, and the attribute that is to blame.
pub struct Refusal {
    errno: Error,
    text: Text,
    attr: Option<u16>,
    missing: bool,
}

/// Up to 79 bytes of extack text; what is longer is cut.
struct Text {
    bytes: [u8; bindings::NETLINK_MAX_FMTMSG_LEN as usize],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.bytes.len().saturating_sub(1);
        let room = self.bytes.get_mut(self.len..end).unwrap_or(&mut []);
        let mut n = 0usize;
        for (to, from) in room.iter_mut().zip(s.bytes()) {
            *to = from;
            n = n.saturating_add(1);
        }
        self.len = self.len.saturating_add(n);
        Ok(())
    }
}

impl Refusal {
    /// A refusal with `errno` and words.
    pub fn new(errno: Error, words: fmt::Arguments<'_>) -> Self {
        let mut text = Text {
            bytes: [0; bindings::NETLINK_MAX_FMTMSG_LEN as usize],
            len: 0,
        };
        // `Text` cuts, it does not fail.
        let _ = text.write_fmt(words);
        Self {
            errno,
            text,
            attr: None,
            missing: false,
        }
    }

    /// Says which attribute is to blame.
    pub fn at(mut self, attr: u16) -> Self {
        self.attr = Some(attr);
        self
    }

    /// Attribute `attr`, called `name`, is not there.
    pub fn missing(attr: u16, name: &str) -> Self {
        let mut refusal = Self::new(EINVAL, format_args!("attribute '{name}' is missing")).at(attr);
        refusal.missing = true;
        refusal
    }
}

impl From<Error> for Refusal {
    fn from(errno: Error) -> Self {
        if errno == ENOMEM {
            Self::new(errno, format_args!("no memory now; try again"))
        } else {
            Self::new(
                errno,
                format_args!("failed with error {}", errno.to_errno()),
            )
        }
    }
}

impl From<kernel::alloc::AllocError> for Refusal {
    fn from(_: kernel::alloc::AllocError) -> Self {
        ENOMEM.into()
    }
}

/// A command as it came in.
pub struct Request<'a> {
    info: NonNull<bindings::genl_info>,
    max: u16,
    _lives: PhantomData<&'a ()>,
}

impl Request<'_> {
    /// The command of `info`, whose largest attribute is `max`.
    ///
    /// # Safety
    ///
    /// `info` is valid for as long as the result, and is of a command whose attributes were validated
    /// by a policy of `max + 1` lines.
    pub(super) unsafe fn new(info: NonNull<bindings::genl_info>, max: u16) -> Self {
        Self {
            info,
            max,
            _lives: PhantomData,
        }
    }

    fn info(&self) -> &bindings::genl_info {
        // SAFETY: valid through the handler's call, whose lifetime `self` has.
        unsafe { self.info.as_ref() }
    }

    /// The sender's netlink port.
    pub fn portid(&self) -> u32 {
        self.info().snd_portid
    }

    pub(super) fn seq(&self) -> u32 {
        self.info().snd_seq
    }

    pub(super) fn raw_net(&self) -> *mut bindings::net {
        // SAFETY: valid info.
        unsafe { gen::up_genl_info_net(self.info.as_ptr()) }
    }

    /// A sender of another version may mean something else by the same numbers.
    pub(super) fn check_version(&self) -> Result<(), Refusal> {
        // SAFETY: a request has a generic netlink header; the family was registered before.
        let (given, ours) = unsafe { ((*self.info().genlhdr).version, (*FAMILY.get()).version) };
        if u32::from(given) == ours {
            return Ok(());
        }
        Err(Refusal::new(
            EPROTO,
            format_args!("this module speaks version {ours} of the family, not {given}"),
        ))
    }

    /// The sender's network namespace, which lives through the call.
    pub fn net(&self) -> NetId {
        NetId::new(self.raw_net())
    }

    /// The payload of an attribute, if present.
    pub fn bytes(&self, attr: u16) -> Option<&[u8]> {
        let attrs = self.info().attrs;
        if attrs.is_null() || attr > self.max {
            return None;
        }
        // SAFETY: genl allocates `maxattr + 1` pointers, and `attr` is within.
        let nla = unsafe { *attrs.add(attr.into()) };
        if nla.is_null() {
            return None;
        }
        // SAFETY: a validated attribute of the request, which lives through the call: its
        // payload follows its header.
        unsafe {
            let header = size_of::<bindings::nlattr>();
            let len = usize::from((*nla).nla_len).saturating_sub(header);
            let payload = nla.cast::<u8>().add(header);
            Some(core::slice::from_raw_parts(payload, len))
        }
    }

    /// A u32 attribute.
    pub fn u32(&self, attr: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes(attr)?.try_into().ok()?))
    }

    /// Whether a flag is there.
    pub fn flag(&self, attr: u16) -> bool {
        self.bytes(attr).is_some()
    }

    /// A `uint` attribute.
    pub fn uint(&self, attr: u16) -> Option<u64> {
        let bytes = self.bytes(attr)?;
        match <[u8; 8]>::try_from(bytes) {
            Ok(long) => Some(u64::from_ne_bytes(long)),
            Err(_) => Some(u32::from_ne_bytes(bytes.try_into().ok()?).into()),
        }
    }

    /// Puts the words of `refusal` into the answer, and returns its errno, negative.
    pub(super) fn refuse(&self, refusal: &Refusal) -> c_int {
        let extack = self.info().extack;
        // SAFETY: if present, valid through the call; `_msg` then points into the same
        // structure, as NL_SET_ERR_MSG_FMT does it.
        if let Some(extack) = unsafe { extack.as_mut() } {
            for (to, from) in extack._msg_buf.iter_mut().zip(refusal.text.bytes) {
                *to = from as kernel::ffi::c_char;
            }
            extack._msg = extack._msg_buf.as_ptr();
            if let Some(attr) = refusal.attr {
                if refusal.missing {
                    // As NL_SET_ERR_ATTR_MISS: a null nest is the top level.
                    extack.miss_nest = core::ptr::null();
                    extack.miss_type = attr;
                } else if attr <= self.max && !self.info().attrs.is_null() {
                    // SAFETY: within the array, see `bytes`.
                    extack.bad_attr = unsafe { *self.info().attrs.add(attr.into()) };
                }
            }
        }
        refusal.errno.to_errno()
    }
}
