// SPDX-License-Identifier: GPL-2.0
//! All queues, and what each does next.
//!
//! One lock guards the whole table, and nothing waits under it: every read and write is
//! tried without blocking. That makes this engine simple enough to be the oracle of the
//! other one. It is no more parallel than a single core: several routers, each with a table, are.
//!
//! Invariants: a queue has one writer; events of a queue come in the order head, relayed, done,
//! closed.

use foldhash::{HashMap, HashMapExt as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use underpass_framing::{Receiver, Side, State};

use super::pump::Pump;
use super::queue::{Closing, Queue};
use super::stream::Stream;
use crate::engine::{Incoming, Listen};

/// Reads and writes of one step; then other queues have their turn.
pub(super) const ROUNDS: usize = 4;

/// What the task of a queue waits for.
#[derive(Debug)]
pub struct Wait {
    pub stream: Arc<Stream>,
    pub read: bool,
    pub write: bool,
    pub error: bool,
    pub until: Option<Instant>,
    /// For nothing: there is more to do.
    pub again: bool,
}

#[derive(Debug)]
pub struct Table {
    pub(super) queues: HashMap<u32, Queue>,
    next: u32,
    /// Unbounded, but what is in it is not: a queue tells a head, a done and a closed, and
    /// then waits for an answer.
    events: UnboundedSender<Incoming>,
}

impl Table {
    pub fn new(events: UnboundedSender<Incoming>) -> Self {
        Self {
            queues: HashMap::new(),
            next: 0,
            events,
        }
    }

    pub fn next_id(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1).max(1);
            // After 2^32 of them an old one may still have its number.
            if !self.queues.contains_key(&self.next) {
                return self.next;
            }
        }
    }

    /// `from` names the listener and its terms.
    pub fn add(
        &mut self,
        stream: Stream,
        side: Side,
        limit: u32,
        from: Option<(u32, Listen)>,
    ) -> u32 {
        let id = self.next_id();
        let receiver = match from {
            Some((_, terms)) if terms.proxy_protocol => Receiver::with_prelude(side, limit),
            _ => Receiver::new(side, limit),
        };
        let mut queue = Queue::new(stream, receiver, limit, from.map(|(listener, _)| listener));
        queue.head_due = from.map(|(_, terms)| {
            let time = Duration::from_millis(terms.head_ms.into());
            Instant::now() + time
        });
        self.queues.insert(id, queue);
        id
    }

    pub fn tell(&self, incoming: Incoming) {
        // The receiver is gone only while the engine is being dropped.
        let _nobody = self.events.send(incoming);
    }

    /// Does all that can be done for a queue now. `None` if it is gone.
    pub fn step(&mut self, id: u32) -> Option<Wait> {
        let queue = self.queues.get_mut(&id)?;
        let flushed = queue.flush();
        let mut write = !flushed;
        let mut again = false;
        if let Some(source) = queue.source {
            match self.pump(source) {
                Pump::Target => write = true,
                Pump::Again => again = true,
                // It waits for its own socket; or hears, once this step is over, that this
                // one broke.
                Pump::Source | Pump::Over => self.wake(source),
            }
        }
        if !matches!(self.queues.get(&id)?.closing, Closing::No) {
            return self.close(id, flushed);
        }
        let read = self.receive(id, &mut again);
        if self.queues.get_mut(&id)?.end_if_late() {
            return self.step(id);
        }
        let head_due = self.queues.get(&id)?.waits_until();
        let until = self.keep_time(id).or(head_due);
        self.tell_relayed(id);
        let queue = self.queues.get(&id)?;
        Some(Wait {
            stream: queue.stream.clone()?,
            read: read && !queue.at_end,
            write,
            error: !read && queue.watches_for_error(),
            until,
            again,
        })
    }

    /// Receives what there is. True if more would be welcome.
    fn receive(&mut self, id: u32, again: &mut bool) -> bool {
        for _ in 0..ROUNDS {
            let Some(queue) = self.queues.get_mut(&id) else {
                return false;
            };
            match queue.receiver.state() {
                State::Collecting(_) => {
                    if queue.keeps_answers_waiting() {
                        queue.notice_error();
                        return false;
                    }
                    if queue.scan() {
                        self.head_ready(id);
                    } else if queue.at_end {
                        self.input_ended(id);
                        return false;
                    } else if !queue.fill(queue.head_limit) {
                        return true;
                    }
                }
                State::Moving { .. } => match self.pump(id) {
                    Pump::Source => return true,
                    Pump::Target => {
                        self.wake_target(id);
                        if self.breaks_behind_target(id) {
                            self.input_ended(id);
                        }
                        return false;
                    }
                    Pump::Over => {}
                    Pump::Again => break,
                },
                State::Ready { .. } | State::Parked(_) => {
                    queue.notice_error();
                    if queue.broken.is_some() {
                        self.input_ended(id);
                    } else if queue.holds_head && !queue.keeps_answers_waiting() {
                        self.head_ready(id);
                    }
                    return false;
                }
                State::Ended(_) => {
                    queue.notice_error();
                    return false;
                }
            }
        }
        *again = true;
        true
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Some(queue) = self.queues.remove(&id) {
            queue.wake.notify_one();
        }
    }

    /// The last steps of `queue-del` and `drain`.
    fn close(&mut self, id: u32, flushed: bool) -> Option<Wait> {
        let queue = self.queues.get_mut(&id)?;
        let mut over = queue.write_broken || queue.stream.is_none();
        let (mut until, mut again) = (None, false);
        let mut drains = false;
        match &mut queue.closing {
            Closing::No => {}
            Closing::Flush { until: end } => {
                over |= flushed || Instant::now() >= *end;
                until = Some(*end);
            }
            Closing::Drain { bytes, until: end } => {
                let (mut left, end) = (*bytes, *end);
                for round in 0..=ROUNDS {
                    again = round == ROUNDS;
                    if again || left == 0 || !queue.fill(usize::MAX) {
                        break;
                    }
                    let have = queue.pending().len();
                    queue.consume(have);
                    left = left.saturating_sub(have as u64);
                    if queue.at_end {
                        break;
                    }
                }
                // What is left unread may end the connection with a reset: not before all was sent.
                over |= Instant::now() >= end || (flushed && (queue.at_end || left == 0));
                drains = left > 0;
                queue.closing = Closing::Drain {
                    bytes: left,
                    until: end,
                };
                until = Some(end);
            }
        }
        if over {
            if !flushed {
                // The peer must not take a part of what was sent for the whole.
                queue.reset();
            }
            self.remove(id);
            return None;
        }
        Some(Wait {
            stream: queue.stream.clone()?,
            read: drains && !queue.at_end,
            write: !flushed,
            error: true,
            until,
            again,
        })
    }

    pub(super) fn wake(&self, id: u32) {
        if let Some(queue) = self.queues.get(&id) {
            queue.wake.notify_one();
        }
    }

    fn breaks_behind_target(&mut self, id: u32) -> bool {
        let queue = self.queues.get_mut(&id);
        queue.is_some_and(Queue::breaks_behind_target)
    }

    fn wake_target(&self, id: u32) {
        if let Some(to) = self.queues.get(&id).and_then(|queue| queue.target()) {
            self.wake(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::engine::Socket;

    #[tokio::test]
    async fn a_number_that_is_in_use_is_not_given_again() {
        let (events, _kept) = tokio::sync::mpsc::unbounded_channel();
        let mut table = Table::new(events);
        let add = |table: &mut Table| {
            let (mine, _theirs) = UnixStream::pair().unwrap();
            let stream = Stream::new(Socket::Unix(mine)).unwrap();
            table.add(stream, Side::Back, 64, None)
        };
        assert_eq!((add(&mut table), add(&mut table)), (1, 2));
        table.remove(1);
        // Some weeks later.
        table.next = u32::MAX - 1;
        let numbers = [(); 3].map(|()| add(&mut table));
        assert_eq!(numbers, [u32::MAX, 1, 3]);
    }
}
