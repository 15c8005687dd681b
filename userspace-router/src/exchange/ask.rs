// SPDX-License-Identifier: GPL-2.0
//! Asking back-ends, until one takes the request.
//!
//! The request goes to another back-end only if no body byte was taken, and
//! - the one asked declined, or could not be connected to; or
//! - the body was withheld: a request without its body was never complete, so a back-end
//!   that resets, or is silent (if the route's policy says so), has not acted on it; or
//! - nothing was sent at all (the engine refused); or
//! - a connection from the pool was dead, and the request may be carried out twice (its
//!   method is idempotent, RFC 9110 section 9.2.2, or the route says so), and wants no tunnel:
//!   then the same back-end is asked over a new connection.
//!
//! All of it within `attempts`, and within `asking-ms`.

use std::time::Instant;

use underpass_proto::gen::DATA_MAX;
use underpass_proto::{Command, Framing};

use super::{Action, Back, Download, Exchange, Passing, Phase, Tag, Upload, Verdict};
use crate::address::Address;
use crate::config::{AllDeclined, Mode, OnSilence};
use crate::http::problem::{self, Problem};
use crate::http::{Hop, Length, Response};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Exchange {
    /// Asks the next back-end; `problem` is what the last one failed by.
    pub(super) fn ask_next(&mut self, problem: Problem, now: Instant) {
        let Some(backend) = self
            .plan
            .backends
            .get(self.next)
            .cloned()
            .filter(|_| self.may_ask(now))
        else {
            return self.answer(self.of_all_asked(problem), now);
        };
        self.next += 1;
        self.plain = false;
        // What wants a tunnel is not sent again, so it must not meet the end of a used connection; and the tunnel
        // would have it to itself anyway.
        self.connect(backend, self.wants_tunnel);
    }

    /// What the client is told when nobody took its request. One that declined or was full may take it
    /// another time, so that counts before what the `last` one failed by: who is last is chance.
    fn of_all_asked(&self, last: Problem) -> Problem {
        let any = |is: fn(Verdict) -> bool| self.record.asked.iter().any(|asked| is(asked.1));
        if any(|verdict| matches!(verdict, Verdict::Declined(_))) {
            problem::ALL_DECLINED
        } else if any(|verdict| verdict == Verdict::Full) {
            problem::ALL_FULL
        } else {
            last
        }
    }

    /// When nobody else is asked any more.
    fn asking_ends(&self) -> Instant {
        self.began + self.limits.asking
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.next < self.limits.attempts && now < self.asking_ends()
    }

    fn has_next(&self, now: Instant) -> bool {
        self.may_ask(now) && self.next < self.plan.backends.len()
    }

    fn connect(&mut self, backend: Address, fresh: bool) {
        self.serial = self.serial.wrapping_add(1);
        self.phase = Phase::Connecting;
        self.deadline = Some(self.asking_ends());
        self.record.accepted_after = None;
        self.record.asked.push((backend.clone(), Verdict::Asked));
        self.actions.push(Action::Connect { backend, fresh });
    }

    /// Asks the same back-end again, unless the time is up; `problem` is what it failed by.
    fn connect_again(&mut self, problem: Problem, now: Instant) {
        match self.record.asked.last().cloned() {
            Some((backend, _)) if now < self.asking_ends() => self.connect(backend, true),
            _ => self.answer(self.of_all_asked(problem), now),
        }
    }

    /// No connection, and no time left for another.
    pub(super) fn connect_timeout(&mut self, now: Instant) {
        // Whatever still comes of it is stale.
        self.serial = self.serial.wrapping_add(1);
        self.connect_failed(Verdict::ConnectTimeout, now);
    }

    /// There is no connection to the back-end, for this reason.
    pub fn connect_failed(&mut self, verdict: Verdict, now: Instant) {
        if self.over {
            return;
        }
        self.record.verdict(verdict);
        let problem = match verdict {
            Verdict::Full => problem::ALL_FULL,
            Verdict::ConnectTimeout => problem::CONNECT_TIMEOUT,
            _ => problem::NONE_REACHABLE,
        };
        self.ask_next(problem, now);
    }

    /// There is a connection: sends the head behind `prelude` (what a new connection begins with, in
    /// one command, so that it goes with the head or not at all), and the body unless it waits for a
    /// verdict.
    pub fn connected(&mut self, queue: u32, reused: bool, mut prelude: Vec<u8>, now: Instant) {
        let ask = self.asks();
        self.back = Some(Back {
            queue,
            reused,
            spoke: false,
            closed: false,
            reusable: true,
            asked: ask,
            accepted: false,
            early: false,
            aborted: false,
        });
        let mut data = self.render(ask);
        if !prelude.is_empty() {
            prelude.append(&mut data);
            data = prelude;
        }
        if data.len() > DATA_MAX as usize {
            // With what is added it is more than the engine takes in one command.
            return self.answer(problem::HEAD_TOO_LONG, now);
        }
        if ask {
            self.phase = Phase::Asking;
            self.deadline = Some(self.asking_ends().min(now + self.limits.ask));
            return self.send_head(queue, reused, data);
        }
        self.phase = Phase::Committed;
        self.deadline = None;
        let bodyless = self.request.length == Length::None;
        if bodyless {
            self.deadline = Some(now + self.limits.response);
        }
        if self.wants_tunnel {
            // Whether its head or a tunnel follows is for the back-end to say.
            return self.send_head(queue, reused, data);
        }
        if self.answered.is_some() {
            // No body: the head is gone from the client's socket, but not from here.
            self.send_head(queue, reused, data);
        } else {
            let relay = self.allowed();
            if relay.is_some() {
                self.passing = Passing::Armed;
            }
            let route = Command::Route {
                id: self.place.front,
                generation: self.place.generation,
                to: queue,
                body: self.request_body(),
                data,
                if_quiet: reused,
                relay,
            };
            self.command(route, Tag::IntoBack);
        }
        if bodyless {
            self.answered = self.answered.or(Some(self.serial));
            self.upload = Upload::Done;
        } else {
            self.upload = Upload::Moving;
            self.tell_to_continue();
        }
    }

    /// Sends a head alone. An idle connection that has said anything is not to be used.
    fn send_head(&mut self, id: u32, reused: bool, data: Vec<u8>) {
        let send = Command::Send {
            id,
            data,
            if_quiet: reused,
            note: None,
        };
        self.command(send, Tag::IntoBack);
    }

    /// True if the body waits for a verdict.
    fn asks(&self) -> bool {
        let wants = match (self.plan.terms.mode, self.request.length) {
            (_, Length::None) => return false,
            (Mode::Ask, _) => true,
            (Mode::Optimistic, _) => false,
            (Mode::AskOver(limit), Length::Exact(bytes)) => bytes > limit,
            // Nobody knows how long it will be.
            (Mode::AskOver(_), _) => true,
        };
        // A client that waits for 100 must get the back-end's, so that it is asked.
        (wants || self.request.expects_continue) && !self.plain
    }

    fn render(&self, ask: bool) -> Vec<u8> {
        let Some((backend, _)) = self.record.asked.last() else {
            return Vec::new();
        };
        let hop = Hop {
            client: self.place.client.ip(),
            local: self.place.local,
            backend,
        };
        self.request.render(&hop, &self.plan.terms.rewrite, ask)
    }

    /// The back-end takes the request: moves the body.
    pub(super) fn commit(&mut self, now: Instant) {
        let Some(to) = self.back() else {
            return;
        };
        self.record.verdict(Verdict::Accepted);
        self.record.accepted_after = Some(now.duration_since(self.began));
        self.phase = Phase::Committed;
        self.deadline = None;
        self.upload = Upload::Moving;
        let forward = Command::Forward {
            id: self.place.front,
            generation: self.place.generation,
            to: Some(to),
            body: self.request_body(),
        };
        self.command(forward, Tag::IntoBack);
    }

    /// `100 Continue`: accepted, unless it was sent without being asked for.
    pub(super) fn accepted(&mut self, back: u32, generation: u32, now: Instant) {
        if let Some(back) = self.back.as_mut() {
            back.accepted = true;
        }
        if self.phase == Phase::Asking && self.request.expects_continue && !self.continued {
            self.continued = true;
            let route = Command::Route {
                id: back,
                generation,
                to: self.place.front,
                body: Framing::None.into(),
                data: CONTINUE.to_vec(),
                if_quiet: false,
                relay: None,
            };
            self.command(route, Tag::IntoFront);
        } else {
            self.skip(back, generation);
        }
        if self.phase == Phase::Asking {
            self.commit(now);
        }
    }

    /// Drops a response without body.
    pub(super) fn skip(&mut self, back: u32, generation: u32) {
        let forward = Command::Forward {
            id: back,
            generation,
            to: None,
            body: Framing::None.into(),
        };
        self.command(forward, Tag::Ending);
    }

    /// The body moves without a 100 that the client could be given: it gets one of ours.
    fn tell_to_continue(&mut self) {
        if self.request.expects_continue && !self.continued {
            self.continued = true;
            let send = Command::Send {
                id: self.place.front,
                data: CONTINUE.to_vec(),
                if_quiet: false,
                note: None,
            };
            self.command(send, Tag::IntoFront);
        }
    }

    /// No verdict in time.
    pub(super) fn silence(&mut self, now: Instant) {
        let declines = match self.plan.terms.on_silence {
            OnSilence::Forward => false,
            OnSilence::Decline => true,
            // It may be at it already, without a look at the body.
            OnSilence::ByMethod => self.may_be_done_twice(),
        };
        if declines {
            self.record.verdict(Verdict::Silent);
            self.drop_back();
            self.ask_next(problem::SILENT, now);
        } else {
            self.commit(now);
            self.tell_to_continue();
        }
    }

    /// Carried out twice, by the method or by what the route says, it is as if it was once.
    fn may_be_done_twice(&self) -> bool {
        self.request.is_idempotent() || self.plan.terms.retry_any
    }

    /// True if this final response says "not me", and somebody else may still be asked.
    pub(super) fn is_decline(&self, status: u16) -> bool {
        // Of one that was taken over nobody else can be asked.
        !self.resumed
            && self.download == Download::Awaiting
            && self.taken == 0
            && self.plan.terms.decline.contains(&status)
    }

    /// True if this response says that the back-end knows no Expect.
    pub(super) fn is_expect_refused(&self, status: u16) -> bool {
        status == 417 && self.phase == Phase::Asking && !self.plain
    }

    /// Asks the same back-end without Expect.
    pub(super) fn ask_plainly(&mut self, now: Instant) {
        self.record.verdict(Verdict::NoExpect);
        self.drop_back();
        self.plain = true;
        self.connect_again(problem::SILENT, now);
    }

    /// A decline. If the body moves, it is stopped first, to see whether any was taken.
    pub(super) fn decline(&mut self, generation: u32, response: Response, now: Instant) {
        if self.upload != Upload::Moving {
            return self.decline_or_relay(generation, response, now);
        }
        self.declined = Some(Box::new((generation, response)));
        let cancel = Command::Cancel {
            id: self.place.front,
            generation: self.place.generation,
        };
        // If there is nothing left to cancel, the end of the move is on its way.
        self.command(cancel, Tag::Ending);
    }

    pub(super) fn decline_or_relay(&mut self, generation: u32, response: Response, now: Instant) {
        let last = !self.has_next(now) && self.plan.terms.all_declined == AllDeclined::Relay;
        let moved = self.taken > 0;
        if !moved {
            self.record.verdict(Verdict::Declined(response.status));
        }
        if moved || last {
            return self.relay(generation, &response, now);
        }
        self.drop_back();
        self.hold();
        self.ask_next(problem::ALL_DECLINED, now);
    }

    /// Nothing was sent: no doubt about trying again.
    pub(super) fn unsent(&mut self, (verdict, problem): (Verdict, Problem), now: Instant) {
        let reused = self.back.as_ref().is_some_and(|back| back.reused);
        let stale = reused && verdict == Verdict::Broke;
        self.record
            .verdict(if stale { Verdict::Stale } else { verdict });
        self.drop_back();
        self.hold();
        if stale {
            self.connect_again(problem, now);
        } else {
            self.ask_next(problem, now);
        }
    }

    /// The back-end will not answer. Asks again where that is safe.
    pub(super) fn fail(&mut self, problem: Problem, now: Instant) {
        if self.upload == Upload::Moving {
            // How much was taken is known once the move has ended, which the abort does.
            self.failed = Some(problem);
            return self.abort_back();
        }
        let withheld = self.phase == Phase::Asking;
        let reused = self.back.as_ref().is_some_and(|back| back.reused);
        // One that has spoken was alive; after silence that was taken for a yes, nobody knows.
        let was_dead = self.back.as_ref().is_some_and(|back| !back.spoke)
            && self.record.accepted_after.is_none();
        let stale = reused && was_dead && self.may_be_done_twice() && !self.wants_tunnel;
        self.record.verdict(Verdict::Broke);
        self.drop_back();
        if self.taken > 0 || !(withheld || stale) {
            return self.answer(problem, now);
        }
        self.hold();
        if reused {
            self.connect_again(problem, now);
        } else {
            self.ask_next(problem, now);
        }
    }

    /// Back to a body that was offered to nobody. What the attempt left that waited for its end is not
    /// for the next one.
    fn hold(&mut self) {
        self.upload = Upload::Held;
        self.declined = None;
        self.failed = None;
    }
}
