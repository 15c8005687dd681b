// SPDX-License-Identifier: GPL-2.0
//! Connects engine, policy, exchanges, timers and the log: the shell around pure parts.
//!
//! One task owns everything; only connecting happens elsewhere. It reads the clock once
//! per wake-up and hands the time on.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use underpass_proto::{Command, Event, Head, Side};

use crate::access::AccessLog;
use crate::address::Address;
use crate::config::Limits;
use crate::engine::{Engine, EngineError, Incoming, Listen, Refused, Socket, Token};
use crate::exchange::{Action, Exchange, Place, Record, Tag, Verdict};
use crate::http::problem::{self, Problem};
use crate::http::Request;
use crate::pool::Pool;
use crate::route::Policy;

/// A router on an engine.
pub struct Router<E> {
    engine: E,
    policy: Arc<dyn Policy>,
    limits: Arc<Limits>,
    log: AccessLog,
    listeners: Vec<u32>,
    fronts: HashMap<u32, Front>,
    backs: HashMap<u32, Back>,
    pool: Pool,
    timers: BTreeSet<(Instant, u32)>,
    connected: UnboundedReceiver<Connected>,
    connect: UnboundedSender<Connected>,
    /// When exchanges have to be over, once the router is stopping.
    stop_by: Option<Instant>,
}

#[derive(Default)]
struct Front {
    exchange: Option<Exchange>,
    /// The next request's head, which waits for this exchange to end.
    waiting: Option<Head>,
    serial: u32,
    timer: Option<Instant>,
}

enum Back {
    Serving(u32),
    Idle(Address),
}

struct Connected {
    front: u32,
    serial: u32,
    outcome: Result<Socket, Verdict>,
}

impl<E: Engine> Router<E> {
    /// A router without listeners.
    pub fn new(engine: E, policy: Arc<dyn Policy>, limits: Limits, log: AccessLog) -> Self {
        let (connect, connected) = unbounded_channel();
        Self {
            engine,
            policy,
            pool: Pool::new(limits.idle_connections, limits.idle),
            limits: Arc::new(limits),
            log,
            listeners: Vec::new(),
            fronts: HashMap::new(),
            backs: HashMap::new(),
            timers: BTreeSet::new(),
            connected,
            connect,
            stop_by: None,
        }
    }

    /// Hands listening sockets to the engine.
    ///
    /// # Errors
    /// If the engine refuses one, or cannot go on.
    pub async fn listen(&mut self, sockets: Vec<TcpListener>) -> Result<(), EngineError> {
        let mut missing = sockets.len();
        for socket in sockets {
            let terms = Listen {
                head_limit: self.limits.head_bytes,
                proxy_protocol: false,
            };
            self.engine
                .listen(socket, terms, Kind::Listener.token(0, 0));
        }
        while missing > 0 {
            let mut inbox = Vec::new();
            self.engine.wait(&mut inbox).await?;
            for incoming in inbox {
                match incoming {
                    Incoming::Added { id, .. } => {
                        self.listeners.push(id);
                        missing -= 1;
                    }
                    Incoming::Refused { refusal, .. } => {
                        return Err(EngineError(refusal.to_string()));
                    }
                    Incoming::Event(event) => self.event(event, Instant::now()),
                }
            }
        }
        Ok(())
    }

    /// Serves until `stop` resolves and the exchanges of that moment have ended.
    ///
    /// # Errors
    /// If the engine cannot go on.
    pub async fn run(
        &mut self,
        stop: impl std::future::Future<Output = ()>,
    ) -> Result<(), EngineError> {
        tokio::pin!(stop);
        let mut inbox = Vec::new();
        loop {
            let deadline = self.deadline();
            let sleep = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                outcome = self.engine.wait(&mut inbox) => outcome?,
                Some(connected) = self.connected.recv() => {
                    self.connect_ended(connected, Instant::now());
                }
                () = sleep => {}
                () = &mut stop, if self.stop_by.is_none() => self.begin_to_stop(Instant::now()),
            }
            let now = Instant::now();
            for incoming in inbox.drain(..) {
                self.incoming(incoming, now);
            }
            self.expire(now);
            if self
                .stop_by
                .is_some_and(|by| by <= now || self.fronts.is_empty())
            {
                self.engine.shutdown();
                return Ok(());
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|&(at, _)| at);
        [timer, self.pool.deadline(), self.stop_by]
            .into_iter()
            .flatten()
            .min()
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(at, front)) = self.timers.first().filter(|&&(at, _)| at <= now) {
            self.timers.remove(&(at, front));
            if let Some(front) = self.fronts.get_mut(&front) {
                front.timer = None;
            }
            self.with_exchange(front, now, |exchange| exchange.timeout(now));
        }
        for id in self.pool.expire(now) {
            self.backs.remove(&id);
            self.end(Command::QueueDel { id });
        }
    }

    fn begin_to_stop(&mut self, now: Instant) {
        self.stop_by = Some(now + self.limits.shutdown);
        for id in std::mem::take(&mut self.listeners) {
            self.end(Command::ListenerDel { id });
        }
        let mut idle = Vec::new();
        for (&id, front) in &mut self.fronts {
            match &mut front.exchange {
                Some(exchange) => exchange.stop(),
                None => idle.push(id),
            }
        }
        for id in idle {
            self.fronts.remove(&id);
            self.end(Command::QueueDel { id });
        }
    }

    fn incoming(&mut self, incoming: Incoming, now: Instant) {
        match incoming {
            Incoming::Event(event) => self.event(event, now),
            Incoming::Added { token, id } => {
                let (kind, front, serial) = Kind::of(token);
                if kind == Kind::Adopt {
                    self.adopted(front, serial, id, now);
                }
            }
            Incoming::Refused { token, refusal } => self.refused(token, &refusal, now),
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        let id = event.id();
        let serving = match self.backs.get(&id) {
            Some(Back::Serving(front)) => Some(*front),
            Some(Back::Idle(backend)) => {
                // Whatever an idle connection says, it is not to be used again.
                self.pool.forget(backend, id);
                self.backs.remove(&id);
                return self.end(Command::QueueAbort { id });
            }
            None => None,
        };
        match (event, serving) {
            (Event::Head(head), None) if head.side == Side::Front => self.head(head, now),
            (Event::Head(head), Some(front)) => {
                self.with_exchange(front, now, |exchange| exchange.back_head(&head, now));
            }
            (Event::Done(done), Some(front)) => {
                self.with_exchange(front, now, |exchange| exchange.back_done(&done, now));
            }
            (Event::Done(done), None) => {
                self.with_exchange(id, now, |exchange| exchange.front_done(&done, now));
            }
            (Event::Closed(closed), Some(front)) => {
                self.with_exchange(front, now, |exchange| exchange.back_closed(&closed, now));
            }
            (Event::Closed(closed), None) => match self.fronts.get(&id) {
                Some(front) if front.exchange.is_some() => {
                    self.with_exchange(id, now, |exchange| exchange.front_closed(&closed, now));
                }
                Some(_) => {
                    self.fronts.remove(&id);
                    self.end(Command::QueueDel { id });
                }
                None => {}
            },
            // From a queue that was ended while the event was on its way.
            (Event::Head(_), None) => {}
        }
    }

    fn head(&mut self, head: Head, now: Instant) {
        if head.generation > 1 && !self.fronts.contains_key(&head.id) {
            // Of a connection that was ended while its next request was on its way here.
            return;
        }
        let front = self.fronts.entry(head.id).or_default();
        if front.exchange.is_some() {
            front.waiting = Some(head);
        } else {
            self.begin(head, now);
        }
    }

    fn begin(&mut self, head: Head, now: Instant) {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let client = head.peer.unwrap_or(nowhere);
        let target_max = self.limits.target_bytes;
        if self.stop_by.is_some() {
            return self.refuse(head.id, client, problem::STOPPING);
        }
        if head.over_limit {
            return self.refuse(head.id, client, Request::over_limit(&head.head, target_max));
        }
        let request = match Request::parse(&head.head, target_max) {
            Ok(request) => request,
            Err(problem) => return self.refuse(head.id, client, problem),
        };
        let plan = match request.has_dot_segments() {
            true => Err(problem::DOT_SEGMENTS),
            false => self.policy.plan(&request, client, now),
        };
        let place = Place {
            front: head.id,
            generation: head.generation,
            client,
            local: head.local.unwrap_or(nowhere),
        };
        let front = self.fronts.entry(head.id).or_default();
        let limits = self.limits.clone();
        front.exchange = Some(Exchange::new(
            place,
            request,
            plan,
            limits,
            front.serial,
            now,
        ));
        self.act(head.id, now);
    }

    /// Answers a head that is no request, and ends the connection.
    fn refuse(&mut self, id: u32, client: SocketAddr, problem: Problem) {
        let mut record = Record::new(client);
        record.status = problem.status;
        record.reason = problem.name;
        self.log.write(&record);
        self.fronts.remove(&id);
        let data = problem.render(false, true);
        self.end(Command::Send {
            id,
            data,
            if_quiet: false,
        });
        self.end(Command::Drain {
            id,
            limit_bytes: Some(self.limits.drain_bytes),
            limit_ms: Some(self.limits.drain.as_millis() as u32),
        });
    }

    fn with_exchange(&mut self, id: u32, now: Instant, input: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.exchange(id) {
            input(exchange);
            self.act(id, now);
        }
    }

    fn exchange(&mut self, front: u32) -> Option<&mut Exchange> {
        self.fronts.get_mut(&front)?.exchange.as_mut()
    }

    /// Does what an exchange wants done, until it wants nothing.
    fn act(&mut self, id: u32, now: Instant) {
        while let Some(exchange) = self.exchange(id) {
            let serial = exchange.serial();
            let actions = exchange.take_actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                match action {
                    Action::Command(command, tag) => {
                        if let Command::QueueAbort { id } | Command::QueueDel { id } = &command {
                            self.backs.remove(id);
                        }
                        let token = Kind::Tagged(tag).token(id, serial);
                        self.engine.submit(command, token);
                    }
                    Action::Connect { backend, fresh } => {
                        self.reach(id, serial, backend, fresh, now)
                    }
                    Action::Release { queue, backend } => self.release(queue, backend, now),
                    Action::Finished { keep } => self.finished(id, keep, now),
                }
            }
        }
        self.set_timer(id);
    }

    fn set_timer(&mut self, id: u32) {
        let Some(front) = self.fronts.get_mut(&id) else {
            return;
        };
        let wanted = front.exchange.as_ref().and_then(Exchange::deadline);
        if front.timer == wanted {
            return;
        }
        if let Some(old) = std::mem::replace(&mut front.timer, wanted) {
            self.timers.remove(&(old, id));
        }
        if let Some(at) = wanted {
            self.timers.insert((at, id));
        }
    }

    fn reach(&mut self, id: u32, serial: u32, backend: Address, fresh: bool, now: Instant) {
        if let Some(queue) = self.pool.take(&backend).filter(|_| !fresh) {
            self.backs.insert(queue, Back::Serving(id));
            if let Some(exchange) = self.exchange(id) {
                exchange.connected(queue, true, now);
            }
            return;
        }
        let (answer, limit) = (self.connect.clone(), self.limits.connect);
        tokio::spawn(async move {
            let outcome = match tokio::time::timeout(limit, open(&backend)).await {
                Ok(socket) => socket.map_err(|_| Verdict::Down),
                Err(_) => Err(Verdict::ConnectTimeout),
            };
            // The router is gone only when the process ends.
            let _gone = answer.send(Connected {
                front: id,
                serial,
                outcome,
            });
        });
    }

    fn connect_ended(&mut self, connected: Connected, now: Instant) {
        let Connected {
            front,
            serial,
            outcome,
        } = connected;
        if self
            .exchange(front)
            .is_none_or(|exchange| exchange.serial() != serial)
        {
            return;
        }
        match outcome {
            Ok(socket) => {
                let token = Kind::Adopt.token(front, serial);
                let limit = self.limits.head_bytes;
                self.engine.adopt(socket, Side::Back, limit, token);
            }
            Err(verdict) => self.with_exchange(front, now, |exchange| {
                exchange.connect_failed(verdict, now);
            }),
        }
    }

    fn adopted(&mut self, front: u32, serial: u32, queue: u32, now: Instant) {
        match self.exchange(front) {
            Some(exchange) if token_serial(exchange.serial()) == serial => {
                exchange.connected(queue, false, now);
                self.backs.insert(queue, Back::Serving(front));
                self.act(front, now);
            }
            _ => self.end(Command::QueueAbort { id: queue }),
        }
    }

    fn refused(&mut self, token: Token, refusal: &Refused, now: Instant) {
        let (kind, front, serial) = Kind::of(token);
        if kind == Kind::Tagged(Tag::Ending) {
            return;
        }
        if !GONE.contains(&refusal.errno) {
            eprintln!("underpass: {refusal}");
        }
        let current = self
            .exchange(front)
            .is_some_and(|exchange| token_serial(exchange.serial()) == serial);
        if !current {
            return;
        }
        self.with_exchange(front, now, |exchange| match kind {
            Kind::Adopt => exchange.connect_failed(Verdict::Down, now),
            Kind::Tagged(tag) => exchange.refused(tag, now),
            Kind::Listener => {}
        });
    }

    fn release(&mut self, queue: u32, backend: Address, now: Instant) {
        if self.stop_by.is_none() && self.pool.put(&backend, queue, now) {
            self.backs.insert(queue, Back::Idle(backend));
        } else {
            self.backs.remove(&queue);
            self.end(Command::QueueDel { id: queue });
        }
    }

    fn finished(&mut self, id: u32, keep: bool, now: Instant) {
        let Some(front) = self.fronts.get_mut(&id) else {
            return;
        };
        let timer = front.timer.take();
        if let Some(exchange) = front.exchange.take() {
            front.serial = exchange.serial().wrapping_add(1);
            self.log.write(&exchange.record);
        }
        let waiting = front.waiting.take();
        if let Some(timer) = timer {
            self.timers.remove(&(timer, id));
        }
        if !keep {
            self.fronts.remove(&id);
        } else if let Some(head) = waiting {
            self.begin(head, now);
        } else if self.stop_by.is_some() {
            self.fronts.remove(&id);
            self.end(Command::QueueDel { id });
        }
    }

    /// A command whose refusal means nothing.
    fn end(&mut self, command: Command) {
        let token = Kind::Tagged(Tag::Ending).token(0, 0);
        self.engine.submit(command, token);
    }
}

/// A connection that does not hold small messages back.
async fn open(backend: &Address) -> std::io::Result<Socket> {
    match backend {
        Address::Tcp(address) => {
            let socket = tokio::net::TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Socket::Tcp(socket.into_std()?))
        }
        Address::Unix(path) => {
            let socket = tokio::net::UnixStream::connect(&**path).await?;
            Ok(Socket::Unix(socket.into_std()?))
        }
    }
}

/// Errnos (ENOENT, EPIPE, ENOTEMPTY, ENOTCONN) of a peer that left before a command reached
/// it, or that spoke unasked: everyday life, and nothing that a client should be able to fill
/// a log with.
const GONE: [i32; 4] = [2, 32, 39, 107];

/// What a token stands for; packed as front (32 bits), serial (29), kind (3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tagged(Tag),
    Adopt,
    Listener,
}

const KINDS: [Kind; 5] = [
    Kind::Tagged(Tag::IntoBack),
    Kind::Tagged(Tag::IntoFront),
    Kind::Tagged(Tag::Ending),
    Kind::Adopt,
    Kind::Listener,
];

/// The part of a serial that a token holds.
fn token_serial(serial: u32) -> u32 {
    serial & (u32::MAX >> 3)
}

impl Kind {
    fn token(self, front: u32, serial: u32) -> Token {
        let kind = KINDS.iter().position(|&kind| kind == self).unwrap_or(2) as u64;
        Token((u64::from(front) << 32) | (u64::from(token_serial(serial)) << 3) | kind)
    }

    fn of(token: Token) -> (Self, u32, u32) {
        let kind = KINDS.get((token.0 & 7) as usize).copied();
        let serial = (token.0 as u32) >> 3;
        (
            kind.unwrap_or(Self::Tagged(Tag::Ending)),
            (token.0 >> 32) as u32,
            serial,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_what_was_put_in() {
        for kind in KINDS {
            for (front, serial) in [(0, 0), (7, 9), (u32::MAX, u32::MAX >> 3)] {
                assert_eq!(Kind::of(kind.token(front, serial)), (kind, front, serial));
            }
        }
    }
}
