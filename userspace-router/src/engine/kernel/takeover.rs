// SPDX-License-Identifier: GPL-2.0
//! Which routers of the module this process becomes: new ones, or those whose process is gone or is
//! to be replaced.
//!
//! Invariant: events that come while this asks are kept, and delivered after what the answers say.

use std::net::SocketAddr;

use tokio::time::sleep;

use underpass_proto::{messages, Command, Content, ListenerInfo, Reply, RouterInfo};

use super::endings::Endings;
use super::socket::Read;
use super::{advised, EngineError, KernelEngine, Left, Refused, Terms};
use super::{AGAIN, DUMPS, EBUSY, ENOBUFS};
use crate::address::meets;
use crate::engine::Incoming;
use crate::say;

/// A router that can be taken over.
#[derive(Debug)]
pub struct Former {
    id: u32,
    /// The process that is to be replaced, and no other.
    port: Option<u32>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

/// Which routers are replaced although they have a process.
#[derive(Debug)]
pub enum Replaced {
    /// None.
    Nobody,
    /// All that listen where the new one wants to.
    Anybody,
    /// This process's own, wherever they listen: their numbers, and the netlink ports of their sockets. One that is
    /// another process's by now is not.
    These(Vec<(u32, u32)>),
}

impl KernelEngine {
    /// Looks for routers that listen at one of `addresses` and whose processes are gone, and for those that
    /// are `replaced`. Changes nothing.
    ///
    /// # Errors
    /// If the module is not loaded, or a router that is not replaced has one of the addresses.
    pub async fn look(
        addresses: &[SocketAddr],
        replaced: &Replaced,
    ) -> Result<Vec<Former>, EngineError> {
        let mut engine = Self::open().await?;
        let routers = engine.routers().await?;
        let listeners = engine.listeners().await?;
        let mut formers = Vec::new();
        for RouterInfo { id, port, .. } in routers {
            let mine = listeners.iter().filter(|listener| listener.router == id);
            let held: Vec<_> = mine.filter_map(|listener| listener.local).collect();
            let meets_one = |local: &&SocketAddr| addresses.iter().any(|a| meets(*a, **local));
            let address = held.iter().find(meets_one);
            let is_replaced = match replaced {
                Replaced::Nobody => false,
                Replaced::Anybody => address.is_some(),
                Replaced::These(own) => own.contains(&(id, port)),
            };
            match address {
                _ if is_replaced => {}
                None => continue,
                Some(_) if port == 0 => {}
                Some(address) => {
                    return Err(EngineError::Failed(format!(
                        "router {id} of the module, a process with netlink port {port}, listens on {address}: \
                         stop it, or take it over by --takeover"
                    )));
                }
            }
            let own = is_replaced && matches!(replaced, Replaced::These(_));
            formers.push(Former {
                id,
                port: own.then_some(port),
                addresses: held,
            });
        }
        Ok(formers)
    }

    /// Takes that router over, or becomes a new one.
    ///
    /// # Errors
    /// If the module refuses that: the router was there when `look` looked, and may be gone, or another
    /// process's.
    pub async fn begin(
        former: Option<Former>,
        terms: Terms,
    ) -> Result<(Self, Option<Left>), EngineError> {
        let mut engine = Self::open().await?;
        let left = match former {
            Some(Former { id, port, .. }) => {
                engine.check_owner(id, port).await?;
                Some(engine.take_over(id, terms).await?)
            }
            None => engine.attached(terms).await.map(|()| None)?,
        };
        Ok((engine, left))
    }

    /// Whether a router is still that process's, or nobody's.
    async fn check_owner(&mut self, id: u32, port: Option<u32>) -> Result<(), EngineError> {
        let Some(port) = port else {
            return Ok(());
        };
        match self.ask(&Command::RouterGet { id }).await?.pop() {
            Some(Reply::Router(router)) if ![0, port].contains(&router.port) => {
                let by = Some(router.port);
                Err(EngineError::Ousted { by })
            }
            _ => Ok(()),
        }
    }

    async fn take_over(&mut self, id: u32, terms: Terms) -> Result<Left, EngineError> {
        let takeover = Command::RouterTakeover {
            id,
            credit: terms.queues,
            grace: terms.grace,
            queues_max: terms.queues,
        };
        self.ask(&takeover).await?;
        self.id = id;
        let mut left = Left::default();
        for listener in self.listeners().await? {
            if listener.router == id {
                left.listeners.push(listener);
            }
        }
        for reply in self.ask(&Command::QueueDump).await? {
            match reply {
                Reply::Queue(queue) if queue.router == id => left.queues.push(queue),
                _ => {}
            }
        }
        say!("engine kernel: took over router {id} of the module");
        Ok(left)
    }

    pub(super) async fn routers(&mut self) -> Result<Vec<RouterInfo>, EngineError> {
        let replies = self.ask(&Command::RouterDump).await?;
        let router = |reply| match reply {
            Reply::Router(router) => Some(router),
            _ => None,
        };
        Ok(replies.into_iter().filter_map(router).collect())
    }

    pub(super) async fn listeners(&mut self) -> Result<Vec<ListenerInfo>, EngineError> {
        let replies = self.ask(&Command::ListenerDump).await?;
        let listener = |reply| match reply {
            Reply::Listener(listener) => Some(listener),
            _ => None,
        };
        Ok(replies.into_iter().filter_map(listener).collect())
    }

    /// Gives one command, with all before it done, and waits for all that answers it. A dump that fails is
    /// asked for again: memory may be short.
    pub(super) async fn ask(&mut self, command: &Command) -> Result<Vec<Reply>, EngineError> {
        let mut in_vain = 0;
        loop {
            let refusal = match self.ask_once(command).await? {
                Ok(replies) => return Ok(replies),
                Err(refusal) => refusal,
            };
            // EBUSY: the one before has not ended.
            let passes = Endings::is_passing(refusal.errno) || refusal.errno == EBUSY;
            if !command.is_dump() || !passes || in_vain >= DUMPS {
                return Err(advised(&refusal));
            }
            in_vain += 1;
            sleep(AGAIN).await;
        }
    }

    /// The answer, or why there is none.
    async fn ask_once(
        &mut self,
        command: &Command,
    ) -> Result<Result<Vec<Reply>, Refused>, EngineError> {
        self.sequence = self.sequence.wrapping_add(1);
        let (mine, name) = (self.sequence, command.name());
        let mut datagram = Vec::new();
        command
            .append(self.channel.family, mine, false, &mut datagram)
            .map_err(|error| EngineError::Failed(error.to_string()))?;
        self.channel
            .send(&datagram)
            .map_err(|error| EngineError::Failed(format!("`{name}` cannot be sent: {error}")))?;
        let refused = |errno, text| {
            Ok(Err(Refused {
                command: name,
                errno,
                text,
            }))
        };
        let mut replies = Vec::new();
        loop {
            match self.channel.read() {
                Ok(Read::Datagram) => {}
                // The kernel keeps events, and goes on with a dump when there is room.
                Ok(Read::Overflow) => continue,
                // Reading one part of a dump brings the next one: it stands still.
                Ok(Read::Nothing) if command.is_dump() => {
                    let text = "it has no end".to_owned();
                    return refused(ENOBUFS, text);
                }
                Ok(Read::Nothing) => {
                    self.channel.readable().await?;
                    continue;
                }
                Err(error) => return Err(EngineError::Failed(format!("netlink socket: {error}"))),
            }
            for message in messages(&self.channel.datagram, self.channel.family) {
                let message = message.map_err(|error| EngineError::Failed(error.to_string()))?;
                match message.content {
                    Content::Event(event) => self.ready.push(Incoming::Event(event)),
                    Content::Ousted { id, port } if id == self.id => {
                        self.ousted = Some(Some(port));
                    }
                    _ if message.sequence != mine => {}
                    Content::Reply(reply) => replies.push(reply),
                    Content::Refused(refusal) => return refused(refusal.errno, refusal.text),
                    Content::Ousted { .. } => {}
                    Content::DumpEnd | Content::Ack => return Ok(Ok(replies)),
                }
            }
            if !command.is_dump() && !replies.is_empty() {
                return Ok(Ok(replies));
            }
        }
    }
}
