// SPDX-License-Identifier: GPL-2.0
//! Events: what a router hears of a queue.
//!
//! Errors: EAGAIN, the router's socket is full; ECONNREFUSED, it is gone; ENOMEM.

#![forbid(unsafe_code)]

use super::gen::{cmd, queue};
use super::reply::{addresses, reason_numbers, result_numbers, side_number};
use crate::framing::State;
use crate::queue::{Done, Inner, Queue};
use crate::sys::hook::Endpoint;
use crate::sys::message::Message;
use kernel::prelude::*;

/// Room for the attributes of an event, without its head.
const SIZE: usize = 160;

fn send(q: &Queue, message: Message) -> Result {
    match q.router.port() {
        0 => Err(ECONNREFUSED),
        port => message.send(q.sock(), port),
    }
}

/// `head`: the first `len` unread bytes.
pub fn head(q: &Queue, inner: &Inner, len: u32, over_limit: bool) -> Result {
    let mut message = Message::event(cmd::HEAD, SIZE.saturating_add(len as usize))?;
    let out = message.writer();
    out.u32(queue::ID, q.id)?;
    out.u32(queue::GENERATION, inner.rx.generation())?;
    out.u32(queue::SIDE, side_number(q.side))?;
    if q.listener != 0 {
        out.u32(queue::LISTENER, q.listener)?;
    }
    if over_limit {
        out.flag(queue::OVER_LIMIT)?;
    }
    out.uint(queue::SENT, q.out.lock().sent)?;
    addresses(out, q)?;
    out.front_of(queue::HEAD, q.sock(), len)?;
    send(q, message)
}

/// `done`.
pub fn done(q: &Queue, done: &Done) -> Result {
    let mut message = Message::event(cmd::DONE, SIZE)?;
    let out = message.writer();
    let (result, errno) = result_numbers(done.ending);
    out.u32(queue::ID, q.id)?;
    out.u32(queue::GENERATION, done.generation)?;
    if done.to != 0 {
        out.u32(queue::TO, done.to)?;
    }
    out.u32(queue::RESULT, result)?;
    out.u32(queue::ERROR, errno)?;
    out.uint(queue::TAKEN, done.taken)?;
    if let Some(status) = done.status {
        out.u16(queue::STATUS, status)?;
    }
    send(q, message)
}

/// `relayed`, while the body moves.
pub fn relayed(q: &Queue, inner: &Inner, status: u16) -> Result {
    let mut message = Message::event(cmd::RELAYED, SIZE)?;
    let out = message.writer();
    let target = inner.moving.as_ref().and_then(|m| m.target.as_ref());
    out.u32(queue::ID, q.id)?;
    out.u32(queue::GENERATION, inner.rx.generation())?;
    out.u32(queue::TO, target.map_or(0, |target| target.id))?;
    out.u16(queue::STATUS, status)?;
    send(q, message)
}

/// `closed`.
pub fn closed(q: &Queue, inner: &Inner) -> Result {
    let State::Ended(reason) = inner.rx.state() else {
        return Ok(());
    };
    let mut message = Message::event(cmd::CLOSED, SIZE)?;
    let out = message.writer();
    let (reason, errno) = reason_numbers(reason);
    out.u32(queue::ID, q.id)?;
    out.u32(queue::GENERATION, inner.rx.generation())?;
    out.u32(queue::SIDE, side_number(q.side))?;
    out.u32(queue::REASON, reason)?;
    out.u32(queue::ERROR, errno)?;
    out.uint(queue::TAKEN, inner.rx.taken())?;
    out.uint(queue::SENT, q.out.lock().sent)?;
    send(q, message)
}
