// SPDX-License-Identifier: GPL-2.0
//! Whether a back-end is healthy, as its requests and its checks show: a state machine that is
//! told what happened and when.
//!
//! It is healthy only by both criteria. *Requests* (passive): failures in a row eject it
//! for a while, which doubles each time; then one request is its trial. *Checks* (active,
//! `check.rs`): a number of them in a row take it down or up.
//! It must not decide what happens when no back-end is healthy: the caller sees all of them.

pub mod check;

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::{Check, Eject};

/// What is known about one back-end.
#[derive(Debug, Default)]
pub struct Health {
    /// Failed requests in a row.
    failures: u32,
    ejected: Option<Ejection>,
    /// The last ejection, with its end.
    last: Option<(Ejection, Instant)>,
    /// Checks say that it is down.
    down: bool,
    /// Checks in a row that speak against `down`.
    streak: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ejection {
    since: Instant,
    time: Duration,
    until: Instant,
    /// When the trial began.
    trial: Option<Instant>,
}

/// Whether a back-end may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// It is well.
    Yes,
    /// For one request, to see whether it is well again.
    Trial,
    /// Only if nobody is well.
    No,
}

/// A change that people want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Left out for so long after so many failures in a row.
    Ejected(Duration, u32),
    /// Its trial failed: left out for so long.
    EjectedAgain(Duration),
    /// Its trial went well.
    Returned,
    /// So many checks in a row were bad.
    Down(u32),
    /// So many checks in a row were good.
    Up(u32),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Ejected(time, failures) => write!(
                f,
                "left out for {} s after {failures} failures in a row",
                time.as_secs_f64()
            ),
            Self::EjectedAgain(time) => {
                write!(f, "left out for {} s: its trial failed", time.as_secs_f64())
            }
            Self::Returned => f.write_str("back: its trial went well"),
            Self::Down(checks) => write!(f, "down after {checks} bad checks"),
            Self::Up(checks) => write!(f, "up after {checks} good checks"),
        }
    }
}

impl Health {
    /// Whether it may be asked now.
    pub fn usable(&self, now: Instant) -> Usable {
        match self.ejected {
            _ if self.down => Usable::No,
            None => Usable::Yes,
            Some(ejection) if ejection.until <= now => Usable::Trial,
            Some(_) => Usable::No,
        }
    }

    /// It is asked: where that is due, as its trial. Should nothing be heard of that, there is another one
    /// after the same time.
    pub fn asked(&mut self, now: Instant) {
        if self.usable(now) != Usable::Trial {
            return;
        }
        if let Some(ejection) = &mut self.ejected {
            // One that still runs counts when it ends, however long that takes.
            ejection.trial.get_or_insert(now);
            ejection.until = now + ejection.time;
        }
    }

    /// It failed as often as those that are left out, and is not, as the last one.
    pub fn is_failing(&self, rules: &Eject) -> bool {
        self.failures >= rules.failures
    }

    /// A request went well that was sent at `began`.
    pub fn succeeded(&mut self, began: Instant, now: Instant) -> Option<Change> {
        self.failures = 0;
        let ejection = self.ejected.filter(|ejection| began > ejection.since)?;
        self.last = Some((ejection, now));
        self.ejected = None;
        Some(Change::Returned)
    }

    /// A request failed that was sent at `began`. It is not ejected if `last` of its pool.
    pub fn failed(
        &mut self,
        began: Instant,
        now: Instant,
        rules: &Eject,
        last: bool,
    ) -> Option<Change> {
        if let Some(ejection) = self.ejected {
            // Others than the trial are from before, and say nothing new.
            if !ejection.is_tried_by(began) {
                return None;
            }
            let time = ejection.time.saturating_mul(2).min(rules.time_max);
            self.ejected = Some(Ejection::new(time, now));
            return Some(Change::EjectedAgain(time));
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < rules.failures || last {
            return None;
        }
        // Who was back for less time than it was away goes away for longer.
        let time = match self.last {
            Some((last, back)) if now < back + last.time => {
                last.time.saturating_mul(2).min(rules.time_max)
            }
            _ => rules.time,
        };
        let failures = std::mem::take(&mut self.failures);
        self.ejected = Some(Ejection::new(time, now));
        Some(Change::Ejected(time, failures))
    }

    /// A check was good, or bad.
    pub fn checked(&mut self, good: bool, rules: &Check) -> Option<Change> {
        if good != self.down {
            self.streak = 0;
            return None;
        }
        self.streak = self.streak.saturating_add(1);
        let enough = if good { rules.rise } else { rules.fall };
        if self.streak < enough {
            return None;
        }
        self.down = !good;
        let streak = std::mem::take(&mut self.streak);
        Some(match good {
            true => Change::Up(streak),
            false => Change::Down(streak),
        })
    }
}

impl Ejection {
    fn new(time: Duration, now: Instant) -> Self {
        Self {
            time,
            since: now,
            until: now + time,
            trial: None,
        }
    }

    fn is_tried_by(&self, began: Instant) -> bool {
        self.trial.is_some_and(|trial| trial <= began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Eject {
        Eject {
            failures: 3,
            time: Duration::from_secs(10),
            time_max: Duration::from_secs(25),
            status: Vec::new(),
        }
    }

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn failures_in_a_row_eject_and_a_trial_returns() {
        let start = Instant::now();
        let at = |s| start + seconds(s);
        let rules = rules();
        let mut health = Health::default();
        let fail = |health: &mut Health, s| health.failed(at(s), at(s), &rules, false);
        assert_eq!(fail(&mut health, 0), None);
        assert_eq!(fail(&mut health, 0), None);
        assert_eq!(health.succeeded(at(0), at(0)), None);
        assert_eq!(fail(&mut health, 1), None);
        assert_eq!(fail(&mut health, 1), None);
        assert_eq!(fail(&mut health, 1), Some(Change::Ejected(seconds(10), 3)));
        assert_eq!(health.usable(at(10)), Usable::No);
        // What was sent before says nothing any more.
        assert_eq!(fail(&mut health, 2), None);
        assert_eq!(health.succeeded(at(0), at(5)), None);
        assert_eq!(health.usable(at(11)), Usable::Trial);
        health.asked(at(12));
        assert_eq!(health.usable(at(12)), Usable::No);
        // Twice as long each time, up to the limit.
        assert_eq!(
            fail(&mut health, 12),
            Some(Change::EjectedAgain(seconds(20)))
        );
        assert_eq!(health.usable(at(31)), Usable::No);
        assert_eq!(health.usable(at(32)), Usable::Trial);
        health.asked(at(32));
        assert_eq!(
            fail(&mut health, 32),
            Some(Change::EjectedAgain(seconds(25)))
        );
        health.asked(at(57));
        assert_eq!(health.succeeded(at(57), at(58)), Some(Change::Returned));
        assert_eq!(health.usable(at(58)), Usable::Yes);
        // Soon again, longer; after a good while, as at first.
        fail(&mut health, 60);
        fail(&mut health, 60);
        assert_eq!(fail(&mut health, 60), Some(Change::Ejected(seconds(25), 3)));
        health.asked(at(85));
        health.succeeded(at(85), at(85));
        fail(&mut health, 120);
        fail(&mut health, 120);
        assert_eq!(
            fail(&mut health, 120),
            Some(Change::Ejected(seconds(10), 3))
        );
    }

    #[test]
    fn a_trial_of_which_nothing_is_heard_is_repeated() {
        let start = Instant::now();
        let mut health = Health::default();
        for _ in 0..3 {
            health.failed(start, start, &rules(), false);
        }
        health.asked(start + seconds(10));
        assert_eq!(health.usable(start + seconds(19)), Usable::No);
        assert_eq!(health.usable(start + seconds(20)), Usable::Trial);
    }

    #[test]
    fn the_last_one_is_never_ejected() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..100 {
            assert_eq!(health.failed(now, now, &rules(), true), None);
        }
        assert_eq!(health.usable(now), Usable::Yes);
        // Once it is not, it is.
        assert!(health.failed(now, now, &rules(), false).is_some());
    }

    #[test]
    fn checks_in_a_row() {
        let rules = Check {
            path: "/".to_owned(),
            host: None,
            interval: seconds(1),
            timeout: seconds(1),
            status: Vec::new(),
            rise: 2,
            fall: 3,
        };
        let mut health = Health::default();
        let mut changes = Vec::new();
        for good in [
            false, false, true, false, false, false, false, true, false, true, true,
        ] {
            changes.push(health.checked(good, &rules));
        }
        let (down, up) = (Some(Change::Down(3)), Some(Change::Up(2)));
        let none = None;
        assert_eq!(
            changes,
            [none, none, none, none, none, down, none, none, none, none, up]
        );
        assert_eq!(health.usable(Instant::now()), Usable::Yes);
    }
}
