// SPDX-License-Identifier: GPL-2.0
//! The access log: one line an exchange, on standard output.
//!
//! Lines are written by a thread of their own, so that a reader who does not read cannot
//! stop the router; they are handed to it at each wake-up of the router, not one by one. What
//! does not fit the queue is dropped and counted.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::Builder;
use std::time::Duration;

use crate::exchange::Line;
use crate::say;

/// Batches of lines that may wait for the reader.
const WAITING_MAX: usize = 256;
/// How long the reader has for what is left when the log ends.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Bytes after which a batch is handed over, whatever follows.
const BATCH: usize = 16 << 10;

/// Where lines are handed in. Dropping it waits until they are written, or nobody has read them for too long.
#[derive(Debug)]
pub struct AccessLog {
    out: Option<Out>,
    /// Lines that the writer has not got yet, and their number.
    batch: String,
    lines: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Out {
    batches: SyncSender<String>,
    /// Of which the writer drops the other end.
    ended: Receiver<()>,
}

impl AccessLog {
    /// A log that is written to `out`, by a thread of its own.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (batches, waiting) = sync_channel(WAITING_MAX);
        let (ends, ended) = sync_channel(0);
        Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                let _ends: SyncSender<()> = ends;
                write_all(out, &waiting);
            })?;
        let mut log = Self::off();
        log.out = Some(Out { batches, ended });
        Ok(log)
    }

    /// No log.
    pub fn off() -> Self {
        Self {
            out: None,
            batch: String::new(),
            lines: 0,
            dropped: 0,
        }
    }

    /// Adds a line.
    pub fn write(&mut self, line: Line) {
        if self.out.is_none() {
            return;
        }
        // A `String` takes everything.
        let _always = writeln!(self.batch, "{line}");
        self.lines += 1;
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn tell_dropped(&mut self) {
        match std::mem::take(&mut self.dropped) {
            0 => {}
            lines => say!("access log: {lines} lines were lost, because nobody read them"),
        }
    }

    /// Hands over what was added.
    pub fn flush(&mut self) {
        let Some(out) = self.out.as_ref().filter(|_| self.lines > 0) else {
            return;
        };
        let capacity = self.batch.capacity().min(BATCH);
        let batch = std::mem::replace(&mut self.batch, String::with_capacity(capacity));
        let lines = std::mem::take(&mut self.lines);
        match out.batches.try_send(batch) {
            Ok(()) => self.tell_dropped(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped += lines,
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
        self.tell_dropped();
        let Some(Out { batches, ended }) = self.out.take() else {
            return;
        };
        drop(batches);
        if ended.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            say!("access log: its last lines were lost, because nobody read them");
        }
    }
}

fn write_all(mut out: impl Write, batches: &Receiver<String>) {
    for batch in batches {
        if let Err(error) = out.write_all(batch.as_bytes()).and_then(|()| out.flush()) {
            say!("access log: cannot be written, and ends here: {error}");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::exchange::Record;

    /// A pipe that nobody reads, until the test is over.
    struct Unread(Receiver<()>);

    impl Write for Unread {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _over = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_does_not_read_cannot_keep_it_from_ending() {
        let (_until, over) = channel();
        let mut log = AccessLog::new(Unread(over)).unwrap();
        let record = Record::new(([127, 0, 0, 1], 1).into());
        log.write(Line {
            record: &record,
            request: None,
        });
        drop(log);
    }
}
