// SPDX-License-Identifier: GPL-2.0
//! Who is asked for a request: the decision, as a trait so that anybody can write their own.
//!
//! It must not do I/O, and gets no body byte to look at: there is none here.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use crate::address::Address;
use crate::config::{Route, Terms};
use crate::http::problem::{self, Problem};
use crate::http::{without_port, Request};

/// Whom to ask, in which order, and how.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Back-ends in the order they are asked. An empty list is answered by 502.
    pub backends: Vec<Address>,
    /// How they are asked.
    pub terms: Arc<Terms>,
    /// Comes back with what the policy is told about this plan; nobody else looks at it.
    pub tag: usize,
}

/// Decides where requests go.
pub trait Policy: Send + Sync {
    /// The plan for a request of this client, or what it is answered instead.
    fn plan(&self, request: &Request, client: SocketAddr, now: Instant) -> Result<Plan, Problem>;
}

/// The policy of the configuration file: host, then path prefix, then round robin.
#[derive(Debug)]
pub struct Table {
    routes: Vec<(Route, AtomicUsize)>,
}

impl Table {
    /// A table of routes, of which the first that matches is taken.
    pub fn new(routes: Vec<Route>) -> Self {
        let routes = routes
            .into_iter()
            .map(|route| (route, AtomicUsize::new(0)))
            .collect();
        Self { routes }
    }
}

impl Policy for Table {
    fn plan(&self, request: &Request, _: SocketAddr, _: Instant) -> Result<Plan, Problem> {
        let host = without_port(&request.host);
        let path = request.path_only();
        let found = self.routes.iter().find(|(route, _)| {
            let host_fits = route
                .host
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(host));
            host_fits && within(path, &route.path)
        });
        let (route, turn) = found.ok_or(problem::NO_ROUTE)?;
        let mut backends = route.backends.to_vec();
        let start = turn.fetch_add(1, Ordering::Relaxed) % backends.len().max(1);
        backends.rotate_left(start);
        Ok(Plan {
            backends,
            terms: route.terms.clone(),
            ..Plan::default()
        })
    }
}

/// True if `path` is `prefix` or lies below it. `*` belongs to the whole server: to `/`.
fn within(path: &str, prefix: &str) -> bool {
    if prefix == "/" {
        return true;
    }
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn host_then_path_then_turns() {
        let config = Config::parse(
            "f.toml",
            "engine = \"user\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n\
             [pool.a]\nbackends = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\"]\n\
             [pool.b]\nbackends = [\"127.0.0.1:4\"]\n\
             [[route]]\npool = \"a\"\npath = \"/up\"\n\
             [[route]]\npool = \"b\"\nhost = \"b.example\"\n",
        )
        .unwrap();
        let table = Table::new(config.routes);
        let ports = |host: &str, path: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let request = Request::parse(head.as_bytes(), 100).unwrap();
            let plan = table
                .plan(&request, ([127, 0, 0, 1], 1).into(), Instant::now())
                .ok()?;
            plan.backends
                .iter()
                .map(|backend| backend.to_string().chars().last())
                .collect::<Option<String>>()
        };
        assert_eq!(ports("x", "/up"), Some("123".into()));
        assert_eq!(ports("x", "/up/y?/up"), Some("231".into()));
        assert_eq!(ports("x", "/up?q"), Some("312".into()));
        assert_eq!(ports("x", "/upper"), None);
        assert_eq!(ports("B.Example:80", "/up"), Some("4".into()));
    }
}
