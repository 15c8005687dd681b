// SPDX-License-Identifier: GPL-2.0
//! Upgrade and CONNECT: from a request that wants to leave HTTP to a tunnel's end.
//!
//! Invariants: no byte is tunnelled before the back-end has agreed (101 to a protocol that
//! was offered, or 2xx to CONNECT), so the request's head is held in the client's socket
//! until then; a FIN ends one direction only; a break of one side breaks the other, and is over when both
//! have told what they moved.

use std::time::{Duration, Instant};

use underpass_proto::{Body, Command, ForwardResult, Framing, Head};

use super::{Download, Exchange, Tag, Upload, Verdict};
use crate::http::problem;
use crate::http::{Length, Onward, Response};

/// How long the second direction of a tunnel that breaks is waited for: this is for an engine that errs.
const OTHER_END: Duration = Duration::from_secs(1);

impl Exchange {
    /// True if this final response ends HTTP on these connections.
    pub(super) fn is_switch(&self, response: &Response) -> bool {
        let connected = self.request.method() == "CONNECT" && (200..300).contains(&response.status);
        connected || response.status == 101
    }

    /// The back-end has switched: the tunnel begins, if that is what was asked for.
    pub(super) fn switch(&mut self, head: &Head, response: &Response, now: Instant) {
        let terms = self.plan.terms.clone();
        let offered = |protocol: &String| {
            let mut offers = terms.rewrite.upgrades(&self.request);
            offers.any(|offer| offer.eq_ignore_ascii_case(protocol))
        };
        let agreed = response.status != 101
            || (!response.upgrade.is_empty() && response.upgrade.iter().all(offered));
        if !agreed || !self.wants_tunnel {
            return self.answer(problem::UNASKED_UPGRADE, now);
        }
        self.tunnel = true;
        self.close = true;
        self.deadline = None;
        self.record.status = response.status;
        self.record.verdict(Verdict::Accepted);
        self.record.accepted_after = Some(now.duration_since(self.began));
        self.record.head_after = self.record.accepted_after;
        let onward = Onward {
            version: self.request.version,
            close: false,
            leaves: Length::None,
            time: self.time(now),
        };
        let body = Body {
            note: self.note_answered(),
            ..self.body(Framing::Tunnel, 0)
        };
        // First, for the other way may end at once, whereupon the client may end all, and a head that
        // waits for its answer is gone with its connection.
        let forward = Command::Forward {
            id: self.place.front,
            generation: self.place.generation,
            to: Some(head.id),
            body: body.clone(),
        };
        self.command(forward, Tag::IntoBack);
        let route = Command::Route {
            id: head.id,
            generation: head.generation,
            to: self.place.front,
            body,
            data: response.render(onward, &terms.rewrite),
            if_quiet: false,
            relay: None,
        };
        self.command(route, Tag::IntoFront);
        self.answered = Some(self.serial);
        self.upload = Upload::Moving;
        self.download = Download::Moving;
    }

    /// One direction of the tunnel ended; `up` is the client's. If it broke, the engine breaks the other one,
    /// too, and tells how much that moved.
    pub(super) fn tunnel_done(&mut self, up: bool, result: ForwardResult, now: Instant) {
        let broken = match result {
            ForwardResult::Complete => "",
            ForwardResult::SourceStalled
            | ForwardResult::TargetStalled
            | ForwardResult::SourceSlow
            | ForwardResult::TargetSlow => "tunnel-idle",
            ForwardResult::SourceError if up => "client-gone",
            ForwardResult::TargetError if !up => "client-gone",
            ForwardResult::SourceError
            | ForwardResult::TargetError
            | ForwardResult::Truncated
            | ForwardResult::Malformed
            | ForwardResult::Cancelled => problem::BACKEND_BROKE.name,
        };
        match up {
            true => self.upload = Upload::Done,
            false => self.download = Download::Done,
        }
        if self.record.reason.is_empty() {
            // What the other direction says later is what came of this.
            self.record.reason = broken;
        }
        let breaks = !self.record.reason.is_empty();
        if self.upload != Upload::Done || self.download != Download::Done {
            if breaks {
                self.deadline = Some(now + OTHER_END);
            }
            return;
        }
        if breaks {
            return self.tunnel_breaks(now);
        }
        // Both have said their last word, and have got the other's.
        let queues = [
            Some(self.place.front),
            self.back.take().map(|back| back.queue),
        ];
        for id in queues.into_iter().flatten() {
            self.command(Command::QueueDel { id }, Tag::Ending);
        }
        self.finish(false, now);
    }

    /// Ends both sides by reset, for the reason that is known.
    pub(super) fn tunnel_breaks(&mut self, now: Instant) {
        self.break_off(self.record.reason, now);
    }
}
