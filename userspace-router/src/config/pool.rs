// SPDX-License-Identifier: GPL-2.0
//! `[pool.NAME]`: back-ends that can stand in for each other, and how they are chosen and
//! connected to.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::health::{check, eject, Check, CheckTable, Eject, EjectTable};
use super::names::{self, Resolve};
use super::place::Fault;
use super::route::{not_believed, not_of_the_connection, Route};
use super::value::{choose, choose_or, number, one_for_each, DAY};
use super::EngineKind;
use crate::address::Address;
use crate::http::is_token;
use crate::proxy_protocol::Version;

/// Back-ends of a pool at the most: each is looked at for each request.
const MEMBERS_MAX: usize = 1_000;

/// Back-ends that can stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// As routes name it.
    pub name: Arc<str>,
    /// At least one; no address twice.
    pub members: Vec<Member>,
    /// Who is asked first.
    pub balance: Balance,
    /// How they are connected to.
    pub link: Arc<Link>,
    /// When one that fails is left out; `None`: never.
    pub eject: Option<Eject>,
    /// How they are asked for their health; `None`: not at all.
    pub check: Option<Check>,
}

/// One back-end of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is.
    pub address: Address,
    /// Its share, compared with the others': 1 to 1000.
    pub weight: u32,
}

/// Who of a pool is asked first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each in its turn.
    RoundRobin,
    /// Who has the fewest requests.
    LeastOutstanding,
    /// Always the same for one key.
    Hash(HashBy),
}

/// What of a request is the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The client's IP address.
    Client,
    /// The first field of this name; the client's address where there is none.
    Header(String),
    /// The cookie of this name; the client's address where there is none.
    Cookie(String),
}

/// How connections to a back-end are made and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Connections to one back-end at the most, idle ones included.
    pub connections: usize,
    /// Requests that wait for one of them at the most; further ones go to the next back-end.
    pub waiting: usize,
    /// How long one waits before it goes to the next back-end.
    pub waiting_time: Duration,
    /// Requests over one connection at the most; `None`: any number.
    pub requests: Option<u64>,
    /// Back-ends send no body behind a response to HEAD, so that their connections can be used again.
    pub reuse_after_head: bool,
    /// Each connection begins with a header that tells whose it is, and serves that client
    /// only.
    pub proxy_protocol: Option<Version>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            connections: 10_000,
            waiting: 0,
            waiting_time: Duration::from_secs(1),
            requests: None,
            reuse_after_head: false,
            proxy_protocol: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PoolTable {
    backends: Spanned<Vec<Spanned<String>>>,
    weights: Option<Spanned<Vec<Spanned<i64>>>>,
    balance: Option<Spanned<String>>,
    hash_by: Option<Spanned<String>>,
    connections: Option<Spanned<i64>>,
    waiting: Option<Spanned<i64>>,
    waiting_ms: Option<Spanned<i64>>,
    requests_per_connection: Option<Spanned<i64>>,
    #[serde(default)]
    reuse_after_head: bool,
    proxy_protocol: Option<Spanned<String>>,
    #[serde(default)]
    eject: EjectTable,
    check: Option<CheckTable>,
}

/// Checks one table.
pub(super) fn pool(
    name: &str,
    table: &PoolTable,
    engine: EngineKind,
    threads: u32,
    resolve: Resolve,
) -> Result<Pool, Fault> {
    Ok(Pool {
        name: name.into(),
        members: members(table, engine, resolve)?,
        balance: balance(table)?,
        link: Arc::new(link(table, threads)?),
        eject: eject(&table.eject)?,
        check: table.check.as_ref().map(check).transpose()?,
    })
}

fn members(table: &PoolTable, engine: EngineKind, resolve: Resolve) -> Result<Vec<Member>, Fault> {
    let list = &table.backends;
    let bounded = |count| match (1..=MEMBERS_MAX).contains(&count) {
        true => Ok(count),
        false => {
            let text = format!("{count} back-ends: a pool has between 1 and {MEMBERS_MAX}");
            Err(Fault::at(list.span(), text))
        }
    };
    let count = bounded(list.get_ref().len())?;
    let weights = weights(table, count)?;
    let mut members: Vec<Member> = Vec::with_capacity(count);
    let mut written: Vec<Address> = Vec::new();
    for (value, weight) in list.get_ref().iter().zip(weights) {
        let is_name = names::is_name(value.get_ref());
        for address in backend(value, engine, resolve)? {
            // That a name has an address of others is no mistake of who wrote it down.
            if !is_name && written.contains(&address) {
                let text = format!("`{address}` stands here twice: use `weights`");
                return Err(Fault::at(value.span(), text));
            }
            if !is_name {
                written.push(address.clone());
            }
            if !members.iter().any(|member| member.address == address) {
                members.push(Member { address, weight });
            }
        }
    }
    bounded(members.len())?;
    Ok(members)
}

/// One for each of `count` entries.
fn weights(table: &PoolTable, count: usize) -> Result<Vec<u32>, Fault> {
    let Some(weights) = &table.weights else {
        return Ok(vec![1; count]);
    };
    if weights.get_ref().len() != count {
        let text = format!(
            "{} weights for {count} back-ends: give one for each, in their order",
            weights.get_ref().len()
        );
        return Err(Fault::at(weights.span(), text));
    }
    let weight = |weight| Ok(number(Some(weight), 1, 1..=1_000)? as u32);
    weights.get_ref().iter().map(weight).collect()
}

/// The addresses of one entry.
fn backend(
    value: &Spanned<String>,
    engine: EngineKind,
    resolve: Resolve,
) -> Result<Vec<Address>, Fault> {
    let text = value.get_ref();
    let fault = |text| Fault::at(value.span(), text);
    let found = match names::is_name(text) {
        true => names::addresses(text, resolve).map_err(|error| {
            fault(format!(
                "`{text}`: {error}: `getent ahosts` tells what this machine knows of the name"
            ))
        })?,
        false => match text.parse() {
            Ok(Address::Tcp(address)) => vec![address],
            Ok(Address::Unix(_)) if engine == EngineKind::Kernel => {
                return Err(fault(format!(
                    "`{text}`: the engine \"kernel\" carries TCP only: give the back-end a TCP \
                     address such as 127.0.0.1:8080, or set engine = \"user\""
                )));
            }
            Ok(unix) => return Ok(vec![unix]),
            Err(_) => {
                return Err(fault(format!(
                    "`{text}` must be an IP address or a name with a port, such as \
                     127.0.0.1:8080, [::1]:8080 or backend.example:8080, or a Unix socket, such \
                     as unix:/run/app.sock"
                )));
            }
        },
    };
    if found.iter().any(|address| address.port() == 0) {
        let text = format!("`{text}`: nobody listens at port 0: name the back-end's");
        return Err(fault(text));
    }
    Ok(found.into_iter().map(Address::Tcp).collect())
}

fn balance(table: &PoolTable) -> Result<Balance, Fault> {
    let choices = [
        ("round-robin", Balance::RoundRobin),
        ("least-outstanding", Balance::LeastOutstanding),
        ("hash", Balance::Hash(HashBy::Client)),
    ];
    let balance = choose_or(&table.balance, Balance::RoundRobin, &choices)?;
    let Some(by) = &table.hash_by else {
        return Ok(balance);
    };
    if balance == Balance::RoundRobin || balance == Balance::LeastOutstanding {
        let text = "this needs balance = \"hash\": set that, or remove this";
        return Err(Fault::at(by.span(), text));
    }
    let name = |name: &str| is_token(name.as_bytes()).then(|| name.to_owned());
    let by_what = match by.get_ref().split_once(':') {
        None if by.get_ref() == "client" => Some(HashBy::Client),
        Some(("header", field)) => name(field).map(HashBy::Header),
        Some(("cookie", cookie)) => name(cookie).map(HashBy::Cookie),
        _ => None,
    };
    if let Some(HashBy::Header(name)) = &by_what {
        not_of_the_connection(name, by)?;
    }
    by_what.map(Balance::Hash).ok_or_else(|| {
        let text = format!(
            "`{}` must be \"client\", \"header:NAME\" or \"cookie:NAME\"",
            by.get_ref()
        );
        Fault::at(by.span(), text)
    })
}

/// Refuses a key that no request has, since none of the routes to the pool believes it.
pub(super) fn key(table: &PoolTable, pool: &Pool, routes: &[&Route]) -> Result<(), Fault> {
    let (Balance::Hash(HashBy::Header(name)), Some(by)) = (&pool.balance, &table.hash_by) else {
        return Ok(());
    };
    let believes = |route: &&Route| route.terms.rewrite.forwarded.believes_anybody(name);
    if routes.is_empty() || routes.iter().any(believes) {
        return Ok(());
    }
    Err(not_believed(
        name,
        by,
        "no route to this pool trusts anybody",
    ))
}

fn link(table: &PoolTable, threads: u32) -> Result<Link, Fault> {
    let default = Link::default();
    let requests = &table.requests_per_connection;
    let versions = [("v1", Version::V1), ("v2", Version::V2)];
    // No cast loses anything: every range ends below 2^32.
    let link = Link {
        connections: number(
            table.connections.as_ref(),
            default.connections as u64,
            1..=1_000_000,
        )? as usize,
        waiting: number(table.waiting.as_ref(), 0, 0..=1_000_000)? as usize,
        waiting_time: Duration::from_millis(number(table.waiting_ms.as_ref(), 1_000, 1..=DAY)?),
        requests: match requests {
            None => None,
            Some(value) => Some(number(Some(value), 0, 1..=1_000_000_000)?),
        },
        reuse_after_head: table.reuse_after_head,
        proxy_protocol: match &table.proxy_protocol {
            None => None,
            Some(value) => Some(choose(value, &versions)?),
        },
    };
    one_for_each(table.connections.as_ref(), threads)?;
    Ok(link)
}
