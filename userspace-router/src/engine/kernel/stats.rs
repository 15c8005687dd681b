// SPDX-License-Identifier: GPL-2.0
//! The module's counters, for all routers of the network namespace, as text for Prometheus.
//!
//! It must not change anything: asking does not make this process a router.

use std::fmt::Display;

use underpass_proto::{Command, ListenerInfo, Reply, RouterInfo, Stats};

use super::{EngineError, KernelEngine};
use crate::metrics::{metric, Labels};

impl KernelEngine {
    /// The counters now, a line each.
    ///
    /// # Errors
    /// If the module is not loaded, or does not answer this process.
    pub async fn stats() -> Result<String, EngineError> {
        let mut engine = Self::open().await?;
        let replies = engine.ask(&Command::StatsGet).await?;
        let Some(Reply::Stats(stats)) = replies.into_iter().next() else {
            return Err(EngineError::Failed("`stats-get` has no answer".to_owned()));
        };
        let (routers, listeners) = (engine.routers().await?, engine.listeners().await?);
        Ok(render(&stats, &routers, &listeners))
    }
}

/// A metric of each of many: its name, what it is, and its value.
type Of<T> = (&'static str, &'static str, fn(&T) -> u64);

fn render(stats: &Stats, routers: &[RouterInfo], listeners: &[ListenerInfo]) -> String {
    let mut out = String::new();
    let alone = [
        (
            "accepted_connections_total",
            "Connections accepted.",
            stats.accepted,
        ),
        (
            "added_connections_total",
            "Connections to back-ends added.",
            stats.added,
        ),
        ("heads_total", "Heads sent up to routers.", stats.heads),
        (
            "passed_responses_total",
            "Responses passed on without being shown to a router.",
            stats.relayed,
        ),
        (
            "forwards_total",
            "Bodies that began to move.",
            stats.forwards,
        ),
        (
            "request_body_bytes_total",
            "Bytes moved from clients to back-ends.",
            stats.front_to_back,
        ),
        (
            "response_body_bytes_total",
            "Bytes moved from back-ends to clients.",
            stats.back_to_front,
        ),
        (
            "discarded_bytes_total",
            "Bytes read and discarded.",
            stats.discarded,
        ),
        (
            "overflows_total",
            "Events that found a router's socket full and waited.",
            stats.overflows,
        ),
        (
            "refused_connections_total",
            "Connections closed when accepted, as a rule for lack of memory.",
            stats.refused,
        ),
        (
            "late_connections_total",
            "Connections closed because their first head did not come in time.",
            stats.late,
        ),
        (
            "queues",
            "Connections of both sides now.",
            stats.queues.into(),
        ),
    ];
    for (name, help, value) in alone {
        metric(&mut out, name, help, &[(String::new(), value)]);
    }
    let of_routers = |value: fn(&RouterInfo) -> u64| -> Vec<_> {
        let labels = |router: &RouterInfo| Labels(&[("router", &router.id)]).to_string();
        routers.iter().map(|r| (labels(r), value(r))).collect()
    };
    let routed: [Of<RouterInfo>; 5] = [
        ("router_attached", "Whether a process is attached.", |r| {
            (r.port != 0).into()
        }),
        ("router_queues", "Its connections of both sides.", |r| {
            r.queues.into()
        }),
        ("router_queues_max", "The most that it may have.", |r| {
            r.queues_max.into()
        }),
        (
            "router_heads",
            "Client heads sent up to it and not answered yet.",
            |r| r.heads_out.into(),
        ),
        (
            "router_waiting",
            "Connections with an event that waits for room in its socket, or for credit.",
            |r| r.waiting.into(),
        ),
    ];
    for (name, help, value) in routed {
        metric(&mut out, name, help, &of_routers(value));
    }
    let of_listeners = |value: fn(&ListenerInfo) -> u64| -> Vec<_> {
        let labels = |l: &ListenerInfo| {
            let address = l
                .local
                .map_or("-".to_owned(), |address| address.to_string());
            let labels = [
                ("listener", &l.id as &dyn Display),
                ("router", &l.router),
                ("address", &address),
            ];
            Labels(&labels).to_string()
        };
        listeners.iter().map(|l| (labels(l), value(l))).collect()
    };
    let listened: [Of<ListenerInfo>; 3] = [
        (
            "listener_accepted_connections_total",
            "Connections it accepted.",
            |l| l.accepted,
        ),
        ("listener_connections", "Its connections now.", |l| {
            l.open.into()
        }),
        (
            "listener_connections_max",
            "The most that it may have.",
            |l| l.connections.into(),
        ),
    ];
    for (name, help, value) in listened {
        metric(&mut out, name, help, &of_listeners(value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_its_kind_and_each_value_its_labels() {
        let stats = Stats {
            accepted: 3,
            queues: 2,
            ..Stats::default()
        };
        let router = RouterInfo {
            id: 7,
            port: 1,
            credit: 1024,
            grace: 30_000,
            protocol: 1,
            heads_out: 0,
            waiting: 0,
            overflows: 0,
            queues: 2,
            listeners: 0,
            queues_max: 5,
        };
        let text = render(&stats, &[router], &[]);
        for line in [
            "# TYPE underpass_accepted_connections_total counter\nunderpass_accepted_connections_total 3\n",
            "# TYPE underpass_queues gauge\nunderpass_queues 2\n",
            "underpass_router_attached{router=\"7\"} 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
