// SPDX-License-Identifier: GPL-2.0
//! Objects and events as the module could report them, for tests.

use underpass_proto::gen::Reason;
use underpass_proto::{QueueInfo, Side, State};

/// A connection with its third head, in this state; nothing else is known of it.
pub fn queue(id: u32, side: Side, state: State) -> QueueInfo {
    QueueInfo {
        id,
        side,
        router: 1,
        listener: None,
        head_limit: 32_768,
        state,
        generation: 3,
        to: None,
        framing: None,
        taken: 0,
        sent: 0,
        result: None,
        reason: Reason::None,
        error: 0,
        peer: None,
        local: None,
        rx_bytes: 0,
        tx_bytes: 0,
        unsent: 0,
        to_framing: None,
        idle_ms: None,
        idle_bytes: None,
        status: None,
        relay_to: None,
        note: 0,
    }
}
