// SPDX-License-Identifier: GPL-2.0
//! What the kernel tells the router that owns a queue, without being asked.

use crate::attr::{Attributes, Put};
use crate::error::{DecodeError, EncodeError};
use crate::gen::{cmd, queue, ForwardResult, Reason, Side};
use crate::wire;
use std::net::SocketAddr;

/// An event, unicast to the router that owns the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head is complete (or over its limit) and waits for an answer.
    Head(Head),
    /// A forward ended.
    Done(Done),
    /// A queue will receive nothing more.
    Closed(Closed),
    /// A response is being passed on that was not shown.
    Relayed(Relayed),
}

/// A head that waits in its socket for the router's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The queue.
    pub id: u32,
    /// Number of this head, from 1; the answer must name it.
    pub generation: u32,
    /// Towards a client or a back-end.
    pub side: Side,
    /// The listener that accepted the connection; none if it was added by descriptor.
    pub listener: Option<u32>,
    /// Start line and fields to the empty line, byte for byte as received.
    pub head: Vec<u8>,
    /// The head has no end within the queue's limit; `head` is all there is.
    pub over_limit: bool,
    /// Body bytes that the current or last forward put into this queue.
    pub sent: u64,
    /// The other end.
    pub peer: Option<SocketAddr>,
    /// This end.
    pub local: Option<SocketAddr>,
}

/// How a forward ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The source.
    pub id: u32,
    /// Number of the head that the body followed.
    pub generation: u32,
    /// The target; none if the body was discarded.
    pub to: Option<u32>,
    /// How it ended.
    pub result: ForwardResult,
    /// The errno of a broken connection, or 0.
    pub error: u32,
    /// Body bytes taken from the source. A retry is allowed only where this is 0.
    pub taken: u64,
    /// Of a response that was passed on without having been shown.
    pub status: Option<u16>,
}

/// The head of a response was passed on without having been shown, and its body moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The source.
    pub id: u32,
    /// Number of the head.
    pub generation: u32,
    /// The target.
    pub to: u32,
    /// Of the response.
    pub status: u16,
}

/// The end of what a queue receives. It can still send, unless it was reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The queue.
    pub id: u32,
    /// Number of the last head.
    pub generation: u32,
    /// Towards a client or a back-end.
    pub side: Side,
    /// Why.
    pub reason: Reason,
    /// The errno of a broken connection, or 0.
    pub error: u32,
    /// Body bytes taken from it for the current or last attempt.
    pub taken: u64,
    /// Body bytes that the current or last forward put into it.
    pub sent: u64,
    /// It is not there any more: it ended by itself, with nothing left to do.
    pub gone: bool,
}

impl Event {
    /// Its number on the wire.
    pub fn number(&self) -> u8 {
        match self {
            Self::Head(_) => cmd::HEAD,
            Self::Done(_) => cmd::DONE,
            Self::Closed(_) => cmd::CLOSED,
            Self::Relayed(_) => cmd::RELAYED,
        }
    }

    /// The queue that it is about.
    pub fn id(&self) -> u32 {
        match self {
            Self::Head(head) => head.id,
            Self::Done(done) => done.id,
            Self::Closed(closed) => closed.id,
            Self::Relayed(relayed) => relayed.id,
        }
    }

    /// Appends the whole netlink message to `out`, as the kernel would send it.
    ///
    /// # Errors
    /// If `head` is too long for an attribute. `out` is unchanged then.
    pub fn append(&self, family: u16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        wire::append(self, family, 0, 0, out)
    }

    /// Decodes the attributes of an event.
    ///
    /// # Errors
    /// Names what is missing or of the wrong type.
    pub fn decode(number: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        let mut t = wire::table(number);
        t.read(payload)?;
        Ok(match number {
            cmd::HEAD => Self::Head(Head {
                id: t.need_u32(queue::ID)?,
                generation: t.need_u32(queue::GENERATION)?,
                side: t.need_number(queue::SIDE)?,
                listener: t.u32(queue::LISTENER)?,
                head: t.need_bytes(queue::HEAD)?.to_vec(),
                over_limit: t.flag(queue::OVER_LIMIT),
                sent: t.need_uint(queue::SENT)?,
                peer: t.address(queue::PEER_ADDRESS, queue::PEER_PORT)?,
                local: t.address(queue::LOCAL_ADDRESS, queue::LOCAL_PORT)?,
            }),
            cmd::DONE => Self::Done(Done {
                id: t.need_u32(queue::ID)?,
                generation: t.need_u32(queue::GENERATION)?,
                to: t.u32(queue::TO)?,
                result: t.need_number(queue::RESULT)?,
                error: t.u32(queue::ERROR)?.unwrap_or(0),
                taken: t.need_uint(queue::TAKEN)?,
                status: t.u16(queue::STATUS)?,
            }),
            cmd::RELAYED => Self::Relayed(Relayed {
                id: t.need_u32(queue::ID)?,
                generation: t.need_u32(queue::GENERATION)?,
                to: t.need_u32(queue::TO)?,
                status: t.need(queue::STATUS, t.u16(queue::STATUS)?)?,
            }),
            cmd::CLOSED => Self::Closed(Closed {
                id: t.need_u32(queue::ID)?,
                generation: t.need_u32(queue::GENERATION)?,
                side: t.need_number(queue::SIDE)?,
                reason: t.need_number(queue::REASON)?,
                error: t.u32(queue::ERROR)?.unwrap_or(0),
                taken: t.need_uint(queue::TAKEN)?,
                sent: t.need_uint(queue::SENT)?,
                gone: t.flag(queue::GONE),
            }),
            _ => return Err(wire::unexpected(number)),
        })
    }
}

impl Attributes for Event {
    fn attributes(&self, put: &mut Put<'_>) {
        match self {
            Self::Head(h) => {
                put.u32(queue::ID, h.id);
                put.u32(queue::GENERATION, h.generation);
                put.u32(queue::SIDE, h.side.into());
                if let Some(listener) = h.listener {
                    put.u32(queue::LISTENER, listener);
                }
                put.bytes(queue::HEAD, &h.head);
                if h.over_limit {
                    put.flag(queue::OVER_LIMIT);
                }
                put.uint(queue::SENT, h.sent);
                put.address(queue::PEER_ADDRESS, queue::PEER_PORT, h.peer);
                put.address(queue::LOCAL_ADDRESS, queue::LOCAL_PORT, h.local);
            }
            Self::Done(d) => {
                put.u32(queue::ID, d.id);
                put.u32(queue::GENERATION, d.generation);
                if let Some(to) = d.to {
                    put.u32(queue::TO, to);
                }
                put.u32(queue::RESULT, d.result.into());
                put.u32(queue::ERROR, d.error);
                put.uint(queue::TAKEN, d.taken);
                if let Some(status) = d.status {
                    put.u16(queue::STATUS, status);
                }
            }
            Self::Relayed(r) => {
                put.u32(queue::ID, r.id);
                put.u32(queue::GENERATION, r.generation);
                put.u32(queue::TO, r.to);
                put.u16(queue::STATUS, r.status);
            }
            Self::Closed(c) => {
                put.u32(queue::ID, c.id);
                put.u32(queue::GENERATION, c.generation);
                put.u32(queue::SIDE, c.side.into());
                put.u32(queue::REASON, c.reason.into());
                put.u32(queue::ERROR, c.error);
                put.uint(queue::TAKEN, c.taken);
                put.uint(queue::SENT, c.sent);
                if c.gone {
                    put.flag(queue::GONE);
                }
            }
        }
    }
}

wire::message_traits!(Event);
