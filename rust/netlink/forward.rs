// SPDX-License-Identifier: GPL-2.0
//! Commands about bodies: forward, route, cancel.

#![forbid(unsafe_code)]

use super::body::Body;
use super::gen::{cmd, queue, CANCEL_POLICY, FORWARD_POLICY, ROUTE_POLICY};
use super::queue::{check_open, own};
use super::relay::arming;
use super::reply::{self, SIZE};
use super::send::{check_quiet, keep, note, send_to};
use super::{engine, refuse, required, tell_first};
use crate::framing::{Framing, Refusal as Rule, Side, State};
use crate::queue::{cancel, follows, Move, Onward, Queue};
use crate::sys::genl::{Attr, Do, Refusal, Request};
use crate::sys::hook::Endpoint;
use crate::sys::message::Message;
use kernel::prelude::*;
use kernel::sync::Arc;

/// The rule that a command broke, in words.
fn broke(q: &Queue, given: u32, rule: Rule) -> Refusal {
    let id = q.id;
    match rule {
        Rule::Stale { have } => {
            refuse!(
                ESTALE,
                queue::GENERATION,
                "queue {id} is at generation {have}, not {given}"
            )
        }
        Rule::NotReady => refuse!(ENODATA, queue::ID, "no head waits in queue {id}"),
        Rule::OverLimit => {
            let words = "is over its limit: drain or abort it";
            refuse!(EMSGSIZE, queue::ID, "the head of queue {id} {words}")
        }
        Rule::Busy => refuse!(EBUSY, queue::ID, "a forward from queue {id} runs"),
        Rule::Taken(n) => {
            refuse!(
                EBADE,
                queue::TO,
                "{n} bytes of the body are gone: only discard is left"
            )
        }
        Rule::OtherFraming => {
            refuse!(
                EINVAL,
                queue::FRAMING,
                "the body of queue {id} began with another framing"
            )
        }
        Rule::Idle => refuse!(ENODATA, queue::ID, "no forward from queue {id} runs"),
        Rule::Ended => refuse!(EPIPE, queue::ID, "queue {id} receives nothing more"),
    }
}

/// `forward` and `route`: answers the head of queue `id`.
fn answer_head(request: &Request<'_>, data: &[u8], with_target: bool) -> Result<(), Refusal> {
    let engine = engine()?;
    let q = own(&engine, request, queue::ID, "id")?;
    let generation = required(request, queue::GENERATION, "generation")?;
    let target = match request.u32(queue::TO) {
        None if with_target => return Err(Refusal::missing(queue::TO, "to")),
        None => None,
        Some(_) => Some(own(&engine, request, queue::TO, "to")?),
    };
    if target.as_ref().is_some_and(|t| Arc::ptr_eq(t, &q)) {
        return Err(refuse!(
            EINVAL,
            queue::TO,
            "a queue cannot be its own target"
        ));
    }
    let body = Body::of(request)?;
    let framing = body.comes;
    let note = note(request, &q, target.as_deref())?;
    let armed = match &target {
        Some(target) => arming(request, &q, target, framing)?,
        None => None,
    };
    if let Some(target) = target.as_ref().filter(|_| request.flag(queue::IF_QUIET)) {
        // Before the source is locked: only one `inner` at a time. What comes in between
        // could as well have come just after.
        check_quiet(target, &mut target.inner.lock(), queue::TO)?;
    }
    let mut inner = q.inner.lock();
    check_open(request, &inner, &q)?;
    inner
        .rx
        .check(generation, framing, target.is_none())
        .map_err(|rule| broke(&q, generation, rule))?;
    // All memory first, so that nothing fails once something changed.
    let small = match &target {
        // Else it would count against what may wait there.
        Some(to) if body.leaves == framing && to.out.lock().unsent() == 0 => {
            q.small_body(&inner, framing).map(|body| (to, body))
        }
        _ => None,
    };
    let onward = match (framing, &small) {
        (Framing::None | Framing::Length(0), _) => Onward::Nothing,
        (_, Some((to, body))) => Onward::WithHead((*to).clone(), body.len() as u32),
        _ => Onward::Moves(Move::new(
            target.clone(),
            framing,
            body.leaves,
            body.trailers,
            body.patience,
        )?),
    };
    if let Some(target) = &target {
        // The head and the body's beginning leave together, if that is there already.
        let more = onward.moves() && follows(framing, inner.rx.head_len(), q.sock().readable());
        let with_head = small.as_ref().map_or(&[][..], |(_, body)| body);
        // A target that is being closed is refused by its output, which wants a FIN or broke.
        send_to(target, queue::TO, &[data, with_head], more, |out| {
            keep(note);
            out.sent = with_head.len() as u64;
            if onward.moves() {
                out.writer = Some(q.clone());
            }
            if let Some(armed) = armed {
                out.arm(armed);
            }
        })?;
    }
    if target.is_none() {
        keep(note);
    }
    // It was checked, and so cannot fail.
    let busy = q
        .begin(&mut inner, generation, framing, onward)
        .map_err(|rule| broke(&q, generation, rule))?;
    if q.side == Side::Back {
        // A head came up before what was allowed of the next one: that was meant for it.
        let _ = q.out.lock().disarm();
    }
    let busy = busy || inner.pending.done.is_some();
    drop(inner);
    if busy {
        Queue::kick(q.as_arc_borrow());
    }
    Ok(())
}

pub struct Forward;

impl Do for Forward {
    const CMD: u8 = cmd::FORWARD;
    const POLICY: &'static [Attr] = &FORWARD_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        answer_head(request, &[], false)
    }
}

pub struct Route;

impl Do for Route {
    const CMD: u8 = cmd::ROUTE;
    const POLICY: &'static [Attr] = &ROUTE_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let data = request
            .bytes(queue::DATA)
            .ok_or_else(|| Refusal::missing(queue::DATA, "data"))?;
        answer_head(request, data, true)
    }
}

pub struct Cancel;

impl Do for Cancel {
    const CMD: u8 = cmd::CANCEL;
    const POLICY: &'static [Attr] = &CANCEL_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let q = own(&engine, request, queue::ID, "id")?;
        let generation = required(request, queue::GENERATION, "generation")?;
        // Memory first: a refusal must have cancelled nothing.
        let mut message = Message::reply(request, Self::CMD, SIZE)?;
        {
            let mut inner = q.inner.lock();
            check_open(request, &inner, &q)?;
            if inner.rx.generation() != generation {
                let have = inner.rx.generation();
                return Err(broke(&q, generation, Rule::Stale { have }));
            }
            if matches!(inner.rx.state(), State::Moving { .. }) {
                cancel(&q, &mut inner);
            } else if q.out.lock().disarm().is_none() {
                return Err(broke(&q, generation, Rule::Idle));
            }
        }
        reply::queue(message.writer(), &q)?;
        tell_first(&engine, request.net(), request.portid());
        // It is cancelled, so a refusal would lie. Without room for the reply netlink says ENOBUFS, and a
        // dump tells.
        let _ = message.answer(request);
        Ok(())
    }
}
