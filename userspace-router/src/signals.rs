// SPDX-License-Identifier: GPL-2.0
//! Signals: SIGTERM or SIGINT to stop, a second one to stop at once, SIGUSR2 to leave
//! everything to the next router. (SIGHUP is handled in generations.rs.)
//!
//! One task receives them from the start of the program, so that none is lost. Clones pass them to the
//! routers of other threads.

use std::future::Future;
use std::io;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;
use underpass::say;

/// The signals that came.
#[derive(Clone)]
pub struct Signals {
    /// How many.
    stops: watch::Receiver<u32>,
    /// SIGUSR2 came.
    hand_over: watch::Receiver<u32>,
}

impl Signals {
    /// Hears them from now on. Where nothing can be handed over, SIGUSR2 stops.
    ///
    /// # Errors
    /// If the system allows no handler.
    pub fn new(may_hand_over: bool) -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut user2 = signal(SignalKind::user_defined2())?;
        let (count, stops) = watch::channel(0);
        let (count_user2, hand_over) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let stops = tokio::select! {
                    _ = terminate.recv() => true,
                    _ = interrupt.recv() => true,
                    _ = user2.recv() => !may_hand_over,
                };
                if stops && *count.borrow() == 0 {
                    say!("stopping: nothing more is accepted");
                }
                let count = if stops { &count } else { &count_user2 };
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { stops, hand_over })
    }

    /// Whether any of them came.
    pub fn is_stopping(&self) -> bool {
        *self.stops.borrow() > 0 || *self.hand_over.borrow() > 0
    }

    /// Resolves with the first one.
    pub fn stop(&self) -> impl Future<Output = ()> {
        at_least(&self.stops, 1)
    }

    /// Resolves with the second one.
    pub fn stop_at_once(&self) -> impl Future<Output = ()> {
        at_least(&self.stops, 2)
    }

    /// Resolves with SIGUSR2.
    pub fn hand_over(&self) -> impl Future<Output = ()> {
        at_least(&self.hand_over, 1)
    }
}

fn at_least(count: &watch::Receiver<u32>, wanted: u32) -> impl Future<Output = ()> {
    let mut count = count.clone();
    async move {
        if count.wait_for(|&count| count >= wanted).await.is_err() {
            // The task ends with the program only.
            std::future::pending::<()>().await;
        }
    }
}
