// SPDX-License-Identifier: GPL-2.0
//! Commands that the kernel may still have something to say about.
//!
//! Commands are sent without asking for acknowledgements: no news is good news. Whatever
//! the kernel says about a datagram waits in the socket when sending returns, so once the
//! socket is empty, what is left here and needs no answer was done.
//!
//! Invariant: ordered by sequence number; sockets are held until the kernel has them.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};

use underpass_proto::{Command, QueueInfo, Side, State};

use crate::engine::Token;

/// What is expected.
#[derive(Debug)]
pub enum Wants {
    /// Silence. For an answer to a head: its queue and generation.
    Nothing(Option<(u32, u32)>),
    /// The new queue; the socket is closed here then.
    Queue(TcpStream),
    /// The new listener.
    #[expect(dead_code, reason = "held open until the kernel has it")]
    Listener(TcpListener),
    /// How much was taken, from this queue and generation.
    Cancel(u32, u32),
    /// The attached router.
    Router,
    /// Whose router it is.
    Owner,
}

/// A command that was sent.
#[derive(Debug)]
pub struct Entry {
    pub sequence: u32,
    pub token: Token,
    pub name: &'static str,
    pub wants: Wants,
}

/// What a dump says about a command of which the answer was lost.
pub enum Found {
    /// It was done, and this is the queue.
    Done(Box<QueueInfo>),
    /// It was not done.
    Refused,
    /// It was done, or nobody can say.
    Silence,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Pending {
    entries: VecDeque<Entry>,
}

impl Wants {
    /// What a command without socket wants.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Cancel { id, generation } => Self::Cancel(*id, *generation),
            Command::Forward { id, generation, .. } | Command::Route { id, generation, .. } => {
                Self::Nothing(Some((*id, *generation)))
            }
            Command::RouterAttach { .. } => Self::Router,
            _ => Self::Nothing(None),
        }
    }
}

impl Pending {
    pub fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Takes the command with this number out.
    pub fn take(&mut self, sequence: u32) -> Option<Entry> {
        let at = self
            .entries
            .iter()
            .position(|entry| entry.sequence == sequence)?;
        self.entries.remove(at)
    }

    /// The socket is empty: those that want silence have it.
    pub fn settle(&mut self) {
        self.entries
            .retain(|entry| !matches!(entry.wants, Wants::Nothing(_)));
    }

    /// Takes all out that were sent before number `sequence`, which may have wrapped.
    pub fn before(&mut self, sequence: u32) -> Vec<Entry> {
        self.taken(|entry| (entry.sequence.wrapping_sub(sequence) as i32) < 0)
    }

    /// Takes number `sequence` and all after it out.
    pub fn since(&mut self, sequence: u32) -> Vec<Entry> {
        self.taken(|entry| (entry.sequence.wrapping_sub(sequence) as i32) >= 0)
    }

    fn taken(&mut self, is: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let (taken, left): (VecDeque<_>, _) = self.entries.drain(..).partition(is);
        self.entries = left;
        taken.into()
    }
}

impl Entry {
    /// What became of it, by a dump of all queues.
    pub fn look_up(&self, queues: &[QueueInfo]) -> Found {
        let by_id = |id: u32| queues.iter().find(move |queue| queue.id == id);
        match &self.wants {
            Wants::Nothing(None) | Wants::Router | Wants::Owner => Found::Silence,
            Wants::Nothing(Some((id, generation))) => match by_id(*id) {
                Some(queue) if queue.state == State::Ready && queue.generation == *generation => {
                    Found::Refused
                }
                _ => Found::Silence,
            },
            Wants::Queue(socket) => {
                let ends: (Option<SocketAddr>, _) =
                    (socket.local_addr().ok(), socket.peer_addr().ok());
                let same = |queue: &&QueueInfo| (queue.local, queue.peer) == ends;
                match queues.iter().find(same) {
                    Some(queue) => Found::Done(Box::new(queue.clone())),
                    None => Found::Refused,
                }
            }
            Wants::Listener(_) => Found::Refused,
            Wants::Cancel(id, generation) => match by_id(*id) {
                Some(queue) if queue.generation == *generation && cancelled(queue) => {
                    Found::Done(Box::new(queue.clone()))
                }
                _ => Found::Refused,
            },
        }
    }
}

/// A body that moved is parked. Of a back-end that was to answer no head has come since, and
/// if one comes it is shown.
fn cancelled(queue: &QueueInfo) -> bool {
    let collects = queue.state == State::Collecting && queue.side == Side::Back;
    queue.state == State::Parked || (collects && queue.relay_to.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u32, wants: Wants) -> Entry {
        Entry {
            sequence,
            token: Token(0),
            name: "forward",
            wants,
        }
    }

    #[test]
    fn silence_settles_and_answers_are_found_by_number() {
        let mut pending = Pending::default();
        pending.push(entry(u32::MAX, Wants::Nothing(None)));
        pending.push(entry(0, Wants::Cancel(1, 1)));
        pending.push(entry(1, Wants::Nothing(None)));
        assert!(pending.take(7).is_none());
        assert_eq!(pending.take(1).map(|entry| entry.sequence), Some(1));
        pending.settle();
        assert!(pending.take(u32::MAX).is_none());
        pending.push(entry(2, Wants::Router));
        let old: Vec<_> = pending
            .before(2)
            .iter()
            .map(|entry| entry.sequence)
            .collect();
        assert_eq!(old, [0]);
        pending.push(entry(3, Wants::Router));
        pending.push(entry(4, Wants::Router));
        let numbers = |entries: Vec<Entry>| entries.iter().map(|e| e.sequence).collect::<Vec<_>>();
        assert_eq!(numbers(pending.since(3)), [3, 4]);
        assert!(pending.take(2).is_some());
    }
}
