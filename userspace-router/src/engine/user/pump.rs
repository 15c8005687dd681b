// SPDX-License-Identifier: GPL-2.0
//! Moves bodies, and ends the moves.
//!
//! A move goes on in turns: what is staged goes into the target's socket, then the next batch
//! is taken. Invariants: no byte is taken while the target has not taken all that came
//! before; a part of a body is never ended as if it were whole (the target is reset).

use std::time::Duration;

use tokio::time::Instant;
use underpass_framing::{Broken, Ending, Fin, Framing};

use super::queue::{Queue, ECONNABORTED, ECONNRESET};
use super::table::{Table, ROUNDS};

/// Why a move does not go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pump {
    /// The source has nothing.
    Source,
    /// The target takes nothing.
    Target,
    /// The move has ended.
    Over,
    /// It could go on.
    Again,
}

impl Table {
    /// Moves body bytes from a queue to its target, or throws them away.
    pub(super) fn pump(&mut self, id: u32) -> Pump {
        for _ in 0..ROUNDS {
            match self.turn(id) {
                Pump::Again => {}
                other => return other,
            }
        }
        Pump::Again
    }

    fn turn(&mut self, id: u32) -> Pump {
        match self.hand_over(id) {
            Ok(true) => {}
            Ok(false) => return Pump::Target,
            Err(errno) => {
                self.park(id, Ending::TargetError(errno));
                return Pump::Over;
            }
        }
        let Some(queue) = self.queues.get_mut(&id) else {
            return Pump::Over;
        };
        if queue.moving.is_none() {
            return Pump::Over;
        }
        if queue.receiver.finish() {
            self.look_ahead(id);
            self.move_ended(id, Ending::Complete);
            return Pump::Over;
        }
        if queue.pending().is_empty() {
            if queue.at_end {
                if queue.end_by_fin() {
                    return Pump::Again;
                }
                self.input_ended(id);
                return Pump::Over;
            }
            if !queue.fill(usize::MAX) {
                return Pump::Source;
            }
        }
        let before = queue.receiver.taken();
        if queue.take().is_err() {
            queue.receiver.malformed();
            self.move_ended(id, Ending::Malformed);
            self.tell_closed(id);
            return Pump::Over;
        }
        if queue.receiver.taken() > before {
            queue.moved_at = Instant::now();
        }
        Pump::Again
    }

    /// Puts what is staged into the target's socket, behind what the router sent. True if
    /// all of it went; else the errno for which nothing ever will.
    fn hand_over(&mut self, id: u32) -> Result<bool, u32> {
        let Some(to) = self.queues.get(&id).and_then(|queue| queue.target()) else {
            return Ok(true);
        };
        // The head in front of a body leaves in the same packets as what is there of it.
        let more = self.queues.get(&id).is_some_and(Queue::has_more);
        // Taken out of the table for a moment, to have both in hand.
        let mut target = self.queues.remove(&to).ok_or(ECONNRESET)?;
        let mut outcome = target.ready(more);
        if let Some(source) = self.queues.get_mut(&id) {
            while let (Ok(true), Some(moving)) = (outcome, &mut source.moving) {
                if moving.staging.is_empty() {
                    break;
                }
                outcome = match target.put(moving.staging.bytes()) {
                    Some(Ok(put)) => {
                        moving.staging.advance(put);
                        source.moved_at = Instant::now();
                        Ok(true)
                    }
                    Some(Err(errno)) => Err(errno),
                    None => Ok(false),
                };
            }
        }
        self.queues.insert(to, target);
        outcome
    }

    /// Tells a head that is there already before the `done` of the body in front of it: a
    /// router that gives the connection to somebody else then knows that it is not clean.
    pub(super) fn look_ahead(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if queue.keeps_answers_waiting() {
            return;
        }
        if queue.scan() || (queue.fill(queue.head_limit) && queue.scan()) {
            self.head_ready(id);
        }
    }

    /// Everything received was used, and nothing follows.
    pub(super) fn input_ended(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        // A body that came whole came before the connection broke.
        let whole = queue.fin_read && queue.moving.is_some();
        let ending = match queue.broken.filter(|_| !whole) {
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
        let Some(moving) = self.queues.get_mut(&id).and_then(|q| q.moving.take()) else {
            return;
        };
        self.tell_done(id, moving.target, ending);
        let Some(to) = moving.target else {
            return;
        };
        if let Some(target) = self.queues.get_mut(&to) {
            target.source = None;
            if ending != Ending::Complete {
                target.armed = None;
            }
            target.fin_after |= ending == Ending::Complete && moving.terms.leaves.ends_by_fin();
            target.wake.notify_one();
        }
        if ending.aborts_target() {
            self.reset(to);
        }
    }

    /// When the move from a queue is late, and whether its target has not taken all it was
    /// given. A tunnel is late when both its directions are.
    fn late(&self, id: u32) -> Option<(Instant, bool)> {
        let queue = self.queues.get(&id)?;
        let moving = queue.moving.as_ref()?;
        let idle = Duration::from_millis(moving.terms.patience.idle_ms?.into());
        let target = moving.target.and_then(|to| self.queues.get(&to));
        let mut since = queue.moved_at;
        let mut holds = !moving.staging.is_empty();
        if let Some(target) = target {
            holds |= target.unsent() > 0;
            if moving.terms.framing == Framing::Tunnel {
                since = since.max(target.moved_at);
            }
        }
        Some((since + idle, holds))
    }

    /// Whether the move from a queue is quick enough so far, and when it next has to be.
    fn keeps_pace(&mut self, id: u32, now: Instant) -> (bool, Option<Instant>) {
        let target = self.queues.get(&id).and_then(|queue| queue.target());
        let sent = target.and_then(|to| self.queues.get(&to)).map(|to| to.sent);
        let Some(queue) = self.queues.get_mut(&id) else {
            return (true, None);
        };
        // What the target did not take may be with us, and does not count.
        let moved = sent.unwrap_or(queue.receiver.taken());
        let Some(moving) = &mut queue.moving else {
            return (true, None);
        };
        let began = moving.began;
        let Some(pace) = &mut moving.pace else {
            return (true, None);
        };
        let passed = now.saturating_duration_since(began).as_millis() as u64;
        let enough = passed < pace.due() || pace.keeps_up(passed, moved);
        (enough, Some(began + Duration::from_millis(pace.due())))
    }

    /// Ends a move that stood still for too long, or is too slow. Says when to look again.
    pub(super) fn keep_time(&mut self, id: u32) -> Option<Instant> {
        let now = Instant::now();
        let (at, holds) = self.late(id)?;
        let slow = now < at;
        if slow {
            let (enough, next) = self.keeps_pace(id, now);
            if enough {
                return Some(next.map_or(at, |next| at.min(next)));
            }
        }
        let ending = match (holds, slow) {
            (true, false) => Ending::TargetStalled,
            (false, false) => Ending::SourceStalled,
            (true, true) => Ending::TargetSlow,
            (false, true) => Ending::SourceSlow,
        };
        self.park(id, ending);
        None
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
        queue.armed = None;
        let source = queue.source.take();
        let target = queue.moving.take().and_then(|moving| moving.target);
        if let Some(source) = source {
            self.park(source, Ending::TargetError(ECONNABORTED));
        }
        if let Some(target) = target {
            if let Some(target) = self.queues.get_mut(&target) {
                target.source = None;
            }
            self.reset(target);
        }
    }
}
