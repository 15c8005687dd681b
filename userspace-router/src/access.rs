// SPDX-License-Identifier: GPL-2.0
//! The access log: one line an exchange, on standard output.
//!
//! Lines are written by a thread of their own, so that a reader who does not read cannot
//! stop the router. What does not fit the queue is dropped and counted.

use std::io::Write;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;

use crate::exchange::Record;

/// Lines that may wait for the reader.
const WAITING_MAX: usize = 10_000;

/// Where lines are handed in. Dropping it waits until they are written.
#[derive(Debug)]
pub struct AccessLog {
    lines: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    dropped: u64,
}

impl AccessLog {
    /// A log that is written to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(WAITING_MAX);
        Self {
            lines: Some(lines),
            writer: Some(std::thread::spawn(move || write_all(out, &waiting))),
            dropped: 0,
        }
    }

    /// Hands a line in.
    pub fn write(&mut self, record: &Record) {
        let Some(lines) = &self.lines else {
            return;
        };
        match lines.try_send(record.to_string()) {
            Ok(()) => {
                if self.dropped > 0 {
                    eprintln!(
                        "underpass: access log: {} lines were lost, because nobody read them",
                        self.dropped
                    );
                    self.dropped = 0;
                }
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped += 1,
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            if writer.join().is_err() {
                eprintln!("underpass: access log: the writer has panicked");
            }
        }
    }
}

fn write_all(mut out: impl Write, lines: &Receiver<String>) {
    for line in lines {
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            eprintln!("underpass: access log: cannot be written, and ends here: {error}");
            return;
        }
    }
}
