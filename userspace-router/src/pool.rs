// SPDX-License-Identifier: GPL-2.0
//! Connections to back-ends: how many there are, which are idle, and who waits for one.
//!
//! Invariants: `open` of a back-end is the number of its connections that are being made, serve, or
//! are idle, and never more than its limit; an idle one has nothing outstanding; the one used
//! last is taken first, so that surplus ones grow old and are closed; nothing is kept about a back-end
//! without connections and waiters.
//! It must not do I/O: the caller connects and closes.

use foldhash::{HashMap, HashMapExt as _};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::config::Link;
use crate::proxy_protocol::Version;

/// Who asks for a connection: an exchange's front queue, and the number of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's queue.
    pub front: u32,
    /// Of the attempt.
    pub serial: u32,
}

/// What to do for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Here is an idle connection.
    Idle(u32),
    /// Make a new one, and close this idle one to make room, if any.
    Connect(Option<u32>),
    /// Wait until one is free.
    Wait,
    /// Ask another back-end.
    Full,
}

/// What to do with a connection that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// Nothing: it is idle now.
    Kept,
    /// Close it, then report it as `gone`.
    Surplus,
    /// Give it to who waited.
    Next(Asker),
}

/// Somebody may connect now who waited: whereto and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub asker: Asker,
    /// Whereto.
    pub backend: Address,
    /// How.
    pub link: Arc<Link>,
}

/// All connections to back-ends.
#[derive(Debug)]
pub struct Pool {
    backends: HashMap<Address, Backend>,
    queues: HashMap<u32, Queue>,
    idle_max: usize,
    idle_time: Duration,
    /// When idle connections are to be looked at: when they are too old, or earlier. Most serve again
    /// long before, so what stands here is put right only when it is due.
    aging: BTreeSet<(Instant, u32)>,
    /// When those who wait have waited too long; by front queue, which waits for one at a time.
    patience: BTreeSet<(Instant, u32)>,
    /// Whom a front queue waits for.
    waits_for: HashMap<u32, Address>,
    /// Connections that serve one front queue only.
    owners: HashMap<u32, Vec<u32>>,
}

#[derive(Debug, Default)]
struct Backend {
    open: usize,
    idle: Vec<u32>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    link: Arc<Link>,
    until: Instant,
    /// It wants a new connection.
    fresh: bool,
}

#[derive(Debug)]
struct Queue {
    backend: Address,
    link: Arc<Link>,
    /// It may serve this client only, to whom its PROXY protocol header refers.
    owner: Option<Owner>,
    requests: u64,
    state: State,
    /// Generation of the last head that came from it.
    head: u32,
    /// Generation that the request of the exchange it serves began, or zero for the first.
    turn: u32,
    /// The entry in `Pool::aging`.
    aging: Option<Instant>,
}

impl Queue {
    /// It serves another exchange, whose request is sent on the condition `if-quiet`: that
    /// begins a generation.
    fn serve(&mut self, front: u32) {
        self.requests += 1;
        self.state = State::Serving(front);
        self.turn = self.head.checked_add(1).unwrap_or(1);
    }
}

/// Whether a generation came after another; they begin anew after 2^32.
fn after(generation: u32, other: u32) -> bool {
    (generation.wrapping_sub(other) as i32) > 0
}

type Owner = (u32, Version);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving(u32),
    /// Until then.
    Idle(Instant),
}

impl Pool {
    /// Keeps up to `idle_max` idle connections per back-end, each for `idle_time`.
    pub fn new(idle_max: usize, idle_time: Duration) -> Self {
        Self {
            backends: HashMap::new(),
            queues: HashMap::new(),
            idle_max,
            idle_time,
            aging: BTreeSet::new(),
            patience: BTreeSet::new(),
            waits_for: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    /// Somebody wants a connection; not one that was used if `fresh`.
    pub fn ask(
        &mut self,
        backend: &Address,
        link: &Arc<Link>,
        asker: Asker,
        fresh: bool,
        now: Instant,
    ) -> Answer {
        if !fresh {
            if let Some(queue) = self.take(backend, link, asker.front) {
                return Answer::Idle(queue);
            }
        }
        let entry = self.backends.entry(backend.clone()).or_default();
        if entry.open < link.connections {
            entry.open += 1;
            return Answer::Connect(None);
        }
        // What is idle is of no use to this one, but its place is.
        if let Some(&oldest) = entry.idle.first() {
            self.forget(oldest);
            return Answer::Connect(Some(oldest));
        }
        if entry.waiting.len() >= link.waiting {
            return Answer::Full;
        }
        // It may have waited for another one, of an attempt that is over.
        self.give_up(asker.front);
        let until = now + link.waiting_time;
        let entry = self.backends.entry(backend.clone()).or_default();
        entry.waiting.push_back(Waiting {
            asker,
            link: link.clone(),
            until,
            fresh,
        });
        self.patience.insert((until, asker.front));
        self.waits_for.insert(asker.front, backend.clone());
        Answer::Wait
    }

    /// A connection that was to be made will not be used. The place goes to who waits.
    #[must_use]
    pub fn unmade(&mut self, backend: &Address) -> Option<Grant> {
        let entry = self.backends.get_mut(backend)?;
        entry.open = entry.open.saturating_sub(1);
        self.grant(backend)
    }

    /// A connection was made, and serves this front queue.
    pub fn made(&mut self, queue: u32, backend: Address, link: Arc<Link>, front: u32) {
        let made = Queue {
            backend,
            owner: owner(&link, front),
            link,
            requests: 1,
            state: State::Serving(front),
            head: 0,
            turn: 0,
            aging: None,
        };
        if made.owner.is_some() {
            self.owners.entry(front).or_default().push(queue);
        }
        self.queues.insert(queue, made);
    }

    /// A former router made a connection, which serves this front queue, by a request that was sent
    /// when it had this generation. It will serve no other. The only way above the limit.
    pub fn resume(&mut self, queue: u32, backend: Address, front: u32, generation: u32) {
        self.backends.entry(backend.clone()).or_default().open += 1;
        let link = Link {
            requests: Some(1),
            ..Link::default()
        };
        self.made(queue, backend, Arc::new(link), front);
        if let Some(found) = self.queues.get_mut(&queue) {
            found.head = generation;
            found.turn = generation;
        }
    }

    /// A connection is there no more, or is being closed. Its place goes to who waits.
    #[must_use]
    pub fn gone(&mut self, queue: u32) -> Option<Grant> {
        let backend = self.forget(queue)?;
        let entry = self.backends.get_mut(&backend)?;
        entry.open = entry.open.saturating_sub(1);
        self.grant(&backend)
    }

    /// A connection has served an exchange, and may serve another.
    pub fn free(&mut self, queue: u32, now: Instant) -> Freed {
        let Some(found) = self.queues.get_mut(&queue) else {
            return Freed::Surplus;
        };
        let used_up = found.link.requests.is_some_and(|max| found.requests >= max);
        let Some(entry) = self.backends.get_mut(&found.backend).filter(|_| !used_up) else {
            return Freed::Surplus;
        };
        // Whoever is first: it takes no further place.
        if let Some(next) = entry.waiting.front() {
            // Who needs a new one, or one of its own, gets the place and not the connection.
            let owned = found.owner.is_some() || owner(&next.link, next.asker.front).is_some();
            if next.fresh || owned {
                return Freed::Surplus;
            }
            let (asker, until) = (next.asker, next.until);
            entry.waiting.pop_front();
            self.patience.remove(&(until, asker.front));
            self.waits_for.remove(&asker.front);
            found.serve(asker.front);
            return Freed::Next(asker);
        }
        if entry.idle.len() >= self.idle_max {
            return Freed::Surplus;
        }
        let until = now + self.idle_time;
        entry.idle.push(queue);
        found.state = State::Idle(until);
        if found.aging.is_none() {
            found.aging = Some(until);
            self.aging.insert((until, queue));
        }
        Freed::Kept
    }

    /// The front queue that a connection serves; `Some(None)` for an idle one.
    pub fn serves(&self, queue: u32) -> Option<Option<u32>> {
        self.queues.get(&queue).map(|queue| match queue.state {
            State::Serving(front) => Some(front),
            State::Idle(_) => None,
        })
    }

    /// A head of this generation came from a connection. False if it was on its way before
    /// the request was that it serves now: it is no answer to that, which was never sent.
    pub fn heard(&mut self, queue: u32, generation: u32) -> bool {
        let Some(found) = self.queues.get_mut(&queue) else {
            return true;
        };
        found.head = generation;
        after(generation, found.turn)
    }

    /// A head of this generation came from a connection, and was not shown.
    pub fn passed(&mut self, queue: u32, generation: u32) {
        if let Some(found) = self.queues.get_mut(&queue) {
            found.head = generation;
        }
    }

    /// The generation that the request began which a connection serves.
    pub fn turn(&self, queue: u32) -> u32 {
        self.queues.get(&queue).map_or(0, |found| found.turn)
    }

    /// A connection of this generation sends nothing more. False if that was so before the
    /// request that it serves now.
    pub fn ended(&self, queue: u32, generation: u32) -> bool {
        let turn = self.turn(queue);
        generation == turn || after(generation, turn)
    }

    /// This front queue waits for no connection any more. Says whether it did.
    pub fn give_up(&mut self, front: u32) -> bool {
        let Some(backend) = self.waits_for.remove(&front) else {
            return false;
        };
        let Some(entry) = self.backends.get_mut(&backend) else {
            return false;
        };
        if let Some(at) = entry.waiting.iter().position(|w| w.asker.front == front) {
            if let Some(waiting) = entry.waiting.remove(at) {
                self.patience.remove(&(waiting.until, front));
                return true;
            }
        }
        false
    }

    /// Idle connections that may serve this front queue only.
    pub fn idle_of(&self, front: u32) -> Vec<u32> {
        let owned = self.owners.get(&front).into_iter().flatten().copied();
        owned
            .filter(|&queue| self.serves(queue) == Some(None))
            .collect()
    }

    /// Idle connections that are too old; they are to be closed.
    pub fn aged(&mut self, now: Instant) -> Vec<u32> {
        let mut aged = Vec::new();
        while let Some(&(due, queue)) = self.aging.first().filter(|&&(due, _)| due <= now) {
            self.aging.remove(&(due, queue));
            let Some(found) = self.queues.get_mut(&queue) else {
                continue;
            };
            found.aging = None;
            match found.state {
                State::Serving(_) => {}
                State::Idle(until) if until <= now => aged.push(queue),
                State::Idle(until) => {
                    found.aging = Some(until);
                    self.aging.insert((until, queue));
                }
            }
        }
        aged
    }

    /// Takes out who has waited too long.
    pub fn impatient(&mut self, now: Instant) -> Vec<Asker> {
        let mut askers = Vec::new();
        while let Some(&(until, front)) = self.patience.first().filter(|&&(at, _)| at <= now) {
            self.patience.remove(&(until, front));
            let backend = self.waits_for.get(&front);
            let entry = backend.and_then(|backend| self.backends.get(backend));
            let waiting = entry.and_then(|e| e.waiting.iter().find(|w| w.asker.front == front));
            askers.extend(waiting.map(|waiting| waiting.asker));
            self.give_up(front);
        }
        askers
    }

    /// When `aged` or `impatient` will have something to tell.
    pub fn deadline(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, u32)>| set.first().map(|&(at, _)| at);
        first(&self.aging)
            .into_iter()
            .chain(first(&self.patience))
            .min()
    }

    /// All idle connections.
    pub fn idle(&self) -> Vec<u32> {
        let is_idle = |queue: &&Queue| matches!(queue.state, State::Idle(_));
        let idle = self.queues.iter().filter(|(_, queue)| is_idle(queue));
        idle.map(|(&id, _)| id).collect()
    }

    /// True if there is no connection, nobody waits, and nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty()
            && self.queues.is_empty()
            && self.aging.is_empty()
            && self.patience.is_empty()
            && self.waits_for.is_empty()
            && self.owners.is_empty()
    }

    fn take(&mut self, backend: &Address, link: &Link, front: u32) -> Option<u32> {
        let owner = owner(link, front);
        let entry = self.backends.get_mut(backend)?;
        let fits = |queue: &u32| self.queues.get(queue).is_some_and(|q| q.owner == owner);
        let at = entry.idle.iter().rposition(fits)?;
        let queue = entry.idle.remove(at);
        let found = self.queues.get_mut(&queue)?;
        found.serve(front);
        Some(queue)
    }

    /// Takes a connection out of all lists but the count.
    fn forget(&mut self, queue: u32) -> Option<Address> {
        let found = self.queues.remove(&queue)?;
        if let Some(due) = found.aging {
            self.aging.remove(&(due, queue));
        }
        if let State::Idle(_) = found.state {
            if let Some(entry) = self.backends.get_mut(&found.backend) {
                entry.idle.retain(|&other| other != queue);
            }
        }
        if let Some((front, _)) = found.owner {
            if let Some(owned) = self.owners.get_mut(&front) {
                owned.retain(|&other| other != queue);
                if owned.is_empty() {
                    self.owners.remove(&front);
                }
            }
        }
        Some(found.backend)
    }

    /// Gives a place to who waits first, if there is one.
    fn grant(&mut self, backend: &Address) -> Option<Grant> {
        let entry = self.backends.get_mut(backend)?;
        // Of pools with different limits: who has room does not stand behind who has none.
        let has_room = |waiting: &Waiting| entry.open < waiting.link.connections;
        let Some(at) = entry.waiting.iter().position(has_room) else {
            if entry.open == 0 && entry.waiting.is_empty() {
                self.backends.remove(backend);
            }
            return None;
        };
        let waiting = entry.waiting.remove(at)?;
        entry.open += 1;
        self.patience.remove(&(waiting.until, waiting.asker.front));
        self.waits_for.remove(&waiting.asker.front);
        Some(Grant {
            asker: waiting.asker,
            backend: backend.clone(),
            link: waiting.link,
        })
    }
}

/// Whom a connection belongs to that is made so.
fn owner(link: &Link, front: u32) -> Option<Owner> {
    link.proxy_protocol.map(|version| (front, version))
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
