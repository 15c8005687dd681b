// SPDX-License-Identifier: GPL-2.0
//! What a router may command, and what is refused with which errno.
//!
//! Invariant: everything is checked before anything is changed.

use std::time::Duration;

use tokio::time::Instant;
use underpass_framing::{Ending, Framing, Refusal};
use underpass_proto::Command;

use super::queue::{Closing, EPIPE};
use super::table::Table;

const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const EBADE: i32 = 52;
const ENODATA: i32 = 61;
const EMSGSIZE: i32 = 90;
const EOPNOTSUPP: i32 = 95;
const ESTALE: i32 = 116;

type Outcome = Result<(), (i32, &'static str)>;

impl Table {
    /// Does a command about queues.
    pub fn command(&mut self, command: Command) -> Outcome {
        match command {
            Command::Send { id, data, .. } => {
                self.check_writer(id, data.len())?;
                self.send(id, &data)
            }
            Command::Forward {
                id,
                generation,
                to,
                body,
            } => self.forward(id, generation, to, body.framing, &[]),
            Command::Route {
                id,
                generation,
                to,
                body,
                data,
                ..
            } => self.forward(id, generation, Some(to), body.framing, &data),
            Command::Cancel { id, generation } => {
                self.check_there(id)?;
                let queue = self.queues.get(&id);
                if queue.is_some_and(|queue| queue.receiver.generation() != generation) {
                    return Err((ESTALE, "another head came since"));
                }
                match self.park(id, Ending::Cancelled) {
                    true => Ok(()),
                    false => Err((ENODATA, "nothing moves")),
                }
            }
            Command::QueueDel { id } => self.end(id, Closing::Flush),
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

    fn check_there(&self, id: u32) -> Outcome {
        let queue = self.queues.get(&id);
        match queue.is_some_and(|queue| matches!(queue.closing, Closing::No)) {
            true => Ok(()),
            false => Err((ENOENT, "no such queue")),
        }
    }

    fn check_writer(&self, id: u32, bytes: usize) -> Outcome {
        self.check_there(id)?;
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
        queue.wake.notify_one();
        Ok(())
    }

    fn forward(
        &mut self,
        id: u32,
        generation: u32,
        to: Option<u32>,
        framing: underpass_proto::Framing,
        data: &[u8],
    ) -> Outcome {
        let framing = match framing {
            underpass_proto::Framing::None => Framing::None,
            underpass_proto::Framing::Length(bytes) => Framing::Length(bytes),
            underpass_proto::Framing::UntilClose => Framing::UntilClose,
            underpass_proto::Framing::Chunked | underpass_proto::Framing::Tunnel => {
                return Err((EOPNOTSUPP, "this framing is not known yet"));
            }
        };
        self.check_there(id)?;
        if to == Some(id) {
            return Err((EINVAL, "a queue cannot be its own target"));
        }
        if let Some(to) = to {
            self.check_writer(to, data.len())?;
        }
        let Some(queue) = self.queues.get_mut(&id) else {
            return Err((ENOENT, "no such queue"));
        };
        if queue.stream.is_none() {
            return Err((EPIPE, "the connection was reset"));
        }
        let answer = queue
            .receiver
            .answer(generation, framing, to.is_none())
            .map_err(errno)?;
        queue.consume(answer.drop_head as usize);
        queue.answered = generation;
        queue.target = to.filter(|_| answer.moving);
        queue.wake.notify_one();
        if !answer.moving {
            self.look_ahead(id);
        }
        let Some(to) = to else {
            return Ok(());
        };
        if let Some(target) = self.queues.get_mut(&to).filter(|_| answer.moving) {
            target.source = Some(id);
            target.sent = 0;
        }
        if data.is_empty() {
            return Ok(());
        }
        self.send(to, data)
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
