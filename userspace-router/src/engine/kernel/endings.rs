// SPDX-License-Identifier: GPL-2.0
//! Commands that end a queue or a listener, and failed for lack of memory.
//!
//! Their sender has forgotten what they end, so they are repeated by a timer until they are done, or until the
//! kernel says that there is no such object. Invariant: `at` is set while there are any.

use tokio::time::Instant;

use underpass_proto::Command;

use super::{AGAIN, ENOBUFS, ENOMEM};
use crate::engine::Token;

/// See the file's head.
#[derive(Debug, Default)]
pub struct Endings {
    commands: Vec<(Box<Command>, Token)>,
    at: Option<Instant>,
}

impl Endings {
    /// Whether a command is one, of which nobody would know any more if it was not done.
    pub fn is_one(command: &Command) -> bool {
        Self::queue(command).is_some() || matches!(command, Command::ListenerDel { .. })
    }

    /// The queue that it ends.
    pub fn queue(command: &Command) -> Option<u32> {
        match *command {
            Command::QueueAbort { id } | Command::QueueDel { id } | Command::Drain { id, .. } => {
                Some(id)
            }
            _ => None,
        }
    }

    /// Whether one that met this error is to be given again.
    pub fn is_passing(errno: i32) -> bool {
        [ENOMEM, ENOBUFS].contains(&errno)
    }

    /// Keeps one for later.
    pub fn keep(&mut self, command: Box<Command>, token: Token) {
        self.commands.push((command, token));
        self.at.get_or_insert_with(|| Instant::now() + AGAIN);
    }

    /// When the next one is to be given again.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Takes those out that are to be given again now.
    pub fn due(&mut self) -> Vec<(Box<Command>, Token)> {
        match self.at {
            Some(at) if at <= Instant::now() => {
                self.at = None;
                std::mem::take(&mut self.commands)
            }
            _ => Vec::new(),
        }
    }
}
