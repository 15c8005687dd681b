// SPDX-License-Identifier: GPL-2.0
//! Which router of the module this process becomes: a new one, or one whose process is gone.
//!
//! Invariant: events that come while this asks are kept, behind what the answers tell.

use std::net::SocketAddr;

use underpass_proto::{messages, Command, Content, ListenerInfo, Reply, RouterInfo};

use super::socket::Read;
use super::{EngineError, KernelEngine, Left};
use crate::engine::Incoming;

impl KernelEngine {
    /// Becomes the router that listens at one of `addresses` and whose process is gone, or, with
    /// `force`, is not; a new one if there is none.
    ///
    /// # Errors
    /// If the module is not loaded, or the router's process is there and `force` is not.
    pub async fn start(
        addresses: &[SocketAddr],
        force: bool,
    ) -> Result<(Self, Option<Left>), EngineError> {
        let mut engine = Self::open().await?;
        let routers = engine.routers().await?;
        let listeners = engine.listeners().await?;
        let wanted = |listener: &&ListenerInfo| {
            listener
                .local
                .is_some_and(|local| addresses.contains(&local))
        };
        let of = |router: &RouterInfo| {
            let mine = listeners.iter().filter(wanted);
            mine.filter(|listener| listener.router == router.id)
                .find_map(|listener| listener.local)
        };
        let found = routers
            .iter()
            .find_map(|router| Some((router, of(router)?)));
        let Some((router, address)) = found else {
            engine.attached().await?;
            return Ok((engine, None));
        };
        let RouterInfo { id, port, .. } = *router;
        if port != 0 && !force {
            return Err(EngineError(format!(
                "router {id} of the module, a process with netlink port {port}, listens on {address}: \
                 stop it, or take it over by --takeover"
            )));
        }
        let left = engine.take_over(id).await?;
        Ok((engine, Some(left)))
    }

    async fn take_over(&mut self, id: u32) -> Result<Left, EngineError> {
        let takeover = Command::RouterTakeover {
            id,
            credit: None,
            grace: None,
        };
        self.ask(&takeover).await?;
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
        self.id = id;
        eprintln!("underpass: engine kernel: took over router {id} of the module");
        Ok(left)
    }

    async fn routers(&mut self) -> Result<Vec<RouterInfo>, EngineError> {
        let replies = self.ask(&Command::RouterDump).await?;
        let router = |reply| match reply {
            Reply::Router(router) => Some(router),
            _ => None,
        };
        Ok(replies.into_iter().filter_map(router).collect())
    }

    async fn listeners(&mut self) -> Result<Vec<ListenerInfo>, EngineError> {
        let replies = self.ask(&Command::ListenerDump).await?;
        let listener = |reply| match reply {
            Reply::Listener(listener) => Some(listener),
            _ => None,
        };
        Ok(replies.into_iter().filter_map(listener).collect())
    }

    /// Gives one command, with all before it done, and waits for all that answers it.
    async fn ask(&mut self, command: &Command) -> Result<Vec<Reply>, EngineError> {
        self.sequence = self.sequence.wrapping_add(1);
        let (mine, name) = (self.sequence, command.name());
        let mut datagram = Vec::new();
        command
            .append(self.channel.family, mine, false, &mut datagram)
            .map_err(|error| EngineError(error.to_string()))?;
        self.channel
            .send(&datagram)
            .map_err(|error| EngineError(format!("`{name}` cannot be sent: {error}")))?;
        let mut replies = Vec::new();
        loop {
            match self.channel.read() {
                Ok(Read::Datagram) => {}
                // The kernel keeps events, and goes on with a dump when there is room.
                Ok(Read::Overflow) => continue,
                Ok(Read::Nothing) => {
                    self.channel.readable().await?;
                    continue;
                }
                Err(error) => return Err(EngineError(format!("netlink socket: {error}"))),
            }
            for message in messages(&self.channel.datagram, self.channel.family) {
                let message = message.map_err(|error| EngineError(error.to_string()))?;
                match message.content {
                    Content::Event(event) => self.ready.push(Incoming::Event(event)),
                    _ if message.sequence != mine => {}
                    Content::Reply(reply) => replies.push(reply),
                    Content::Refused(refusal) => {
                        return Err(EngineError(format!("`{name}` was refused: {refusal}")));
                    }
                    Content::DumpEnd | Content::Ack => return Ok(replies),
                }
            }
            if !command.is_dump() && !replies.is_empty() {
                return Ok(replies);
            }
        }
    }
}
