// SPDX-License-Identifier: GPL-2.0
//! The engine `kernel`: the module moves the bodies; this side speaks its netlink family.
//!
//! Several commands go down in one datagram, and all events that wait are read at one
//! wake-up. After an overflow nothing of the kernel's state is lost, only answers may be:
//! a dump of all queues shows the outcome of the commands.

mod endings;
mod lost;
#[cfg(test)]
mod lost_tests;
mod pending;
mod socket;
mod stats;
mod takeover;

pub use takeover::{Former, Replaced};

use std::net::TcpListener;
use std::os::fd::AsRawFd;

use tokio::time::{timeout_at, Instant};

use underpass_proto::{
    messages, Command, Content, DecodeError, Done, Event, ForwardResult, Incoming as Message,
    Problem, QueueInfo, Reply, Side,
};

use crate::say;

use super::{Engine, EngineError, Incoming, Left, Listen, Refused, Socket, Token};
use endings::Endings;
use lost::{in_vain, AGAIN, DUMPS};
use pending::{Connection, Entry, Pending, Wants};
use socket::{Channel, Read};

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const EPROTONOSUPPORT: i32 = 93;
const ENOBUFS: i32 = 105;
/// Bytes of commands that are sent at once; one more fits on top of it.
const BATCH: usize = 48 * 1024;
/// Messages that are handed on at once.
const EVENTS: usize = 512;
/// Of no interest to anybody.
const NOBODY: Token = Token(u64::MAX);

/// The engine; needs the module, CAP_NET_ADMIN and a tokio runtime around it.
pub struct KernelEngine {
    channel: Channel,
    sequence: u32,
    /// Commands that were not sent yet.
    batch: Vec<u8>,
    /// Number of the first command in it.
    batch_from: u32,
    pending: Pending,
    endings: Endings,
    ready: Vec<Incoming>,
    /// The dump that runs, and what it told so far.
    dump: Option<(u32, Vec<QueueInfo>)>,
    /// Something was lost, since the dump began if one runs.
    lost: bool,
    /// Dumps in a row that were asked for in vain, and when to ask again.
    in_vain: u32,
    again: Option<Instant>,
    overflows: u64,
    /// The router that this process is, or 0.
    id: u32,
    /// It is so no more; the process that is, where it is known.
    ousted: Option<Option<u32>>,
}

/// On which terms a process is a router of the module; what is not said is as the module has it
/// (`underpass.yaml`, set `router`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Milliseconds that connections outlive the process.
    pub grace: Option<u32>,
    /// Connections of both sides at once. So many clients may also wait for an answer: if it were fewer, those
    /// that wait for a slow back-end would keep the heads of all others waiting.
    pub queues: Option<u32>,
}

impl KernelEngine {
    /// Becomes a router of the module.
    ///
    /// # Errors
    /// If the module is not loaded, or does not take this process for a router.
    pub async fn attach() -> Result<Self, EngineError> {
        let mut engine = Self::open().await?;
        engine.attached(Terms::default()).await?;
        Ok(engine)
    }

    /// One that is no router yet.
    async fn open() -> Result<Self, EngineError> {
        Ok(Self::over(Channel::open().await?))
    }

    fn over(channel: Channel) -> Self {
        Self {
            channel,
            sequence: 1,
            batch: Vec::new(),
            batch_from: 0,
            pending: Pending::default(),
            endings: Endings::default(),
            ready: Vec::new(),
            dump: None,
            lost: false,
            in_vain: 0,
            again: None,
            overflows: 0,
            id: 0,
            ousted: None,
        }
    }

    /// Its number in the module, and the netlink port of its socket.
    pub fn router(&self) -> (u32, u32) {
        (self.id, self.channel.port)
    }

    async fn attached(&mut self, terms: Terms) -> Result<(), EngineError> {
        let attach = Command::RouterAttach {
            credit: terms.queues,
            grace: terms.grace,
            queues_max: terms.queues,
        };
        self.submit(attach, NOBODY);
        let mut inbox = Vec::new();
        while inbox.is_empty() {
            self.wait(&mut inbox).await?;
        }
        match inbox.pop() {
            Some(Incoming::Added { id, .. }) => {
                say!("engine kernel: router {id} of the module");
                self.id = id;
                Ok(())
            }
            Some(Incoming::Refused { refusal, .. }) => Err(advised(&refusal)),
            other => Err(EngineError::Failed(format!(
                "instead of an attached router: {other:?}"
            ))),
        }
    }

    fn give(&mut self, command: &Command, token: Token, wants: Wants) {
        self.sequence = self.sequence.wrapping_add(1);
        let (sequence, name) = (self.sequence, command.name());
        if self.batch.len() > BATCH {
            self.flush();
        }
        if self.batch.is_empty() {
            self.batch_from = sequence;
        }
        let encoded = command.append(self.channel.family, sequence, false, &mut self.batch);
        match encoded {
            Ok(()) => self.pending.push(Entry {
                sequence,
                token,
                name,
                wants,
            }),
            Err(error) => self.refuse(token, name, EINVAL, error.to_string()),
        }
    }

    fn refuse(&mut self, token: Token, command: &'static str, errno: i32, text: String) {
        let refusal = Refused {
            command,
            errno,
            text,
        };
        self.ready.push(Incoming::Refused { token, refusal });
    }

    /// A command was not done: whoever gave it hears of that, or it is given again.
    fn undone(&mut self, entry: Entry, errno: i32, text: String) {
        match entry.wants {
            Wants::End(command) if Endings::is_passing(errno) => {
                self.endings.keep(command, entry.token);
            }
            _ => self.refuse(entry.token, entry.name, errno, text),
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let outcome = self.channel.send(&self.batch);
        self.batch.clear();
        if let Err(error) = outcome {
            // Not one of them was done: a datagram arrives whole or not at all. Those before were.
            let errno = error.raw_os_error().unwrap_or(ENOBUFS);
            let unsent = self.pending.since(self.batch_from);
            // Nor was what asked for a dump, if it was among them.
            let from = self.batch_from;
            let sent = |&(number, _): &(u32, _)| (number.wrapping_sub(from) as i32) < 0;
            if self.dump.as_ref().is_some_and(|dump| !sent(dump)) {
                self.not_dumped(&error);
            }
            for entry in unsent {
                self.undone(entry, errno, "it was not sent".to_owned());
            }
        }
    }

    /// Reads what waits, up to a limit.
    fn read_all(&mut self) -> Result<(), EngineError> {
        while self.ready.len() < EVENTS {
            match self.channel.read() {
                Ok(Read::Datagram) => self.datagram(),
                Ok(Read::Overflow) => self.overflow(),
                Ok(Read::Nothing) => {
                    // Until here the kernel dropped all answers: what a dump tells must be from after that.
                    match (&self.dump, self.lost) {
                        // As long as it goes on, reading one part of it brings the next one: it stands still for
                        // want of memory, or the refusal was dropped.
                        (Some(_), _) => self.not_dumped(&"it has no end"),
                        (None, true) if self.in_vain >= DUMPS => return Err(in_vain()),
                        (None, true) if self.again.is_some_and(|at| at > Instant::now()) => {}
                        (None, true) => self.start_dump(),
                        (None, false) => self.pending.settle(),
                    }
                    break;
                }
                Err(error) => return Err(EngineError::Failed(format!("netlink socket: {error}"))),
            }
        }
        Ok(())
    }

    fn datagram(&mut self) {
        let datagram = std::mem::take(&mut self.channel.datagram);
        for message in messages(&datagram, self.channel.family) {
            match message {
                Ok(message) => self.message(message),
                Err(error) => self.undecodable(&error),
            }
        }
        self.channel.datagram = datagram;
    }

    fn undecodable(&mut self, error: &DecodeError) {
        say!("engine kernel: {error}");
        if error.problem == Problem::Overrun {
            self.overflow();
        }
    }

    fn message(&mut self, message: Message) {
        let Message { sequence, content } = message;
        let dumping = self.dump.as_mut().filter(|(number, _)| *number == sequence);
        match (content, dumping) {
            (Content::Event(event), _) => {
                if let Event::Done(done) = &event {
                    // Whole, it is not parked, which is what the question would be about.
                    if done.result != ForwardResult::Complete {
                        self.pending.ended(done.id, done.generation);
                    }
                }
                self.ready.push(Incoming::Event(event));
            }
            (Content::Ousted { id, port }, _) if id == self.id => self.ousted = Some(Some(port)),
            (Content::Reply(Reply::Queue(queue)), Some((_, seen))) => seen.push(queue),
            (Content::DumpEnd, Some(_)) => self.dumped(),
            (Content::Refused(refusal), Some(_)) => self.not_dumped(&refusal),
            (Content::Reply(reply), None) => self.replied(sequence, reply),
            (Content::Refused(refusal), None) => {
                if let Some(entry) = self.pending.take(sequence) {
                    self.doubt(&entry, refusal.errno);
                    self.undone(entry, refusal.errno, refusal.text);
                }
            }
            (Content::Ack | Content::DumpEnd | Content::Reply(_) | Content::Ousted { .. }, _) => {}
        }
    }

    /// What a refusal says about whose router it is. Nothing ends a queue but its router, as a rule:
    /// where one is gone, another process may have ended it.
    fn doubt(&mut self, entry: &Entry, errno: i32) {
        match (&entry.wants, errno) {
            _ if self.id == 0 => {}
            (Wants::Owner, ENOENT) | (_, EPERM) => {
                self.ousted.get_or_insert(None);
            }
            // Not answered now; it is asked again where there is doubt again.
            (Wants::Owner, _) => {}
            (_, ENOENT) => self.ask_owner(),
            _ => {}
        }
    }

    /// The answer tells whose router it is.
    fn ask_owner(&mut self) {
        let ask = Command::RouterGet { id: self.id };
        self.give(&ask, NOBODY, Wants::Owner);
    }

    fn replied(&mut self, sequence: u32, reply: Reply) {
        let Some(entry) = self.pending.take(sequence) else {
            return;
        };
        match reply {
            Reply::Router(router) if matches!(entry.wants, Wants::Owner) => {
                if router.port != self.channel.port {
                    self.ousted = Some(Some(router.port).filter(|port| *port != 0));
                }
            }
            Reply::Queue(queue) => self.done(&entry, &queue),
            Reply::Listener(listener) => self.ready.push(Incoming::Added {
                token: entry.token,
                id: listener.id,
            }),
            Reply::Router(router) => self.ready.push(Incoming::Added {
                token: entry.token,
                id: router.id,
            }),
            Reply::Stats(_) => {}
        }
    }

    /// A command about this queue was done, and has something to tell.
    fn done(&mut self, entry: &Entry, queue: &QueueInfo) {
        if let Wants::Cancel(id, generation) = entry.wants {
            self.pending.ended(id, generation);
        }
        let incoming = match entry.wants {
            Wants::Cancel(..) => Incoming::Event(Event::Done(Done {
                id: queue.id,
                generation: queue.generation,
                to: queue.to,
                result: ForwardResult::Cancelled,
                error: 0,
                taken: queue.taken,
                status: None,
            })),
            _ => Incoming::Added {
                token: entry.token,
                id: queue.id,
            },
        };
        self.ready.push(incoming);
    }
}

/// Why it cannot begin.
fn advised(refusal: &Refused) -> EngineError {
    EngineError::Failed(match refusal.errno {
        EPERM => format!("{refusal}: run it as root, or with CAP_NET_ADMIN"),
        _ => refusal.to_string(),
    })
}

impl Engine for KernelEngine {
    fn listen(&mut self, socket: TcpListener, terms: Listen, token: Token) {
        let command = Command::ListenerAdd {
            fd: socket.as_raw_fd(),
            head_limit: Some(terms.head_limit),
            proxy_protocol: terms.proxy_protocol,
            head_ms: Some(terms.head_ms),
            connections: Some(terms.connections),
        };
        self.give(&command, token, Wants::Listener(socket));
    }

    fn adopt(&mut self, socket: Socket, side: Side, head_limit: u32, token: Token) {
        let Socket::Tcp(socket) = socket else {
            let text = "the module carries TCP only; use the engine `user` for Unix sockets";
            return self.refuse(token, "queue-add", EPROTONOSUPPORT, text.to_owned());
        };
        let command = Command::QueueAdd {
            fd: socket.as_raw_fd(),
            side,
            head_limit: Some(head_limit),
        };
        let wants = Wants::Queue(Connection::new(socket));
        self.give(&command, token, wants);
    }

    fn submit(&mut self, command: Command, token: Token) {
        let wants = Wants::of(&command);
        self.give(&command, token, wants);
    }

    fn do_now(&mut self) {
        self.flush();
    }

    fn shutdown(&mut self) {
        self.submit(Command::RouterDetach { grace: Some(0) }, NOBODY);
        self.flush();
    }

    async fn wait(&mut self, out: &mut Vec<Incoming>) -> Result<(), EngineError> {
        loop {
            for (command, token) in self.endings.due() {
                self.submit(*command, token);
            }
            self.flush();
            self.read_all()?;
            if let Some(by) = self.ousted {
                return Err(EngineError::Ousted { by });
            }
            if !self.ready.is_empty() {
                match out.is_empty() {
                    true => std::mem::swap(out, &mut self.ready),
                    false => out.append(&mut self.ready),
                }
                return Ok(());
            }
            // What was read may have been worth a question.
            if !self.batch.is_empty() {
                continue;
            }
            match self.again.into_iter().chain(self.endings.at()).min() {
                None => self.channel.readable().await?,
                Some(at) => {
                    if let Ok(readable) = timeout_at(at, self.channel.readable()).await {
                        readable?;
                    }
                }
            }
        }
    }
}
