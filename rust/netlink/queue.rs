// SPDX-License-Identifier: GPL-2.0
//! Commands about queues.

#![forbid(unsafe_code)]

use super::gen::{cmd, framing, queue, side};
use super::gen::{CANCEL_POLICY, DRAIN_POLICY, FORWARD_POLICY, ROUTE_POLICY, SEND_POLICY};
use super::gen::{HEAD_LIMIT_DEFAULT, SEND_LIMIT};
use super::gen::{QUEUE_ABORT_POLICY, QUEUE_ADD_POLICY, QUEUE_DEL_POLICY, QUEUE_GET_POLICY};
use super::listener::usable;
use super::{check_owner, engine, refuse, reply, required, sender};
use crate::framing::{Framing, Refusal as Rule, Side, State};
use crate::queue::{cancel, close, Engine, How, Inner, Life, Move, Output, Queue, ENGINE};
use crate::sys::genl::{Attr, Do, List, Refusal, Request};
use crate::sys::hook::Endpoint;
use crate::sys::message::{Dump, Message};
use crate::sys::netns::NetId;
use crate::sys::pages::Pages;
use crate::sys::sock::{FdError, Kind, Sock};
use kernel::prelude::*;
use kernel::sync::Arc;

/// Defaults of a drain: bytes, milliseconds.
const DRAIN_LIMITS: (u64, u32) = (1 << 20, 5_000);

fn connected(kind: &Kind, net: NetId) -> Result<(), FdError> {
    usable(kind, net)?;
    if kind.connected {
        Ok(())
    } else {
        Err((ENOTCONN, "the socket is not connected"))
    }
}

fn answer(request: &Request<'_>, cmd: u8, q: &Queue) -> Result<(), Refusal> {
    let mut message = Message::reply(request, cmd, reply::SIZE)?;
    reply::queue(message.writer(), q)?;
    Ok(message.answer(request)?)
}

fn find(engine: &Engine, request: &Request<'_>, attr: u16, id: u32) -> Result<Arc<Queue>, Refusal> {
    engine
        .queue(id)
        .filter(|q| q.router.net == request.net())
        .ok_or_else(|| gone(attr, id))
}

fn gone(attr: u16, id: u32) -> Refusal {
    refuse!(ENOENT, attr, "there is no queue {id}")
}

/// The queue named by attribute `attr`, which must be the sender's.
fn own(
    engine: &Engine,
    request: &Request<'_>,
    attr: u16,
    name: &str,
) -> Result<Arc<Queue>, Refusal> {
    let id = required(request, attr, name)?;
    let q = find(engine, request, attr, id)?;
    check_owner(request, &q.router, attr, "queue", id)?;
    Ok(q)
}

fn check_open(inner: &Inner, q: &Queue) -> Result<(), Refusal> {
    if inner.life == Life::Open {
        Ok(())
    } else {
        Err(gone(queue::ID, q.id))
    }
}

pub struct Add;

impl Do for Add {
    const CMD: u8 = cmd::QUEUE_ADD;
    const POLICY: &'static [Attr] = &QUEUE_ADD_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let router = sender(&engine, request)?;
        let fd = required(request, queue::FD, "fd")?;
        let side = match required(request, queue::SIDE, "side")? {
            side::FRONT => Side::Front,
            _ => Side::Back,
        };
        let limit = request.u32(queue::HEAD_LIMIT).unwrap_or(HEAD_LIMIT_DEFAULT);
        let refused = |(errno, words): FdError| refuse!(errno, queue::FD, "fd {fd}: {words}");
        let sock = Sock::from_fd(fd).map_err(refused)?;
        connected(&sock.kind(), request.net()).map_err(refused)?;
        let q = Queue::new(&engine, &router, sock, side, 0, limit)?;
        let mut reply = Message::reply(request, Self::CMD, reply::SIZE)?;
        reply::queue(reply.writer(), &q)?;
        // Locked, so that no event comes before the reply, and nobody ends it meanwhile.
        let inner = q.inner.lock();
        engine
            .add_queue(&q, |kind| connected(kind, request.net()))
            .map_err(refused)?;
        let answered = reply.answer(request);
        drop(inner);
        router.stats.added.add(1);
        Ok(answered.inspect_err(|_| close(&q, How::Abort))?)
    }
}

pub struct Del;

impl Do for Del {
    const CMD: u8 = cmd::QUEUE_DEL;
    const POLICY: &'static [Attr] = &QUEUE_DEL_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        end(request, How::Close)
    }
}

pub struct Abort;

impl Do for Abort {
    const CMD: u8 = cmd::QUEUE_ABORT;
    const POLICY: &'static [Attr] = &QUEUE_ABORT_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        end(request, How::Abort)
    }
}

pub struct Drain;

impl Do for Drain {
    const CMD: u8 = cmd::DRAIN;
    const POLICY: &'static [Attr] = &DRAIN_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let bytes = request.uint(queue::LIMIT_BYTES).unwrap_or(DRAIN_LIMITS.0);
        let ms = request.u32(queue::LIMIT_MS).unwrap_or(DRAIN_LIMITS.1);
        end(request, How::Drain(bytes, ms.into()))
    }
}

fn end(request: &Request<'_>, how: How) -> Result<(), Refusal> {
    let engine = engine()?;
    let q = own(&engine, request, queue::ID, "id")?;
    check_open(&q.inner.lock(), &q)?;
    close(&q, how);
    Ok(())
}

pub struct Get;

impl Do for Get {
    const CMD: u8 = cmd::QUEUE_GET;
    const POLICY: &'static [Attr] = &QUEUE_GET_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let id = required(request, queue::ID, "id")?;
        answer(request, Self::CMD, &*find(&engine, request, queue::ID, id)?)
    }
}

impl List for Get {
    fn fill(dump: &mut Dump<'_>) -> Result {
        let engine = ENGINE.get().ok_or(ENODEV)?;
        while let Some(q) = engine.queue_after(*dump.last) {
            if q.router.net == dump.net() {
                dump.entry(cmd::QUEUE_GET, |out| reply::queue(out, &q))?;
            }
            *dump.last = q.id;
        }
        Ok(())
    }
}

/// Adds `data` to what `q` sends, if that is allowed now; `then` runs under its lock.
fn send_to<R>(
    q: &Arc<Queue>,
    attr: u16,
    data: &[u8],
    then: impl FnOnce(&mut Output) -> R,
) -> Result<R, Refusal> {
    let id = q.id;
    let mut out = q.out.lock();
    if let Some(writer) = &out.writer {
        let from = writer.id;
        return Err(refuse!(
            EBUSY,
            attr,
            "a forward from queue {from} into queue {id} runs"
        ));
    }
    if let Some(errno) = out.broken() {
        return Err(refuse!(
            EPIPE,
            attr,
            "queue {id} can send nothing more (error {errno})"
        ));
    }
    if !out.has_room(data.len()) {
        let unsent = out.unsent();
        return Err(refuse!(
            ENOBUFS,
            attr,
            "{unsent} of {SEND_LIMIT} bytes wait in queue {id}"
        ));
    }
    out.reserve(data.len())?;
    out.push(data)?;
    let result = then(&mut out);
    drop(out);
    Queue::kick(q.as_arc_borrow());
    Ok(result)
}

pub struct Send;

impl Do for Send {
    const CMD: u8 = cmd::SEND;
    const POLICY: &'static [Attr] = &SEND_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let q = own(&engine, request, queue::ID, "id")?;
        let data = request
            .bytes(queue::DATA)
            .ok_or_else(|| Refusal::missing(queue::DATA, "data"))?;
        let inner = q.inner.lock();
        check_open(&inner, &q)?;
        send_to(&q, queue::ID, data, |_| ())
    }
}

/// The framing that a command names.
fn framing(request: &Request<'_>) -> Result<Framing, Refusal> {
    let number = required(request, queue::FRAMING, "framing")?;
    let length = request.uint(queue::LENGTH);
    match (number, length) {
        (framing::LENGTH, Some(length)) => Ok(Framing::Length(length)),
        (framing::LENGTH, None) => Err(Refusal::missing(queue::LENGTH, "length")),
        (framing::CHUNKED | framing::TUNNEL, _) => {
            let words = "is not supported by this version";
            Err(refuse!(
                EOPNOTSUPP,
                queue::FRAMING,
                "framing {number} {words}"
            ))
        }
        (_, Some(_)) => Err(refuse!(
            EINVAL,
            queue::LENGTH,
            "only framing 'length' has a length"
        )),
        (framing::NONE, None) => Ok(Framing::None),
        (framing::UNTIL_CLOSE, None) => Ok(Framing::UntilClose),
        (other, None) => Err(refuse!(EINVAL, queue::FRAMING, "unknown framing {other}")),
    }
}

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
    let framing = framing(request)?;
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
    let mut inner = q.inner.lock();
    check_open(&inner, &q)?;
    inner
        .rx
        .check(generation, framing, target.is_none())
        .map_err(|rule| broke(&q, generation, rule))?;
    let moves = !matches!(framing, Framing::None | Framing::Length(0));
    // All memory first, so that nothing fails once something changed.
    let moving = if moves {
        Some(Move {
            target: target.clone(),
            framing,
            pages: Pages::new()?,
        })
    } else {
        None
    };
    if let Some(target) = &target {
        // A target that is being closed is refused by its output, which wants a FIN or broke.
        send_to(target, queue::TO, data, |out| {
            out.sent = 0;
            if moves {
                out.writer = Some(q.clone());
            }
        })?;
    }
    begin(&q, &mut inner, generation, framing, moving)
}

/// The part of `answer_head` that cannot fail: it was checked.
fn begin(
    q: &Arc<Queue>,
    inner: &mut Inner,
    generation: u32,
    framing: Framing,
    moving: Option<Move>,
) -> Result<(), Refusal> {
    let discard = moving.as_ref().is_none_or(|m| m.target.is_none());
    let answer = inner
        .rx
        .answer(generation, framing, discard)
        .map_err(|rule| broke(q, generation, rule))?;
    if q.sock().discard(answer.drop_head.into()) != u64::from(answer.drop_head) {
        // Urgent data stands within the head: what follows cannot be told apart.
        q.sock().abort();
    }
    q.settle_credit(inner);
    if answer.moving {
        q.router.stats.forwards.add(1);
        inner.moving = moving;
        inner.last = None;
        q.touch();
    }
    Queue::kick(q.as_arc_borrow());
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
        {
            let mut inner = q.inner.lock();
            check_open(&inner, &q)?;
            if inner.rx.generation() != generation {
                let have = inner.rx.generation();
                return Err(broke(&q, generation, Rule::Stale { have }));
            }
            if !matches!(inner.rx.state(), State::Moving { .. }) {
                return Err(broke(&q, generation, Rule::Idle));
            }
            cancel(&q, &mut inner);
        }
        answer(request, Self::CMD, &q)
    }
}
