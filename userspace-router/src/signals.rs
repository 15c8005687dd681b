// SPDX-License-Identifier: GPL-2.0
//! What the signals say: SIGTERM or SIGINT to stop, a second one to stop at once.
//!
//! One task hears them from the start of the program, so that none is lost.

use std::future::Future;
use std::io;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;

/// The signals that came.
pub struct Signals {
    /// How many.
    stops: watch::Receiver<u32>,
}

impl Signals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// If the system allows no handler.
    pub fn new() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (count, stops) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { stops })
    }

    /// Resolves with the first one.
    pub fn stop(&self) -> impl Future<Output = ()> {
        let first = self.at_least(1);
        async {
            first.await;
            eprintln!("underpass: stopping: nothing more is accepted");
        }
    }

    /// Resolves with the second one.
    pub fn stop_at_once(&self) -> impl Future<Output = ()> {
        self.at_least(2)
    }

    fn at_least(&self, stops: u32) -> impl Future<Output = ()> {
        let mut count = self.stops.clone();
        async move {
            if count.wait_for(|&count| count >= stops).await.is_err() {
                // The task ends with the program only.
                std::future::pending::<()>().await;
            }
        }
    }
}
