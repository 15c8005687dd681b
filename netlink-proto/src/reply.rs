// SPDX-License-Identifier: GPL-2.0
//! What the kernel answers with: the objects that a command made or asked for.
//!
//! What the kernel always knows is required. What depends on something that need not be
//! there (an owner, a forward, an end) may be absent.

use crate::attr::{Attributes, Put, Table};
use crate::error::{DecodeError, EncodeError};
use crate::framing::Framing;
use crate::gen::{cmd, listener, queue, router, stats};
use crate::gen::{ForwardResult, FramingKind, Reason, Side, State};
use crate::wire;
use std::net::SocketAddr;

/// The content of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `router-attach`, `router-takeover` and `router-get`.
    Router(RouterInfo),
    /// To `listener-add` and `listener-get`.
    Listener(ListenerInfo),
    /// To `queue-add`, `queue-get` and `cancel`.
    Queue(QueueInfo),
    /// To `stats-get`.
    Stats(Stats),
}

/// A router: a netlink socket that attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterInfo {
    /// Given by the kernel, never 0.
    pub id: u32,
    /// Netlink port of its socket; 0 when its owner is gone.
    pub port: u32,
    /// Heads that may have been sent up and not answered.
    pub credit: u32,
    /// Milliseconds that everything outlives its socket.
    pub grace: u32,
    /// Version of the family that the kernel speaks.
    pub protocol: u32,
    /// Heads sent up and not answered yet.
    pub heads_out: u32,
    /// Queues with an event that could not be delivered yet.
    pub waiting: u32,
    /// Events that found its socket full.
    pub overflows: u64,
    /// Its queues.
    pub queues: u32,
    /// Its listeners.
    pub listeners: u32,
    /// Queues that it may have at once.
    pub queues_max: u32,
}

/// A listening socket in the kernel's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Given by the kernel, never 0.
    pub id: u32,
    /// The owner.
    pub router: u32,
    /// Head bytes that its queues collect at the most.
    pub head_limit: u32,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Where it listens.
    pub local: Option<SocketAddr>,
    /// Its connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Milliseconds that a connection has for its first head.
    pub head_ms: u32,
    /// Connections at once.
    pub connections: u32,
    /// Connections now.
    pub open: u32,
}

/// A connection in the kernel's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Given by the kernel, never 0.
    pub id: u32,
    /// Towards a client or a back-end.
    pub side: Side,
    /// The owner.
    pub router: u32,
    /// The listener that accepted it; none if it was added by descriptor.
    pub listener: Option<u32>,
    /// Head bytes that it collects at the most.
    pub head_limit: u32,
    /// What the receiving half is doing.
    pub state: State,
    /// Number of the head collected last; 0 before the first.
    pub generation: u32,
    /// Target of the current or last forward; none if there was none, or if it discards.
    pub to: Option<u32>,
    /// Framing of the current or last forward.
    pub framing: Option<Framing>,
    /// Body bytes taken from it for the current or last attempt.
    pub taken: u64,
    /// Body bytes that the current or last forward put into it.
    pub sent: u64,
    /// How the last forward ended.
    pub result: Option<ForwardResult>,
    /// Why it ended, if it did.
    pub reason: Reason,
    /// The errno of a broken connection, or 0.
    pub error: u32,
    /// The other end.
    pub peer: Option<SocketAddr>,
    /// This end.
    pub local: Option<SocketAddr>,
    /// Body bytes taken from it in its life.
    pub rx_bytes: u64,
    /// Body bytes put into it in its life.
    pub tx_bytes: u64,
    /// Bytes of `data` that the peer's window does not take yet.
    pub unsent: u32,
    /// How the body of the current forward leaves, if not as it comes.
    pub to_framing: Option<FramingKind>,
    /// Milliseconds without a byte, after which the current forward ends.
    pub idle_ms: Option<u32>,
    /// Bytes that have to move in that time.
    pub idle_bytes: Option<u32>,
    /// Of the response that moves from it without having been shown.
    pub status: Option<u16>,
    /// The front queue to which its next head may be passed on.
    pub relay_to: Option<u32>,
    /// What the router wanted to remember of the exchange; 0 for nothing.
    pub note: u64,
}

/// Counters of the network namespace, since the module was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: u64,
    /// Sockets added by descriptor.
    pub added: u64,
    /// Head events delivered.
    pub heads: u64,
    /// Forwards begun, those of framing `none` left out.
    pub forwards: u64,
    /// Body bytes moved from front to back queues.
    pub front_to_back: u64,
    /// Body bytes moved from back to front queues.
    pub back_to_front: u64,
    /// Body bytes read and thrown away.
    pub discarded: u64,
    /// Events that found a router's socket full and were kept.
    pub overflows: u64,
    /// Connections closed because no router or memory was there for them.
    pub refused: u64,
    /// Queues now.
    pub queues: u32,
    /// Responses passed on without being shown to a router.
    pub relayed: u64,
    /// Connections closed because their first head did not come in time.
    pub late: u64,
}

impl Reply {
    /// The number of the command that asks for it. Others are answered with it too.
    pub fn number(&self) -> u8 {
        match self {
            Self::Router(_) => cmd::ROUTER_GET,
            Self::Listener(_) => cmd::LISTENER_GET,
            Self::Queue(_) => cmd::QUEUE_GET,
            Self::Stats(_) => cmd::STATS_GET,
        }
    }

    /// Appends the whole netlink message to `out`, as the kernel would send it.
    ///
    /// # Errors
    /// None of its attributes can be too long, so none now.
    pub fn append(&self, family: u16, sequence: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        wire::append(self, family, sequence, 0, out)
    }

    /// Decodes the attributes of the answer to command `number`.
    ///
    /// # Errors
    /// Names what is missing or of the wrong type.
    pub fn decode(number: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        let mut t = wire::table(number);
        t.read(payload)?;
        Ok(match number {
            cmd::ROUTER_ATTACH | cmd::ROUTER_TAKEOVER | cmd::ROUTER_GET => {
                Self::Router(RouterInfo::find(&t)?)
            }
            cmd::LISTENER_ADD | cmd::LISTENER_GET => Self::Listener(ListenerInfo::find(&t)?),
            cmd::QUEUE_ADD | cmd::QUEUE_GET | cmd::CANCEL => Self::Queue(QueueInfo::find(&t)?),
            cmd::STATS_GET => Self::Stats(Stats::find(&t)?),
            _ => return Err(wire::unexpected(number)),
        })
    }
}

impl RouterInfo {
    fn find(t: &Table<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: t.need_u32(router::ID)?,
            port: t.need_u32(router::PORT)?,
            credit: t.need_u32(router::CREDIT)?,
            grace: t.need_u32(router::GRACE)?,
            protocol: t.need_u32(router::PROTOCOL)?,
            heads_out: t.need_u32(router::HEADS_OUT)?,
            waiting: t.need_u32(router::WAITING)?,
            overflows: t.need_uint(router::OVERFLOWS)?,
            queues: t.need_u32(router::QUEUES)?,
            listeners: t.need_u32(router::LISTENERS)?,
            queues_max: t.need_u32(router::QUEUES_MAX)?,
        })
    }
}

impl ListenerInfo {
    fn find(t: &Table<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: t.need_u32(listener::ID)?,
            router: t.need_u32(listener::ROUTER)?,
            head_limit: t.need_u32(listener::HEAD_LIMIT)?,
            accepted: t.need_uint(listener::ACCEPTED)?,
            local: local(t)?,
            proxy_protocol: t.flag(listener::PROXY_PROTOCOL),
            head_ms: t.need_u32(listener::HEAD_MS)?,
            connections: t.need_u32(listener::CONNECTIONS)?,
            open: t.need_u32(listener::OPEN)?,
        })
    }
}

/// Where a listener listens, of which interface, where that matters.
fn local(t: &Table<'_>) -> Result<Option<SocketAddr>, DecodeError> {
    let mut local = t.address(listener::ADDRESS, listener::PORT)?;
    if let Some(SocketAddr::V6(address)) = &mut local {
        address.set_scope_id(t.u32(listener::SCOPE_ID)?.unwrap_or(0));
    }
    Ok(local)
}

impl QueueInfo {
    fn find(t: &Table<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: t.need_u32(queue::ID)?,
            side: t.need_number(queue::SIDE)?,
            router: t.need_u32(queue::ROUTER)?,
            listener: t.u32(queue::LISTENER)?,
            head_limit: t.need_u32(queue::HEAD_LIMIT)?,
            state: t.need_number(queue::STATE)?,
            generation: t.need_u32(queue::GENERATION)?,
            to: t.u32(queue::TO)?,
            framing: Framing::find(t)?,
            taken: t.need_uint(queue::TAKEN)?,
            sent: t.need_uint(queue::SENT)?,
            result: t.number(queue::RESULT)?,
            reason: t.number(queue::REASON)?.unwrap_or(Reason::None),
            error: t.u32(queue::ERROR)?.unwrap_or(0),
            peer: t.address(queue::PEER_ADDRESS, queue::PEER_PORT)?,
            local: t.address(queue::LOCAL_ADDRESS, queue::LOCAL_PORT)?,
            rx_bytes: t.need_uint(queue::RX_BYTES)?,
            tx_bytes: t.need_uint(queue::TX_BYTES)?,
            unsent: t.need_u32(queue::UNSENT)?,
            to_framing: t.number(queue::TO_FRAMING)?,
            idle_ms: t.u32(queue::IDLE_MS)?,
            idle_bytes: t.u32(queue::IDLE_BYTES)?,
            status: t.u16(queue::STATUS)?,
            relay_to: t.u32(queue::RELAY_TO)?,
            note: t.uint(queue::NOTE)?.unwrap_or(0),
        })
    }
}

impl Stats {
    fn find(t: &Table<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            accepted: t.need_uint(stats::ACCEPTED)?,
            added: t.need_uint(stats::ADDED)?,
            heads: t.need_uint(stats::HEADS)?,
            forwards: t.need_uint(stats::FORWARDS)?,
            front_to_back: t.need_uint(stats::FRONT_TO_BACK)?,
            back_to_front: t.need_uint(stats::BACK_TO_FRONT)?,
            discarded: t.need_uint(stats::DISCARDED)?,
            overflows: t.need_uint(stats::OVERFLOWS)?,
            refused: t.need_uint(stats::REFUSED)?,
            queues: t.need_u32(stats::QUEUES)?,
            relayed: t.need_uint(stats::RELAYED)?,
            late: t.need_uint(stats::LATE)?,
        })
    }
}

impl Attributes for Reply {
    fn attributes(&self, put: &mut Put<'_>) {
        match self {
            Self::Router(r) => {
                put.u32(router::ID, r.id);
                put.u32(router::PORT, r.port);
                put.u32(router::CREDIT, r.credit);
                put.u32(router::GRACE, r.grace);
                put.u32(router::PROTOCOL, r.protocol);
                put.u32(router::HEADS_OUT, r.heads_out);
                put.u32(router::WAITING, r.waiting);
                put.uint(router::OVERFLOWS, r.overflows);
                put.u32(router::QUEUES, r.queues);
                put.u32(router::LISTENERS, r.listeners);
                put.u32(router::QUEUES_MAX, r.queues_max);
            }
            Self::Listener(l) => {
                put.u32(listener::ID, l.id);
                put.u32(listener::ROUTER, l.router);
                put.u32(listener::HEAD_LIMIT, l.head_limit);
                put.uint(listener::ACCEPTED, l.accepted);
                put.address(listener::ADDRESS, listener::PORT, l.local);
                if l.proxy_protocol {
                    put.flag(listener::PROXY_PROTOCOL);
                }
                put.u32(listener::HEAD_MS, l.head_ms);
                put.u32(listener::CONNECTIONS, l.connections);
                put.u32(listener::OPEN, l.open);
                match l.local {
                    Some(SocketAddr::V6(local)) if local.scope_id() != 0 => {
                        put.u32(listener::SCOPE_ID, local.scope_id());
                    }
                    _ => {}
                }
            }
            Self::Queue(q) => {
                put.u32(queue::ID, q.id);
                put.u32(queue::SIDE, q.side.into());
                put.u32(queue::ROUTER, q.router);
                if let Some(listener) = q.listener {
                    put.u32(queue::LISTENER, listener);
                }
                put.u32(queue::HEAD_LIMIT, q.head_limit);
                put.u32(queue::STATE, q.state.into());
                put.u32(queue::GENERATION, q.generation);
                if let Some(to) = q.to {
                    put.u32(queue::TO, to);
                }
                if let Some(framing) = q.framing {
                    framing.put(put);
                }
                put.uint(queue::TAKEN, q.taken);
                put.uint(queue::SENT, q.sent);
                if let Some(result) = q.result {
                    put.u32(queue::RESULT, result.into());
                }
                put.u32(queue::REASON, q.reason.into());
                put.u32(queue::ERROR, q.error);
                put.address(queue::PEER_ADDRESS, queue::PEER_PORT, q.peer);
                put.address(queue::LOCAL_ADDRESS, queue::LOCAL_PORT, q.local);
                put.uint(queue::RX_BYTES, q.rx_bytes);
                put.uint(queue::TX_BYTES, q.tx_bytes);
                put.u32(queue::UNSENT, q.unsent);
                if let Some(framing) = q.to_framing {
                    put.u32(queue::TO_FRAMING, framing.into());
                }
                if let Some(ms) = q.idle_ms {
                    put.u32(queue::IDLE_MS, ms);
                }
                if let Some(bytes) = q.idle_bytes {
                    put.u32(queue::IDLE_BYTES, bytes);
                }
                if let Some(status) = q.status {
                    put.u16(queue::STATUS, status);
                }
                if let Some(to) = q.relay_to {
                    put.u32(queue::RELAY_TO, to);
                }
                if q.note != 0 {
                    put.uint(queue::NOTE, q.note);
                }
            }
            Self::Stats(s) => {
                put.uint(stats::ACCEPTED, s.accepted);
                put.uint(stats::ADDED, s.added);
                put.uint(stats::HEADS, s.heads);
                put.uint(stats::FORWARDS, s.forwards);
                put.uint(stats::FRONT_TO_BACK, s.front_to_back);
                put.uint(stats::BACK_TO_FRONT, s.back_to_front);
                put.uint(stats::DISCARDED, s.discarded);
                put.uint(stats::OVERFLOWS, s.overflows);
                put.uint(stats::REFUSED, s.refused);
                put.u32(stats::QUEUES, s.queues);
                put.uint(stats::RELAYED, s.relayed);
                put.uint(stats::LATE, s.late);
            }
        }
    }
}

wire::message_traits!(Reply);
