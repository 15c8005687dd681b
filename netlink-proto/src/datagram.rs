// SPDX-License-Identifier: GPL-2.0
//! What one read of the netlink socket gave: several messages, one after the other.

use crate::error::{DecodeError, Problem};
use crate::event::Event;
use crate::gen::{cmd, router};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::wire;
use netlink_packet_core::{NetlinkBuffer, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN};
use netlink_packet_generic::{constants::GENL_HDRLEN, GenlHeader};

/// A message from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The sequence number of the command that it answers; 0 for an event.
    pub sequence: u32,
    /// What it says.
    pub content: Content,
}

/// What a message from the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Something happened.
    Event(Event),
    /// The reader's router belongs to another socket now.
    Ousted {
        /// The router.
        id: u32,
        /// The netlink port of the socket that took it over.
        port: u32,
    },
    /// The answer to a command, or one of a dump's.
    Reply(Reply),
    /// A command sent with `ack` was done.
    Ack,
    /// A command was refused.
    Refused(Refusal),
    /// A dump has no more messages.
    DumpEnd,
}

/// Decodes the messages of one datagram. `family` is the id that
/// [`family`](crate::family) found.
///
/// An error concerns one message; those behind it still come, unless a length field makes
/// no sense ([`Problem::Cut`] without a message's name), which ends the iteration.
pub fn messages(datagram: &[u8], family: u16) -> Messages<'_> {
    Messages {
        rest: datagram,
        family,
    }
}

/// The messages of one datagram, see [`messages`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    family: u16,
}

impl Iterator for Messages<'_> {
    type Item = Result<Incoming, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let Ok(message) = NetlinkBuffer::new_checked(self.rest) else {
                self.rest = &[];
                return Some(Err(problem(Problem::Cut)));
            };
            let length = (message.length() as usize).next_multiple_of(4);
            self.rest = self.rest.get(length..).unwrap_or(&[]);
            if message.message_type() == NLMSG_NOOP {
                continue;
            }
            let sequence = message.sequence_number();
            return Some(
                content(&message, self.family).map(|content| Incoming { sequence, content }),
            );
        }
    }
}

fn problem(problem: Problem) -> DecodeError {
    DecodeError {
        message: "",
        attribute: "",
        problem,
    }
}

fn ousted(attributes: &[u8]) -> Result<Content, DecodeError> {
    let mut t = wire::table(cmd::OUSTED);
    t.read(attributes)?;
    Ok(Content::Ousted {
        id: t.need_u32(router::ID)?,
        port: t.need_u32(router::PORT)?,
    })
}

fn content(message: &NetlinkBuffer<&[u8]>, family: u16) -> Result<Content, DecodeError> {
    let (sort, flags, payload) = (message.message_type(), message.flags(), message.payload());
    match sort {
        NLMSG_ERROR => match Refusal::read(payload, flags, true) {
            Some(None) => Ok(Content::Ack),
            Some(Some(refusal)) => Ok(Content::Refused(refusal)),
            None => Err(problem(Problem::Cut)),
        },
        // A dump that failed says so at its end; an end without payload is a good one.
        NLMSG_DONE => match Refusal::read(payload, flags, false) {
            Some(Some(refusal)) => Ok(Content::Refused(refusal)),
            _ => Ok(Content::DumpEnd),
        },
        NLMSG_OVERRUN => Err(problem(Problem::Overrun)),
        _ if sort == family => {
            let header = GenlHeader::parse(payload).map_err(|_| problem(Problem::Cut))?;
            let attributes = &payload[GENL_HDRLEN..];
            match header.cmd {
                cmd::HEAD | cmd::DONE | cmd::CLOSED | cmd::RELAYED => {
                    Event::decode(header.cmd, attributes).map(Content::Event)
                }
                cmd::OUSTED => ousted(attributes),
                number => Reply::decode(number, attributes).map(Content::Reply),
            }
        }
        _ => Err(problem(Problem::Type(sort))),
    }
}
