// SPDX-License-Identifier: GPL-2.0
//! All queues, and what moves between them.
//!
//! One lock guards the whole table, and nothing waits under it: every read and write is
//! tried without blocking. That makes this engine simple enough to be the oracle of the
//! other one; it is no more parallel than a single core.
//!
//! Invariants: a queue has one writer; a part of a body is never ended as if it were whole
//! (the target is reset); events of a queue come in the order head, done, closed.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use underpass_framing::{Broken, Ending, Fin, Next, Reason, Side, State};
use underpass_proto::{Closed, Done, Event, ForwardResult, Head};

use super::queue::{Closing, Queue, ECONNRESET};
use crate::engine::Incoming;

/// Reads and writes of one step; then other queues have their turn.
const ROUNDS: usize = 16;

/// What the task of a queue waits for.
#[derive(Debug)]
pub struct Wait {
    pub stream: Arc<TcpStream>,
    pub read: bool,
    pub write: bool,
    pub error: bool,
    pub until: Option<Instant>,
    /// For nothing: there is more to do.
    pub again: bool,
}

/// Why a move does not go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pump {
    /// The source has nothing.
    Source,
    /// The target takes nothing.
    Target,
    /// The move has ended.
    Over,
    /// It could go on.
    Again,
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
        self.next = self.next.wrapping_add(1).max(1);
        self.next
    }

    pub fn add(&mut self, stream: TcpStream, side: Side, limit: u32, listener: Option<u32>) -> u32 {
        let id = self.next_id();
        self.queues
            .insert(id, Queue::new(stream, side, limit, listener));
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
        let (source, broken) = (queue.source, queue.write_broken);
        let mut write = !flushed;
        let mut again = false;
        if let Some(source) = source {
            if broken {
                self.park(source, Ending::TargetError(ECONNRESET));
            } else if flushed {
                match self.pump(source) {
                    Pump::Target => write = true,
                    Pump::Again => again = true,
                    Pump::Source | Pump::Over => self.wake(source),
                }
            }
        }
        if !matches!(self.queues.get(&id)?.closing, Closing::No) {
            return self.close(id, flushed);
        }
        let read = self.receive(id, &mut again);
        let queue = self.queues.get(&id)?;
        Some(Wait {
            stream: queue.stream.clone()?,
            read: read && !queue.at_end,
            write,
            error: queue.is_waiting() && queue.broken.is_none(),
            until: None,
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
                    if queue.scan() {
                        self.tell_head(id);
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
                        return false;
                    }
                    Pump::Over => {}
                    Pump::Again => break,
                },
                State::Ready { .. } | State::Parked(_) => {
                    queue.notice_error();
                    if queue.broken.is_some() && queue.receiver.side() == Side::Front {
                        self.input_ended(id);
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

    /// Moves body bytes from a queue to its target, or throws them away.
    fn pump(&mut self, id: u32) -> Pump {
        for _ in 0..ROUNDS {
            let Some(queue) = self.queues.get_mut(&id) else {
                return Pump::Over;
            };
            let Next::Content(allowance) = queue.receiver.next() else {
                return Pump::Over;
            };
            let most = usize::try_from(allowance).unwrap_or(usize::MAX);
            if queue.pending().is_empty() {
                if queue.at_end {
                    self.input_ended(id);
                    return Pump::Over;
                }
                if !queue.fill(most) {
                    return Pump::Source;
                }
                continue;
            }
            let offer = queue.pending().len().min(most);
            let moved = match queue.target {
                None => offer,
                Some(to) => match self.offer(id, to, offer) {
                    None => return Pump::Target,
                    Some(Ok(moved)) => moved,
                    Some(Err(errno)) => {
                        self.park(id, Ending::TargetError(errno));
                        return Pump::Over;
                    }
                },
            };
            let Some(queue) = self.queues.get_mut(&id) else {
                return Pump::Over;
            };
            queue.consume(moved);
            queue.receiver.take(moved as u64);
            if queue.receiver.finish() {
                self.look_ahead(id);
                self.move_ended(id, Ending::Complete);
                return Pump::Over;
            }
        }
        Pump::Again
    }

    /// Tells a head that is there already before the `done` of the body in front of it: a
    /// router that gives the connection to somebody else then knows that it is not clean.
    pub(super) fn look_ahead(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if queue.scan() || (queue.fill(queue.head_limit) && queue.scan()) {
            self.tell_head(id);
        }
    }

    /// Offers the first bytes of one queue's input to another's socket.
    fn offer(&mut self, id: u32, to: u32, bytes: usize) -> Option<Result<usize, u32>> {
        // Taken out of the table for a moment, to have both in hand.
        let Some(mut target) = self.queues.remove(&to) else {
            return Some(Err(ECONNRESET));
        };
        let outcome = match self.queues.get(&id) {
            Some(source) if target.unsent() == 0 || target.flush() => {
                target.put(source.pending().get(..bytes).unwrap_or_default())
            }
            _ => None,
        };
        self.queues.insert(to, target);
        outcome
    }

    /// Everything received was used, and nothing follows.
    fn input_ended(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let ending = match queue.broken {
            Some(errno) => match queue.receiver.broken(errno) {
                Broken::Later => return,
                Broken::Ended => None,
                Broken::MoveEnded(ending) => Some(ending),
            },
            None => match queue.receiver.fin() {
                Fin::Later => return,
                Fin::Ended => None,
                Fin::MoveEnded(ending) => Some(ending),
            },
        };
        if let Some(ending) = ending {
            self.move_ended(id, ending);
        }
        self.tell_closed(id);
    }

    /// Stops a move; the queue is parked.
    pub(super) fn park(&mut self, id: u32, ending: Ending) -> bool {
        let parked = self
            .queues
            .get_mut(&id)
            .is_some_and(|queue| queue.receiver.park().is_ok());
        if parked {
            self.move_ended(id, ending);
            self.wake(id);
        }
        parked
    }

    /// Parts source and target, and tells how the move ended.
    fn move_ended(&mut self, id: u32, ending: Ending) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let to = queue.target.take();
        let carries_fin = queue.receiver.state() == State::Ended(Reason::BodyEnd);
        let (result, error) = match ending {
            Ending::Complete => (ForwardResult::Complete, 0),
            Ending::Truncated => (ForwardResult::Truncated, 0),
            Ending::SourceError(errno) => (ForwardResult::SourceError, errno),
            Ending::Cancelled => (ForwardResult::Cancelled, 0),
            Ending::TargetError(errno) => (ForwardResult::TargetError, errno),
            Ending::Malformed => (ForwardResult::Malformed, 0),
            Ending::SourceStalled => (ForwardResult::SourceStalled, 0),
            Ending::TargetStalled => (ForwardResult::TargetStalled, 0),
        };
        let done = Done {
            id,
            generation: queue.answered,
            to,
            result,
            error,
            taken: queue.receiver.taken(),
        };
        self.tell(Incoming::Event(Event::Done(done)));
        let Some(to) = to else {
            return;
        };
        if let Some(target) = self.queues.get_mut(&to) {
            target.source = None;
            target.fin_after |= carries_fin;
            target.wake.notify_one();
        }
        if ending.aborts_target() {
            self.reset(to);
        }
    }

    /// Resets a connection; the queue stays until the router ends it.
    pub(super) fn reset(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        queue.reset();
        let source = queue.source;
        if let Some(source) = source {
            self.park(source, Ending::TargetError(ECONNRESET));
        }
        self.input_ended(id);
        self.tell_closed(id);
    }

    /// Ends what moves from and to a queue that is being closed.
    pub(super) fn part(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        queue.told_end = true;
        let source = queue.source.take();
        let target = queue.target.take();
        if let Some(source) = source {
            self.park(source, Ending::TargetError(ECONNRESET));
        }
        if let Some(target) = target {
            if let Some(target) = self.queues.get_mut(&target) {
                target.source = None;
            }
            self.reset(target);
        }
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
        match &mut queue.closing {
            Closing::No => {}
            Closing::Flush => over |= flushed,
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
                over |= left == 0 || Instant::now() >= end || (queue.at_end && flushed);
                queue.closing = Closing::Drain {
                    bytes: left,
                    until: end,
                };
                until = Some(end);
            }
        }
        if over {
            self.remove(id);
            return None;
        }
        Some(Wait {
            stream: queue.stream.clone()?,
            read: until.is_some() && !queue.at_end,
            write: !flushed,
            error: true,
            until,
            again,
        })
    }

    fn tell_head(&mut self, id: u32) {
        let Some(queue) = self.queues.get(&id) else {
            return;
        };
        let State::Ready { len, over_limit } = queue.receiver.state() else {
            return;
        };
        let head = Head {
            id,
            generation: queue.receiver.generation(),
            side: side(queue.receiver.side()),
            listener: queue.listener,
            head: queue
                .pending()
                .get(..len as usize)
                .unwrap_or_default()
                .to_vec(),
            over_limit,
            sent: queue.sent,
            peer: queue.peer,
            local: queue.local,
        };
        self.tell(Incoming::Event(Event::Head(head)));
    }

    fn tell_closed(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut queue.told_end, true) {
            return;
        }
        if queue.listener.is_some() && queue.receiver.generation() == 0 {
            // The router never heard of it.
            return self.remove(id);
        }
        use underpass_proto::Reason as Told;
        let (reason, error) = match queue.receiver.state() {
            State::Ended(Reason::Fin) => (Told::Fin, 0),
            State::Ended(Reason::FinInHead) => (Told::FinInHead, 0),
            State::Ended(Reason::FinInBody) => (Told::FinInBody, 0),
            State::Ended(Reason::BodyEnd) => (Told::BodyEnd, 0),
            State::Ended(Reason::Malformed) => (Told::Malformed, 0),
            State::Ended(Reason::Reset(errno)) => (Told::Reset, errno),
            _ => (Told::Reset, queue.broken.unwrap_or(ECONNRESET)),
        };
        let closed = Closed {
            id,
            generation: queue.receiver.generation(),
            side: side(queue.receiver.side()),
            reason,
            error,
            taken: queue.receiver.taken(),
            sent: queue.sent,
        };
        self.tell(Incoming::Event(Event::Closed(closed)));
    }

    pub(super) fn wake(&self, id: u32) {
        if let Some(queue) = self.queues.get(&id) {
            queue.wake.notify_one();
        }
    }

    fn wake_target(&self, id: u32) {
        if let Some(to) = self.queues.get(&id).and_then(|queue| queue.target) {
            self.wake(to);
        }
    }
}

fn side(side: Side) -> underpass_proto::Side {
    match side {
        Side::Front => underpass_proto::Side::Front,
        Side::Back => underpass_proto::Side::Back,
    }
}
