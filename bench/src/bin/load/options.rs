// SPDX-License-Identifier: GPL-2.0
//! The arguments, `KEY=VALUE` each. The head of main.rs says what they mean.

use std::net::SocketAddr;
use std::time::Duration;

use underpass_bench::Failure;

use crate::client::Work;

/// What the requests are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Costs of spans.
    Measure,
    /// Time by the clock alone.
    Time,
    /// Whether the bytes are right.
    Check,
    /// How long each takes.
    Latency,
    /// Load for others to be measured beside.
    Forever,
    /// Connections that are open and idle.
    Hold,
}

/// All arguments.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where to.
    pub to: SocketAddr,
    /// Which way the bodies go.
    pub work: Work,
    /// Bytes of each.
    pub size: u64,
    /// Clients.
    pub connections: u64,
    /// A new connection for each request.
    pub fresh: bool,
    /// Of each span.
    pub requests: u64,
    /// Requests before the first.
    pub warm_up: u64,
    /// How many.
    pub spans: u64,
    /// Before each request.
    pub pause: Duration,
    /// What for.
    pub task: Task,
}

impl Options {
    /// From a command line.
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut to = None;
        let mut options = Self {
            to: SocketAddr::from(([127, 0, 0, 1], 80)),
            work: Work::Get,
            size: 100,
            connections: 1,
            fresh: false,
            requests: 1,
            warm_up: 0,
            spans: 1,
            pause: Duration::ZERO,
            task: Task::Measure,
        };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("to", value)) => {
                    to = Some(value.parse().map_err(|e| format!("{argument}: {e}"))?)
                }
                Some(("work", "put")) => options.work = Work::Put,
                Some(("work", "get")) => options.work = Work::Get,
                Some(("size", value)) => options.size = value.parse()?,
                Some(("connections", value)) => options.connections = value.parse()?,
                Some(("fresh", value)) => options.fresh = value == "yes",
                Some(("requests", value)) => options.requests = value.parse()?,
                Some(("warm-up", value)) => options.warm_up = value.parse()?,
                Some(("spans", value)) => options.spans = value.parse()?,
                Some(("pause", value)) => options.pause = Duration::from_micros(value.parse()?),
                Some(("do", "measure")) => options.task = Task::Measure,
                Some(("do", "time")) => options.task = Task::Time,
                Some(("do", "check")) => options.task = Task::Check,
                Some(("do", "latency")) => options.task = Task::Latency,
                Some(("do", "forever")) => options.task = Task::Forever,
                Some(("do", "hold")) => options.task = Task::Hold,
                _ => {
                    return Err(format!(
                        "'{argument}' is no argument of load; the head of its main.rs lists them"
                    )
                    .into())
                }
            }
        }
        options.to = to.ok_or("load needs to=ADDRESS:PORT")?;
        Ok(options)
    }
}
