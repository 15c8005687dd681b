// SPDX-License-Identifier: GPL-2.0
//! Who moves the bodies: one trait, two engines with the same commands and events.
//!
//! What commands and events mean is in `docs/netlink.md`; both engines keep to it, so that
//! what is tested with one holds for the other.

pub mod kernel;
#[cfg(test)]
pub mod samples;
pub mod user;

use std::fmt;
use std::future::Future;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use underpass_proto::{Command, Event, ListenerInfo, QueueInfo, Side};

/// Names a command to whoever gave it; the engine does not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// What an engine tells.
#[derive(Debug)]
pub enum Incoming {
    /// Something happened to a queue.
    Event(Event),
    /// A socket was taken over.
    Added {
        /// Of the call.
        token: Token,
        /// The queue or listener.
        id: u32,
    },
    /// A command was refused; nothing was changed by it.
    Refused {
        /// Of the command.
        token: Token,
        /// Why.
        refusal: Refused,
    },
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The command's name in the spec.
    pub command: &'static str,
    /// The errno, positive.
    pub errno: i32,
    /// What is wrong, for a person.
    pub text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let error = std::io::Error::from_raw_os_error(self.errno);
        write!(f, "`{}` was refused: {error}", self.command)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}

/// The engine cannot go on.
#[derive(Debug)]
pub enum EngineError {
    /// Why.
    Failed(String),
    /// It cannot begin without the module, which is not loaded: so, and how to load it.
    NoModule(String),
    /// Another process has this router now, and all that is its: nothing is wrong.
    Ousted {
        /// The netlink port of that process, where it is known.
        by: Option<u32>,
    },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Failed(why) | Self::NoModule(why) => f.write_str(why),
            Self::Ousted { by: None } => f.write_str("another one took this router over"),
            Self::Ousted { by: Some(port) } => write!(
                f,
                "another one, with netlink port {port}, took this router over"
            ),
        }
    }
}

impl std::error::Error for EngineError {}

/// What connections of a listener are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Bytes of a head at the most.
    pub head_limit: u32,
    /// Each begins with a PROXY protocol header, which comes up with its first head.
    pub proxy_protocol: bool,
    /// Milliseconds that each has for its first head; a head that was begun is answered by 408.
    pub head_ms: u32,
    /// How many there are at once; more wait to be accepted.
    pub connections: u32,
}

/// What a former router left, and is this one's now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Its listeners.
    pub listeners: Vec<ListenerInfo>,
    /// Its connections.
    pub queues: Vec<QueueInfo>,
}

/// A connection to be taken over.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// Takes commands, tells events. Commands are done in order, and never wait.
pub trait Engine: Send {
    /// Takes a listening socket over; `Added` or `Refused` follows.
    fn listen(&mut self, socket: TcpListener, terms: Listen, token: Token);

    /// Takes a connected socket over; `Added` or `Refused` follows. `head_limit` in bytes.
    fn adopt(&mut self, socket: Socket, side: Side, head_limit: u32, token: Token);

    /// Gives a command. Only a refusal is answered, and a `cancel`: by `done` with the
    /// result `cancelled`.
    fn submit(&mut self, command: Command, token: Token);

    /// Commands that are held are done when this returns.
    fn do_now(&mut self) {}

    /// The router stops: nothing more is accepted, and nothing is kept for a successor.
    fn shutdown(&mut self);

    /// Whether something that is being ended has not sent yet what it has to, and the process must live
    /// for it. From then on `wait` returns also when that may have changed, with nothing to tell.
    fn has_last_words(&mut self) -> bool {
        // What ends goes on in the kernel.
        false
    }

    /// Waits until there is something to tell, and appends all that there is. Commands may
    /// be held until then. Safe to cancel.
    ///
    /// # Errors
    /// If the engine cannot go on.
    fn wait(
        &mut self,
        out: &mut Vec<Incoming>,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
}
