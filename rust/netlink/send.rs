// SPDX-License-Identifier: GPL-2.0
//! Data for the peer of a queue: the command `send`, and what `forward` and `route` share
//! with it.

#![forbid(unsafe_code)]

use super::gen::{cmd, queue, SEND_LIMIT, SEND_POLICY};
use super::queue::{check_open, own};
use super::{engine, refuse};
use crate::framing::{Side, State};
use crate::queue::{size, Flush, Inner, Output, Queue};
use crate::sys::genl::{Attr, Do, Refusal, Request};
use crate::sys::hook::Endpoint;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;

/// The `note` of `request`, and which of its queues it is kept with: the front queue.
pub fn note<'a>(
    request: &Request<'_>,
    q: &'a Queue,
    other: Option<&'a Queue>,
) -> Result<Option<(&'a Queue, u64)>, Refusal> {
    let Some(note) = request.uint(queue::NOTE) else {
        return Ok(None);
    };
    let mut queues = [Some(q), other].into_iter().flatten();
    match queues.find(|q| q.side == Side::Front) {
        Some(front) => Ok(Some((front, note))),
        None => Err(refuse!(
            EINVAL,
            queue::NOTE,
            "a note is kept with a front queue, and none is named"
        )),
    }
}

/// Keeps a note. A response that this very command allows to be passed on comes after it.
pub fn keep(note: Option<(&Queue, u64)>) {
    if let Some((front, note)) = note {
        front.note.store(note, Relaxed);
    }
}

/// Sends `data` to the peer of `q`, if that is allowed now; `then` runs under its lock. What
/// the peer does not take yet waits. `more`: bytes of a body follow at once. Whatever was
/// allowed of the next head that comes there (`relay`), was about what was sent before.
pub fn send_to<R>(
    q: &Arc<Queue>,
    attr: u16,
    data: &[&[u8]],
    more: bool,
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
    if !out.has_room(size(data)) {
        let unsent = out.unsent();
        return Err(refuse!(
            ENOBUFS,
            attr,
            "{unsent} of {SEND_LIMIT} bytes wait in queue {id}"
        ));
    }
    let flushed = out.put(q.sock(), data, more)?;
    let _ = out.disarm();
    let result = then(&mut out);
    drop(out);
    if matches!(flushed, Flush::Starved | Flush::Broken(_)) {
        Queue::kick(q.as_arc_borrow());
    }
    Ok(result)
}

/// Checks that `q`, told by `attr`, received nothing that was not answered yet, so that what is
/// sent now cannot be taken for the cause of it; and begins a new generation, so that the
/// router can tell a head that came before from one that comes after.
pub fn check_quiet(q: &Queue, inner: &mut Inner, attr: u16) -> Result<(), Refusal> {
    let id = q.id;
    let readable = q.sock().readable();
    if readable.closed || q.out.lock().broken().is_some() {
        return Err(refuse!(EPIPE, attr, "queue {id} can send nothing more"));
    }
    let waits = matches!(inner.rx.state(), State::Collecting(_)) && inner.rx.scanned() == 0;
    if !waits || readable.bytes > 0 || readable.fin || readable.urgent {
        let words = "received something that was not answered";
        return Err(refuse!(ENOTEMPTY, attr, "queue {id} {words}"));
    }
    inner.rx.turn();
    Ok(())
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
        let mut inner = q.inner.lock();
        check_open(request, &inner, &q)?;
        let note = note(request, &q, None)?;
        if request.flag(queue::IF_QUIET) {
            check_quiet(&q, &mut inner, queue::ID)?;
        }
        send_to(&q, queue::ID, &[data], false, |_| keep(note))
    }
}
