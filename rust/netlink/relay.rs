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
        let words = "'relay' is from a front to a back queue, not from";
        return Err(refuse!(EINVAL, queue::RELAY, "{words} {from} to {to}"));
    }
    if framing.ends_by_fin() {
        let words = "'relay' needs a request that does not end by FIN";
        return Err(refuse!(EINVAL, queue::RELAY, "{words}"));
    }
    let Some(lines) = from.router.lines.name(given)? else {
        // What is shown may be cut, so it stands last.
        let shown = given.get(..40).unwrap_or(given).escape_ascii();
        return Err(refuse!(
            EINVAL,
            queue::RELAY,
            "not whole field lines: '{shown}'"
        ));
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
