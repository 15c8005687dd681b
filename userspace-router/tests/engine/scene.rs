// SPDX-License-Identifier: GPL-2.0
//! An engine, queues on it, and what it told.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use underpass::engine::kernel::KernelEngine;
use underpass::engine::user::UserEngine;
use underpass::engine::{Engine, Incoming, Listen, Refused, Socket, Token};
use underpass_proto::gen::FramingKind;
use underpass_proto::{Body, Closed, Command, Done, Event, ForwardResult, Framing, Head, Side};

use crate::peer::{Peer, PATIENCE};

/// A head; the engine does not look at what it says.
pub const HEAD: &[u8] = b"HEAD\r\n\r\n";
pub const HEAD_LIMIT: u32 = 4096;

enum Any {
    User(UserEngine),
    Kernel(Box<KernelEngine>),
}

/// An engine and the events that no test looked at yet.
pub struct Scene {
    engine: Any,
    inbox: VecDeque<Incoming>,
    token: u64,
    // Behind the engine, which needs it to the last.
    runtime: Runtime,
}

impl Scene {
    pub fn new() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let engine = match std::env::var("UNDERPASS_ENGINE").as_deref() {
            Ok("kernel") => {
                let engine = runtime.block_on(KernelEngine::attach());
                Any::Kernel(Box::new(engine.expect("the module takes a router")))
            }
            Ok("user") | Err(_) => runtime.block_on(async { Any::User(UserEngine::default()) }),
            Ok(other) => panic!("UNDERPASS_ENGINE is kernel or user, not {other}"),
        };
        Self {
            engine,
            inbox: VecDeque::new(),
            token: 0,
            runtime,
        }
    }

    pub fn is_kernel(&self) -> bool {
        matches!(self.engine, Any::Kernel(_))
    }

    fn collect(&mut self, patience: Duration) -> bool {
        let mut told = Vec::new();
        let engine = &mut self.engine;
        let outcome = self.runtime.block_on(async {
            match engine {
                Any::User(engine) => timeout(patience, engine.wait(&mut told)).await,
                Any::Kernel(engine) => timeout(patience, engine.wait(&mut told)).await,
            }
        });
        if let Ok(outcome) = outcome {
            outcome.expect("the engine goes on");
        }
        let something = !told.is_empty();
        self.inbox.extend(told);
        something
    }

    /// Reads what waits, as much of it as the engine reads at once.
    pub fn collect_some(&mut self) {
        assert!(self.collect(PATIENCE), "nothing was told");
    }

    /// How often messages to a router were lost, as the module counts it.
    pub fn overflows(&self) -> u64 {
        let told = self.runtime.block_on(KernelEngine::stats());
        let text = told.expect("the module answers");
        let line = |line: &str| {
            line.strip_prefix("underpass_overflows_total ")?
                .parse()
                .ok()
        };
        text.lines().find_map(line).expect("its counter")
    }

    /// The first of what was told, or will be, that `pick` wants.
    fn find<T>(&mut self, what: &str, mut pick: impl FnMut(&Incoming) -> Option<T>) -> T {
        loop {
            let mut found = self.inbox.iter().enumerate();
            if let Some((at, found)) = found.find_map(|(at, told)| Some((at, pick(told)?))) {
                self.inbox.remove(at);
                return found;
            }
            assert!(
                self.collect(PATIENCE),
                "{what} was not told, but {:?}",
                self.inbox
            );
        }
    }

    fn token(&mut self) -> Token {
        self.token += 1;
        Token(self.token)
    }

    /// Gives a command, and does not look what becomes of it.
    pub fn give(&mut self, command: Command) -> Token {
        let token = self.token();
        let _inside = self.runtime.enter();
        match &mut self.engine {
            Any::User(engine) => engine.submit(command, token),
            Any::Kernel(engine) => engine.submit(command, token),
        }
        token
    }

    /// Why that was refused, as it must be.
    pub fn refusal(&mut self, given: Token) -> Refused {
        self.find("a refusal", |told| match told {
            Incoming::Refused { token, refusal } if *token == given => Some(refusal.clone()),
            _ => None,
        })
    }

    /// Gives a command; both engines have done or refused it when this returns.
    pub fn attempt(&mut self, command: Command) -> Result<(), Refused> {
        let token = self.give(command);
        // A cancel is answered, all others only if refused: who asks once has it.
        self.collect(Duration::ZERO);
        let is_it =
            |told: &Incoming| matches!(told, Incoming::Refused { token: of, .. } if *of == token);
        match self.inbox.iter().position(is_it) {
            Some(at) => match self.inbox.remove(at) {
                Some(Incoming::Refused { refusal, .. }) => Err(refusal),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// The errno of a command that must be refused.
    pub fn refused(&mut self, command: Command) -> i32 {
        let text = format!("{command:?}");
        match self.attempt(command) {
            Ok(()) => panic!("not refused: {text}"),
            Err(refusal) => refusal.errno,
        }
    }

    /// Gives a command that must not be refused.
    pub fn command(&mut self, command: Command) {
        let text = format!("{command:?}");
        if let Err(refusal) = self.attempt(command) {
            panic!("{text}: {refusal}");
        }
    }

    fn answer(&mut self, token: Token) -> Result<u32, Refused> {
        self.find("what became of a socket", |told| match told {
            Incoming::Added { token: of, id } if *of == token => Some(Ok(*id)),
            Incoming::Refused { token: of, refusal } if *of == token => Some(Err(refusal.clone())),
            _ => None,
        })
    }

    pub fn try_adopt(&mut self, socket: Socket, side: Side, limit: u32) -> Result<u32, Refused> {
        let token = self.token();
        {
            let _inside = self.runtime.enter();
            match &mut self.engine {
                Any::User(engine) => engine.adopt(socket, side, limit, token),
                Any::Kernel(engine) => engine.adopt(socket, side, limit, token),
            }
        }
        self.answer(token)
    }

    /// A queue and its peer.
    pub fn queue(&mut self, side: Side) -> (u32, Peer) {
        let (ours, theirs) = pair();
        (self.adopt(ours, side), Peer::new(theirs))
    }

    pub fn adopt(&mut self, socket: TcpStream, side: Side) -> u32 {
        self.try_adopt(Socket::Tcp(socket), side, HEAD_LIMIT)
            .expect("the socket is taken over")
    }

    /// A source whose first head waits, and its peer.
    pub fn source(&mut self, side: Side) -> (u32, Peer) {
        let (id, mut peer) = self.queue(side);
        peer.send(HEAD);
        assert_eq!(self.head(id).head, HEAD);
        (id, peer)
    }

    pub fn listen(&mut self, proxy_protocol: bool) -> SocketAddr {
        self.listen_with(Listen {
            head_limit: HEAD_LIMIT,
            proxy_protocol,
            head_ms: 60_000,
            connections: 100,
        })
    }

    pub fn listen_with(&mut self, terms: Listen) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let token = self.token();
        {
            let _inside = self.runtime.enter();
            match &mut self.engine {
                Any::User(engine) => engine.listen(socket, terms, token),
                Any::Kernel(engine) => engine.listen(socket, terms, token),
            }
        }
        self.answer(token).expect("the listener is taken over");
        address
    }

    /// Answers head 1 of a queue.
    pub fn forward(&mut self, id: u32, to: Option<u32>, body: Body) {
        self.command(forward(id, 1, to, body));
    }

    pub fn head(&mut self, id: u32) -> Head {
        self.find("a head", |told| match told {
            Incoming::Event(Event::Head(head)) if head.id == id => Some(head.clone()),
            _ => None,
        })
    }

    /// The head of a connection that a listener accepted.
    pub fn accepted(&mut self) -> Head {
        self.find("an accepted head", |told| match told {
            Incoming::Event(Event::Head(head)) if head.listener.is_some() => Some(head.clone()),
            _ => None,
        })
    }

    /// Heads that were told and that no test looked at.
    pub fn heads_told(&self) -> usize {
        let is_head = |told: &&Incoming| matches!(told, Incoming::Event(Event::Head(_)));
        self.inbox.iter().filter(is_head).count()
    }

    pub fn done(&mut self, id: u32) -> Done {
        self.find("done", |told| match told {
            Incoming::Event(Event::Done(done)) if done.id == id => Some(done.clone()),
            _ => None,
        })
    }

    pub fn closed(&mut self, id: u32) -> Closed {
        self.find("closed", |told| match told {
            Incoming::Event(Event::Closed(closed)) if closed.id == id => Some(closed.clone()),
            _ => None,
        })
    }

    /// The next event of a queue, whichever it is.
    pub fn next(&mut self, id: u32) -> Event {
        self.find("anything", |told| match told {
            Incoming::Event(event) if event.id() == id => Some(event.clone()),
            _ => None,
        })
    }

    /// The forward from a queue must have moved all, which was so many bytes.
    pub fn completes(&mut self, id: u32, taken: u64) {
        let done = self.done(id);
        assert_eq!((done.result, done.taken), (ForwardResult::Complete, taken));
    }

    /// Waits for the end of a forward that must fail like this.
    pub fn fails(&mut self, id: u32, result: ForwardResult) -> Done {
        let done = self.done(id);
        assert_eq!(done.result, result, "{done:?}");
        done
    }

    pub fn send(&mut self, id: u32, data: &[u8]) {
        self.command(send(id, data, false));
    }

    pub fn cancel(&mut self, id: u32) -> Done {
        self.command(Command::Cancel { id, generation: 1 });
        self.fails(id, ForwardResult::Cancelled)
    }

    pub fn close(&mut self, id: u32) {
        self.command(Command::QueueDel { id });
    }

    pub fn drain(&mut self, id: u32) {
        self.command(Command::Drain {
            id,
            limit_bytes: None,
            limit_ms: None,
        });
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        match &mut self.engine {
            Any::User(engine) => engine.shutdown(),
            Any::Kernel(engine) => engine.shutdown(),
        }
    }
}

/// Two ends of a TCP connection.
pub fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let theirs = TcpStream::connect(address).expect("a connection");
    let (ours, _) = listener.accept().expect("the other end");
    (ours, theirs)
}

/// The same, with as little room from the first to the second as the system gives.
pub fn tight_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    // A window that was opened is not closed again: it has to be small from the start.
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(1)
        .expect("a small buffer");
    let address = listener.local_addr().expect("an address");
    let ours = TcpStream::connect(address).expect("a connection");
    socket2::SockRef::from(&ours)
        .set_send_buffer_size(1)
        .expect("a small buffer");
    let (theirs, _) = listener.accept().expect("the other end");
    (ours, theirs)
}

pub fn forward(id: u32, generation: u32, to: Option<u32>, body: Body) -> Command {
    Command::Forward {
        id,
        generation,
        to,
        body,
    }
}

pub fn send(id: u32, data: &[u8], if_quiet: bool) -> Command {
    Command::Send {
        id,
        data: data.to_vec(),
        if_quiet,
        note: None,
    }
}

pub fn route(id: u32, to: u32, body: Body, data: &[u8], if_quiet: bool) -> Command {
    Command::Route {
        id,
        generation: 1,
        to,
        body,
        data: data.to_vec(),
        if_quiet,
        relay: None,
    }
}

pub fn no_body() -> Body {
    Framing::None.into()
}

pub fn length(bytes: u64) -> Body {
    Framing::Length(bytes).into()
}

pub fn chunked() -> Body {
    Framing::Chunked.into()
}

pub fn until_close() -> Body {
    Framing::UntilClose.into()
}

pub fn tunnel() -> Body {
    Framing::Tunnel.into()
}

pub fn to_until_close() -> Body {
    leaves(chunked(), FramingKind::UntilClose)
}

pub fn to_chunked() -> Body {
    leaves(until_close(), FramingKind::Chunked)
}

pub fn leaves(mut body: Body, framing: FramingKind) -> Body {
    body.leaves = Some(framing);
    body
}

pub fn idle(mut body: Body, ms: u32) -> Body {
    body.idle_ms = Some(ms);
    body
}

pub fn trailers(names: &str) -> Body {
    let mut body = chunked();
    body.trailers = names.into();
    body
}
