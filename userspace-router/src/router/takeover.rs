// SPDX-License-Identifier: GPL-2.0
//! Continues where a former router ended: listeners, connections and exchanges that it left.
//!
//! Only bodies, and responses that may be passed on, move without a router: so the state found here
//! is what the former router wanted last, or its result. Which exchange a back-end serves is
//! determined by what moves, by what may be passed on, and by the note (`exchange/note.rs`) with the client's queue.
//! Events that came meanwhile wait in the engine, and are handled after this.
//!
//! Invariant: a back-end's connection that is not certain to serve a client who is still there is
//! reset: what it sends could be mistaken for the answer to another request.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use underpass_proto::{Command, Framing, ListenerInfo, QueueInfo, Side, State};

use super::fronts::Front;
use super::Router;
use crate::address::Address;
use crate::config::Listener;
use crate::engine::{Engine, Left};
use crate::exchange::note::Note;
use crate::exchange::resume::{Found, Half};
use crate::exchange::{Exchange, Place};

/// What became of that which was left, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Listeners that go on.
    pub listeners: usize,
    /// Clients between two requests, or with one that nobody has looked at.
    pub waiting: usize,
    /// Exchanges that go on.
    pub exchanges: usize,
    /// Connections that were ended, those to back-ends included.
    pub ended: usize,
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "continues with {} listeners, {} exchanges and {} waiting clients; ended {} connections",
            self.listeners, self.exchanges, self.waiting, self.ended
        )
    }
}

impl<E: Engine> Router<E> {
    /// Takes on what was left. Returns the listeners of `wanted` that are still to be opened: others
    /// go on, and those that are not wanted, or not so, end.
    pub fn resume(
        &mut self,
        left: &Left,
        wanted: &[Listener],
        now: Instant,
    ) -> (Vec<Listener>, Resumed) {
        let mut resumed = Resumed::default();
        let mut missing = wanted.to_vec();
        let mut proxied = HashMap::new();
        for info in &left.listeners {
            proxied.insert(info.id, info.proxy_protocol);
            // Also of one that ends: clients of it may not have been heard of yet.
            self.listeners.insert(info.id, info.proxy_protocol);
            match missing.iter().position(|wanted| self.is_same(wanted, info)) {
                Some(at) => {
                    missing.remove(at);
                    resumed.listeners += 1;
                }
                None => self.end(Command::ListenerDel { id: info.id }),
            }
        }
        let queues: HashMap<u32, &QueueInfo> = left
            .queues
            .iter()
            .filter(|queue| queue.state != State::Draining)
            .map(|queue| (queue.id, queue))
            .collect();
        let pairs = pairs(&queues);
        let serving: HashSet<u32> = pairs.values().copied().collect();
        for (&id, queue) in &queues {
            match (queue.side, pairs.get(&id)) {
                (Side::Front, back) => {
                    let known = queue.listener.and_then(|id| proxied.get(&id));
                    let direct = Note::of(queue.note).is_some_and(|note| note.direct);
                    // One that is gone may have had them.
                    let proxied = queue.listener.is_some() && known != Some(&false) && !direct;
                    match back {
                        Some(&back) => {
                            let back = (back, queues.get(&back).copied());
                            self.resume_exchange(queue, back, proxied, now, &mut resumed);
                        }
                        None => self.resume_idle(queue, proxied, now, &mut resumed),
                    }
                }
                (Side::Back, _) if serving.contains(&id) => {}
                (Side::Back, _) => {
                    resumed.ended += 1;
                    self.end(Command::QueueAbort { id });
                }
            }
        }
        // An address can be listened on again only after that.
        self.engine.do_now();
        (missing, resumed)
    }

    fn is_same(&self, wanted: &Listener, found: &ListenerInfo) -> bool {
        found.local == Some(wanted.address)
            && found.proxy_protocol == wanted.proxy_protocol
            && found.connections == wanted.connections
            && found.head_limit == self.limits.head_bytes
            && u128::from(found.head_ms) == wanted.head.as_millis()
    }

    /// A client that no back-end serves. Whose it is was told by a PROXY protocol header with its
    /// first head, if `proxied`: who had that before is not known any more.
    fn resume_idle(
        &mut self,
        queue: &QueueInfo,
        proxied: bool,
        now: Instant,
        resumed: &mut Resumed,
    ) {
        let id = queue.id;
        let note = Note::of(queue.note);
        let untold = proxied && note.is_some();
        match queue.state {
            // The kernel waits for its first head.
            State::Collecting if queue.generation == 0 => {}
            State::Ready | State::Collecting if untold => {
                resumed.ended += 1;
                self.end(Command::QueueDel { id });
            }
            _ if note.is_some_and(|note| note.close) => {
                resumed.ended += 1;
                self.end(self.drain(id));
            }
            State::Collecting | State::Ready | State::Ended => {
                resumed.waiting += 1;
                let front = Front {
                    first: queue.state == State::Ready && note.is_none(),
                    idle_until: Some(now + self.limits.client_idle),
                    ..Front::default()
                };
                self.fronts.insert(id, front);
                self.set_timer(id);
            }
            State::Moving | State::Parked | State::Draining => {
                resumed.ended += 1;
                self.end(Command::QueueAbort { id });
            }
        }
    }

    fn drain(&self, id: u32) -> Command {
        Command::Drain {
            id,
            limit_bytes: Some(self.limits.drain_bytes),
            limit_ms: Some(self.limits.drain.as_millis() as u32),
        }
    }

    fn resume_exchange(
        &mut self,
        front: &QueueInfo,
        (id, back): (u32, Option<&QueueInfo>),
        proxied: bool,
        now: Instant,
        resumed: &mut Resumed,
    ) {
        let Some((client, local)) = front.peer.zip(front.local) else {
            return self.end(Command::QueueAbort { id: front.id });
        };
        let place = Place {
            front: front.id,
            generation: front.generation,
            client,
            local,
            direct: !proxied,
            time: self.time,
        };
        let found = found(front, id, back);
        let terms = self.policy.resumed(found.note.mark, &self.limits);
        let own = terms.as_ref().and_then(|terms| terms.limits.clone());
        let limits = own.unwrap_or_else(|| self.limits.clone());
        let Some(mut exchange) = Exchange::resumed(place, found, terms, limits, now) else {
            return self.end(Command::QueueAbort { id: front.id });
        };
        if proxied {
            // Whose it is would have to be known for the next request.
            exchange.stop();
        }
        resumed.exchanges += 1;
        self.fronts.insert(
            front.id,
            Front {
                exchange: Some(Box::new(exchange)),
                ..Front::default()
            },
        );
        match back {
            Some(back) => {
                let waits = back.state == State::Ready;
                let before = back.generation.wrapping_sub(u32::from(waits));
                if let Some(peer) = back.peer {
                    self.pool.resume(id, Address::Tcp(peer), front.id, before);
                }
                self.set_timer(front.id);
            }
            // It was ended, and the client was to hear of that.
            None => self.with_exchange(front.id, now, |exchange| exchange.back_lost(now)),
        }
    }
}

/// The back-end that serves each client, where one does.
fn pairs(queues: &HashMap<u32, &QueueInfo>) -> HashMap<u32, u32> {
    let is_front = |id: &u32| {
        queues
            .get(id)
            .is_some_and(|queue| queue.side == Side::Front)
    };
    let mut pairs = HashMap::new();
    for queue in queues.values() {
        match queue.side {
            Side::Front => {
                let note = Note::of(queue.note).filter(|note| !note.answered && note.back != 0);
                let moves = queue.to.filter(|_| queue.state == State::Moving);
                if let Some(back) = moves.or(note.map(|note| note.back)) {
                    pairs.entry(queue.id).or_insert(back);
                }
            }
            Side::Back => {
                let moves = queue.to.filter(|_| queue.state == State::Moving);
                if let Some(front) = moves.or(queue.relay_to).filter(is_front) {
                    // What the kernel does is more than what a note says.
                    pairs.insert(front, queue.id);
                }
            }
        }
    }
    pairs
}

fn found(front: &QueueInfo, id: u32, back: Option<&QueueInfo>) -> Found {
    let note = Note::of(front.note).unwrap_or_default();
    let moves_to =
        |queue: &QueueInfo, to: u32| queue.state == State::Moving && queue.to == Some(to);
    let comes = back.filter(|back| moves_to(back, front.id));
    let goes = Some(front).filter(|front| moves_to(front, id));
    let tunnel = |queue: Option<&QueueInfo>| {
        queue.is_some_and(|queue| queue.framing == Some(Framing::Tunnel))
    };
    Found {
        back: id,
        note,
        upload: match front.state {
            State::Moving => Half::Moves,
            State::Parked => Half::Stopped,
            // Its own head, whose body was never asked for; else the next one's.
            State::Ready if note.close && note.answered => Half::ToCome,
            _ => Half::Over,
        },
        download: match comes {
            Some(_) => Half::Moves,
            // One that was passed on is told of by an event.
            None if note.answered && goes.is_some() => Half::Over,
            None => Half::ToCome,
        },
        armed: back.is_some_and(|back| back.relay_to == Some(front.id)),
        tunnel: tunnel(comes) || tunnel(goes),
        status: back.and_then(|back| back.status).unwrap_or(0),
        taken: front.taken,
    }
}
