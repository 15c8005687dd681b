// SPDX-License-Identifier: GPL-2.0
//! A router with a policy of its own: each tenant, named by the first label of the host, has
//! one back-end, and nobody else is ever asked for its requests. Everything but the decision
//! is the library's.
//!
//! ```text
//! cargo run --example own_policy
//! curl -H 'Host: blue.example' http://127.0.0.1:8080/
//! ```
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

use underpass::access::AccessLog;
use underpass::address::Address;
use underpass::config::Limits;
use underpass::engine::user::UserEngine;
use underpass::http::{problem, Problem, Request};
use underpass::route::{Attempt, Outcome, Plan, Policy};
use underpass::router::{Listening, Router};

/// Tenants and their back-ends.
struct Tenants {
    backends: HashMap<&'static str, Address>,
    /// Attempts that failed.
    failed: AtomicU64,
}

/// An answer that this policy gives itself: status, name for the log, error type of RFC 9209, text.
const UNKNOWN_TENANT: Problem = Problem {
    status: 404,
    name: "unknown-tenant",
    error: "destination_not_found",
    text: "There is no such tenant.",
};

impl Policy for Tenants {
    fn plan(&self, request: &Request, _: SocketAddr, _: Instant) -> Result<Plan, Problem> {
        if request.method() == "TRACE" {
            return Err(problem::METHOD_NOT_SERVED);
        }
        let tenant = request.host().split('.').next().unwrap_or_default();
        let backend = self.backends.get(tenant).ok_or(UNKNOWN_TENANT)?;
        Ok(Plan {
            backends: vec![backend.clone()],
            // How it is asked and connected to, and the tag: as usual.
            ..Plan::default()
        })
    }

    fn ended(&self, attempt: &Attempt, outcome: Outcome, _: Instant) {
        if let Outcome::Failed(why) = outcome {
            let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
            eprintln!("{} failed: {why:?}; {failed} so far", attempt.backend);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tenants = Tenants {
        backends: HashMap::from([
            ("blue", "127.0.0.1:9001".parse()?),
            ("green", "[::1]:9002".parse()?),
        ]),
        failed: AtomicU64::new(0),
    };
    // Or `KernelEngine::attach().await?`: the policy is the same.
    let engine = UserEngine::default();
    let log = AccessLog::new(std::io::stdout())?;
    let limits = Limits::default();
    let mut router = Router::new(engine, Arc::new(tenants), limits.clone(), log);
    let listening = Listening {
        socket: TcpListener::bind("127.0.0.1:8080")?,
        proxy_protocol: false,
        connections: 100,
        head: limits.head,
    };
    router.listen(vec![listening]).await?;
    let stop = async {
        // An error here means that there is no Ctrl-C to wait for, and ends it as well.
        let _interrupted = tokio::signal::ctrl_c().await;
    };
    router.run(stop).await?;
    Ok(())
}
