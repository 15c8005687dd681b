// SPDX-License-Identifier: GPL-2.0
//! Commands about queues as a whole: add, end, get.

#![forbid(unsafe_code)]

use super::gen::{cmd, queue, side, DRAIN_POLICY, HEAD_LIMIT_DEFAULT};
use super::gen::{QUEUE_ABORT_POLICY, QUEUE_ADD_POLICY, QUEUE_DEL_POLICY, QUEUE_GET_POLICY};
use super::listener::usable;
use super::{answer, check_owner, check_still, engine, list, refuse, reply, required, sender};
use crate::framing::{Receiver, Side};
use crate::queue::{close_locked, Engine, How, Inner, Life, Queue};
use crate::sys::genl::{Attr, Do, List, Refusal, Request};
use crate::sys::message::{Dump, Message};
use crate::sys::netns::NetId;
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

fn find(engine: &Engine, request: &Request<'_>, attr: u16, id: u32) -> Result<Arc<Queue>, Refusal> {
    engine
        .queue(id)
        .filter(|q| q.router.net == request.net())
        .ok_or_else(|| gone(attr, id))
}

fn gone(attr: u16, id: u32) -> Refusal {
    refuse!(ENOENT, attr, "there is no queue {id}")
}

/// The queue that attribute `attr`, called `name`, tells; which must be the sender's.
pub fn own(
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

/// Checks that the queue is open to commands of the sender even now that it is locked: one that waited
/// for the lock may have been taken over meanwhile.
pub fn check_open(request: &Request<'_>, inner: &Inner, q: &Queue) -> Result<(), Refusal> {
    if inner.life != Life::Open {
        return Err(gone(queue::ID, q.id));
    }
    check_still(request, &q.router)
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
        let rx = Receiver::new(side, limit);
        let q = Queue::new(&engine, &router, sock, rx, limit, None)?;
        let mut reply = Message::reply(request, Self::CMD, reply::SIZE)?;
        reply::queue(reply.writer(), &q)?;
        // Locked, so that no event comes before the reply, and nobody ends it meanwhile.
        let inner = q.inner.lock();
        engine
            .add_queue(&q, |kind| connected(kind, request.net()))
            .map_err(refused)?;
        let answered = check_still(request, &router).and_then(|()| Ok(reply.answer(request)?));
        router.stats.added.add(1);
        if answered.is_err() {
            // Locked still: who took over meanwhile sees none that is open.
            close_locked(&q, inner, How::Abort);
        }
        answered
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
    let inner = q.inner.lock();
    check_open(request, &inner, &q)?;
    close_locked(&q, inner, how);
    Ok(())
}

pub struct Get;

impl Do for Get {
    const CMD: u8 = cmd::QUEUE_GET;
    const POLICY: &'static [Attr] = &QUEUE_GET_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let id = required(request, queue::ID, "id")?;
        let q = find(&engine, request, queue::ID, id)?;
        answer(request, &engine, Self::CMD, |out| reply::queue(out, &q))
    }
}

impl List for Get {
    fn fill(dump: &mut Dump<'_>) -> Result {
        let next =
            |engine: &Engine, last| engine.queue_after(last).map(|q| (q.id, q.router.net, q));
        list(dump, cmd::QUEUE_GET, next, reply::queue)
    }
}
