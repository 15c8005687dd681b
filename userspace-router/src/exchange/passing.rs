// SPDX-License-Identifier: GPL-2.0
//! Responses that the engine passes on without showing them here.
//!
//! The engine may do so if only the head itself decides what the client gets. Before
//! this side sends something to the client instead, it revokes that and waits for the answer:
//!
//! ```text
//! Off ---> Armed ---> Doubt ---> Off: it was revoked
//!            \           \-----> Off: a head, `relayed` or `done` was on its way
//!             \-> Off: as above
//! ```
//!
//! Invariant: while it is not Off, nothing is sent into the client's queue, except after `closed` of the
//! back-end, which comes after everything that it sent.

use std::time::Instant;

use underpass_proto::gen::RELAY_MAX;
use underpass_proto::{Relay, Relayed};

use super::{Action, Download, Exchange, Verdict};
use crate::http::{problem, Version};

/// Whether the engine may pass the response on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// It shows every head.
    Off,
    /// It may.
    Armed,
    /// It was told not to any more, and may have done it before.
    Doubt,
}

/// The first status code that a response passed on cannot have.
const NEVER_PASSED: u16 = 400;

impl Exchange {
    /// What the engine may do with the response to a request that is sent as a whole.
    pub(super) fn allowed(&self) -> Option<Relay> {
        let terms = &self.plan.terms;
        let others_decide = self.close
            || self.wants_tunnel
            || self.request.version != Version::Http11
            || self.request.expects_continue
            || !terms.rewrite.trailers.is_empty()
            || terms.decline.iter().any(|&status| status < NEVER_PASSED);
        if others_decide {
            return None;
        }
        let lines = terms.rewrite.behind_response()?;
        (lines.len() <= RELAY_MAX as usize).then(|| Relay {
            lines,
            of_head: self.request.method() == "HEAD",
            idle_ms: Some(self.limits.stall.as_millis() as u32),
            idle_bytes: Some(self.limits.response_stall_bytes).filter(|&least| least > 0),
        })
    }

    /// A response is being passed on.
    pub fn relayed(&mut self, relayed: &Relayed, now: Instant) {
        self.passed(relayed.status, now);
    }

    /// A response was passed on, or its head was.
    pub(super) fn passed(&mut self, status: u16, now: Instant) {
        if self.over || self.download != Download::Awaiting {
            return;
        }
        self.passing = Passing::Off;
        self.deadline = None;
        if let Some(back) = self.back.as_mut() {
            back.spoke = true;
        }
        self.record.status = status;
        self.record.head_after = Some(now.duration_since(self.began));
        self.record.verdict(Verdict::Accepted);
        self.download = Download::Moving;
    }

    /// No response in time.
    pub(super) fn response_timeout(&mut self, now: Instant) {
        match (self.passing, self.back()) {
            (Passing::Armed, Some(queue)) => {
                self.passing = Passing::Doubt;
                // What is to come is on its way; this is for an engine that errs.
                self.deadline = Some(now + self.limits.response);
                self.actions.push(Action::TakeBack { queue });
            }
            // The client may have got something: all that is left to say is nothing.
            (Passing::Doubt, _) => self.break_off(problem::RESPONSE_TIMEOUT.name, now),
            _ => self.answer(problem::RESPONSE_TIMEOUT, now),
        }
    }

    /// The engine will not pass the response on: it shows it.
    pub(super) fn taken_back(&mut self, now: Instant) {
        if self.passing == Passing::Doubt {
            self.passing = Passing::Off;
            self.answer(problem::RESPONSE_TIMEOUT, now);
        }
    }
}
