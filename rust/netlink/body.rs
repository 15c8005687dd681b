// SPDX-License-Identifier: GPL-2.0
//! What a command says about a body: how it comes, and how it leaves.

#![forbid(unsafe_code)]

use super::gen::{framing, queue};
use super::{refuse, required};
use crate::framing::{may_be_trailer, Framing};
use crate::queue::Patience;
use crate::sys::genl::{Refusal, Request};
use kernel::prelude::*;

/// See the file's head.
pub struct Body<'a> {
    /// Its framing in the source.
    pub comes: Framing,
    /// Its framing in the target.
    pub leaves: Framing,
    /// Names of trailer fields that go on.
    pub trailers: &'a [u8],
    /// For how long it may stand still.
    pub patience: Patience,
}

impl<'a> Body<'a> {
    /// What `request` says.
    pub fn of(request: &'a Request<'_>) -> Result<Self, Refusal> {
        let number = required(request, queue::FRAMING, "framing")?;
        let comes = named(number, request.uint(queue::LENGTH))?;
        let leaves = match request.u32(queue::TO_FRAMING) {
            None => comes,
            Some(to) if to == number => comes,
            Some(to) => converted(number, comes, to)?,
        };
        let body = Self {
            comes,
            leaves,
            trailers: request.bytes(queue::TRAILERS).unwrap_or(&[]),
            patience: patience(request, queue::IDLE_MS, queue::IDLE_BYTES)?,
        };
        if comes == Framing::Tunnel && body.patience.idle_bytes.is_some() {
            let words = "a tunnel has no minimum rate";
            return Err(refuse!(EINVAL, queue::IDLE_BYTES, "{words}"));
        }
        if !body.trailers.is_empty() {
            if (comes, leaves) != (Framing::Chunked, Framing::Chunked) {
                let words = "trailers need a body that comes and leaves chunked";
                return Err(refuse!(EINVAL, queue::TRAILERS, "{words}"));
            }
            check_trailers(body.trailers)?;
        }
        Ok(body)
    }
}

/// What the attributes `ms` and `bytes` say.
pub fn patience(request: &Request<'_>, ms: u16, bytes: u16) -> Result<Patience, Refusal> {
    let patience = Patience {
        idle_ms: request.u32(ms),
        idle_bytes: request.u32(bytes),
    };
    if patience.idle_bytes.is_some() && patience.idle_ms.is_none() {
        return Err(refuse!(EINVAL, bytes, "a number of bytes needs a time"));
    }
    Ok(patience)
}

/// The framing of that number.
fn named(number: u32, length: Option<u64>) -> Result<Framing, Refusal> {
    match (number, length) {
        (framing::LENGTH, Some(length)) => Ok(Framing::Length(length)),
        (framing::LENGTH, None) => Err(Refusal::missing(queue::LENGTH, "length")),
        (_, Some(_)) => Err(refuse!(
            EINVAL,
            queue::LENGTH,
            "only framing 'length' has a length"
        )),
        (framing::NONE, None) => Ok(Framing::None),
        (framing::CHUNKED, None) => Ok(Framing::Chunked),
        (framing::UNTIL_CLOSE, None) => Ok(Framing::UntilClose),
        (framing::TUNNEL, None) => Ok(Framing::Tunnel),
        (other, None) => Err(refuse!(EINVAL, queue::FRAMING, "unknown framing {other}")),
    }
}

/// The framing `to` for a body that comes as `comes`, which is `number`.
fn converted(number: u32, comes: Framing, to: u32) -> Result<Framing, Refusal> {
    let leaves = match to {
        framing::CHUNKED => Some(Framing::Chunked),
        framing::UNTIL_CLOSE => Some(Framing::UntilClose),
        _ => None,
    };
    leaves.filter(|&to| comes.becomes(to)).ok_or_else(|| {
        refuse!(
            EINVAL,
            queue::TO_FRAMING,
            "framing {number} cannot become framing {to}"
        )
    })
}

fn check_trailers(list: &[u8]) -> Result<(), Refusal> {
    for name in list.split(|&b| b == b',') {
        let shown = name.escape_ascii();
        if name.is_empty() || !name.iter().all(|&b| in_name(b)) {
            return Err(refuse!(
                EINVAL,
                queue::TRAILERS,
                "no field name in lower case: '{shown}'"
            ));
        }
        if !may_be_trailer(name) {
            return Err(refuse!(
                EINVAL,
                queue::TRAILERS,
                "may not be passed on as a trailer: '{shown}'"
            ));
        }
    }
    Ok(())
}

/// The characters of RFC 9110's `token`, upper case left out.
fn in_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
