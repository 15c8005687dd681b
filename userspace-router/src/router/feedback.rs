// SPDX-License-Identifier: GPL-2.0
//! What the policy is told about each attempt, taken from the exchange's record.
//!
//! Invariant: every `asked` is followed by one `ended`, in the order of the record.

use std::time::Instant;

use crate::exchange::{Record, Verdict};
use crate::http::problem;
use crate::route::{Attempt, Failure, Outcome, Policy};

/// How far the policy knows of one exchange.
#[derive(Debug, Default)]
pub struct Told {
    /// Attempts of the record that it was told of.
    known: usize,
    /// The last of these, until it was told of its end.
    open: Option<Attempt>,
    /// It runs over a connection that served others before.
    reused: bool,
}

impl Told {
    /// The attempt that runs got a connection from the pool.
    pub fn is_reused(&mut self) {
        self.reused = true;
    }

    /// Tells what is new.
    pub fn attempts(&mut self, policy: &dyn Policy, tag: usize, record: &Record, now: Instant) {
        while let Some((backend, _)) = record.asked.get(self.known) {
            self.close(policy, record, now);
            let attempt = Attempt {
                tag,
                backend: backend.clone(),
                began: now,
            };
            policy.asked(&attempt);
            self.open = Some(attempt);
            self.known += 1;
            self.reused = false;
        }
    }

    /// Tells the rest: the exchange is over.
    pub fn end(mut self, policy: &dyn Policy, tag: usize, record: &Record, now: Instant) {
        self.attempts(policy, tag, record, now);
        self.close(policy, record, now);
    }

    fn close(&mut self, policy: &dyn Policy, record: &Record, now: Instant) {
        let Some(attempt) = self.open.take() else {
            return;
        };
        let verdict = record.asked.get(self.known.saturating_sub(1));
        let verdict = verdict.map_or(Verdict::Asked, |(_, verdict)| *verdict);
        policy.ended(&attempt, outcome(verdict, self.reused, record), now);
    }
}

fn outcome(verdict: Verdict, reused: bool, record: &Record) -> Outcome {
    match verdict {
        Verdict::Down => Outcome::Failed(Failure::Unreachable),
        Verdict::ConnectTimeout => Outcome::Failed(Failure::ConnectTimeout),
        Verdict::Silent => Outcome::Failed(Failure::Silent),
        // Idle connections die; the back-end's word is that of a new one. But one that had accepted was alive.
        Verdict::Broke if reused && record.accepted_after.is_none() => Outcome::Abandoned,
        Verdict::Broke => Outcome::Failed(Failure::Broke),
        Verdict::Declined(status) => Outcome::Declined(status),
        Verdict::NoExpect => Outcome::Declined(417),
        Verdict::Full | Verdict::Refused | Verdict::Stale => Outcome::Abandoned,
        // Only of the last one, whose end is the exchange's.
        Verdict::Asked | Verdict::Accepted => last(record),
    }
}

/// Names of problems that are the back-end's doing.
const FAILURES: [(&str, Failure); 13] = [
    (problem::BACKEND_BROKE.name, Failure::Broke),
    ("response-truncated", Failure::Broke),
    (problem::RESPONSE_TIMEOUT.name, Failure::ResponseTimeout),
    (problem::BAD_RESPONSE.name, Failure::BadResponse),
    (problem::RESPONSE_HEAD_TOO_LONG.name, Failure::BadResponse),
    (problem::MANY_INTERIM.name, Failure::BadResponse),
    (problem::RESPONSE_CODING.name, Failure::BadResponse),
    (problem::UNASKED_UPGRADE.name, Failure::BadResponse),
    ("bad-response-chunk", Failure::BadResponse),
    (problem::BACKEND_STALLED.name, Failure::Stalled),
    ("response-stalled", Failure::Stalled),
    (problem::BACKEND_SLOW.name, Failure::Stalled),
    ("response-slow", Failure::Stalled),
];

fn last(record: &Record) -> Outcome {
    let failure = FAILURES.iter().find(|(name, _)| *name == record.reason);
    match failure {
        Some(&(_, failure)) => Outcome::Failed(failure),
        None if record.head_after.is_some() => Outcome::Answered(record.status),
        None => Outcome::Abandoned,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::address::Address;
    use crate::http::{Problem, Request};
    use crate::route::Plan;

    /// Writes down what it is told.
    #[derive(Default)]
    struct Diary(Mutex<Vec<String>>);

    impl Policy for Diary {
        fn plan(&self, _: &Request, _: std::net::SocketAddr, _: Instant) -> Result<Plan, Problem> {
            Err(problem::NO_ROUTE)
        }

        fn asked(&self, attempt: &Attempt) {
            self.note(format!("asked {}", attempt.backend));
        }

        fn ended(&self, attempt: &Attempt, outcome: Outcome, _: Instant) {
            self.note(format!("{} {outcome:?}", attempt.backend));
        }
    }

    impl Diary {
        fn note(&self, text: String) {
            self.0
                .lock()
                .expect("no panic")
                .push(text.replace("127.0.0.1:", ""));
        }
    }

    #[test]
    fn each_attempt_begins_and_ends_once() {
        let now = Instant::now();
        let diary = Diary::default();
        let mut record = Record::new(([10, 0, 0, 1], 1).into());
        let ask = |record: &mut Record, port| {
            let address = Address::Tcp(([127, 0, 0, 1], port).into());
            record.asked.push((address, Verdict::Asked));
        };
        let mut told = Told::default();
        ask(&mut record, 1);
        told.attempts(&diary, 0, &record, now);
        told.attempts(&diary, 0, &record, now);
        // Two at once.
        record.verdict(Verdict::Down);
        ask(&mut record, 2);
        record.verdict(Verdict::Full);
        ask(&mut record, 3);
        told.attempts(&diary, 0, &record, now);
        told.is_reused();
        record.verdict(Verdict::Broke);
        ask(&mut record, 3);
        told.attempts(&diary, 0, &record, now);
        record.verdict(Verdict::Accepted);
        record.status = 200;
        record.head_after = Some(Duration::ZERO);
        told.end(&diary, 0, &record, now);
        assert_eq!(
            *diary.0.lock().expect("no panic"),
            [
                "asked 1",
                "1 Failed(Unreachable)",
                "asked 2",
                "2 Abandoned",
                "asked 3",
                "3 Abandoned",
                "asked 3",
                "3 Answered(200)",
            ]
        );
    }

    #[test]
    fn outcomes() {
        let with = |verdict, reason, status| {
            let mut record = Record::new(([10, 0, 0, 1], 1).into());
            record.reason = reason;
            record.status = status;
            record.head_after = (status == 200).then_some(Duration::ZERO);
            outcome(verdict, false, &record)
        };
        for (verdict, reason, status, expected) in [
            (Verdict::Accepted, "", 200, Outcome::Answered(200)),
            (
                Verdict::Accepted,
                "client-gone",
                200,
                Outcome::Answered(200),
            ),
            (Verdict::Accepted, "client-gone", 0, Outcome::Abandoned),
            (Verdict::Asked, "client-gone", 0, Outcome::Abandoned),
            (
                Verdict::Accepted,
                "response-truncated",
                200,
                Outcome::Failed(Failure::Broke),
            ),
            (
                Verdict::Asked,
                "response-timeout",
                504,
                Outcome::Failed(Failure::ResponseTimeout),
            ),
            (
                Verdict::Asked,
                "bad-response",
                502,
                Outcome::Failed(Failure::BadResponse),
            ),
            (
                Verdict::Silent,
                "no-verdict",
                504,
                Outcome::Failed(Failure::Silent),
            ),
            (
                Verdict::Declined(421),
                "all-declined",
                503,
                Outcome::Declined(421),
            ),
        ] {
            assert_eq!(
                with(verdict, reason, status),
                expected,
                "{verdict} {reason}"
            );
        }
    }
}
