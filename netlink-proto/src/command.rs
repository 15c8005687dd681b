// SPDX-License-Identifier: GPL-2.0
//! What a router tells the kernel.

use crate::attr::{Attributes, Put};
use crate::error::{DecodeError, EncodeError};
use crate::framing::Body;
use crate::gen::{cmd, listener, queue, router, Side};
use crate::relay::Relay;
use crate::wire;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use std::os::fd::RawFd;

/// A command of the family. `None` stands for the default, or for an absent attribute.
///
/// What each does, and the errors that the kernel answers with, is in the spec and in
/// `docs/netlink.md`; all need `CAP_NET_ADMIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes the sending socket a router. Answered by [`RouterInfo`](crate::RouterInfo).
    RouterAttach {
        /// Heads that may have been sent up and not answered yet.
        credit: Option<u32>,
        /// Milliseconds that everything outlives its router's socket.
        grace: Option<u32>,
        /// Queues at once.
        queues_max: Option<u32>,
    },
    /// Ends the sending socket's router; its queues and listeners live on for a time.
    RouterDetach {
        /// Another time than agreed, in milliseconds.
        grace: Option<u32>,
    },
    /// The sending socket becomes that of router `id`. Answered by
    /// [`RouterInfo`](crate::RouterInfo).
    RouterTakeover {
        /// The router.
        id: u32,
        /// As with [`Command::RouterAttach`].
        credit: Option<u32>,
        /// As with [`Command::RouterAttach`].
        grace: Option<u32>,
        /// As with [`Command::RouterAttach`].
        queues_max: Option<u32>,
    },
    /// Asks for one router.
    RouterGet {
        /// The router.
        id: u32,
    },
    /// Asks for all routers of the network namespace.
    RouterDump,
    /// Takes over a listening socket. Answered by [`ListenerInfo`](crate::ListenerInfo).
    ListenerAdd {
        /// A listening TCP socket of this process.
        fd: RawFd,
        /// Head bytes that its queues collect at the most.
        head_limit: Option<u32>,
        /// Its connections begin with a PROXY protocol header.
        proxy_protocol: bool,
        /// Milliseconds that a connection has for its first head.
        head_ms: Option<u32>,
        /// Connections at once.
        connections: Option<u32>,
    },
    /// Stops accepting. Queues stay.
    ListenerDel {
        /// The listener.
        id: u32,
    },
    /// Asks for one listener.
    ListenerGet {
        /// The listener.
        id: u32,
    },
    /// Asks for all listeners of the network namespace.
    ListenerDump,
    /// Takes over a connected socket. Answered by [`QueueInfo`](crate::QueueInfo).
    QueueAdd {
        /// A connected TCP socket of this process.
        fd: RawFd,
        /// Towards a client or a back-end.
        side: Side,
        /// Head bytes that it collects at the most.
        head_limit: Option<u32>,
    },
    /// Sends what waits, then closes with FIN.
    QueueDel {
        /// The queue.
        id: u32,
    },
    /// Resets the connection.
    QueueAbort {
        /// The queue.
        id: u32,
    },
    /// Asks for one queue.
    QueueGet {
        /// The queue.
        id: u32,
    },
    /// Asks for all queues of the network namespace.
    QueueDump,
    /// Sends `data` to the peer of a queue.
    Send {
        /// The queue.
        id: u32,
        /// At most [`DATA_MAX`](crate::gen::DATA_MAX) bytes.
        data: Vec<u8>,
        /// Only if the queue has received nothing that was not answered.
        if_quiet: bool,
        /// What to remember of the exchange, with this front queue; as before where absent.
        note: Option<u64>,
    },
    /// Answers the head of queue `id`: drops it and moves the body that follows.
    Forward {
        /// The source.
        id: u32,
        /// Number of the head that is answered.
        generation: u32,
        /// The target; the body is discarded if there is none.
        to: Option<u32>,
        /// How long the body is, and what is done with it.
        body: Body,
    },
    /// [`Send`](Command::Send) to queue `to` and [`Forward`](Command::Forward) into it:
    /// both or none.
    Route {
        /// The source.
        id: u32,
        /// Number of the head that is answered.
        generation: u32,
        /// The target.
        to: u32,
        /// How long the body is, and what is done with it.
        body: Body,
        /// At most [`DATA_MAX`](crate::gen::DATA_MAX) bytes, sent before the body.
        data: Vec<u8>,
        /// Only if the target has received nothing that was not answered.
        if_quiet: bool,
        /// The response may come back to queue `id` without being shown.
        relay: Option<Relay>,
    },
    /// Stops the forward from queue `id`, or takes back what [`Relay`] allowed there. Answered by [`QueueInfo`](crate::QueueInfo).
    Cancel {
        /// The source.
        id: u32,
        /// Number of the head that was answered.
        generation: u32,
    },
    /// Closes a queue so that its peer can read what was sent.
    Drain {
        /// The queue.
        id: u32,
        /// Bytes to read at the most meanwhile.
        limit_bytes: Option<u64>,
        /// Milliseconds that it lasts at the most.
        limit_ms: Option<u32>,
    },
    /// Asks for the counters of the network namespace. Answered by
    /// [`Stats`](crate::Stats).
    StatsGet,
}

impl Command {
    /// Its number on the wire.
    pub fn number(&self) -> u8 {
        match self {
            Self::RouterAttach { .. } => cmd::ROUTER_ATTACH,
            Self::RouterDetach { .. } => cmd::ROUTER_DETACH,
            Self::RouterTakeover { .. } => cmd::ROUTER_TAKEOVER,
            Self::RouterGet { .. } | Self::RouterDump => cmd::ROUTER_GET,
            Self::ListenerAdd { .. } => cmd::LISTENER_ADD,
            Self::ListenerDel { .. } => cmd::LISTENER_DEL,
            Self::ListenerGet { .. } | Self::ListenerDump => cmd::LISTENER_GET,
            Self::QueueAdd { .. } => cmd::QUEUE_ADD,
            Self::QueueDel { .. } => cmd::QUEUE_DEL,
            Self::QueueAbort { .. } => cmd::QUEUE_ABORT,
            Self::QueueGet { .. } | Self::QueueDump => cmd::QUEUE_GET,
            Self::Send { .. } => cmd::SEND,
            Self::Forward { .. } => cmd::FORWARD,
            Self::Route { .. } => cmd::ROUTE,
            Self::Cancel { .. } => cmd::CANCEL,
            Self::Drain { .. } => cmd::DRAIN,
            Self::StatsGet => cmd::STATS_GET,
        }
    }

    /// Its name in the spec, for logs.
    pub fn name(&self) -> &'static str {
        cmd::NAMES[usize::from(self.number())]
    }

    /// True if many messages answer it, and an end.
    pub fn is_dump(&self) -> bool {
        matches!(
            self,
            Self::RouterDump | Self::ListenerDump | Self::QueueDump
        )
    }

    /// Appends the whole netlink message to `out`; several make one datagram.
    ///
    /// `family` is the id that [`family`](crate::family) found, `sequence` comes back in
    /// the answer. Without `ack` the kernel answers only with content or a refusal.
    ///
    /// # Errors
    /// If `data` is too long for an attribute. `out` is unchanged then.
    pub fn append(
        &self,
        family: u16,
        sequence: u32,
        ack: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut flags = NLM_F_REQUEST;
        if self.is_dump() {
            flags |= NLM_F_DUMP;
        }
        if ack {
            flags |= NLM_F_ACK;
        }
        wire::append(self, family, sequence, flags, out)
    }

    /// Decodes the attributes of a command, as the kernel would.
    ///
    /// # Errors
    /// Names what is missing or of the wrong type.
    pub fn decode(number: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        let mut t = wire::table(number);
        t.read(payload)?;
        Ok(match number {
            cmd::ROUTER_ATTACH => Self::RouterAttach {
                credit: t.u32(router::CREDIT)?,
                grace: t.u32(router::GRACE)?,
                queues_max: t.u32(router::QUEUES_MAX)?,
            },
            cmd::ROUTER_DETACH => Self::RouterDetach {
                grace: t.u32(router::GRACE)?,
            },
            cmd::ROUTER_TAKEOVER => Self::RouterTakeover {
                id: t.need_u32(router::ID)?,
                credit: t.u32(router::CREDIT)?,
                grace: t.u32(router::GRACE)?,
                queues_max: t.u32(router::QUEUES_MAX)?,
            },
            cmd::ROUTER_GET => match t.u32(router::ID)? {
                Some(id) => Self::RouterGet { id },
                None => Self::RouterDump,
            },
            cmd::LISTENER_ADD => Self::ListenerAdd {
                fd: t.need_u32(listener::FD)? as RawFd,
                head_limit: t.u32(listener::HEAD_LIMIT)?,
                proxy_protocol: t.flag(listener::PROXY_PROTOCOL),
                head_ms: t.u32(listener::HEAD_MS)?,
                connections: t.u32(listener::CONNECTIONS)?,
            },
            cmd::LISTENER_DEL => Self::ListenerDel {
                id: t.need_u32(listener::ID)?,
            },
            cmd::LISTENER_GET => match t.u32(listener::ID)? {
                Some(id) => Self::ListenerGet { id },
                None => Self::ListenerDump,
            },
            cmd::QUEUE_ADD => Self::QueueAdd {
                fd: t.need_u32(queue::FD)? as RawFd,
                side: t.need_number(queue::SIDE)?,
                head_limit: t.u32(queue::HEAD_LIMIT)?,
            },
            cmd::QUEUE_DEL => Self::QueueDel {
                id: t.need_u32(queue::ID)?,
            },
            cmd::QUEUE_ABORT => Self::QueueAbort {
                id: t.need_u32(queue::ID)?,
            },
            cmd::QUEUE_GET => match t.u32(queue::ID)? {
                Some(id) => Self::QueueGet { id },
                None => Self::QueueDump,
            },
            cmd::SEND => Self::Send {
                id: t.need_u32(queue::ID)?,
                data: t.need_bytes(queue::DATA)?.to_vec(),
                if_quiet: t.flag(queue::IF_QUIET),
                note: t.uint(queue::NOTE)?,
            },
            cmd::FORWARD => Self::Forward {
                id: t.need_u32(queue::ID)?,
                generation: t.need_u32(queue::GENERATION)?,
                to: t.u32(queue::TO)?,
                body: Body::need(&t)?,
            },
            cmd::ROUTE => Self::Route {
                id: t.need_u32(queue::ID)?,
                generation: t.need_u32(queue::GENERATION)?,
                to: t.need_u32(queue::TO)?,
                body: Body::need(&t)?,
                data: t.need_bytes(queue::DATA)?.to_vec(),
                if_quiet: t.flag(queue::IF_QUIET),
                relay: Relay::find(&t)?,
            },
            cmd::CANCEL => Self::Cancel {
                id: t.need_u32(queue::ID)?,
                generation: t.need_u32(queue::GENERATION)?,
            },
            cmd::DRAIN => Self::Drain {
                id: t.need_u32(queue::ID)?,
                limit_bytes: t.uint(queue::LIMIT_BYTES)?,
                limit_ms: t.u32(queue::LIMIT_MS)?,
            },
            cmd::STATS_GET => Self::StatsGet,
            _ => return Err(wire::unexpected(number)),
        })
    }
}

impl Attributes for Command {
    fn attributes(&self, put: &mut Put<'_>) {
        fn flag(put: &mut Put<'_>, attribute: u16, set: bool) {
            if set {
                put.flag(attribute);
            }
        }
        fn maybe(put: &mut Put<'_>, attribute: u16, value: Option<u32>) {
            if let Some(value) = value {
                put.u32(attribute, value);
            }
        }
        match self {
            Self::RouterAttach {
                credit,
                grace,
                queues_max,
            } => {
                maybe(put, router::CREDIT, *credit);
                maybe(put, router::GRACE, *grace);
                maybe(put, router::QUEUES_MAX, *queues_max);
            }
            Self::RouterDetach { grace } => maybe(put, router::GRACE, *grace),
            Self::RouterTakeover {
                id,
                credit,
                grace,
                queues_max,
            } => {
                put.u32(router::ID, *id);
                maybe(put, router::CREDIT, *credit);
                maybe(put, router::GRACE, *grace);
                maybe(put, router::QUEUES_MAX, *queues_max);
            }
            Self::RouterGet { id } => put.u32(router::ID, *id),
            Self::ListenerAdd {
                fd,
                head_limit,
                proxy_protocol,
                head_ms,
                connections,
            } => {
                put.u32(listener::FD, *fd as u32);
                maybe(put, listener::HEAD_LIMIT, *head_limit);
                flag(put, listener::PROXY_PROTOCOL, *proxy_protocol);
                maybe(put, listener::HEAD_MS, *head_ms);
                maybe(put, listener::CONNECTIONS, *connections);
            }
            Self::ListenerDel { id } | Self::ListenerGet { id } => {
                put.u32(listener::ID, *id);
            }
            Self::QueueAdd {
                fd,
                side,
                head_limit,
            } => {
                put.u32(queue::FD, *fd as u32);
                put.u32(queue::SIDE, (*side).into());
                maybe(put, queue::HEAD_LIMIT, *head_limit);
            }
            Self::QueueDel { id } | Self::QueueAbort { id } | Self::QueueGet { id } => {
                put.u32(queue::ID, *id);
            }
            Self::Send {
                id,
                data,
                if_quiet,
                note,
            } => {
                put.u32(queue::ID, *id);
                put.bytes(queue::DATA, data);
                flag(put, queue::IF_QUIET, *if_quiet);
                if let Some(note) = note {
                    put.uint(queue::NOTE, *note);
                }
            }
            Self::Forward {
                id,
                generation,
                to,
                body,
            } => {
                put.u32(queue::ID, *id);
                put.u32(queue::GENERATION, *generation);
                maybe(put, queue::TO, *to);
                body.put(put);
            }
            Self::Route {
                id,
                generation,
                to,
                body,
                data,
                if_quiet,
                relay,
            } => {
                put.u32(queue::ID, *id);
                put.u32(queue::GENERATION, *generation);
                put.u32(queue::TO, *to);
                body.put(put);
                put.bytes(queue::DATA, data);
                flag(put, queue::IF_QUIET, *if_quiet);
                if let Some(relay) = relay {
                    relay.put(put);
                }
            }
            Self::Cancel { id, generation } => {
                put.u32(queue::ID, *id);
                put.u32(queue::GENERATION, *generation);
            }
            Self::Drain {
                id,
                limit_bytes,
                limit_ms,
            } => {
                put.u32(queue::ID, *id);
                if let Some(bytes) = limit_bytes {
                    put.uint(queue::LIMIT_BYTES, *bytes);
                }
                maybe(put, queue::LIMIT_MS, *limit_ms);
            }
            Self::RouterDump | Self::ListenerDump | Self::QueueDump | Self::StatsGet => {}
        }
    }
}

wire::message_traits!(Command);
