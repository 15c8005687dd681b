// SPDX-License-Identifier: GPL-2.0
//! One TAP line for each check, the plan first; and a watchdog, because a kernel that does
//! not answer would otherwise hang the program: every read of it blocks.

use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Time that one check may take. Far more than any needs, also on an emulated CPU.
const LIMIT: Duration = Duration::from_secs(60);

/// Counts checks and prints their lines.
pub struct Tap {
    plan: u32,
    done: Arc<AtomicU32>,
    failed: u32,
}

impl Tap {
    /// Prints the plan and starts the watchdog.
    pub fn new(plan: u32) -> Self {
        println!("TAP version 13\n1..{plan}");
        let done = Arc::new(AtomicU32::new(0));
        let watched = done.clone();
        std::thread::spawn(move || loop {
            let before = watched.load(Ordering::Relaxed);
            // A clock, not a synchronisation: nothing waits for this thread.
            std::thread::sleep(LIMIT);
            if watched.load(Ordering::Relaxed) == before {
                println!("Bail out! check {} took more than {LIMIT:?}", before + 1);
                std::process::exit(1);
            }
        });
        Self {
            plan,
            done,
            failed: 0,
        }
    }

    /// A check, with what to say if it failed.
    pub fn ok(&mut self, name: &str, good: bool, why: impl FnOnce() -> String) {
        let number = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        println!("{} {number} - {name}", if good { "ok" } else { "not ok" });
        if !good {
            self.failed += 1;
            for line in why().lines() {
                println!("# {line}");
            }
        }
    }

    /// A check that two values are the same.
    pub fn equal<T: PartialEq + Debug>(&mut self, name: &str, got: T, expected: T) {
        let good = got == expected;
        self.ok(name, good, || {
            format!("expected {expected:?}\ngot      {got:?}")
        });
    }

    /// 0 if all of the plan was done and was well.
    pub fn exit_code(self) -> ExitCode {
        let done = self.done.load(Ordering::Relaxed);
        if done != self.plan {
            println!("# {done} checks were done, {} were planned", self.plan);
        }
        ExitCode::from(u8::from(self.failed != 0 || done != self.plan))
    }
}
