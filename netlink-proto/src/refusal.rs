// SPDX-License-Identifier: GPL-2.0
//! The kernel's refusal of a command: `struct nlmsgerr` and the attributes of an extended
//! acknowledgement after it (`linux/netlink.h`).

use crate::wire::NETLINK_HEADER_LEN;
use netlink_packet_core::{NlasIterator, NLA_HEADER_SIZE, NLM_F_ACK_TLVS, NLM_F_CAPPED};
use std::fmt;

// Attributes behind the error, in the order of `enum nlmsgerr_attrs`.
const ATTR_MSG: u16 = 1;
const ATTR_OFFS: u16 = 2;
const ATTR_MISS_TYPE: u16 = 5;

/// Why the kernel refused a command. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The errno, as a positive number.
    pub errno: i32,
    /// What the kernel says about it; empty without `NETLINK_EXT_ACK`.
    pub text: String,
    /// Where in the refused message the attribute to blame begins, in bytes from the
    /// start of its netlink header.
    pub offset: Option<u32>,
    /// Number of the attribute that is missing.
    pub missing: Option<u16>,
}

impl Refusal {
    /// Reads the payload of `NLMSG_ERROR` (with `echo`: the refused message's header
    /// stands before the attributes) or `NLMSG_DONE`.
    ///
    /// The outer `None` stands for bytes that are no such payload, the inner one for an
    /// acknowledgement, which is an error of number 0.
    pub(crate) fn read(payload: &[u8], flags: u16, echo: bool) -> Option<Option<Self>> {
        let (errno, mut rest) = payload.split_first_chunk::<4>()?;
        let errno = i32::from_ne_bytes(*errno);
        if echo {
            let (length, _) = rest.split_first_chunk::<4>()?;
            let length = match flags & NLM_F_CAPPED {
                0 => usize::try_from(u32::from_ne_bytes(*length)).ok()?,
                _ => NETLINK_HEADER_LEN,
            };
            rest = rest.get(length.checked_next_multiple_of(4)?..)?;
        }
        if errno == 0 {
            return Some(None);
        }
        let mut refusal = Self {
            errno: errno.wrapping_neg(),
            text: String::new(),
            offset: None,
            missing: None,
        };
        if flags & NLM_F_ACK_TLVS != 0 {
            // The errno is what counts: attributes that make no sense are left out.
            for nla in NlasIterator::new(rest).map_while(Result::ok) {
                let (kind, length) = (nla.kind(), usize::from(nla.length()));
                let Some(value) = nla.into_inner().get(NLA_HEADER_SIZE..length) else {
                    break;
                };
                let number = || value.try_into().ok().map(u32::from_ne_bytes);
                match kind {
                    ATTR_MSG => {
                        let text = value.strip_suffix(&[0]).unwrap_or(value);
                        refusal.text = String::from_utf8_lossy(text).into_owned();
                    }
                    ATTR_OFFS => refusal.offset = number(),
                    ATTR_MISS_TYPE => refusal.missing = number().and_then(|n| n.try_into().ok()),
                    _ => {}
                }
            }
        }
        Some(Some(refusal))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "refused by the kernel: {}",
            std::io::Error::from_raw_os_error(self.errno)
        )?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        if let Some(number) = self.missing {
            write!(f, " (attribute {number} is missing)")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (attribute at byte {offset})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}
