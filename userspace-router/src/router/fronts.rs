// SPDX-License-Identifier: GPL-2.0
//! The router's side towards clients: from a head to its exchange, and between two
//! exchanges of a connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use underpass_proto::{Command, Head};

use super::feedback::Told;
use super::token::token_serial;
use super::{Router, SPARE_HEAD, SPARE_MAX};
use crate::config::Link;
use crate::engine::Engine;
use crate::exchange::note::Note;
use crate::exchange::{Exchange, Line, Place, Record, Tag};
use crate::http::problem::{self, Problem};
use crate::http::Request;
use crate::metrics::Counter;
use crate::proxy_protocol::{self, Ends};
use crate::route::Plan;

/// Counts an exchange that is over.
fn count(counter: &Option<Counter>, record: &Record) {
    if let Some(counter) = counter {
        // Only who reads the sums holds it beside this router, for moments.
        let mut counts = counter.lock().unwrap_or_else(PoisonError::into_inner);
        counts.count(record);
    }
}

/// What is known of a client's connection.
#[derive(Debug, Default)]
pub(super) struct Front {
    pub exchange: Option<Box<Exchange>>,
    /// The next request's head, which waits for this exchange to end.
    pub waiting: Option<Box<Head>>,
    pub serial: u32,
    /// A former router left it, and its first head is to come.
    pub first: bool,
    /// The entry in `Router::timers`.
    pub timer: Option<Instant>,
    /// When the connection is closed unless a request comes.
    pub idle_until: Option<Instant>,
    /// As a PROXY protocol header told.
    pub told_ends: Option<Ends>,
    /// Whose connection it is, where that is known.
    pub ends: Option<Ends>,
    /// How the plan's back-ends are connected to, once there was one.
    pub link: Option<Arc<Link>>,
    /// The plan's.
    pub tag: usize,
    pub told: Told,
}

impl<E: Engine> Router<E> {
    pub(super) fn head(&mut self, mut head: Head, now: Instant) {
        let first = |front: &mut Front| std::mem::take(&mut front.first);
        let first = self.fronts.get_mut(&head.id).is_some_and(first);
        if head.generation != 1 && !first {
            match self.fronts.get_mut(&head.id) {
                // Of a connection that was ended while its next request was on its way here.
                None => {}
                Some(front) if front.exchange.is_some() => front.waiting = Some(Box::new(head)),
                Some(_) => self.begin(head, now),
            }
            return;
        }
        let listener = head.listener.and_then(|id| self.listeners.get(&id));
        let mut told_ends = None;
        if listener == Some(&true) {
            match proxy_protocol::parse(&head.head) {
                Ok(header) => {
                    head.head.drain(..header.length);
                    told_ends = header.ends;
                }
                Err(fault) => return self.distrust(&head, fault.name()),
            }
        }
        let front = self.fronts.entry(head.id).or_default();
        front.told_ends = front.told_ends.or(told_ends);
        if front.exchange.is_some() {
            front.waiting = Some(Box::new(head));
        } else {
            self.begin(head, now);
        }
    }

    /// Ends a connection that does not say whose it is as it should.
    fn distrust(&mut self, head: &Head, reason: &'static str) {
        let mut record = Record::new(head.peer.unwrap_or(NOWHERE));
        record.reason = reason;
        self.log_unparsed(&record);
        self.end(Command::QueueAbort { id: head.id });
    }

    fn log_unparsed(&mut self, record: &Record) {
        let request = None;
        count(&self.counter, record);
        self.log.write(Line { record, request });
    }

    fn begin(&mut self, head: Head, now: Instant) {
        let Some(front) = self.fronts.get_mut(&head.id) else {
            return;
        };
        let socket = head.peer.zip(head.local);
        front.ends = front
            .told_ends
            .or(socket.map(|(client, local)| Ends { client, local }));
        let nowhere = Ends {
            client: NOWHERE,
            local: NOWHERE,
        };
        let Ends { client, local } = front.ends.unwrap_or(nowhere);
        let target_max = self.limits.target_bytes;
        if self.stop_by.is_some() {
            return self.refuse(head.id, client, problem::STOPPING);
        }
        if head.over_limit {
            return self.refuse(head.id, client, Request::over_limit(&head.head, target_max));
        }
        let mut spare = self.spare.pop();
        let mut room = spare
            .as_deref_mut()
            .map(Exchange::take_room)
            .unwrap_or_default();
        let request = match Request::parse_in(&mut room.request, head.head, target_max) {
            Ok(request) => request,
            Err(problem) => return self.refuse(head.id, client, problem),
        };
        let plan = match request.has_dot_segments() {
            true => Err(problem::DOT_SEGMENTS),
            false => self.policy.plan(&request, client, now),
        };
        let (plan, refused) = match plan {
            Ok(plan) => (plan, None),
            Err(problem) => (Plan::default(), Some(problem)),
        };
        let place = Place {
            front: head.id,
            generation: head.generation,
            client,
            local,
            direct: front.told_ends.is_none(),
            time: self.time,
        };
        front.idle_until = None;
        let same = |link| Arc::ptr_eq(link, &plan.link);
        if !front.link.as_ref().is_some_and(same) {
            front.link = Some(plan.link.clone());
        }
        front.tag = plan.tag;
        let limits = plan.terms.limits.as_ref().unwrap_or(&self.limits).clone();
        let exchange = Exchange::new(place, request, plan, limits, front.serial, room, now);
        let exchange = match spare {
            Some(mut place) => {
                *place = exchange;
                place
            }
            None => Box::new(exchange),
        };
        front.exchange.insert(exchange).begin(refused, now);
        self.act(head.id, now);
    }

    /// Answers a head that is no request, and ends the connection.
    fn refuse(&mut self, id: u32, client: SocketAddr, problem: Problem) {
        let mut record = Record::new(client);
        record.status = problem.status;
        record.reason = problem.name;
        self.log_unparsed(&record);
        self.forget_front(id);
        let data = problem.render(false, true, self.time);
        self.end(Command::Send {
            id,
            data,
            if_quiet: false,
            note: Some(Note::LAST.bits()),
        });
        self.end(Command::Drain {
            id,
            limit_bytes: Some(self.limits.drain_bytes),
            limit_ms: Some(self.limits.drain.as_millis() as u32),
        });
    }

    /// An exchange is over; its queue was ended unless `keep`.
    pub(super) fn finished(&mut self, id: u32, keep: bool, now: Instant) {
        self.pool.give_up(id);
        let Some(front) = self.fronts.get_mut(&id) else {
            return;
        };
        let told = std::mem::take(&mut front.told);
        if let Some(exchange) = front.exchange.take() {
            front.serial = exchange.serial().wrapping_add(1);
            told.end(&*self.policy, front.tag, &exchange.record, now);
            count(&self.counter, &exchange.record);
            self.log.write(exchange.line());
            // Whatever it may want after its end, it does not get.
            if self.spare.len() < SPARE_MAX && exchange.head_size() <= SPARE_HEAD {
                self.spare.push(exchange);
            }
        }
        let waiting = front.waiting.take();
        front.idle_until = Some(now + self.limits.client_idle);
        match (keep, waiting) {
            (false, _) => self.forget_front(id),
            (true, Some(head)) => self.begin(*head, now),
            (true, None) if self.stop_by.is_some() => self.close_front(id),
            (true, None) => {}
        }
    }

    /// A back-end answered what it was not asked yet, and was gone before it could be: the
    /// client has its answer, but its request still stands in the queue, where the engine
    /// lets no other pass. Without this the connection would serve nobody any more.
    pub(super) fn refused_late(&mut self, id: u32, serial: u32) {
        let last = |front: &&Front| {
            front.exchange.is_none() && token_serial(front.serial.wrapping_sub(1)) == serial
        };
        if self.fronts.get(&id).filter(last).is_some() {
            self.close_front(id);
        }
    }

    /// The answer of an exchange that is over was refused, because its client reads none, or memory is short: what
    /// comes next would be taken for it.
    pub(super) fn answer_lost(&mut self, id: u32, serial: u32, now: Instant) {
        let Some(front) = self.fronts.get(&id) else {
            return;
        };
        // While an exchange runs, `Front::serial` is its first one.
        let age = token_serial(front.serial.wrapping_sub(serial));
        if age == 0 || age > token_serial(u32::MAX) / 2 {
            return;
        }
        if front.exchange.is_some() {
            return self.with_exchange(id, now, |exchange| exchange.refused(Tag::IntoFront, now));
        }
        self.forget_front(id);
        self.end(Command::QueueAbort { id });
    }

    /// Closes a connection on which nothing happens.
    pub(super) fn close_front(&mut self, id: u32) {
        self.forget_front(id);
        self.end(Command::QueueDel { id });
    }

    pub(super) fn forget_front(&mut self, id: u32) {
        if let Some(timer) = self.fronts.remove(&id).and_then(|front| front.timer) {
            self.timers.remove(&(timer, id));
        }
        for queue in self.pool.idle_of(id) {
            self.close_back(queue);
        }
    }
}

/// Stands for an address that is not known.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
