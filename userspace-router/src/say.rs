// SPDX-License-Identifier: GPL-2.0
//! Messages of the process, on standard error.
//!
//! Invariant: the reader may be gone (a logger that died, a journal that restarts), or read no more,
//! and the router goes on: a line for which there is no room is dropped, and counted. `eprintln!` would
//! panic, or wait.

use std::fmt::Arguments;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use rustix::event::{poll, PollFd, PollFlags, Timespec};

/// Bytes that a pipe takes whole if it takes any (pipe(7)). What a line has beyond that is cut off.
const PIPE_BUF: usize = 4096;

/// Lines since the last one that was written.
static LOST: Mutex<u64> = Mutex::new(0);

/// A line on standard error, if anybody reads it; formats as `format!` does.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}

/// Writes `words`, and goes on if it cannot.
pub fn line(words: Arguments<'_>) {
    if cfg!(test) {
        // The harness keeps what goes this way, and shows it where a test fails.
        return eprintln!("underpass: {words}");
    }
    let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    if *lost > 0
        && write(format_args!(
            "{lost} lines were lost here, because nobody read them"
        ))
    {
        *lost = 0;
    }
    if *lost > 0 || !write(words) {
        *lost += 1;
    }
}

/// False if it would have to wait. Nobody of this process writes meanwhile; of another one that shares a pipe
/// with it that is not known.
fn write(words: Arguments<'_>) -> bool {
    if !has_room() {
        return false;
    }
    // In one write, so that lines of several processes do not mix.
    let mut text = format!("underpass: {words}").into_bytes();
    text.truncate(PIPE_BUF - 1);
    text.push(b'\n');
    // An error is that of a reader who is gone, and nobody's who comes later.
    let _unread = io::stderr().write_all(&text);
    true
}

/// Whether a write returns at once, be it with an error.
fn has_room() -> bool {
    let stderr = io::stderr();
    let mut wanted = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ready = rustix::io::retry_on_intr(|| poll(&mut wanted, Some(&at_once)));
    ready.is_ok_and(|ready| ready > 0)
}
