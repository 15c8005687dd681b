// SPDX-License-Identifier: GPL-2.0
//! How a forward ended, and what follows from it.
//!
//! Invariant: a body that is not whole never looks whole to its receiver: the engine has
//! reset the target, and what remains here is to say why to a side that can still read it.

use std::time::Instant;

use underpass_proto::{Done, ForwardResult};

use super::{Download, Exchange, Passing, Upload, Verdict};
use crate::http::problem::{self, Problem};

impl Exchange {
    /// A forward of the client's body ended.
    pub fn front_done(&mut self, done: &Done, now: Instant) {
        self.taken = self.taken.max(done.taken);
        self.record.up = self.taken;
        if self.over || self.upload != Upload::Moving {
            return;
        }
        if self.tunnel {
            return self.tunnel_done(true, done.result, now);
        }
        if done.result != ForwardResult::Complete {
            // Then the engine shows what still comes.
            self.passing = Passing::Off;
        }
        match done.result {
            ForwardResult::Complete => self.upload = Upload::Done,
            ForwardResult::TargetError | ForwardResult::Cancelled => self.upload = Upload::Parked,
            ForwardResult::SourceError => return self.client_gone(now),
            ForwardResult::Truncated => {
                return self.upload_failed(problem::REQUEST_TRUNCATED, now);
            }
            ForwardResult::Malformed => return self.upload_failed(problem::BAD_CHUNK, now),
            ForwardResult::SourceStalled => {
                return self.upload_failed(problem::REQUEST_STALLED, now);
            }
            ForwardResult::TargetStalled => {
                return self.upload_failed(problem::BACKEND_STALLED, now);
            }
            ForwardResult::SourceSlow => return self.upload_failed(problem::REQUEST_SLOW, now),
            ForwardResult::TargetSlow => return self.upload_failed(problem::BACKEND_SLOW, now),
        }
        self.moved(now);
    }

    /// The body moves no more: what came meanwhile is decided.
    fn moved(&mut self, now: Instant) {
        if let Some(declined) = self.declined.take() {
            let (generation, response) = *declined;
            return self.decline_or_relay(generation, response, now);
        }
        if let Some(problem) = self.failed.take() {
            return self.fail(problem, now);
        }
        // Also after a write error: the response that explains it may be on its way.
        self.await_response(now);
    }

    /// The back-end accepted, and gets nothing of the body. If it broke, its response may be on its way. Where it
    /// is the engine that had no room, the back-end waits for the body.
    pub(super) fn untaken(&mut self, (verdict, problem): (Verdict, Problem), now: Instant) {
        self.upload = Upload::Parked;
        if verdict == Verdict::Refused && self.download == Download::Awaiting {
            self.record.verdict(verdict);
            return self.answer(problem, now);
        }
        self.moved(now);
    }

    /// Nothing more of the body goes; a response, or the end of the connection, is to come.
    fn await_response(&mut self, now: Instant) {
        if self.download == Download::Awaiting {
            self.deadline = Some(now + self.limits.response);
            if self.back.as_ref().is_some_and(|back| back.closed) {
                return self.fail(problem::BACKEND_BROKE, now);
            }
        }
        self.finish_if_done(now);
    }

    /// The body will not be whole, and the back-end was reset.
    fn upload_failed(&mut self, problem: Problem, now: Instant) {
        self.upload = Upload::Parked;
        match self.download {
            Download::Awaiting => self.answer(problem, now),
            Download::Moving => self.break_off(problem.name, now),
            Download::Done => {
                // The client has its response; it is left the time to read it.
                self.record.reason = problem.name;
                self.finish_if_done(now);
            }
        }
    }

    /// A forward of the response's body ended, or a response that was passed on, or what allowed
    /// that was taken back.
    pub fn back_done(&mut self, done: &Done, now: Instant) {
        match done.status {
            Some(status) => self.passed(status, now),
            // What was taken there last was another one's response.
            None if done.result == ForwardResult::Cancelled
                && self.download == Download::Awaiting =>
            {
                return self.taken_back(now);
            }
            None => {}
        }
        self.record.down = done.taken;
        if self.over || self.download != Download::Moving {
            return;
        }
        if self.tunnel {
            return self.tunnel_done(false, done.result, now);
        }
        // Wherever the body is not whole, the engine has reset the client.
        match done.result {
            ForwardResult::Complete => {
                self.download = Download::Done;
                self.finish_if_done(now);
            }
            ForwardResult::TargetError => self.client_gone(now),
            ForwardResult::Truncated | ForwardResult::SourceError | ForwardResult::Cancelled => {
                self.break_off("response-truncated", now);
            }
            ForwardResult::Malformed => self.break_off("bad-response-chunk", now),
            ForwardResult::SourceStalled => self.break_off("response-stalled", now),
            ForwardResult::TargetStalled => self.break_off("client-stalled", now),
            ForwardResult::SourceSlow => self.break_off("response-slow", now),
            ForwardResult::TargetSlow => self.break_off("client-slow", now),
        }
    }
}
