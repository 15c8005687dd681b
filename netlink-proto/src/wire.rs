// SPDX-License-Identifier: GPL-2.0
//! What all messages of the family have in common: which attribute set belongs to which
//! number, and the headers before the attributes.

use crate::attr::{Attributes, Put, Table};
use crate::error::{DecodeError, EncodeError, Problem};
use crate::gen::{cmd, listener, queue, router, stats, FAMILY_VERSION};
use netlink_packet_core::{Emitable, NetlinkHeader};
use netlink_packet_generic::{constants::GENL_HDRLEN, GenlFamily, GenlHeader};

/// Bytes of `struct nlmsghdr`.
pub(crate) const NETLINK_HEADER_LEN: usize = 16;

/// The spec's name of a command or event; empty if there is none.
fn name(number: u8) -> &'static str {
    cmd::NAMES.get(usize::from(number)).copied().unwrap_or("")
}

/// Attribute names of the set that a command, its reply, or an event uses.
fn set(number: u8) -> &'static [&'static str] {
    match number {
        cmd::ROUTER_ATTACH..=cmd::ROUTER_GET | cmd::OUSTED => router::NAMES,
        cmd::LISTENER_ADD..=cmd::LISTENER_GET => listener::NAMES,
        cmd::STATS_GET => stats::NAMES,
        _ => queue::NAMES,
    }
}

/// The table for the attributes of a message of that number. It is filled where it stands, and not
/// returned full: it is large.
pub(crate) fn table<'a>(number: u8) -> Table<'a> {
    Table::new(name(number), set(number))
}

/// The error for a number that is no message of the kind looked for.
pub(crate) fn unexpected(number: u8) -> DecodeError {
    DecodeError {
        message: name(number),
        attribute: "",
        problem: Problem::Command(number),
    }
}

/// Appends both headers and the attributes; leaves `out` as it is if one is too long.
pub(crate) fn append<M>(
    message: &M,
    family: u16,
    sequence: u32,
    flags: u16,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError>
where
    M: GenlFamily + Attributes,
{
    let number = message.command();
    let start = out.len();
    // Room for a small message at once.
    out.reserve(512);
    out.extend_from_slice(&[0; NETLINK_HEADER_LEN + GENL_HDRLEN]);
    let mut put = Put::new(out);
    message.attributes(&mut put);
    if let Err(error) = put.finish(name(number), set(number)) {
        out.truncate(start);
        return Err(error);
    }
    let mut netlink = NetlinkHeader::default();
    // Few attributes of 64 KiB each at the most: far below 4 GiB.
    netlink.length = (out.len() - start) as u32;
    netlink.message_type = family;
    netlink.flags = flags;
    netlink.sequence_number = sequence;
    let headers = &mut out[start..];
    netlink.emit(headers);
    let generic = GenlHeader {
        cmd: number,
        version: FAMILY_VERSION,
    };
    generic.emit(&mut headers[NETLINK_HEADER_LEN..]);
    Ok(())
}

/// The attributes alone.
pub(crate) fn attributes(message: &impl Attributes) -> Vec<u8> {
    let mut out = Vec::new();
    message.attributes(&mut Put::new(&mut out));
    out
}

/// What `netlink-packet-generic` wants of a payload type, for users of its other crates.
macro_rules! message_traits {
    ($type:ty) => {
        impl netlink_packet_generic::GenlFamily for $type {
            fn family_name() -> &'static str {
                $crate::gen::FAMILY_NAME
            }

            fn command(&self) -> u8 {
                self.number()
            }

            fn version(&self) -> u8 {
                $crate::gen::FAMILY_VERSION
            }
        }

        /// Panics if the buffer is too short. A value for which `append` has an error is left out.
        impl netlink_packet_core::Emitable for $type {
            fn buffer_len(&self) -> usize {
                $crate::wire::attributes(self).len()
            }

            fn emit(&self, buffer: &mut [u8]) {
                let attributes = $crate::wire::attributes(self);
                buffer[..attributes.len()].copy_from_slice(&attributes);
            }
        }

        impl netlink_packet_core::ParseableParametrized<[u8], netlink_packet_generic::GenlHeader>
            for $type
        {
            fn parse_with_param(
                payload: &[u8],
                header: netlink_packet_generic::GenlHeader,
            ) -> Result<Self, netlink_packet_core::DecodeError> {
                Ok(Self::decode(header.cmd, payload)?)
            }
        }
    };
}
pub(crate) use message_traits;
