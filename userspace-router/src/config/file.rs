// SPDX-License-Identifier: GPL-2.0
//! The file as TOML has it, and the checks that make a `Config` of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;
use super::{AllDeclined, Config, EngineKind, Limits, Mode, OnSilence, Pools, Route, Terms};
use crate::address::Address;

/// Status codes that may decline: those that say "not me" or "not now".
const DECLINES: [u16; 5] = [404, 417, 421, 429, 503];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    engine: Spanned<String>,
    #[serde(default)]
    listener: Vec<Spanned<Listener>>,
    #[serde(default)]
    pool: BTreeMap<String, Spanned<Pool>>,
    #[serde(default)]
    route: Vec<Spanned<RouteTable>>,
    #[serde(default)]
    limits: LimitsTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Listener {
    address: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Pool {
    backends: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RouteTable {
    host: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    pool: Spanned<String>,
    mode: Option<Spanned<String>>,
    decline: Option<Vec<Spanned<u16>>>,
    on_silence: Option<Spanned<String>>,
    all_declined: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    head_bytes: Option<Spanned<i64>>,
    target_bytes: Option<Spanned<i64>>,
    idle_connections: Option<Spanned<i64>>,
    idle_ms: Option<Spanned<i64>>,
    connect_ms: Option<Spanned<i64>>,
    ask_ms: Option<Spanned<i64>>,
    attempts: Option<Spanned<i64>>,
    response_ms: Option<Spanned<i64>>,
    drain_bytes: Option<Spanned<i64>>,
    drain_ms: Option<Spanned<i64>>,
    shutdown_ms: Option<Spanned<i64>>,
}

/// Checks a whole text.
pub fn check(text: &str) -> Result<Config, Fault> {
    let file: File = toml::from_str(text).map_err(|error| Fault {
        span: error.span(),
        text: error.message().to_owned(),
    })?;
    let engine = choose(
        &file.engine,
        &[("kernel", EngineKind::Kernel), ("user", EngineKind::User)],
    )?;
    let listeners = file
        .listener
        .iter()
        .map(|listener| address(&listener.get_ref().address))
        .collect::<Result<Vec<_>, _>>()?;
    if listeners.is_empty() {
        return Err(nothing("no [[listener]]: add one with an address"));
    }
    let mut pools = Pools::new();
    for (name, pool) in &file.pool {
        pools.insert(name.clone(), backends(pool.get_ref())?);
    }
    let mut routes = file
        .route
        .iter()
        .map(|table| route(table.get_ref(), &pools))
        .collect::<Result<Vec<_>, _>>()?;
    if routes.is_empty() {
        return Err(nothing("no [[route]]: add one with a pool"));
    }
    // The most specific first; the sort is stable, so that equals keep the file's order.
    routes.sort_by_key(|route| std::cmp::Reverse((route.host.is_some(), route.path.len())));
    Ok(Config {
        engine,
        listeners,
        routes,
        limits: limits(&file.limits)?,
    })
}

fn nothing(text: &str) -> Fault {
    Fault {
        span: None,
        text: text.to_owned(),
    }
}

fn backends(pool: &Pool) -> Result<Arc<[Address]>, Fault> {
    let list = &pool.backends;
    if list.get_ref().is_empty() {
        return Err(Fault::at(list.span(), "a pool needs at least one back-end"));
    }
    list.get_ref().iter().map(backend).collect()
}

fn route(table: &RouteTable, pools: &Pools) -> Result<Route, Fault> {
    let name = &table.pool;
    let backends = pools.get(name.get_ref()).ok_or_else(|| {
        let known: Vec<_> = pools.keys().map(String::as_str).collect();
        let text = format!(
            "no pool is named `{}`: add [pool.{0}], or take one of: {}",
            name.get_ref(),
            known.join(", ")
        );
        Fault::at(name.span(), text)
    })?;
    let default = Terms::default();
    let decline = match &table.decline {
        None => default.decline,
        Some(codes) => codes.iter().map(decline).collect::<Result<_, _>>()?,
    };
    Ok(Route {
        host: table.host.as_ref().map(host).transpose()?,
        path: match &table.path {
            None => "/".to_owned(),
            Some(path) if path.get_ref().starts_with('/') => path.get_ref().clone(),
            Some(path) => {
                let text = format!("`{}` must begin with /", path.get_ref());
                return Err(Fault::at(path.span(), text));
            }
        },
        backends: backends.clone(),
        terms: Arc::new(Terms {
            decline,
            mode: choose_or(
                &table.mode,
                default.mode,
                &[("ask", Mode::Ask), ("optimistic", Mode::Optimistic)],
            )?,
            on_silence: choose_or(
                &table.on_silence,
                default.on_silence,
                &[
                    ("decline", OnSilence::Decline),
                    ("forward", OnSilence::Forward),
                ],
            )?,
            all_declined: choose_or(
                &table.all_declined,
                default.all_declined,
                &[
                    ("relay", AllDeclined::Relay),
                    ("503", AllDeclined::Unavailable),
                ],
            )?,
        }),
    })
}

fn decline(code: &Spanned<u16>) -> Result<u16, Fault> {
    if DECLINES.contains(code.get_ref()) {
        return Ok(*code.get_ref());
    }
    let text = format!(
        "{} cannot decline; use some of {DECLINES:?}",
        code.get_ref()
    );
    Err(Fault::at(code.span(), text))
}

fn host(value: &Spanned<String>) -> Result<String, Fault> {
    let host = value.get_ref();
    if host.is_empty() || crate::http::without_port(host) != host || host.contains(['/', ' ']) {
        let text = format!("`{host}` must be a host name without port");
        return Err(Fault::at(value.span(), text));
    }
    Ok(host.to_ascii_lowercase())
}

fn backend(value: &Spanned<String>) -> Result<Address, Fault> {
    value.get_ref().parse().map_err(|_| {
        let text = format!(
            "`{}` must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080, \
             or a Unix socket, such as unix:/run/app.sock",
            value.get_ref()
        );
        Fault::at(value.span(), text)
    })
}

fn address(value: &Spanned<String>) -> Result<SocketAddr, Fault> {
    value.get_ref().parse().map_err(|_| {
        let text = format!(
            "`{}` must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080",
            value.get_ref()
        );
        Fault::at(value.span(), text)
    })
}

fn choose_or<T: Copy>(
    value: &Option<Spanned<String>>,
    default: T,
    choices: &[(&str, T)],
) -> Result<T, Fault> {
    value
        .as_ref()
        .map_or(Ok(default), |value| choose(value, choices))
}

fn choose<T: Copy>(value: &Spanned<String>, choices: &[(&str, T)]) -> Result<T, Fault> {
    let found = choices.iter().find(|(name, _)| name == value.get_ref());
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let text = format!("`{}` must be one of {}", value.get_ref(), names.join(", "));
        Fault::at(value.span(), text)
    })
}

fn limits(table: &LimitsTable) -> Result<Limits, Fault> {
    const DAY: i64 = 86_400_000;
    let ms = |value, default, range| number(value, default, range).map(Duration::from_millis);
    // The cast cannot lose anything: every range ends far below 2^32.
    let count = |value, default, range| number(value, default, range).map(|n| n as usize);
    Ok(Limits {
        head_bytes: number(&table.head_bytes, 32_768, 256..=65_000)? as u32,
        target_bytes: count(&table.target_bytes, 8_192, 64..=65_000)?,
        idle_connections: count(&table.idle_connections, 32, 0..=65_536)?,
        idle: ms(&table.idle_ms, 30_000, 0..=DAY)?,
        connect: ms(&table.connect_ms, 1_000, 1..=DAY)?,
        ask: ms(&table.ask_ms, 1_000, 1..=DAY)?,
        attempts: count(&table.attempts, 8, 1..=1_000)?,
        response: ms(&table.response_ms, 60_000, 1..=DAY)?,
        drain_bytes: number(&table.drain_bytes, 1 << 20, 0..=i64::MAX)?,
        drain: ms(&table.drain_ms, 5_000, 0..=3_600_000)?,
        shutdown: ms(&table.shutdown_ms, 30_000, 0..=DAY)?,
    })
}

fn number(
    value: &Option<Spanned<i64>>,
    default: u64,
    range: RangeInclusive<i64>,
) -> Result<u64, Fault> {
    let Some(value) = value else {
        return Ok(default);
    };
    let number = *value.get_ref();
    if range.contains(&number) {
        return Ok(number.unsigned_abs());
    }
    let text = format!(
        "{number} must be between {} and {}",
        range.start(),
        range.end()
    );
    Err(Fault::at(value.span(), text))
}
