// SPDX-License-Identifier: GPL-2.0
//! `[[route]]`: which requests go to which pool.

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::heads::HeadsTable;
use super::limits::{Limits, LimitsTable};
use super::place::Fault;
use super::pool::Pool;
use super::terms::{terms, Terms};
use crate::http::{check_host, is_method_in_disguise, is_token, without_port, Forwarded};

/// Where requests of a kind go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which requests.
    pub matches: Matches,
    /// Index of the pool in `Config::pools`.
    pub pool: usize,
    /// How its back-ends are asked.
    pub terms: Arc<Terms>,
}

/// What a request must have, all of it. Those that fit the same requests are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches {
    /// Whom it is for.
    pub host: Host,
    /// What it is for.
    pub path: Path,
    /// One of these methods, sorted; if empty, any.
    pub methods: Vec<String>,
    /// All of these fields, sorted.
    pub headers: Vec<Header>,
}

/// Hosts, in lower case and without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// All.
    Any,
    /// Everything below this name, which begins with a dot: `.example.com`.
    Below(String),
    /// This one.
    Exact(String),
}

/// Paths, as they stand in the request: nothing is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// This one and everything below it, by whole segments.
    Prefix(String),
    /// This one.
    Exact(String),
}

/// A field that must be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Header {
    /// Its name, in lower case; case does not matter.
    pub name: String,
    /// Its whole value, if that matters; case does.
    pub value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RouteTable {
    host: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    path_exact: Option<Spanned<String>>,
    methods: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    headers: Vec<Spanned<String>>,
    pool: Spanned<String>,
    pub(super) mode: Option<Spanned<String>>,
    pub(super) decline: Option<Vec<Spanned<u16>>>,
    pub(super) on_silence: Option<Spanned<String>>,
    pub(super) all_declined: Option<Spanned<String>>,
    pub(super) ask_over_bytes: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) retry_non_idempotent: bool,
    pub(super) limits: Option<LimitsTable>,
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

/// Checks all tables, and puts the most specific first.
pub(super) fn routes(
    tables: &[Spanned<RouteTable>],
    pools: &[Arc<Pool>],
    limits: &Limits,
) -> Result<Vec<Route>, Fault> {
    let mut routes: Vec<Route> = Vec::with_capacity(tables.len());
    for table in tables {
        let route = route(table.get_ref(), pools, limits)?;
        if routes.iter().any(|other| other.matches == route.matches) {
            let text = "this route matches exactly the requests of an earlier one: \
                        remove one of them";
            return Err(Fault::at(first_line(table.span()), text));
        }
        routes.push(route);
    }
    // The sort is stable, so that equals keep the file's order.
    routes.sort_by_key(|route| std::cmp::Reverse(route.matches.rank()));
    Ok(routes)
}

fn first_line(span: Range<usize>) -> Range<usize> {
    span.start..span.start
}

impl Matches {
    /// How specific it is: host, then path, then methods, then fields (`docs/routing.md`).
    fn rank(&self) -> (usize, usize, usize, usize, bool, usize) {
        let host = match &self.host {
            Host::Any => (0, 0),
            Host::Below(name) => (1, name.len()),
            Host::Exact(_) => (2, 0),
        };
        let path = match &self.path {
            Path::Prefix(path) => (0, path.len()),
            Path::Exact(_) => (1, 0),
        };
        let methods = !self.methods.is_empty();
        (host.0, host.1, path.0, path.1, methods, self.headers.len())
    }
}

fn route(table: &RouteTable, pools: &[Arc<Pool>], limits: &Limits) -> Result<Route, Fault> {
    let name = &table.pool;
    let found = pools.iter().position(|pool| *pool.name == **name.get_ref());
    let pool = found.ok_or_else(|| {
        let known: Vec<_> = pools.iter().map(|pool| &*pool.name).collect();
        let mut text = format!("no pool is named `{}`: add [pool.{0}]", name.get_ref());
        if !known.is_empty() {
            text = format!("{text}, or take one of: {}", known.join(", "));
        }
        Fault::at(name.span(), text)
    })?;
    let path = paths(table)?;
    let terms = terms(table, &path, limits)?;
    let forwarded = &terms.rewrite.forwarded;
    Ok(Route {
        matches: Matches {
            host: table.host.as_ref().map_or(Ok(Host::Any), host)?,
            path,
            methods: methods(table)?,
            headers: headers(table, forwarded)?,
        },
        pool,
        terms: Arc::new(terms),
    })
}

fn host(value: &Spanned<String>) -> Result<Host, Fault> {
    let text = value.get_ref().to_ascii_lowercase();
    let name = text.strip_prefix('*').unwrap_or(&text);
    let below = name.len() < text.len();
    let bare = name.strip_prefix('.').filter(|_| below).unwrap_or(name);
    // In a Host field the star could be a label's name.
    let fine = check_host(&text).is_ok()
        && without_port(bare) == bare
        && !bare.contains('*')
        && !bare.split('.').any(str::is_empty)
        && (!below || name.starts_with('.'));
    if !fine {
        let text = format!(
            "`{}` must be a host name without port, such as example.com or *.example.com",
            value.get_ref().escape_debug()
        );
        return Err(Fault::at(value.span(), text));
    }
    Ok(match below {
        true => Host::Below(name.to_owned()),
        false => Host::Exact(text),
    })
}

fn paths(table: &RouteTable) -> Result<Path, Fault> {
    match (&table.path, &table.path_exact) {
        (None, None) => Ok(Path::Prefix("/".to_owned())),
        (Some(prefix), None) => Ok(Path::Prefix(path(prefix)?)),
        (None, Some(exact)) => Ok(Path::Exact(path(exact)?)),
        (Some(_), Some(exact)) => {
            let text = "a route has `path` or `path-exact`, not both";
            Err(Fault::at(exact.span(), text))
        }
    }
}

/// A path as it stands in requests.
pub(super) fn path(value: &Spanned<String>) -> Result<String, Fault> {
    let path = value.get_ref();
    if !path.starts_with('/') {
        let text = format!("`{path}` must begin with /");
        return Err(Fault::at(value.span(), text));
    }
    if !path
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
    {
        let text = format!(
            "`{path}` must be as in a request: percent-encoded, without query and fragment"
        );
        return Err(Fault::at(value.span(), text));
    }
    if crate::http::has_dot_segments(path) {
        let text = format!("`{path}` has dot segments: requests with these are refused");
        return Err(Fault::at(value.span(), text));
    }
    Ok(path.clone())
}

fn methods(table: &RouteTable) -> Result<Vec<String>, Fault> {
    let Some(list) = &table.methods else {
        return Ok(Vec::new());
    };
    if list.get_ref().is_empty() {
        let text = "the list is empty: name methods, or remove the key to allow all";
        return Err(Fault::at(list.span(), text));
    }
    let method = |value: &Spanned<String>| {
        let name = value.get_ref();
        match is_token(name.as_bytes()) && !is_method_in_disguise(name) {
            true => Ok(name.clone()),
            false => {
                let text = format!("`{name}` is not a method such as GET");
                Err(Fault::at(value.span(), text))
            }
        }
    };
    let mut methods: Vec<_> = list
        .get_ref()
        .iter()
        .map(method)
        .collect::<Result<_, _>>()?;
    methods.sort_unstable();
    methods.dedup();
    Ok(methods)
}

fn headers(table: &RouteTable, forwarded: &Forwarded) -> Result<Vec<Header>, Fault> {
    let header = |value| header(value, forwarded);
    let mut headers: Vec<_> = table.headers.iter().map(header).collect::<Result<_, _>>()?;
    // Whoever has a field with a value has the field, which stands behind it here.
    headers.sort_unstable_by(|a, b| b.cmp(a));
    headers.dedup_by(|a, b| a.name == b.name && (a.value.is_none() || a.value == b.value));
    Ok(headers)
}

fn header(value: &Spanned<String>, forwarded: &Forwarded) -> Result<Header, Fault> {
    let text = value.get_ref();
    let (name, wanted) = match text.split_once(':') {
        None => (text.as_str(), None),
        Some((name, value)) => (name, Some(value.trim().to_owned())),
    };
    if !is_token(name.as_bytes()) {
        let text = format!("`{text}` must be a field's \"Name\" or \"Name: value\"");
        return Err(Fault::at(value.span(), text));
    }
    not_of_the_connection(name, value)?;
    if !forwarded.believes_anybody(name) {
        return Err(not_believed(name, value, "nobody is trusted"));
    }
    Ok(Header {
        name: name.to_ascii_lowercase(),
        value: wanted,
    })
}

/// A field by which a client says who it is, where nobody's word counts.
pub(super) fn not_believed(name: &str, value: &Spanned<String>, who: &str) -> Fault {
    let text = format!(
        "`{name}` is dropped, because {who} with it: name the networks of your proxies in `trust` of [route.heads], \
         or set forwarded = \"none\""
    );
    Fault::at(value.span(), text)
}

/// Fields that are about the connection are not passed on, so they cannot be matched.
pub(super) fn not_of_the_connection(name: &str, value: &Spanned<String>) -> Result<(), Fault> {
    if !OF_THE_CONNECTION
        .iter()
        .any(|other| other.eq_ignore_ascii_case(name))
    {
        return Ok(());
    }
    let text =
        format!("`{name}` is about the connection, and is not passed on: it cannot be matched");
    Err(Fault::at(value.span(), text))
}

const OF_THE_CONNECTION: [&str; 7] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];
