// SPDX-License-Identifier: GPL-2.0
//! The file as TOML has it, and the checks that make a `Config` of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::limits::LimitsTable;
use super::listener::{Listener, ListenerTable};
use super::names::Resolve;
use super::place::Fault;
use super::pool::PoolTable;
use super::route::RouteTable;
use super::{limits, listener, pool, route, value};
use super::{Config, EngineKind};
use crate::address::meets;

/// A quarter of the routers that the module has in a network namespace, so that what others left
/// for their time of grace is seldom in the way.
const THREADS_MAX: i64 = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    engine: Spanned<String>,
    access_log: Option<bool>,
    metrics: Option<Spanned<String>>,
    threads: Option<Spanned<i64>>,
    #[serde(default)]
    listener: Vec<Spanned<ListenerTable>>,
    #[serde(default)]
    pool: BTreeMap<String, Spanned<PoolTable>>,
    #[serde(default)]
    route: Vec<Spanned<RouteTable>>,
    #[serde(default)]
    limits: LimitsTable,
}

/// Checks a whole text.
pub fn check(text: &str, resolve: Resolve) -> Result<Config, Fault> {
    let file: File = toml::from_str(text).map_err(|error| Fault {
        span: error.span(),
        text: error.message().to_owned(),
    })?;
    let engine = value::choose(
        &file.engine,
        &[("kernel", EngineKind::Kernel), ("user", EngineKind::User)],
    )?;
    // The cast cannot lose anything, see the range.
    let threads = value::number(file.threads.as_ref(), 1, 1..=THREADS_MAX)? as u32;
    let limits = limits::limits(&file.limits, threads)?;
    let listeners = file
        .listener
        .iter()
        .map(|listener| listener::listener(listener.get_ref(), &limits))
        .collect::<Result<Vec<_>, _>>()?;
    for (at, found) in listeners.iter().enumerate() {
        let shared = engine.shares_addresses(threads);
        let clash = |other: &Listener| listener::clash(found.address, other.address, shared);
        if let Some(text) = listeners.iter().take(at).find_map(clash) {
            let span = file.listener.get(at).map(Spanned::span);
            return Err(Fault { span, text });
        }
    }
    let metrics = file.metrics.as_ref();
    let metrics = metrics.map(|value| metrics_address(value, &listeners));
    let metrics = metrics.transpose()?;
    if listeners.is_empty() {
        return Err(nothing("no [[listener]]: add one with an address"));
    }
    let pools = file
        .pool
        .iter()
        .map(|(name, table)| {
            let pool = pool::pool(name, table.get_ref(), engine, threads, resolve)?;
            Ok(Arc::new(pool))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let routes = route::routes(&file.route, &pools, &limits)?;
    if routes.is_empty() {
        return Err(nothing("no [[route]]: add one with a pool"));
    }
    for (at, (pool, table)) in pools.iter().zip(file.pool.values()).enumerate() {
        let routes: Vec<_> = routes.iter().filter(|route| route.pool == at).collect();
        pool::key(table.get_ref(), pool, &routes)?;
    }
    Ok(Config {
        engine,
        access_log: file.access_log.unwrap_or(true),
        metrics,
        threads,
        listeners,
        pools,
        routes,
        limits,
    })
}

/// No client may come there.
fn metrics_address(value: &Spanned<String>, listeners: &[Listener]) -> Result<SocketAddr, Fault> {
    let address = listener::address(value)?;
    let clashes = |l: &&Listener| address.port() != 0 && meets(l.address, address);
    match listeners.iter().find(clashes) {
        Some(listener) => {
            let text = format!(
                "`{address}` is where the listener `{}` is: take another port",
                listener.address
            );
            Err(Fault::at(value.span(), text))
        }
        None => Ok(address),
    }
}

fn nothing(text: &str) -> Fault {
    Fault {
        span: None,
        text: text.to_owned(),
    }
}
