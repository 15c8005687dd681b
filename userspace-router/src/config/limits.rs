// SPDX-License-Identifier: GPL-2.0
//! `[limits]`: limits of size, number and time; and `[route.limits]`, which override some of them.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;
use super::value::{number, one_for_each, DAY};

/// Limits; see `underpass.toml` for what each is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head.
    pub head_bytes: u32,
    /// How long a client has for the head of its first request.
    pub head: Duration,
    /// Bytes of a target.
    pub target_bytes: usize,
    /// Idle connections kept per back-end.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How long a client's connection is kept between two requests.
    pub client_idle: Duration,
    /// How long a connect may take.
    pub connect: Duration,
    /// How long a back-end may take to accept or decline.
    pub ask: Duration,
    /// How long it may take until a back-end has accepted, over all that are asked.
    pub asking: Duration,
    /// Back-ends asked for one request.
    pub attempts: usize,
    /// How long a back-end may take to answer once it has the whole request.
    pub response: Duration,
    /// How long a body may stand still.
    pub stall: Duration,
    /// Bytes of a request's body that have to move in that time.
    pub stall_bytes: u32,
    /// Those of a response's.
    pub response_stall_bytes: u32,
    /// How long a tunnel may stand still.
    pub tunnel_idle: Duration,
    /// Bytes read and thrown away before a connection is closed.
    pub drain_bytes: u64,
    /// How long that may take.
    pub drain: Duration,
    /// How long exchanges may go on after SIGTERM.
    pub shutdown: Duration,
    /// How long connections outlive this process with the engine `kernel`, for another one to
    /// take them over.
    pub grace: Duration,
    /// Connections of both sides at once with the engine `kernel`.
    pub queues: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32_768,
            head: Duration::from_millis(60_000),
            target_bytes: 8_192,
            idle_connections: 32,
            idle: Duration::from_millis(30_000),
            client_idle: Duration::from_millis(60_000),
            connect: Duration::from_millis(1_000),
            ask: Duration::from_millis(1_000),
            asking: Duration::from_millis(10_000),
            attempts: 8,
            response: Duration::from_millis(60_000),
            stall: Duration::from_millis(60_000),
            stall_bytes: 1_024,
            response_stall_bytes: 0,
            tunnel_idle: Duration::from_millis(3_600_000),
            drain_bytes: 1 << 20,
            drain: Duration::from_millis(5_000),
            shutdown: Duration::from_millis(30_000),
            grace: Duration::from_millis(30_000),
            queues: 131_072,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LimitsTable {
    head_bytes: Option<Spanned<i64>>,
    head_ms: Option<Spanned<i64>>,
    target_bytes: Option<Spanned<i64>>,
    idle_connections: Option<Spanned<i64>>,
    idle_ms: Option<Spanned<i64>>,
    client_idle_ms: Option<Spanned<i64>>,
    connect_ms: Option<Spanned<i64>>,
    ask_ms: Option<Spanned<i64>>,
    asking_ms: Option<Spanned<i64>>,
    attempts: Option<Spanned<i64>>,
    response_ms: Option<Spanned<i64>>,
    stall_ms: Option<Spanned<i64>>,
    stall_bytes: Option<Spanned<i64>>,
    response_stall_bytes: Option<Spanned<i64>>,
    tunnel_idle_ms: Option<Spanned<i64>>,
    drain_bytes: Option<Spanned<i64>>,
    drain_ms: Option<Spanned<i64>>,
    shutdown_ms: Option<Spanned<i64>>,
    grace_ms: Option<Spanned<i64>>,
    queues: Option<Spanned<i64>>,
}

/// Bytes of a body in the time that it may stand still; 0: it may be as slow as it likes.
fn stall_bytes(value: Option<&Spanned<i64>>, default: u32) -> Result<u32, Fault> {
    // The cast cannot lose anything, see the range.
    number(value, default.into(), 0..=1 << 30).map(|bytes| bytes as u32)
}

/// Checks `[limits]`.
pub(super) fn limits(table: &LimitsTable, threads: u32) -> Result<Limits, Fault> {
    let limits = over(table, &Limits::default())?;
    one_for_each(table.queues.as_ref(), threads)?;
    Ok(limits)
}

/// Checks `[route.limits]`: what it does not say is as `all` say.
pub(super) fn limits_of_route(table: &LimitsTable, all: &Limits) -> Result<Limits, Fault> {
    // These are about connections that no route was chosen for.
    let mut foreign = [
        &table.head_bytes,
        &table.head_ms,
        &table.target_bytes,
        &table.idle_connections,
        &table.idle_ms,
        &table.client_idle_ms,
        &table.connect_ms,
        &table.shutdown_ms,
        &table.grace_ms,
        &table.queues,
    ]
    .into_iter()
    .flatten();
    if let Some(value) = foreign.next() {
        let text = "a route cannot override this limit: set it in [limits]";
        return Err(Fault::at(value.span(), text));
    }
    over(table, all)
}

/// What `table` says, and else `default`.
fn over(table: &LimitsTable, default: &Limits) -> Result<Limits, Fault> {
    let ms = |value: &Option<_>, default: Duration, range| {
        number(value.as_ref(), default.as_millis() as u64, range).map(Duration::from_millis)
    };
    // The cast cannot lose anything: every range ends far below 2^32.
    let count = |value: &Option<_>, default: usize, range| {
        number(value.as_ref(), default as u64, range).map(|n| n as usize)
    };
    Ok(Limits {
        // A head and what is added to it must fit one command (`data-max`, 65000 bytes).
        head_bytes: number(
            table.head_bytes.as_ref(),
            default.head_bytes.into(),
            256..=60_000,
        )? as u32,
        head: ms(&table.head_ms, default.head, 1..=DAY)?,
        target_bytes: count(&table.target_bytes, default.target_bytes, 64..=65_000)?,
        idle_connections: count(
            &table.idle_connections,
            default.idle_connections,
            0..=65_536,
        )?,
        idle: ms(&table.idle_ms, default.idle, 0..=DAY)?,
        client_idle: ms(&table.client_idle_ms, default.client_idle, 1..=DAY)?,
        connect: ms(&table.connect_ms, default.connect, 1..=DAY)?,
        ask: ms(&table.ask_ms, default.ask, 1..=DAY)?,
        asking: ms(&table.asking_ms, default.asking, 1..=DAY)?,
        attempts: count(&table.attempts, default.attempts, 1..=1_000)?,
        response: ms(&table.response_ms, default.response, 1..=DAY)?,
        stall: ms(&table.stall_ms, default.stall, 1..=DAY)?,
        stall_bytes: stall_bytes(table.stall_bytes.as_ref(), default.stall_bytes)?,
        response_stall_bytes: stall_bytes(
            table.response_stall_bytes.as_ref(),
            default.response_stall_bytes,
        )?,
        tunnel_idle: ms(&table.tunnel_idle_ms, default.tunnel_idle, 1..=DAY)?,
        drain_bytes: number(
            table.drain_bytes.as_ref(),
            default.drain_bytes,
            0..=i64::MAX,
        )?,
        drain: ms(&table.drain_ms, default.drain, 0..=3_600_000)?,
        shutdown: ms(&table.shutdown_ms, default.shutdown, 0..=DAY)?,
        grace: ms(&table.grace_ms, default.grace, 0..=DAY)?,
        queues: number(table.queues.as_ref(), default.queues.into(), 1..=1 << 20)? as u32,
    })
}
