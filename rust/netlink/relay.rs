// SPDX-License-Identifier: GPL-2.0
//! What a `route` allows of the response: `relay`, and what goes with it.

#![forbid(unsafe_code)]

use super::body::patience;
use super::gen::queue;
use super::refuse;
use crate::framing::{Framing, Side};
use crate::queue::{Arming, Queue};
use crate::sys::genl::{Refusal, Request};
use kernel::prelude::*;
use kernel::sync::Arc;

/// What `request` says, which moves a body of `framing` from `from` to `to`.
pub fn arming(
    request: &Request<'_>,
    from: &Arc<Queue>,
    to: &Queue,
    framing: Framing,
) -> Result<Option<Arming>, Refusal> {
    let patience = patience(request, queue::RELAY_IDLE_MS, queue::RELAY_IDLE_BYTES)?;
    let of_head = request.flag(queue::RELAY_HEAD);
    let Some(given) = request.bytes(queue::RELAY) else {
        return match (of_head, patience.idle_ms) {
            (false, None) => Ok(None),
            (true, _) => Err(alone(queue::RELAY_HEAD, "relay-head")),
            (false, Some(_)) => Err(alone(queue::RELAY_IDLE_MS, "relay-idle-ms")),
        };
    };
    if (from.side, to.side) != (Side::Front, Side::Back) {
        let (from, to) = (from.id, to.id);
        let words = "are not a client's queue and a back-end's";
        return Err(refuse!(
            EINVAL,
            queue::RELAY,
            "queues {from} and {to} {words}"
        ));
    }
    if framing.ends_by_fin() {
        let words = "nothing answers what is until close, or a tunnel";
        return Err(refuse!(EINVAL, queue::RELAY, "{words}"));
    }
    let Some(lines) = from.router.lines.name(given)? else {
        let words = "is not whole field lines";
        let shown = given.get(..80).unwrap_or(given).escape_ascii();
        return Err(refuse!(EINVAL, queue::RELAY, "'{shown}' {words}"));
    };
    Ok(Some(Arming {
        to: from.clone(),
        lines,
        of_head,
        patience,
    }))
}

fn alone(attr: u16, name: &str) -> Refusal {
    refuse!(EINVAL, attr, "'{name}' without 'relay'")
}
