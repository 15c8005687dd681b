// SPDX-License-Identifier: GPL-2.0
//! What a router may command, and what is refused with which errno.
//!
//! Invariant: everything is checked before anything is changed. The order of the checks is
//! the kernel's: ranges, the named queues, the body, whether the target is quiet, the source, the
//! target.

use std::time::Duration;

use tokio::time::Instant;
use underpass_framing::{Ending, Refusal};
use underpass_proto::gen::{DATA_MAX, TRAILERS_MAX};
use underpass_proto::{Body, Command, Relay};

use super::moving::Move;
use super::queue::{Closing, Queue, EPIPE, FAREWELL};
use super::relay::{self, Arming};
use super::table::Table;
use super::terms::Terms;

pub const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
pub const EINVAL: i32 = 22;
pub const ERANGE: i32 = 34;
const ENOTEMPTY: i32 = 39;
const EBADE: i32 = 52;
const ENODATA: i32 = 61;
const EMSGSIZE: i32 = 90;
const EOPNOTSUPP: i32 = 95;
const ESTALE: i32 = 116;

/// How long data that was accepted may take to go out after `queue-del`.
const FLUSH_TIME: Duration = Duration::from_secs(30);
/// The longest `limit-ms`, an hour.
const DRAIN_MS_MAX: u32 = 3_600_000;
/// The longest `idle-ms`, a day.
const IDLE_MS_MAX: u32 = 86_400_000;

/// What a `route` has that a `forward` has not.
#[derive(Default)]
struct Extra<'a> {
    data: &'a [u8],
    if_quiet: bool,
    relay: Option<Relay>,
}

pub type Outcome = Result<(), (i32, &'static str)>;

impl Table {
    /// Does a command about queues.
    pub fn command(&mut self, command: Command) -> Outcome {
        check_ranges(&command)?;
        match command {
            // Notes are for a successor, which an engine in this process cannot have.
            Command::Send {
                id, data, if_quiet, ..
            } => {
                self.check_there(id)?;
                if if_quiet {
                    self.check_quiet(id)?;
                }
                self.check_writer(id, data.len())?;
                self.send(id, &data)
            }
            Command::Forward {
                id,
                generation,
                to,
                body,
            } => self.forward(id, generation, to, body, Extra::default()),
            Command::Route {
                id,
                generation,
                to,
                body,
                data,
                if_quiet,
                relay,
            } => {
                let extra = Extra {
                    data: &data,
                    if_quiet,
                    relay,
                };
                self.forward(id, generation, Some(to), body, extra)
            }
            Command::Cancel { id, generation } => {
                self.check_there(id)?;
                let queue = self.queues.get(&id);
                if queue.is_some_and(|queue| queue.receiver.generation() != generation) {
                    return Err((ESTALE, "another head came since"));
                }
                if self.park(id, Ending::Cancelled) {
                    return Ok(());
                }
                let queue = self.queues.get_mut(&id);
                match queue.and_then(|queue| queue.armed.take()) {
                    Some(_) => self.tell_done(id, None, Ending::Cancelled),
                    None => return Err((ENODATA, "nothing moves")),
                }
                Ok(())
            }
            Command::QueueDel { id } => {
                let queue = self.queues.get(&id);
                let (bytes, time) = FAREWELL;
                let closing = match queue.is_some_and(Queue::keeps_answers_waiting) {
                    // What it sent ahead would, unread, make a reset of the close, which takes the answers back.
                    true => Closing::Drain {
                        bytes,
                        until: Instant::now() + time,
                    },
                    false => Closing::Flush {
                        until: Instant::now() + FLUSH_TIME,
                    },
                };
                self.end(id, closing)
            }
            Command::QueueAbort { id } => {
                self.check_there(id)?;
                self.part(id);
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.reset();
                }
                self.remove(id);
                Ok(())
            }
            Command::Drain {
                id,
                limit_bytes,
                limit_ms,
            } => {
                let time = Duration::from_millis(limit_ms.unwrap_or(5_000).into());
                let closing = Closing::Drain {
                    bytes: limit_bytes.unwrap_or(1 << 20),
                    until: Instant::now() + time,
                };
                self.end(id, closing)
            }
            _ => Err((EOPNOTSUPP, "the engine `user` does not know this command")),
        }
    }

    pub(super) fn check_there(&self, id: u32) -> Outcome {
        let queue = self.queues.get(&id);
        match queue.is_some_and(|queue| matches!(queue.closing, Closing::No)) {
            true => Ok(()),
            false => Err((ENOENT, "no such queue")),
        }
    }

    fn check_quiet(&mut self, id: u32) -> Outcome {
        let Some(queue) = self.queues.get_mut(&id) else {
            return Err((ENOENT, "no such queue"));
        };
        if queue.is_quiet() {
            queue.receiver.turn();
            return Ok(());
        }
        // What was found there is its task's business.
        queue.wake.notify_one();
        queue.can_send(0)?;
        Err((ENOTEMPTY, "the target received what was not answered"))
    }

    pub(super) fn check_writer(&self, id: u32, bytes: usize) -> Outcome {
        let Some(queue) = self.queues.get(&id) else {
            return Err((ENOENT, "no such queue"));
        };
        if queue.source.is_some() {
            return Err((EBUSY, "a forward into this queue runs"));
        }
        queue.can_send(bytes)
    }

    fn send(&mut self, id: u32, data: &[u8]) -> Outcome {
        let Some(queue) = self.queues.get_mut(&id) else {
            return Err((ENOENT, "no such queue"));
        };
        queue.send(data)?;
        // What was allowed of the next head was about what was sent before.
        queue.armed = None;
        queue.wake.notify_one();
        Ok(())
    }

    fn forward(
        &mut self,
        id: u32,
        generation: u32,
        to: Option<u32>,
        body: Body,
        extra: Extra<'_>,
    ) -> Outcome {
        let Extra {
            data,
            if_quiet,
            relay,
        } = extra;
        self.check_there(id)?;
        if let Some(to) = to {
            self.check_there(to)?;
        }
        if to == Some(id) {
            return Err((EINVAL, "a queue cannot be its own target"));
        }
        let discard = to.is_none();
        let terms = Terms::new(body)?;
        let framing = terms.framing;
        if let (Some(relay), Some(to)) = (&relay, to) {
            self.check_relay(id, to, framing, relay)?;
        }
        if let Some(to) = to.filter(|_| if_quiet) {
            self.check_quiet(to)?;
        }
        let Some(queue) = self.queues.get(&id) else {
            return Err((ENOENT, "no such queue"));
        };
        queue
            .receiver
            .check(generation, framing, discard)
            .map_err(errno)?;
        if queue.stream.is_none() {
            return Err((EPIPE, "the connection was reset"));
        }
        if let Some(to) = to {
            self.check_writer(to, data.len())?;
        }
        let Some(queue) = self.queues.get_mut(&id) else {
            return Err((ENOENT, "no such queue"));
        };
        let answer = queue
            .receiver
            .answer(generation, framing, discard)
            .map_err(errno)?;
        queue.consume(answer.drop_head as usize);
        queue.answered = generation;
        // A head came up before what was allowed of the next one: that was meant for it.
        queue.armed = None;
        queue.moving = answer.moving.then(|| Move::new(terms, to));
        queue.moved_at = Instant::now();
        queue.wake.notify_one();
        if !answer.moving {
            self.look_ahead(id);
        }
        let Some(to) = to else {
            return Ok(());
        };
        self.send(to, data)?;
        if let Some(target) = self.queues.get_mut(&to) {
            target.armed = relay.map(|relay| Arming { to: id, relay });
            if answer.moving {
                target.source = Some(id);
                target.sent = 0;
            }
        }
        Ok(())
    }

    fn end(&mut self, id: u32, closing: Closing) -> Outcome {
        self.check_there(id)?;
        self.part(id);
        if let Some(queue) = self.queues.get_mut(&id) {
            if queue.stream.is_none() {
                self.remove(id);
                return Ok(());
            }
            queue.fin_after = matches!(closing, Closing::Drain { .. });
            queue.closing = closing;
            let have = queue.pending().len();
            if matches!(closing, Closing::Drain { .. }) {
                queue.consume(have);
            }
            queue.wake.notify_one();
        }
        Ok(())
    }
}

/// What the kernel's policies refuse.
fn check_ranges(command: &Command) -> Outcome {
    let (data, body) = match command {
        Command::Send { data, .. } => (data.as_slice(), None),
        Command::Forward { body, .. } => (&[][..], Some(body)),
        Command::Route {
            data, body, relay, ..
        } => {
            relay.as_ref().map_or(Ok(()), relay::check_ranges)?;
            (data.as_slice(), Some(body))
        }
        Command::Drain { limit_ms, .. } if limit_ms.is_some_and(|ms| ms > DRAIN_MS_MAX) => {
            return Err((ERANGE, "`limit-ms` is 3600000 at the most"));
        }
        _ => return Ok(()),
    };
    if data.len() > DATA_MAX as usize {
        return Err((ERANGE, "`data` is too long for one command"));
    }
    let Some(body) = body else {
        return Ok(());
    };
    if body.trailers.len() > TRAILERS_MAX as usize {
        return Err((ERANGE, "`trailers` is too long"));
    }
    check_patience(body.idle_ms, body.idle_bytes)
}

/// `idle-ms` and `idle-bytes`, or those of a response that is passed on.
pub fn check_patience(ms: Option<u32>, bytes: Option<u32>) -> Outcome {
    match (ms, bytes) {
        (Some(ms), _) if !(1..=IDLE_MS_MAX).contains(&ms) => {
            Err((ERANGE, "`idle-ms` is from 1 to 86400000"))
        }
        (_, Some(0)) => Err((ERANGE, "`idle-bytes` is from 1")),
        (None, Some(_)) => Err((EINVAL, "`idle-bytes` needs `idle-ms`")),
        _ => Ok(()),
    }
}

/// As `docs/netlink.md` lists them.
fn errno(refusal: Refusal) -> (i32, &'static str) {
    match refusal {
        Refusal::Stale { .. } => (ESTALE, "another head came since"),
        Refusal::NotReady => (ENODATA, "no head waits"),
        Refusal::OverLimit => (EMSGSIZE, "a head over its limit can only be ended"),
        Refusal::Busy => (EBUSY, "a forward from this queue runs"),
        Refusal::Taken(_) => (EBADE, "part of the body is gone"),
        Refusal::OtherFraming => (EINVAL, "the first attempt had another framing"),
        Refusal::Idle => (ENODATA, "nothing moves"),
        Refusal::Ended => (EPIPE, "the queue receives nothing more"),
    }
}
