// SPDX-License-Identifier: GPL-2.0
//! Which back-ends are asked for a request: the decision, as a trait so that anybody can write their own.
//!
//! `examples/own_policy.rs` is a router with its own policy; `Table` is the policy of
//! the configuration file. It must not do I/O, and never sees body bytes.

mod balance;
mod matches;
mod table;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::address::Address;
use crate::config::{Limits, Link, Terms};
use crate::http::{Problem, Request};

pub use table::{MemberState, Table};

/// Whom to ask, in which order, and how.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Back-ends in the order they are asked: the chosen one, then those that may stand in
    /// for it. An empty list is answered by 502.
    pub backends: Vec<Address>,
    /// How they are asked.
    pub terms: Arc<Terms>,
    /// How they are connected to.
    pub link: Arc<Link>,
    /// Comes back in each `Attempt` of this plan; nobody else looks at it.
    pub tag: usize,
}

/// One back-end is asked for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The plan's.
    pub tag: usize,
    /// Who is asked.
    pub backend: Address,
    /// Since when.
    pub began: Instant,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a response of this status, relayed to its end.
    Answered(u16),
    /// It declined with this status. It is well; it has only not taken this request.
    Declined(u16),
    /// By a fault of the back-end, or of the way there.
    Failed(Failure),
    /// By somebody else's doing: the client left, or no connection was to be had within the
    /// limits, or one from the pool had died of old age. It says nothing about the back-end.
    Abandoned,
}

/// What was wrong with a back-end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be connected to.
    Unreachable,
    /// Connecting took longer than `connect-ms`.
    ConnectTimeout,
    /// It did not say within `ask-ms` whether it takes the request.
    Silent,
    /// Its connection broke before the response's end.
    Broke,
    /// The response's head did not come within `response-ms`.
    ResponseTimeout,
    /// It took, or sent, no byte of a body within `stall-ms`, or fewer than it had to.
    Stalled,
    /// Its response was no HTTP, or over the limits.
    BadResponse,
}

/// Decides where requests go.
///
/// `plan` is called once for each request. For each back-end that is asked then, `asked`
/// is called once and, later, `ended` once. Calls come from the threads of routers, of which there may be
/// several: they must return at once (no waiting for locks that others hold long, no I/O), since every request
/// waits for them. Panics end the process. State that changes stands behind a lock or in atomics.
pub trait Policy: Send + Sync {
    /// The plan for a request, or what the client is answered instead, such as
    /// `problem::NO_ROUTE`. `client` is the address that a PROXY protocol header named, or the socket's.
    ///
    /// # Errors
    /// The answer; it is sent as it is, with the name in the log. But CONNECT and TRACE without a plan that
    /// serves them are 501.
    fn plan(&self, request: &Request, client: SocketAddr, now: Instant) -> Result<Plan, Problem>;

    /// The terms of a route whose rules for responses have this mark (`Rewrite::mark`): of an exchange
    /// that a former router began, whose request nobody knows.
    /// A route without limits of its own has those of `all`.
    fn resumed(&self, _mark: u32, _all: &Limits) -> Option<Arc<Terms>> {
        None
    }

    /// A back-end is being asked.
    fn asked(&self, _attempt: &Attempt) {}

    /// The attempt is over: the response was relayed to its end, or there will be none.
    fn ended(&self, _attempt: &Attempt, _outcome: Outcome, _now: Instant) {}
}
