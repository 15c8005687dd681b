// SPDX-License-Identifier: GPL-2.0
//! Passes on to the client a response that the router need not see.
//!
//! Invariants: a queue is armed for one head, and whichever comes disarms it; so does whatever
//! else is sent or answered there, and a body into it that does not end complete. A
//! head that is not passed on is untouched.

use tokio::time::Instant;
use underpass_framing::{is_field_lines, relay, Ending, Framing, Side, State, CRLF};
use underpass_proto::gen::RELAY_MAX;
use underpass_proto::Relay;

use super::command::{check_patience, Outcome, EINVAL, ERANGE};
use super::moving::Move;
use super::table::Table;
use super::terms::{Patience, Terms};

/// What a `route` allowed of the next head.
#[derive(Debug)]
pub struct Arming {
    /// The client's queue.
    pub to: u32,
    pub relay: Relay,
}

/// A response that moves and was not shown.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    pub status: u16,
    /// The router knows.
    pub told: bool,
}

/// What the kernel's policies refuse.
pub fn check_ranges(relay: &Relay) -> Outcome {
    if relay.lines.len() > RELAY_MAX as usize {
        return Err((ERANGE, "`relay` is too long"));
    }
    check_patience(relay.idle_ms, relay.idle_bytes)
}

impl Table {
    /// Whether a route from `id` to `to` may allow this.
    pub(super) fn check_relay(&self, id: u32, to: u32, framing: Framing, relay: &Relay) -> Outcome {
        let side = |id| self.queues.get(&id).map(|queue| queue.receiver.side());
        if (side(id), side(to)) != (Some(Side::Front), Some(Side::Back)) {
            return Err((EINVAL, "`relay` is from a client's queue to a back-end's"));
        }
        if framing.ends_by_fin() {
            return Err((EINVAL, "`relay` needs a request that does not end by FIN"));
        }
        match is_field_lines(&relay.lines) {
            true => Ok(()),
            false => Err((EINVAL, "`relay` is not whole field lines")),
        }
    }

    /// A head is ready: it is passed on or told.
    pub(super) fn head_ready(&mut self, id: u32) {
        if let Some(queue) = self.queues.get_mut(&id) {
            // Its answer would have to wait in the router's memory. `receive` tells it.
            queue.holds_head = queue.receiver.side() == Side::Front && queue.source.is_some();
            if queue.holds_head {
                return;
            }
        }
        if self.pass_on(id).is_none() {
            // It may stand behind a response that is being passed on, and must not be taken for it.
            self.tell_relayed(id);
            self.tell_head(id);
        }
    }

    fn pass_on(&mut self, id: u32) -> Option<()> {
        let queue = self.queues.get_mut(&id)?;
        let Arming { to, relay: terms } = queue.armed.take()?;
        let State::Ready {
            len,
            over_limit: false,
        } = queue.receiver.state()
        else {
            return None;
        };
        if queue.source.is_some() {
            return None;
        }
        let response = relay(queue.pending().get(..len as usize)?, terms.of_head)?;
        let (status, framing) = (response.status, response.framing);
        let mut data = Vec::with_capacity(response.size() + terms.lines.len() + CRLF.len());
        response.pieces(|piece| data.extend_from_slice(piece));
        data.extend_from_slice(&terms.lines);
        data.extend_from_slice(CRLF);
        self.check_there(to).ok()?;
        self.check_writer(to, data.len()).ok()?;
        let queue = self.queues.get_mut(&id)?;
        let generation = queue.receiver.generation();
        let answer = queue.receiver.answer(generation, framing, false).ok()?;
        queue.consume(answer.drop_head as usize);
        queue.answered = generation;
        queue.moved_at = Instant::now();
        queue.passing = Some(Passing {
            status,
            told: false,
        });
        if answer.moving {
            let patience = Patience {
                idle_ms: terms.idle_ms,
                idle_bytes: terms.idle_bytes,
            };
            queue.moving = Some(Move::new(Terms::plain(framing, patience), Some(to)));
            queue.wake.notify_one();
        } else {
            self.tell_done(id, Some(to), Ending::Complete);
        }
        let target = self.queues.get_mut(&to)?;
        target.sent = 0;
        target.source = answer.moving.then_some(id);
        // It was checked.
        let _sent = target.send(&data);
        target.wake.notify_one();
        Some(())
    }
}
