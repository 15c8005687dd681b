// SPDX-License-Identifier: GPL-2.0
//! The engine `user`: this process moves the bodies, over plain sockets.
//!
//! It follows `docs/netlink.md` and uses the module's own `framing`. It needs no privilege
//! and no module, and is what the other engine is tested and measured against.
//!
//! Known difference: it does not refuse urgent data, which plain sockets deliver in line.

mod command;
mod input;
mod moving;
mod pump;
mod queue;
mod relay;
mod staging;
mod stream;
mod table;
mod tell;
mod terms;

use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, Instant};
use underpass_framing::Side;
use underpass_proto::gen::HEAD_LIMIT_MAX;
use underpass_proto::Command;

use super::{Engine, EngineError, Incoming, Listen, Refused, Socket, Token};
use command::{ENOENT, ERANGE};
use queue::{Closing, Queue};
use stream::Stream;
use table::Table;

/// The smallest head limit; the largest is the spec's constant.
const HEAD_LIMIT_MIN: u32 = 64;
const HEAD_LIMITS: &str = "`head-limit` is from 64 to 65000";

/// The longest time for a head.
const DAY_MS: u32 = 86_400_000;

/// How long accepting pauses when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// The engine; needs a tokio runtime around it.
#[derive(Debug)]
pub struct UserEngine {
    shared: Arc<Shared>,
    events: UnboundedReceiver<Incoming>,
    tell: UnboundedSender<Incoming>,
    listeners: Vec<(u32, JoinHandle<()>)>,
    /// The router waits for queues to be gone.
    parting: bool,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// A queue's task has ended.
    gone: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for UserEngine {
    fn default() -> Self {
        let (tell, events) = unbounded_channel();
        let table = Mutex::new(Table::new(tell.clone()));
        Self {
            shared: Arc::new(Shared {
                table,
                gone: Notify::new(),
            }),
            events,
            tell,
            listeners: Vec::new(),
            parting: false,
        }
    }
}

impl UserEngine {
    fn refuse(&self, token: Token, command: &'static str, errno: i32, text: String) {
        let refusal = Refused {
            command,
            errno,
            text,
        };
        // `self` holds the receiver.
        let _there = self.tell.send(Incoming::Refused { token, refusal });
    }

    fn refuse_io(&self, token: Token, command: &'static str, error: &io::Error) {
        let errno = error.raw_os_error().unwrap_or(0);
        self.refuse(token, command, errno, error.to_string());
    }

    fn added(&self, token: Token, id: u32) {
        // `self` holds the receiver.
        let _there = self.tell.send(Incoming::Added { token, id });
    }
}

impl Engine for UserEngine {
    fn listen(&mut self, socket: TcpListener, terms: Listen, token: Token) {
        let socket = socket
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(socket));
        if !limits(terms.head_limit) {
            return self.refuse(token, "listener-add", ERANGE, HEAD_LIMITS.to_owned());
        }
        if !(1..=DAY_MS).contains(&terms.head_ms) || terms.connections == 0 {
            let text = "`head-ms` is from 1 to 86400000, `connections` from 1";
            return self.refuse(token, "listener-add", ERANGE, text.to_owned());
        }
        match socket {
            Ok(socket) => {
                let id = self.shared.lock().next_id();
                let task = tokio::spawn(accept(self.shared.clone(), socket, id, terms));
                self.listeners.push((id, task));
                self.added(token, id);
            }
            Err(error) => self.refuse_io(token, "listener-add", &error),
        }
    }

    fn adopt(&mut self, socket: Socket, side: underpass_proto::Side, limit: u32, token: Token) {
        if !limits(limit) {
            return self.refuse(token, "queue-add", ERANGE, HEAD_LIMITS.to_owned());
        }
        let side = match side {
            underpass_proto::Side::Front => Side::Front,
            underpass_proto::Side::Back => Side::Back,
        };
        match Stream::new(socket) {
            Ok(stream) => {
                let id = take_in(&self.shared, stream, side, limit, None, None);
                self.added(token, id);
            }
            Err(error) => self.refuse_io(token, "queue-add", &error),
        }
    }

    fn submit(&mut self, command: Command, token: Token) {
        let name = command.name();
        if let Command::ListenerDel { id } = command {
            let at = self
                .listeners
                .iter()
                .position(|(listener, _)| *listener == id);
            match at {
                Some(at) => self.listeners.swap_remove(at).1.abort(),
                None => self.refuse(token, name, ENOENT, "no such listener".to_owned()),
            }
            return;
        }
        let outcome = self.shared.lock().command(command);
        if let Err((errno, text)) = outcome {
            self.refuse(token, name, errno, text.to_owned());
        }
    }

    fn shutdown(&mut self) {
        for (_, task) in self.listeners.drain(..) {
            task.abort();
        }
    }

    fn has_last_words(&mut self) -> bool {
        self.parting = true;
        let speaks = |queue: &Queue| !matches!(queue.closing, Closing::No);
        self.shared.lock().queues.values().any(speaks)
    }

    async fn wait(&mut self, out: &mut Vec<Incoming>) -> Result<(), EngineError> {
        tokio::select! {
            incoming = self.events.recv() => match incoming {
                Some(incoming) => out.push(incoming),
                None => return Err(EngineError::Failed("the engine has stopped".to_owned())),
            },
            () = self.shared.gone.notified(), if self.parting => {}
        }
        while let Ok(incoming) = self.events.try_recv() {
            out.push(incoming);
        }
        Ok(())
    }
}

impl Drop for UserEngine {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn limits(head: u32) -> bool {
    (HEAD_LIMIT_MIN..=HEAD_LIMIT_MAX).contains(&head)
}

/// `from` names the listener and its terms; `place` is given back when the connection is gone.
fn take_in(
    shared: &Arc<Shared>,
    stream: Stream,
    side: Side,
    head_limit: u32,
    from: Option<(u32, Listen)>,
    place: Option<OwnedSemaphorePermit>,
) -> u32 {
    let mut table = shared.lock();
    let id = table.add(stream, side, head_limit, from);
    let wake = table.queues.get(&id).map(|queue| queue.wake.clone());
    drop(table);
    if let Some(wake) = wake {
        let shared = shared.clone();
        tokio::spawn(async move {
            drive(shared.clone(), id, wake).await;
            shared.gone.notify_one();
            drop(place);
        });
    }
    id
}

async fn accept(shared: Arc<Shared>, socket: tokio::net::TcpListener, id: u32, terms: Listen) {
    let places = Arc::new(Semaphore::new(terms.connections as usize));
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match socket.accept().await {
            Ok((stream, _)) => {
                let (stream, from) = (Stream::Tcp(stream), Some((id, terms)));
                let limit = terms.head_limit;
                take_in(&shared, stream, Side::Front, limit, from, Some(place));
            }
            // A connection that died in the queue; or no descriptors: wait for some.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The task of one queue: steps, and waits for what the step wants.
async fn drive(shared: Arc<Shared>, id: u32, wake: Arc<Notify>) {
    // One timer for the task's life. It may ring early, when what it was set for has moved on.
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut set = None;
    loop {
        let step = shared.lock().step(id);
        let Some(wait) = step else {
            // Gone; or reset, and the router has not ended it yet: nothing to do for it here.
            return;
        };
        if let Some(until) = wait.until {
            if set.is_none_or(|set| until < set) {
                timer.as_mut().reset(until);
                set = Some(until);
            }
        }
        if wait.again {
            tokio::task::yield_now().await;
            continue;
        }
        let stream = &wait.stream;
        // Which of them it was is seen by trying; an error here is met again there.
        tokio::select! {
            () = wake.notified() => {}
            _ = stream.ready(Interest::READABLE), if wait.read => {}
            _ = stream.ready(Interest::WRITABLE), if wait.write => {}
            _ = stream.ready(Interest::ERROR), if wait.error => {}
            () = timer.as_mut(), if set.is_some() => set = None,
        }
    }
}
