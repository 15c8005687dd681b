// SPDX-License-Identifier: GPL-2.0
//! Connects engine, policy, exchanges, timers and the log: the shell around pure parts.
//!
//! One task owns everything; only connecting happens elsewhere. It reads the clocks once
//! per wake-up and hands the time on. `fronts.rs` is its side towards clients, `backs.rs`
//! towards back-ends, `feedback.rs` towards the policy; `takeover.rs` is how it begins where
//! another one ended, `stop.rs` its end.
//!
//! Invariants: a front is known from its first head until its queue is ended; every
//! connection to a back-end, and every attempt to make one, is counted in `pool` until it is gone.

mod backs;
mod feedback;
mod fronts;
#[cfg(test)]
mod scripted_tests;
mod stop;
mod takeover;
#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use foldhash::{HashMap, HashMapExt as _};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use underpass_proto::{Command, Event, Side};

use crate::access::AccessLog;
use crate::config::Limits;
use crate::engine::{Engine, EngineError, Incoming, Listen, Refused, Token};
use crate::exchange::{Action, Exchange, Tag, Verdict};
use crate::metrics::Counter;
use crate::pool::{Grant, Pool};
use crate::route::Policy;
use crate::say;
use backs::Connected;
use fronts::Front;
use token::{token_serial, Kind};

pub use takeover::Resumed;

/// A wake-up brings hardly more new exchanges than that.
const SPARE_MAX: usize = 256;
/// Bytes of the head of one that is kept: few are longer, and a client must not fill the memory with them.
const SPARE_HEAD: usize = 4096;

/// A router on an engine.
pub struct Router<E> {
    engine: E,
    policy: Arc<dyn Policy>,
    limits: Arc<Limits>,
    log: AccessLog,
    counter: Option<Counter>,
    /// Listeners, and whether their connections begin with a PROXY protocol header.
    listeners: HashMap<u32, bool>,
    fronts: HashMap<u32, Front>,
    pool: Pool,
    /// Connections on their way to the engine, by the command's token.
    adopting: HashMap<Token, Grant>,
    timers: BTreeSet<(Instant, u32)>,
    /// Fronts whose exchange got an input, and may want something done.
    due: Vec<u32>,
    /// Exchanges that are over, for the room that they have; `SPARE_MAX` at the most.
    #[expect(clippy::vec_box, reason = "a front takes the box as it is")]
    spare: Vec<Box<Exchange>>,
    /// Empty, with room; as many as there are exchanges within whose actions others act.
    lists: Vec<Vec<Action>>,
    connected: UnboundedReceiver<Connected>,
    connect: UnboundedSender<Connected>,
    /// When exchanges have to be over, once the router is stopping.
    stop_by: Option<Instant>,
    /// The time of day at the last wake-up.
    time: SystemTime,
}

/// A socket that listens already.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub socket: TcpListener,
    /// Each connection begins with a PROXY protocol header; one without it is reset.
    pub proxy_protocol: bool,
    /// Connections at once; more wait to be accepted.
    pub connections: u32,
    /// How long a client has for the head of its first request.
    pub head: Duration,
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
            counter: None,
            listeners: HashMap::new(),
            fronts: HashMap::new(),
            adopting: HashMap::new(),
            timers: BTreeSet::new(),
            due: Vec::new(),
            spare: Vec::new(),
            lists: Vec::new(),
            connected,
            connect,
            stop_by: None,
            time: SystemTime::now(),
        }
    }

    /// Counts what it does there, from now on.
    pub fn count_in(&mut self, counter: Counter) {
        self.counter = Some(counter);
    }

    /// Hands listening sockets to the engine.
    ///
    /// # Errors
    /// If the engine refuses one, or cannot go on.
    pub async fn listen(&mut self, sockets: Vec<Listening>) -> Result<(), EngineError> {
        let mut expected = HashMap::new();
        for (number, listening) in (0..).zip(sockets) {
            let proxy_protocol = listening.proxy_protocol;
            let terms = Listen {
                head_limit: self.limits.head_bytes,
                proxy_protocol,
                head_ms: listening.head.as_millis() as u32,
                connections: listening.connections,
            };
            let token = Kind::Listener.token(number, 0);
            self.engine.listen(listening.socket, terms, token);
            expected.insert(token, proxy_protocol);
        }
        while !expected.is_empty() {
            let mut inbox = Vec::new();
            self.engine.wait(&mut inbox).await?;
            for incoming in inbox {
                match incoming {
                    Incoming::Added { token, id } => {
                        if let Some(proxy_protocol) = expected.remove(&token) {
                            self.listeners.insert(id, proxy_protocol);
                        }
                    }
                    Incoming::Refused { token, refusal } if expected.contains_key(&token) => {
                        return Err(EngineError::Failed(refusal.to_string()));
                    }
                    // What was taken over lives already.
                    other => self.incoming(other, Instant::now()),
                }
            }
        }
        Ok(())
    }

    /// Serves until `stop` resolves and the exchanges of that moment have ended, or their time is
    /// up. Returns how many were cut off then.
    ///
    /// # Errors
    /// If the engine cannot go on.
    pub async fn run(
        &mut self,
        stop: impl std::future::Future<Output = ()>,
    ) -> Result<usize, EngineError> {
        tokio::pin!(stop);
        let mut inbox = Vec::new();
        loop {
            // An engine that always has something to tell never waits; what else runs here (signals,
            // connections that are made, checks) must have its turn.
            tokio::task::consume_budget().await;
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
            self.time = SystemTime::now();
            for incoming in inbox.drain(..) {
                self.incoming(incoming, now);
            }
            self.expire(now);
            while let Some(front) = self.due.pop() {
                self.act(front, now);
            }
            self.log.flush();
            let Some(by) = self.stop_by else {
                continue;
            };
            // The answers of the last ones may not be out yet; who asks meanwhile is told that it stops.
            let over = self.fronts.is_empty() && !self.engine.has_last_words();
            if by <= now || over {
                return Ok(self.cut_off(now));
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
        while let Some(&(at, id)) = self.timers.first().filter(|&&(at, _)| at <= now) {
            self.timers.remove(&(at, id));
            let Some(front) = self.fronts.get_mut(&id) else {
                continue;
            };
            front.timer = None;
            let idle = front.exchange.is_none() && front.idle_until.is_some_and(|at| at <= now);
            if idle {
                self.close_front(id);
            } else {
                self.exchange_due(id, now);
                self.set_timer(id);
            }
        }
        for queue in self.pool.aged(now) {
            self.close_back(queue);
        }
        for asker in self.pool.impatient(now) {
            if self.is_current(asker) {
                self.with_exchange(asker.front, now, |exchange| {
                    exchange.connect_failed(Verdict::Full, now);
                });
            }
        }
    }

    /// Looks at the deadline of an exchange, which may have been put off.
    fn exchange_due(&mut self, id: u32, now: Instant) {
        let asks_in_vain = self
            .exchange(id)
            .is_some_and(|exchange| exchange.asks_in_vain(now));
        if asks_in_vain && self.pool.give_up(id) {
            // It was not the back-end that took so long, but those before it.
            return self.with_exchange(id, now, |exchange| {
                exchange.connect_failed(Verdict::Full, now);
            });
        }
        self.with_exchange(id, now, |exchange| exchange.timeout(now));
    }

    fn incoming(&mut self, incoming: Incoming, now: Instant) {
        match incoming {
            Incoming::Event(event) => self.event(event, now),
            Incoming::Added { token, id } => {
                if let Some(grant) = self.adopting.remove(&token) {
                    self.adopted(grant, id, now);
                }
            }
            Incoming::Refused { token, refusal } => self.refused(token, &refusal, now),
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        let id = event.id();
        let serving = match self.pool.serves(id) {
            Some(Some(front)) => Some(front),
            Some(None) => {
                // Whatever an idle connection says, it is not to be used again.
                self.end(Command::QueueAbort { id });
                return self.back_gone(id);
            }
            None => None,
        };
        match (event, serving) {
            (Event::Head(head), None) if head.side == Side::Front => self.head(head, now),
            (Event::Head(head), Some(front)) => {
                let answers = self.pool.heard(id, head.generation);
                self.with_exchange(front, now, |exchange| match answers {
                    true => exchange.back_head(&head, now),
                    // The engine refuses what was to be sent: that is on its way here.
                    false => exchange.refused(Tag::IntoBack, now),
                });
            }
            (Event::Relayed(relayed), Some(front)) => {
                self.pool.passed(id, relayed.generation);
                self.with_exchange(front, now, |exchange| exchange.relayed(&relayed, now));
            }
            (Event::Done(done), Some(front)) => {
                if done.status.is_some() {
                    self.pool.passed(id, done.generation);
                }
                self.with_exchange(front, now, |exchange| exchange.back_done(&done, now));
            }
            (Event::Done(done), None) => {
                self.with_exchange(id, now, |exchange| exchange.front_done(&done, now));
            }
            (Event::Closed(closed), Some(front)) => {
                let answers = self.pool.ended(id, closed.generation);
                self.with_exchange(front, now, |exchange| match answers {
                    true => exchange.back_closed(&closed, now),
                    false => exchange.refused(Tag::IntoBack, now),
                });
            }
            (Event::Closed(closed), None) => match self.fronts.get(&id) {
                Some(front) if front.exchange.is_some() => {
                    self.with_exchange(id, now, |exchange| exchange.front_closed(&closed, now));
                }
                Some(_) if closed.gone => self.forget_front(id),
                Some(_) => self.close_front(id),
                None => {}
            },
            // From a queue that was ended while the event was on its way.
            (Event::Head(_) | Event::Relayed(_), None) => {}
        }
    }

    fn refused(&mut self, token: Token, refusal: &Refused, now: Instant) {
        let (kind, front, serial) = Kind::of(token);
        if kind == Kind::Tagged(Tag::Ending) {
            return;
        }
        if !GONE.contains(&refusal.errno) {
            say!("{refusal}");
        }
        if let Some(grant) = self.adopting.remove(&token) {
            return self.not_connected(grant, backs::verdict(Some(refusal.errno)), now);
        }
        let current = self
            .exchange(front)
            .is_some_and(|exchange| token_serial(exchange.serial()) == serial);
        if let (true, Kind::Tagged(tag)) = (current, kind) {
            let no_room = backs::verdict(Some(refusal.errno)) == Verdict::Full;
            self.with_exchange(front, now, |exchange| match no_room {
                true => exchange.found_no_room(tag, now),
                false => exchange.refused(tag, now),
            });
        } else if kind == Kind::Tagged(Tag::IntoBack) {
            self.refused_late(front, serial);
        } else if kind == Kind::Tagged(Tag::IntoFront) {
            self.answer_lost(front, serial, now);
        }
    }

    fn with_exchange(&mut self, id: u32, now: Instant, input: impl FnOnce(&mut Exchange)) {
        // What it wants done already is of the attempt that it is at, and has to go out as such.
        if self.due.contains(&id) {
            self.act(id, now);
        }
        if let Some(exchange) = self.exchange(id) {
            input(exchange);
            self.act(id, now);
        }
    }

    fn exchange(&mut self, front: u32) -> Option<&mut Exchange> {
        self.fronts.get_mut(&front)?.exchange.as_deref_mut()
    }

    /// Does what an exchange wants done, until it wants nothing.
    fn act(&mut self, id: u32, now: Instant) {
        while self.act_once(id, now) {}
        self.set_timer(id);
    }

    /// Does what an exchange wants done by now. True if that may have made it want more.
    fn act_once(&mut self, id: u32, now: Instant) -> bool {
        let Some(front) = self.fronts.get_mut(&id) else {
            return false;
        };
        let Some(exchange) = &mut front.exchange else {
            return false;
        };
        let serial = exchange.serial();
        let mut actions = self.lists.pop().unwrap_or_default();
        exchange.take_actions(&mut actions);
        front
            .told
            .attempts(&*self.policy, front.tag, &exchange.record, now);
        let mut again = false;
        for action in actions.drain(..) {
            match action {
                Action::Command(command, tag) => self.command(id, serial, command, tag),
                Action::Connect { backend, fresh } => {
                    // The only one that is answered at once, if there is an idle connection.
                    again = true;
                    self.reach(id, backend, fresh, now);
                }
                Action::TakeBack { queue: id_back } => {
                    let generation = self.pool.turn(id_back);
                    let cancel = Command::Cancel {
                        id: id_back,
                        generation,
                    };
                    // Refused: what is to come instead is on its way.
                    self.command(id, serial, cancel, Tag::Ending);
                }
                Action::Release { queue } => self.release(queue, now),
                Action::Finished { keep } => self.finished(id, keep, now),
            }
        }
        self.lists.push(actions);
        again
    }

    fn command(&mut self, front: u32, serial: u32, command: Command, tag: Tag) {
        let ends = match &command {
            Command::QueueAbort { id } | Command::QueueDel { id } | Command::Drain { id, .. } => {
                Some(*id)
            }
            _ => None,
        };
        let token = Kind::Tagged(tag).token(front, serial);
        self.engine.submit(command, token);
        if let Some(queue) = ends {
            self.back_gone(queue);
        }
    }

    /// Wakes the router in time for what the front waits for, or earlier: deadlines are put
    /// off all the time, and seldom met.
    fn set_timer(&mut self, id: u32) {
        let Some(front) = self.fronts.get_mut(&id) else {
            return;
        };
        let wanted = match &front.exchange {
            Some(exchange) => exchange.deadline(),
            None => front.idle_until,
        };
        let Some(wanted) = wanted.filter(|&at| front.timer.is_none_or(|set| at < set)) else {
            return;
        };
        if let Some(old) = front.timer.replace(wanted) {
            self.timers.remove(&(old, id));
        }
        self.timers.insert((wanted, id));
    }

    /// A command whose refusal means nothing.
    fn end(&mut self, command: Command) {
        let token = Kind::Tagged(Tag::Ending).token(0, 0);
        self.engine.submit(command, token);
    }
}

/// Errnos (ENOENT, EPIPE, ENOTEMPTY, ENOTCONN) of a peer that left before a command reached
/// it, or that spoke unasked: everyday life, and nothing that a client should be able to fill
/// a log with.
const GONE: [i32; 4] = [2, 32, 39, 107];
