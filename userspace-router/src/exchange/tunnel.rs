// SPDX-License-Identifier: GPL-2.0
//! Upgrade and CONNECT: from a request that wants to leave HTTP to a tunnel's end.
//!
//! Invariants: no byte is tunnelled before the back-end has agreed (101 to a protocol that
//! was offered, or 2xx to CONNECT), so the request's head is held in the client's socket
//! until then; a FIN ends one direction only; a break of one side breaks the other.

use std::time::Instant;

use underpass_proto::{Body, Command, ForwardResult, Framing, Head};

use super::{Download, Exchange, Tag, Upload, Verdict};
use crate::http::problem;
use crate::http::{Length, Onward, Response};

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

    /// One direction of the tunnel ended; `up` is the client's.
    pub(super) fn tunnel_done(&mut self, up: bool, result: ForwardResult, now: Instant) {
        match result {
            ForwardResult::Complete if up => self.upload = Upload::Done,
            ForwardResult::Complete => self.download = Download::Done,
            ForwardResult::SourceStalled
            | ForwardResult::TargetStalled
            | ForwardResult::SourceSlow
            | ForwardResult::TargetSlow => {
                return self.break_off("tunnel-idle", now);
            }
            ForwardResult::SourceError if up => return self.client_gone(now),
            ForwardResult::TargetError if !up => return self.client_gone(now),
            ForwardResult::SourceError
            | ForwardResult::TargetError
            | ForwardResult::Truncated
            | ForwardResult::Malformed
            | ForwardResult::Cancelled => {
                return self.break_off(problem::BACKEND_BROKE.name, now);
            }
        }
        if self.upload != Upload::Done || self.download != Download::Done {
            return;
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
}
