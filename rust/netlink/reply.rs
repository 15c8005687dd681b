// SPDX-License-Identifier: GPL-2.0
//! How routers, listeners and queues look in replies and dumps.

#![forbid(unsafe_code)]

use super::gen::{framing, listener, queue, reason, result, router, side, state};
use crate::framing::{Ending, Framing, Reason, Side, State};
use crate::queue::{Life, Listener, Queue, Router};
use crate::sys::message::Writer;
use crate::sys::sock::Addr;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;

/// Version of the family that this module speaks.
const PROTOCOL: u32 = super::gen::FAMILY_VERSION as u32;

/// Room for the attributes of any object.
pub const SIZE: usize = 512;

pub fn router(out: &mut Writer, r: &Router) -> Result {
    out.u32(router::ID, r.id)?;
    out.u32(router::PORT, r.port())?;
    let (credit, grace, heads, waiting, overflows) = r.with(|s| {
        (
            s.credit,
            s.grace,
            s.heads_out,
            s.waiting.count(),
            s.overflows,
        )
    });
    out.u32(router::CREDIT, credit)?;
    out.u32(router::GRACE, grace)?;
    out.u32(router::PROTOCOL, PROTOCOL)?;
    out.u32(router::HEADS_OUT, heads)?;
    out.u32(router::WAITING, waiting)?;
    out.uint(router::OVERFLOWS, overflows)?;
    out.u32(router::QUEUES, r.queues.taken())?;
    out.u32(router::LISTENERS, r.listeners.taken())?;
    out.u32(router::QUEUES_MAX, r.queues_max())
}

pub fn listener(out: &mut Writer, l: &Listener) -> Result {
    out.u32(listener::ID, l.id)?;
    out.u32(listener::ROUTER, l.router.id)?;
    out.u32(listener::HEAD_LIMIT, l.terms.head_limit)?;
    out.uint(listener::ACCEPTED, l.accepted.load(Relaxed))?;
    out.bytes(listener::ADDRESS, l.local.ip())?;
    out.u16(listener::PORT, l.local.port)?;
    if l.terms.proxy_protocol {
        out.flag(listener::PROXY_PROTOCOL)?;
    }
    out.u32(listener::HEAD_MS, l.terms.head_ms)?;
    out.u32(listener::CONNECTIONS, l.terms.connections)?;
    out.u32(listener::OPEN, l.open_now())?;
    match l.local.scope_id {
        0 => Ok(()),
        scope_id => out.u32(listener::SCOPE_ID, scope_id),
    }
}

pub fn queue(out: &mut Writer, q: &Queue) -> Result {
    out.u32(queue::ID, q.id)?;
    out.u32(queue::SIDE, side_number(q.side))?;
    out.u32(queue::ROUTER, q.router.id)?;
    if q.listener != 0 {
        out.u32(queue::LISTENER, q.listener)?;
    }
    out.u32(queue::HEAD_LIMIT, q.head_limit)?;
    received(out, q)?;
    {
        let sending = q.out.lock();
        out.uint(queue::SENT, sending.sent)?;
        out.u32(queue::UNSENT, sending.unsent())?;
        if let Some(to) = sending.armed_to() {
            out.u32(queue::RELAY_TO, to)?;
        }
    }
    let note = q.note.load(Relaxed);
    if note != 0 {
        out.uint(queue::NOTE, note)?;
    }
    addresses(out, q)?;
    out.uint(queue::RX_BYTES, q.rx_bytes.load(Relaxed))?;
    out.uint(queue::TX_BYTES, q.tx_bytes.load(Relaxed))
}

/// The receiving half.
fn received(out: &mut Writer, q: &Queue) -> Result {
    let inner = q.inner.lock();
    let (number, body) = match inner.rx.state() {
        _ if inner.life != Life::Open => (state::DRAINING, None),
        State::Collecting(_) => (state::COLLECTING, None),
        State::Ready { .. } => (state::READY, None),
        State::Moving { body, .. } => (state::MOVING, Some(body)),
        State::Parked(body) => (state::PARKED, Some(body)),
        State::Ended(_) => (state::ENDED, None),
    };
    out.u32(queue::STATE, number)?;
    out.u32(queue::GENERATION, inner.rx.generation())?;
    if let Some(moving) = &inner.moving {
        if let Some(target) = &moving.target {
            out.u32(queue::TO, target.id)?;
            out.u32(queue::TO_FRAMING, framing_numbers(moving.leaves).0)?;
        }
        if let Some(ms) = moving.idle_ms {
            out.u32(queue::IDLE_MS, ms)?;
        }
        if let Some(pace) = moving.pace {
            out.u32(queue::IDLE_BYTES, pace.bytes())?;
        }
    } else if let (State::Parked(_), Some(done)) = (inner.rx.state(), &inner.pending.done) {
        // The router can tell a forward that was refused from one whose end it was not told yet.
        if done.to != 0 {
            out.u32(queue::TO, done.to)?;
        }
    }
    if let Some(relayed) = &inner.relayed {
        out.u16(queue::STATUS, relayed.status)?;
    }
    if let Some(body) = body {
        let (number, length) = framing_numbers(body.framing());
        out.u32(queue::FRAMING, number)?;
        if let Some(length) = length {
            out.uint(queue::LENGTH, length)?;
        }
    }
    out.uint(queue::TAKEN, inner.rx.taken())?;
    let (why, mut errno) = match inner.rx.state() {
        State::Ended(why) => reason_numbers(why),
        _ => (reason::NONE, 0),
    };
    out.u32(queue::REASON, why)?;
    if let Some(ending) = inner.last {
        let (how, error) = result_numbers(ending);
        out.u32(queue::RESULT, how)?;
        errno = if errno == 0 { error } else { errno };
    }
    out.u32(queue::ERROR, errno)
}

pub fn addresses(out: &mut Writer, q: &Queue) -> Result {
    address(out, queue::PEER_ADDRESS, queue::PEER_PORT, &q.peer)?;
    address(out, queue::LOCAL_ADDRESS, queue::LOCAL_PORT, &q.local)
}

fn address(out: &mut Writer, ip: u16, port: u16, addr: &Addr) -> Result {
    if addr.ip().is_empty() {
        return Ok(());
    }
    out.bytes(ip, addr.ip())?;
    out.u16(port, addr.port)
}

pub fn side_number(s: Side) -> u32 {
    match s {
        Side::Front => side::FRONT,
        Side::Back => side::BACK,
    }
}

fn framing_numbers(f: Framing) -> (u32, Option<u64>) {
    match f {
        Framing::None => (framing::NONE, None),
        Framing::Length(n) => (framing::LENGTH, Some(n)),
        Framing::Chunked => (framing::CHUNKED, None),
        Framing::UntilClose => (framing::UNTIL_CLOSE, None),
        Framing::Tunnel => (framing::TUNNEL, None),
    }
}

/// The wire's number and errno of a reason.
pub fn reason_numbers(r: Reason) -> (u32, u32) {
    match r {
        Reason::Fin => (reason::FIN, 0),
        Reason::FinInHead => (reason::FIN_IN_HEAD, 0),
        Reason::FinInBody => (reason::FIN_IN_BODY, 0),
        Reason::Reset(errno) => (reason::RESET, errno),
        Reason::BodyEnd => (reason::BODY_END, 0),
        Reason::Malformed => (reason::MALFORMED, 0),
    }
}

/// The wire's number and errno of a forward's end.
pub fn result_numbers(e: Ending) -> (u32, u32) {
    match e {
        Ending::Complete => (result::COMPLETE, 0),
        Ending::Cancelled => (result::CANCELLED, 0),
        Ending::Truncated => (result::TRUNCATED, 0),
        Ending::SourceError(errno) => (result::SOURCE_ERROR, errno),
        Ending::TargetError(errno) => (result::TARGET_ERROR, errno),
        Ending::Malformed => (result::MALFORMED, 0),
        Ending::SourceStalled => (result::SOURCE_STALLED, 0),
        Ending::TargetStalled => (result::TARGET_STALLED, 0),
        Ending::SourceSlow => (result::SOURCE_SLOW, 0),
        Ending::TargetSlow => (result::TARGET_SLOW, 0),
    }
}
