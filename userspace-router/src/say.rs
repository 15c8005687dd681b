// SPDX-License-Identifier: GPL-2.0
//! Messages of the process, on standard error.
//!
//! Invariant: the reader may be gone (a logger that died, a journal that restarts), and the
//! router goes on. `eprintln!` would panic, and end it.

use std::fmt::Arguments;
use std::io::Write as _;

/// A line on standard error, if anybody reads it; formats as `format!` does.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}

/// Writes `words`, and goes on if it cannot.
pub fn line(words: Arguments<'_>) {
    // In one write, so that lines of several processes do not mix.
    let text = format!("underpass: {words}\n");
    if cfg!(test) {
        // The harness keeps what goes this way, and shows it where a test fails.
        return eprint!("{text}");
    }
    let _unread = std::io::stderr().write_all(text.as_bytes());
}
