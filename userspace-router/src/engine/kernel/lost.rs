// SPDX-License-Identifier: GPL-2.0
//! What is done when messages of the module were lost: a dump of all queues shows the outcome of the commands.
//!
//! Invariant: after a loss, no command counts as done until a dump requested after it is complete.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

use underpass_proto::Command;

use super::pending::Found;
use super::{EngineError, KernelEngine, ENOBUFS};
use crate::say;

/// How often in a row a dump may be asked for in vain, and how long to wait in between: memory may be short.
pub(super) const DUMPS: u32 = 10;
pub(super) const AGAIN: Duration = Duration::from_millis(500);

impl KernelEngine {
    pub(super) fn overflow(&mut self) {
        self.overflows += 1;
        if !self.lost {
            say!(
                "engine kernel: messages were lost ({} times so far): asking again",
                self.overflows
            );
        }
        self.lost = true;
    }

    pub(super) fn start_dump(&mut self) {
        self.lost = false;
        self.again = None;
        self.sequence = self.sequence.wrapping_add(1);
        if self.batch.is_empty() {
            self.batch_from = self.sequence;
        }
        self.dump = Some((self.sequence, Vec::new()));
        let encoded =
            Command::QueueDump.append(self.channel.family, self.sequence, false, &mut self.batch);
        if let Err(error) = encoded {
            // It has no attribute that could be too long.
            say!("engine kernel: {error}");
        }
        self.flush();
    }

    /// The dump did not come, or not all of it: it is asked for again a little later.
    pub(super) fn not_dumped(&mut self, why: &dyn Display) {
        say!("engine kernel: the dump failed: {why}");
        self.dump = None;
        self.lost = true;
        self.in_vain += 1;
        self.again = Some(Instant::now() + AGAIN);
    }

    /// The dump is over: answers that were lost are found in it.
    pub(super) fn dumped(&mut self) {
        let Some((sequence, queues)) = self.dump.take() else {
            return;
        };
        self.in_vain = 0;
        if self.lost {
            // It is asked again when all was read.
            return;
        }
        let mut entries = self.pending.before(sequence);
        while let Some(entry) = entries.pop_front() {
            match entry.look_up(&queues, entries.make_contiguous()) {
                Found::Done(queue) => self.done(&entry, &queue),
                Found::Refused => self.undone(entry, ENOBUFS, "the answer was lost".to_owned()),
                Found::Silence => {}
            }
        }
        // What was lost may have been the word that it is another's.
        if self.id != 0 {
            self.ask_owner();
        }
    }
}

pub(super) fn in_vain() -> EngineError {
    EngineError::Failed(format!(
        "messages of the module were lost, and what became of its connections was asked {DUMPS} times in vain"
    ))
}
