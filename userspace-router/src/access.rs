// SPDX-License-Identifier: GPL-2.0
//! The access log: one line per exchange, on standard output.
//!
//! Lines are written by a separate thread, so that a reader that does not read cannot
//! stop the router; they are handed to it at each wake-up of the router, not one by one. Lines that
//! do not fit the queue are dropped and counted, as are lines that cannot be written: a full disk may
//! have room again later.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::ops::Deref;
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::exchange::Line;
use crate::say;

/// Batches of lines that may wait for the reader.
const WAITING_MAX: usize = 256;
/// How long the reader has for what is left when the log ends.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often it is tried in that time whether there is room.
const AGAIN: Duration = Duration::from_millis(10);
/// Bytes after which a batch is handed over, whatever follows.
const BATCH: usize = 16 << 10;
/// Bytes of lines that are kept where no further batch may wait: most batches are a few lines only.
const KEPT_MAX: usize = 1 << 20;

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
        Self::on(Arc::new(Mutex::new(Paper::new(out))))
    }

    /// One that is written to standard output, beside those of other routers of this process.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn on_stdout() -> io::Result<Self> {
        Self::on(&STDOUT)
    }

    fn on<W: Write>(
        paper: impl Deref<Target = Mutex<Paper<W>>> + Send + 'static,
    ) -> io::Result<Self> {
        let (batches, waiting) = sync_channel(WAITING_MAX);
        let (ends, ended) = sync_channel(0);
        Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                let _ends: SyncSender<()> = ends;
                write_all(&paper, &waiting, |words| say!("access log: {words}"));
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
            Err(TrySendError::Full(batch)) if batch.len() < KEPT_MAX => {
                self.batch = batch;
                self.lines = lines;
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped += lines,
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let until = Instant::now() + LAST_WORDS;
        self.flush();
        while self.lines > 0 && Instant::now() < until {
            std::thread::sleep(AGAIN);
            self.flush();
        }
        self.dropped += std::mem::take(&mut self.lines);
        self.tell_dropped();
        let Some(Out { batches, ended }) = self.out.take() else {
            return;
        };
        drop(batches);
        let left = until.saturating_duration_since(Instant::now());
        if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            say!("access log: its last lines were lost, because nobody read them");
        }
    }
}

/// Writes all batches that come, and tells of those that it cannot. No error is its end: a disk has room again, and
/// a named pipe another reader.
fn write_all<W: Write>(
    paper: &Mutex<Paper<W>>,
    batches: &Receiver<String>,
    mut tell: impl FnMut(String),
) {
    let mut lost = 0;
    for batch in batches {
        // What it knows is true after each of its steps.
        let mut paper = paper.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = paper.write(&batch);
        // Nobody else waits until that is told.
        drop(paper);
        match outcome {
            Ok(()) if lost > 0 => {
                tell(format!("is written again; {lost} lines were lost"));
                lost = 0;
            }
            Ok(()) => {}
            Err((error, lines)) => {
                if lost == 0 {
                    tell(format!("could not be written: {error}"));
                }
                lost += lines;
            }
        }
    }
    if lost > 0 {
        tell(format!(
            "{lost} lines were lost, as they could not be written"
        ));
    }
}

/// All routers of a process write on it, one batch after the other.
static STDOUT: Mutex<Paper<Stdout>> = Mutex::new(Paper::new(Stdout));

/// Standard output without the buffer of `std`, which does not tell how much of a batch is out when it fails.
#[derive(Debug)]
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What lines are written on.
#[derive(Debug)]
struct Paper<W> {
    out: W,
    /// Its last line is not whole.
    torn: bool,
}

impl<W: Write> Paper<W> {
    const fn new(out: W) -> Self {
        Self { out, torn: false }
    }

    /// Writes whole lines, none of them behind a torn one; else why not, and how many are not out.
    fn write(&mut self, lines: &str) -> Result<(), (io::Error, usize)> {
        let mut left = lines.as_bytes();
        let ended = match self.torn {
            true => self.put(&mut &b"\n"[..]),
            false => Ok(()),
        };
        ended.and_then(|()| self.put(&mut left)).map_err(|error| {
            let lost = left.iter().filter(|&&byte| byte == b'\n').count();
            (error, lost)
        })
    }

    /// Writes `bytes`, and leaves in there what is not written.
    fn put(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = match self.out.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            let (written, left) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
            self.torn = written.last() != Some(&b'\n');
            *bytes = left;
        }
        Ok(())
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

    /// A reader who pauses, while the router wakes up for each line.
    #[test]
    fn a_pause_of_the_reader_costs_no_lines_while_there_is_room_for_them() {
        let (go_on, paused) = channel();
        let (to, from) = channel();
        let mut log = AccessLog::new(Paused { paused, to }).unwrap();
        let record = Record::new(([127, 0, 0, 1], 1).into());
        let write = |log: &mut AccessLog| {
            log.write(Line {
                record: &record,
                request: None,
            });
            log.flush();
        };
        let lines = 4 * WAITING_MAX;
        for _ in 0..lines {
            write(&mut log);
        }
        drop(go_on);
        drop(log);
        let written: usize = from.iter().sum();
        assert_eq!(written, lines);
    }

    /// Takes nothing until the pause is over, and then tells how many lines it takes.
    struct Paused {
        paused: Receiver<()>,
        to: std::sync::mpsc::Sender<usize>,
    }

    impl Write for Paused {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _over = self.paused.recv();
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
            self.to.send(lines).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Has room for so many bytes each time that it is asked, and then none.
    struct Disk {
        rooms: Vec<usize>,
        written: String,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Some(room) = self.rooms.first_mut() else {
                self.written += std::str::from_utf8(bytes).unwrap();
                return Ok(bytes.len());
            };
            let count = bytes.len().min(*room);
            *room -= count;
            self.written += std::str::from_utf8(&bytes[..count]).unwrap();
            if count == 0 {
                self.rooms.remove(0);
                return Err(ErrorKind::StorageFull.into());
            }
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is told when these are written.
    fn told(out: impl Write, batches: &[&str]) -> Vec<String> {
        let (to, waiting) = sync_channel(batches.len());
        for batch in batches {
            to.send((*batch).to_owned()).unwrap();
        }
        drop(to);
        let mut told = Vec::new();
        write_all(&Mutex::new(Paper::new(out)), &waiting, |words| {
            told.push(words);
        });
        told
    }

    #[test]
    fn a_disk_that_is_full_for_a_while_costs_the_lines_of_that_time() {
        let mut disk = Disk {
            rooms: vec![6, 0, 0],
            written: String::new(),
        };
        let batches = ["a 1\na 2\na 3\n", "b 1\nb 2\n", "c 1\n", "d 1\n", "e 1\n"];
        assert_eq!(
            told(&mut disk, &batches),
            [
                "could not be written: no storage space",
                "is written again; 5 lines were lost"
            ]
        );
        assert_eq!(disk.written, "a 1\na \nd 1\ne 1\n");
    }

    #[test]
    fn a_disk_that_stays_full_is_told_of_once_and_at_the_end() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        assert_eq!(
            told(full.unwrap(), &["a 1\na 2\n", "b 1\n", "c 1\n"]),
            [
                "could not be written: No space left on device (os error 28)",
                "4 lines were lost, as they could not be written"
            ]
        );
    }
}
