// SPDX-License-Identifier: GPL-2.0
//! `[[route]]`: which requests go to which pool.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::heads::HeadsTable;
use super::place::Fault;
use super::pool::Pools;
use super::terms::{terms, Terms};
use crate::address::Address;

/// Where requests of a host and path go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Host in lower case without port; `None` for all.
    pub host: Option<String>,
    /// Beginning of the path, whole segments.
    pub path: String,
    /// Back-ends in order.
    pub backends: Arc<[Address]>,
    /// How they are asked.
    pub terms: Arc<Terms>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RouteTable {
    host: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    pool: Spanned<String>,
    pub(super) mode: Option<Spanned<String>>,
    pub(super) decline: Option<Vec<Spanned<u16>>>,
    pub(super) on_silence: Option<Spanned<String>>,
    pub(super) all_declined: Option<Spanned<String>>,
    pub(super) ask_over_bytes: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) retry_non_idempotent: bool,
    pub(super) upgrade: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) trailers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) connect: bool,
    #[serde(default)]
    pub(super) trace: bool,
    #[serde(default)]
    pub(super) heads: HeadsTable,
}

/// Checks one table.
pub(super) fn route(table: &RouteTable, pools: &Pools) -> Result<Route, Fault> {
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
        terms: Arc::new(terms(table)?),
    })
}

fn host(value: &Spanned<String>) -> Result<String, Fault> {
    let host = value.get_ref();
    if host.is_empty() || crate::http::without_port(host) != host || host.contains(['/', ' ']) {
        let text = format!("`{host}` must be a host name without port");
        return Err(Fault::at(value.span(), text));
    }
    Ok(host.to_ascii_lowercase())
}
