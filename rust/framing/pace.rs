// SPDX-License-Identifier: GPL-2.0
//! The minimum rate of a body: a number of bytes in each of consecutive time windows.
//!
//! It counts nothing itself: the clock shows it, now and then, how much has moved so far.
//! Invariant: a window is judged once, and not before it is over; one that is judged late is
//! judged by everything that moved until then.

/// Bytes per time; times are milliseconds of any clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    bytes: u32,
    ms: u32,
    /// When the window began.
    since: u64,
    /// What had moved by then.
    had: u64,
}

impl Pace {
    /// `bytes` in each `ms`, from `now` on.
    pub fn new(bytes: u32, ms: u32, now: u64) -> Self {
        Self {
            bytes,
            ms,
            since: now,
            had: 0,
        }
    }

    /// Bytes that have to move in each window.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// When the window is over.
    pub fn due(&self) -> u64 {
        self.since.saturating_add(self.ms.into())
    }

    /// The window is over, and `moved` bytes did in all: false if that is too little. Another one
    /// begins.
    pub fn keeps_up(&mut self, now: u64, moved: u64) -> bool {
        let enough = moved.saturating_sub(self.had) >= self.bytes.into();
        self.since = now;
        self.had = moved;
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_needs_its_bytes() {
        let mut pace = Pace::new(10, 100, 1_000);
        assert_eq!((pace.bytes(), pace.due()), (10, 1_100));
        assert!(pace.keeps_up(1_100, 10));
        assert_eq!(pace.due(), 1_200);
        // Late: the next one begins late.
        assert!(pace.keeps_up(1_250, 20));
        assert_eq!(pace.due(), 1_350);
        assert!(!pace.keeps_up(1_350, 29));
        // What was too much for one does not count for the next.
        assert!(pace.keeps_up(1_450, 1_000));
        assert!(!pace.keeps_up(1_550, 1_009));
    }
}
