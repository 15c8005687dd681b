// SPDX-License-Identifier: GPL-2.0
//! The response's way to the client, if it passes through here, and how an exchange ends.
//!
//! Invariant: the client gets at most one final response; a connection is used again only
//! if both messages ended exactly, and never after HEAD.

use std::time::Instant;

use underpass_proto::{Command, Framing, Head};

use super::{Action, Download, Exchange, Passing, Phase, Tag, Upload, Verdict};
use crate::http::problem;
use crate::http::{Length, Onward, Response, Version};

/// Interim responses that are relayed at the most, and as many more for each second that an exchange lasts: a server
/// that tells how far a long upload has come, or that it is still at work, sends many over time.
const INTERIM_MAX: u64 = 16;

impl Exchange {
    /// The head of a response.
    pub fn back_head(&mut self, head: &Head, now: Instant) {
        if self.over {
            return;
        }
        // Whichever head comes up, the engine passes none on after it.
        self.passing = Passing::Off;
        if self.upload == Upload::Moving {
            // Until then it counts the body of whoever had the connection before.
            self.record.up = self.record.up.max(head.sent);
        }
        if let Some(back) = self.back.as_mut() {
            back.spoke = true;
        }
        if self.download != Download::Awaiting {
            // More than was asked for: never to be used again.
            if let Some(back) = self.back.as_mut() {
                back.reusable = false;
            }
            return;
        }
        if head.over_limit {
            return self.answer(problem::RESPONSE_HEAD_TOO_LONG, now);
        }
        if self.foreign {
            return self.answer(problem::ROUTER_CHANGED, now);
        }
        match Response::parse(&head.head, self.request.method()) {
            Err(problem) => self.answer(problem, now),
            Ok(response) if self.is_switch(&response) => self.switch(head, &response, now),
            Ok(response) if response.is_interim() => self.interim(head, &response, now),
            Ok(response) if self.is_decline(response.status) => {
                self.decline(head.generation, response, now)
            }
            Ok(response) if self.is_expect_refused(response.status) => self.ask_plainly(now),
            Ok(response) => self.relay(head.generation, &response, now),
        }
    }

    fn interim(&mut self, head: &Head, response: &Response, now: Instant) {
        self.interim += 1;
        let seconds = now.duration_since(self.began).as_secs();
        if self.interim > INTERIM_MAX.saturating_mul(seconds + 1) {
            return self.answer(problem::MANY_INTERIM, now);
        }
        if response.status == 100 {
            return self.accepted(head.id, head.generation, now);
        }
        if self.request.version == Version::Http10 {
            return self.skip(head.id, head.generation);
        }
        let route = Command::Route {
            id: head.id,
            generation: head.generation,
            to: self.place.front,
            body: Framing::None.into(),
            data: self.rendered(response, Length::None, now),
            if_quiet: false,
            relay: None,
        };
        self.command(route, Tag::IntoFront);
    }

    /// Whether all of the request's body has gone to the back-end, as far as can be known.
    fn is_sent(&self) -> bool {
        match (self.upload, self.request.length, &self.back) {
            (Upload::Done, ..) => true,
            // A small one goes with its head, and its end may be told behind what came of it. Where it did not,
            // this may count the body of whoever had the connection before.
            (Upload::Moving, Length::Exact(bytes), Some(back)) => {
                !back.asked && self.record.up >= bytes
            }
            _ => false,
        }
    }

    /// Sends a final response to the client.
    pub(super) fn relay(&mut self, generation: u32, response: &Response, now: Instant) {
        let Some(id) = self.back() else {
            return;
        };
        if self.wants_tunnel {
            // There will be none: what follows the head is HTTP.
            self.let_go();
            self.upload = Upload::Done;
        }
        let lives_on = response.keep_alive && response.length != Length::UntilClose;
        // A final answer instead of 100. If it is a success and the back-end goes on
        // reading, so does the upload. A client that waits for 100 may send its body now,
        // as some do, or none: so that no next request is taken for it, there is none.
        let wants_it = (200..300).contains(&response.status) && lives_on;
        let goes_on = self.phase == Phase::Asking && wants_it;
        let whole = self.is_sent();
        let unfinished = match self.upload {
            Upload::Held => !goes_on || self.request.expects_continue,
            // Who refuses a body in its midst may break at any moment, and the client would learn of that by the loss
            // of its next request.
            Upload::Moving => !(wants_it || whole && lives_on),
            Upload::Parked => true,
            Upload::Done => false,
        };
        self.close |= unfinished;
        let leaves = self.leaves(response.length);
        self.close |= leaves == Length::UntilClose;
        self.record.status = response.status;
        self.record.head_after = Some(now.duration_since(self.began));
        let declined = |verdict: &Verdict| matches!(verdict, Verdict::Declined(_));
        if !self.record.asked.last().is_some_and(|(_, v)| declined(v)) {
            self.record.verdict(Verdict::Accepted);
        }
        if let Some(back) = self.back.as_mut() {
            back.reusable &= lives_on;
            // One that does not read the body would take the rest for a request, whose answer would be
            // somebody else's. Asked for it or not, it has to (RFC 9112 section 9.3), but this is how those
            // look that do not. Also one that has accepted may read no further once it has refused.
            back.early = !(whole || back.accepted && wants_it);
        }
        self.deadline = None;
        let route = Command::Route {
            id,
            generation,
            to: self.place.front,
            body: self.response_body(response.length, leaves),
            data: self.rendered(response, leaves, now),
            if_quiet: false,
            relay: None,
        };
        let download = match response.length {
            Length::None => Download::Done,
            Length::Exact(_) | Length::Chunked | Length::UntilClose => Download::Moving,
        };
        self.command(route, Tag::IntoFront);
        self.download = download;
        if goes_on {
            self.commit(now);
        }
        self.finish_if_done(now);
    }

    /// How a response's body leaves. Where its end is that of the connection, a client that
    /// can gets chunks, so that its connection lives on.
    fn leaves(&self, length: Length) -> Length {
        match (length, self.request.version) {
            (Length::UntilClose, Version::Http11) if !self.close => Length::Chunked,
            (Length::Chunked, Version::Http10) => Length::UntilClose,
            _ => length,
        }
    }

    fn rendered(&self, response: &Response, leaves: Length, now: Instant) -> Vec<u8> {
        let onward = Onward {
            version: self.request.version,
            close: self.close,
            leaves,
            time: self.time(now),
        };
        response.render(onward, &self.plan.terms.rewrite)
    }

    /// Ends the exchange if nothing is left to wait for.
    pub(super) fn finish_if_done(&mut self, now: Instant) {
        if self.download != Download::Done || self.over {
            return;
        }
        let back_reads_on = self
            .back
            .as_ref()
            .is_some_and(|back| back.reusable && !back.closed);
        // Nobody told this client to send: its body may never come.
        let may_never_come = self.request.expects_continue && !self.continued;
        match self.upload {
            Upload::Moving if back_reads_on && !may_never_come => return,
            Upload::Done => self.give_back(),
            // The client may still be sending: its connection is drained, so that it can
            // read the answer (RFC 9112 section 9.6); the back-end was promised bytes.
            Upload::Moving | Upload::Held | Upload::Parked => {
                self.close = true;
                self.drop_back();
            }
        }
        if self.close {
            self.drain_front();
        }
        self.finish(!self.close, now);
    }

    fn give_back(&mut self) {
        let Some(back) = self.back.take() else {
            return;
        };
        let id = back.queue;
        if !back.reusable || back.early {
            self.command(Command::QueueDel { id }, Tag::Ending);
        } else if self.request.method() == "HEAD" && !self.plan.link.reuse_after_head {
            // Some servers send the body of a response to HEAD, which a client may have put there, and soon
            // after its head: it would be the next one's response. Many are asked so: no port is to wait.
            self.command(Command::QueueAbort { id }, Tag::Ending);
        } else {
            self.actions.push(Action::Release { queue: id });
        }
    }

    pub(super) fn drain_front(&mut self) {
        let drain = Command::Drain {
            id: self.place.front,
            limit_bytes: Some(self.limits.drain_bytes),
            limit_ms: Some(self.limits.drain.as_millis() as u32),
        };
        self.command(drain, Tag::Ending);
    }
}
