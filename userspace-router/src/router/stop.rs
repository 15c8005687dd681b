// SPDX-License-Identifier: GPL-2.0
//! How a router stops: nothing more is accepted, running exchanges may finish, and those not over in
//! time are cut off.
//!
//! Invariant: an exchange that is cut off ends by reset on both sides, so that nobody mistakes a part
//! of a body for the whole.

use std::time::Instant;

use underpass_proto::Command;

use super::Router;
use crate::engine::Engine;

impl<E: Engine> Router<E> {
    /// From now on no exchange begins.
    pub(super) fn begin_to_stop(&mut self, now: Instant) {
        self.stop_by = Some(now + self.limits.shutdown);
        for (id, _) in std::mem::take(&mut self.listeners) {
            self.end(Command::ListenerDel { id });
        }
        let mut idle = Vec::new();
        for (&id, front) in &mut self.fronts {
            match &mut front.exchange {
                Some(exchange) => exchange.stop(),
                None => idle.push(id),
            }
        }
        for id in idle {
            self.close_front(id);
        }
        for queue in self.pool.idle() {
            self.close_back(queue);
        }
    }

    /// Ends everything now, whatever runs. Returns the number of exchanges that ran.
    pub fn cut_off(&mut self, now: Instant) -> usize {
        let fronts: Vec<_> = self.fronts.keys().copied().collect();
        let mut running = 0;
        for id in fronts {
            if self.exchange(id).is_some() {
                running += 1;
            }
            self.with_exchange(id, now, |exchange| exchange.cut_off(now));
        }
        self.log.flush();
        self.engine.shutdown();
        running
    }
}
