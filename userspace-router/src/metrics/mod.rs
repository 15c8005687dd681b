// SPDX-License-Identifier: GPL-2.0
//! What the routers of a process have done since it began, counted for whoever watches them.
//!
//! Each router counts for itself, so that none waits for another; `Metrics` adds up. A router that ended
//! stays in the sums: counters never fall, whatever is reloaded.
//! Invariant: the memory is bounded by what a configuration names and by what HTTP and `problem` know, not by clients.

mod page;
mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;

use crate::address::Address;
use crate::exchange::{Record, Verdict};
use crate::route::Table;

pub use page::serve;
pub use text::{metric, Labels};

/// What one router has counted.
pub type Counter = Arc<Mutex<Counts>>;

/// Upper bounds of the times that are told apart, in milliseconds.
const BOUNDS: [u64; 13] = [
    1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000,
];

/// Sums over exchanges that have ended.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By the status that the client got; 0 if none.
    statuses: BTreeMap<u16, u64>,
    /// By the name of what went wrong.
    problems: BTreeMap<&'static str, u64>,
    /// From the request's head to the end.
    total: Times,
    /// From the request's head to the response's.
    head: Times,
    /// Bytes of bodies taken from clients, and from back-ends.
    up: u64,
    down: u64,
    backends: HashMap<Address, Asked>,
}

/// What came of asking one back-end.
#[derive(Clone, Debug, Default)]
struct Asked {
    verdicts: BTreeMap<&'static str, u64>,
    /// By the status of its response.
    responses: BTreeMap<u16, u64>,
}

/// How long something took.
#[derive(Clone, Debug, Default)]
struct Times {
    /// As many took no longer than the bound of the same number, and longer than the one before; the
    /// last place is for all others.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Times {
    fn count(&mut self, time: Duration) {
        let above = |&bound: &u64| Duration::from_millis(bound) < time;
        if let Some(count) = self.counts.get_mut(BOUNDS.partition_point(above)) {
            *count += 1;
        }
        self.sum += time;
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

fn add<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *to.entry(*key).or_default() += count;
    }
}

impl Counts {
    /// An exchange has ended.
    pub fn count(&mut self, record: &Record) {
        *self.statuses.entry(record.status).or_default() += 1;
        if !record.reason.is_empty() {
            *self.problems.entry(record.reason).or_default() += 1;
        }
        self.total.count(record.total);
        if let Some(time) = record.head_after {
            self.head.count(time);
        }
        self.up += record.up;
        self.down += record.down;
        for (backend, verdict) in &record.asked {
            let asked = match self.backends.get_mut(backend) {
                Some(asked) => asked,
                None => self.backends.entry(backend.clone()).or_default(),
            };
            *asked.verdicts.entry(verdict.name()).or_default() += 1;
            // Whoever accepted is the last one, and the response is its.
            if *verdict == Verdict::Accepted && record.head_after.is_some() {
                *asked.responses.entry(record.status).or_default() += 1;
            }
        }
    }

    fn add(&mut self, other: &Self) {
        add(&mut self.statuses, &other.statuses);
        add(&mut self.problems, &other.problems);
        self.total.add(&other.total);
        self.head.add(&other.head);
        self.up += other.up;
        self.down += other.down;
        for (backend, asked) in &other.backends {
            let sum = self.backends.entry(backend.clone()).or_default();
            add(&mut sum.verdicts, &asked.verdicts);
            add(&mut sum.responses, &asked.responses);
        }
    }
}

/// All that the routers of a process have counted.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// Of routers that have ended.
    ended: Counts,
    /// Of those that run.
    routers: Vec<Counter>,
    /// The policy of the youngest ones.
    table: Option<Arc<Table>>,
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Counters> {
        // What it knows is true after each of its steps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For one more router.
    pub fn counter(&self) -> Counter {
        let counter = Counter::default();
        self.lock().routers.push(counter.clone());
        counter
    }

    /// From now on back-ends are those of this table.
    pub fn watch(&self, table: Arc<Table>) {
        self.lock().table = Some(table);
    }

    /// Everything as text, in the format that Prometheus reads (version 0.0.4).
    pub fn text(&self) -> String {
        let mut counters = self.lock();
        let Counters { ended, routers, .. } = &mut *counters;
        let mut sum = Counts::default();
        routers.retain(|router| {
            // Nobody who could count has it any more.
            let runs = Arc::strong_count(router) > 1;
            let counts = router.lock().unwrap_or_else(PoisonError::into_inner);
            if runs { &mut sum } else { &mut *ended }.add(&counts);
            runs
        });
        sum.add(ended);
        let table = counters.table.clone();
        drop(counters);
        let members = table.map_or_else(Vec::new, |table| table.members(Instant::now()));
        text::render(&sum, &members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: u16, millis: u64) -> Record {
        let backend = |port| Address::Tcp(([127, 0, 0, 1], port).into());
        Record {
            asked: vec![
                (backend(1), Verdict::Declined(421)),
                (backend(2), Verdict::Accepted),
            ],
            status,
            up: 5,
            down: 7,
            head_after: Some(Duration::from_millis(1)),
            total: Duration::from_millis(millis),
            ..Record::new(([127, 0, 0, 1], 9).into())
        }
    }

    #[test]
    fn all_routers_are_added_up_also_those_that_have_ended() {
        let metrics = Metrics::default();
        let (one, other) = (metrics.counter(), metrics.counter());
        one.lock().unwrap().count(&record(200, 1));
        one.lock().unwrap().count(&record(503, 2));
        other.lock().unwrap().count(&record(200, 2_000_000));
        let mut failed = Record::new(([127, 0, 0, 1], 9).into());
        failed.reason = "no-route";
        failed.status = 404;
        other.lock().unwrap().count(&failed);
        let before = metrics.text();
        for line in [
            "underpass_requests_total{code=\"200\"} 2\n",
            "underpass_requests_total{code=\"404\"} 1\n",
            "underpass_request_problems_total{reason=\"no-route\"} 1\n",
            "underpass_request_seconds_bucket{le=\"0.001\"} 2\n",
            "underpass_request_seconds_bucket{le=\"0.003\"} 3\n",
            "underpass_request_seconds_bucket{le=\"1000\"} 3\n",
            "underpass_request_seconds_bucket{le=\"+Inf\"} 4\n",
            "underpass_request_seconds_count 4\n",
            "underpass_request_seconds_sum 2000.003\n",
            "underpass_response_head_seconds_count 3\n",
            "underpass_bodies_bytes_total{direction=\"up\"} 15\n",
            "underpass_bodies_bytes_total{direction=\"down\"} 21\n",
            "underpass_backend_asked_total{backend=\"127.0.0.1:1\",outcome=\"declined\"} 3\n",
            "underpass_backend_asked_total{backend=\"127.0.0.1:2\",outcome=\"accepted\"} 3\n",
            "underpass_backend_responses_total{backend=\"127.0.0.1:2\",code=\"503\"} 1\n",
        ] {
            assert!(before.contains(line), "no {line}in\n{before}");
        }
        // The first look after its end puts it aside, where the second one finds it.
        drop(one);
        assert_eq!(metrics.text(), before);
        assert_eq!(metrics.lock().routers.len(), 1);
        assert_eq!(metrics.text(), before);
        other.lock().unwrap().count(&record(200, 1));
        let line = "underpass_requests_total{code=\"200\"} 3\n";
        assert!(metrics.text().contains(line));
    }
}
