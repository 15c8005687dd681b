// SPDX-License-Identifier: GPL-2.0
//! `[limits]`: how much and how long, of everything.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;
use super::value::{number, DAY};

/// Limits; see `underpass.toml` for what each is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head.
    pub head_bytes: u32,
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
    /// How long a tunnel may stand still.
    pub tunnel_idle: Duration,
    /// Bytes read and thrown away before a connection is closed.
    pub drain_bytes: u64,
    /// How long that may take.
    pub drain: Duration,
    /// How long exchanges may go on after SIGTERM.
    pub shutdown: Duration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LimitsTable {
    head_bytes: Option<Spanned<i64>>,
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
    tunnel_idle_ms: Option<Spanned<i64>>,
    drain_bytes: Option<Spanned<i64>>,
    drain_ms: Option<Spanned<i64>>,
    shutdown_ms: Option<Spanned<i64>>,
}

/// Checks `[limits]`.
pub(super) fn limits(table: &LimitsTable) -> Result<Limits, Fault> {
    let ms = |value, default, range| {
        number(Option::as_ref(value), default, range).map(Duration::from_millis)
    };
    // The cast cannot lose anything: every range ends far below 2^32.
    let count =
        |value, default, range| number(Option::as_ref(value), default, range).map(|n| n as usize);
    Ok(Limits {
        // A head and what is added to it must fit one command (`data-max`, 65000 bytes).
        head_bytes: number(table.head_bytes.as_ref(), 32_768, 256..=60_000)? as u32,
        target_bytes: count(&table.target_bytes, 8_192, 64..=65_000)?,
        idle_connections: count(&table.idle_connections, 32, 0..=65_536)?,
        idle: ms(&table.idle_ms, 30_000, 0..=DAY)?,
        client_idle: ms(&table.client_idle_ms, 60_000, 1..=DAY)?,
        connect: ms(&table.connect_ms, 1_000, 1..=DAY)?,
        ask: ms(&table.ask_ms, 1_000, 1..=DAY)?,
        asking: ms(&table.asking_ms, 10_000, 1..=DAY)?,
        attempts: count(&table.attempts, 8, 1..=1_000)?,
        response: ms(&table.response_ms, 60_000, 1..=DAY)?,
        stall: ms(&table.stall_ms, 60_000, 1..=DAY)?,
        tunnel_idle: ms(&table.tunnel_idle_ms, 3_600_000, 1..=DAY)?,
        drain_bytes: number(table.drain_bytes.as_ref(), 1 << 20, 0..=i64::MAX)?,
        drain: ms(&table.drain_ms, 5_000, 0..=3_600_000)?,
        shutdown: ms(&table.shutdown_ms, 30_000, 0..=DAY)?,
    })
}
