// SPDX-License-Identifier: GPL-2.0
//! What a span of work cost the whole machine: time by the clock, and of that the time in which
//! the CPU was not idle.
//!
//! Under QEMU's `-icount shift=0` one CPU executes one instruction per nanosecond of the
//! guest's clock, so there the busy nanoseconds are instructions. The kernel's own count
//! of idle time is too coarse: it samples short idle periods by the tick. So a thread of
//! the lowest class, SCHED_IDLE, looks at the clock for as long as nobody else wants the
//! CPU, and adds up the short gaps between its looks. A longer gap is somebody's work: a
//! process's, or an interrupt's, which the kernel would have charged to the idler. Now and
//! then the thread gets a slice although others want the CPU; that is taken off like idle
//! time, and changes no count.
//!
//! It is of use on one CPU only: with several it would occupy another's.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Arc};
use std::time::Instant;

use underpass_bench::Failure;

/// Nanoseconds between two looks, above which somebody else ran. A look takes about 100, and
/// no interrupt less than some thousand.
const SHORT: u64 = 1_000;

/// Counts idle time from its start on.
#[derive(Debug)]
pub struct Meter {
    idle: Arc<AtomicU64>,
}

/// What a span cost, in nanoseconds.
#[derive(Debug)]
pub struct Cost {
    /// By the clock.
    pub elapsed: u64,
    /// Of that, not idle.
    pub busy: u64,
}

impl Meter {
    /// Starts the thread.
    pub fn start() -> Result<Self, Failure> {
        let idle = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&idle);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            if tell.send(rustix::thread::gettid()).is_ok() {
                watch(&counter);
            }
        });
        let thread = told.recv()?.as_raw_nonzero().to_string();
        let done = Command::new("chrt")
            .args(["--idle", "--pid", "0", &thread])
            .status()?;
        if !done.success() {
            return Err(format!("chrt could not make thread {thread} SCHED_IDLE: {done}").into());
        }
        Ok(Self { idle })
    }

    /// What `work` costs.
    pub fn measure(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<Cost, Failure> {
        let idle = self.idle.load(Ordering::Relaxed);
        let clock = Instant::now();
        work()?;
        let elapsed = u64::try_from(clock.elapsed().as_nanos())?;
        Ok(Cost {
            elapsed,
            busy: elapsed - (self.idle.load(Ordering::Relaxed) - idle),
        })
    }
}

/// What `work` takes by the clock; busy is then all of it.
pub fn time(work: impl FnOnce() -> Result<(), Failure>) -> Result<Cost, Failure> {
    let clock = Instant::now();
    work()?;
    let elapsed = u64::try_from(clock.elapsed().as_nanos())?;
    Ok(Cost {
        elapsed,
        busy: elapsed,
    })
}

fn watch(idle: &AtomicU64) {
    let mut sum = 0;
    let mut last = Instant::now();
    loop {
        let now = Instant::now();
        let gap = u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX);
        if gap < SHORT {
            sum += gap;
            idle.store(sum, Ordering::Relaxed);
        }
        last = now;
    }
}
