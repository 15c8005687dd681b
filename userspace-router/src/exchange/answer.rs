// SPDX-License-Identifier: GPL-2.0
//! Answers that the router gives itself.
//!
//! Invariant: nothing of a response was sent before.

use std::time::Instant;

use underpass_proto::gen::DATA_MAX;
use underpass_proto::{Command, Framing};

use super::{Exchange, Tag, Upload};
use crate::http::problem::{self, Problem};
use crate::http::{date, Length, Version};

/// How often a request may come through here: several of these in a row are fine, a loop is
/// not.
const SEEN_MAX: usize = 8;

impl Exchange {
    /// Answers what is not for back-ends, or not for the route, or what has none: `refused`. True if it did.
    pub(super) fn answered_here(&mut self, refused: Option<Problem>, now: Instant) -> bool {
        let terms = self.plan.terms.clone();
        let served = match self.request.method() {
            "CONNECT" => terms.connect,
            "TRACE" => terms.trace,
            _ => true,
        };
        if !served {
            self.answer(problem::METHOD_NOT_SERVED, now);
        } else if let Some(problem) = refused {
            self.answer(problem, now);
        } else if self.request.max_forwards == Some(0) {
            self.answer_last_hop(now);
        } else if terms.rewrite.times_seen(&self.request) > SEEN_MAX {
            self.answer(problem::LOOP, now);
        }
        self.over
    }

    /// TRACE and OPTIONS that go no further (RFC 9110 section 7.6.2).
    fn answer_last_hop(&mut self, now: Instant) {
        let (kind, body) = match self.request.method() {
            "TRACE" => ("Content-Type: message/http\r\n", self.request.reflected()),
            _ => ("", Vec::new()),
        };
        let close = self.closes_after_answer();
        let connection = if close { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let date = date::imf(self.time(now));
        let mut data = format!(
            "HTTP/1.1 200 OK\r\nDate: {date}\r\n{kind}Content-Length: {length}\r\n{connection}\r\n"
        )
        .into_bytes();
        data.extend_from_slice(&body);
        if data.len() > DATA_MAX as usize {
            return self.answer(problem::HEAD_TOO_LONG, now);
        }
        self.record.status = 200;
        self.last_word(data, close, now);
    }

    /// Answers instead of a back-end.
    pub(super) fn answer(&mut self, problem: Problem, now: Instant) {
        self.record.status = problem.status;
        self.record.reason = problem.name;
        self.drop_back();
        let close = self.closes_after_answer();
        let data = problem.render(self.request.method() == "HEAD", close, self.time(now));
        self.last_word(data, close, now);
    }

    fn closes_after_answer(&self) -> bool {
        // What a client that never got its body off would send next is anybody's guess. Of a request that a
        // former router took only the body is known, where it moves or stopped.
        let all_sent = match self.upload {
            Upload::Held => self.request.length == Length::None,
            Upload::Moving | Upload::Parked => false,
            Upload::Done => true,
        };
        self.close || !all_sent || self.request.version == Version::Http10
    }

    fn last_word(&mut self, data: Vec<u8>, close: bool, now: Instant) {
        self.close |= close;
        let send = Command::Send {
            id: self.place.front,
            data,
            if_quiet: false,
            note: self.note_answered(),
        };
        self.command(send, Tag::IntoFront);
        if close {
            self.drain_front();
        } else {
            self.let_go();
        }
        self.finish(!close, now);
    }

    /// Drops the head of a request without body from the client's socket, unless it was.
    pub(super) fn let_go(&mut self) {
        if self.answered.is_some() || self.request.length != Length::None {
            return;
        }
        self.answered = Some(self.serial);
        let forward = Command::Forward {
            id: self.place.front,
            generation: self.place.generation,
            to: None,
            body: Framing::None.into(),
        };
        self.command(forward, Tag::Ending);
    }
}
