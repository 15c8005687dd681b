// SPDX-License-Identifier: GPL-2.0
//! Events: what a router is told about a queue, put in its outbox.
//!
//! Errors: EAGAIN, the router's socket is full; ECONNREFUSED, it is gone; ENOMEM.

#![forbid(unsafe_code)]

use super::gen::{cmd, queue};
use super::reply::{addresses, reason_numbers, result_numbers, side_number};
use crate::framing::State;
use crate::queue::{Done, Inner, Queue, When};
use crate::sys::hook::Endpoint;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Room for an event without its head, in bytes.
const SIZE: usize = 192;

/// `head`: the first `len` unread bytes. ECONNREFUSED also if `owner`, whose credit was taken for it,
/// is not the owner any more.
pub fn head(q: &Arc<Queue>, inner: &Inner, len: u32, over_limit: bool, owner: u32) -> Result {
    let sent = q.out.lock().sent;
    let size = SIZE.saturating_add(len as usize);
    q.router.post(q, cmd::HEAD, size, When::Soon, |out| {
        // Here, because owners change under the lock that is held here.
        if !q.router.is_owner(owner) {
            return Err(ECONNREFUSED);
        }
        out.u32(queue::ID, q.id)?;
        out.u32(queue::GENERATION, inner.rx.generation())?;
        out.u32(queue::SIDE, side_number(q.side))?;
        if q.listener != 0 {
            out.u32(queue::LISTENER, q.listener)?;
        }
        if over_limit {
            out.flag(queue::OVER_LIMIT)?;
        }
        out.uint(queue::SENT, sent)?;
        addresses(out, q)?;
        out.front_of(queue::HEAD, q.sock(), len)
    })
}

/// `done`.
pub fn done(q: &Arc<Queue>, done: &Done) -> Result {
    let (result, errno) = result_numbers(done.ending);
    let when = if done.may_wait {
        When::Later
    } else {
        When::Soon
    };
    q.router.post(q, cmd::DONE, SIZE, when, |out| {
        out.u32(queue::ID, q.id)?;
        out.u32(queue::GENERATION, done.generation)?;
        if done.to != 0 {
            out.u32(queue::TO, done.to)?;
        }
        out.u32(queue::RESULT, result)?;
        out.u32(queue::ERROR, errno)?;
        out.uint(queue::TAKEN, done.taken)?;
        match done.status {
            Some(status) => out.u16(queue::STATUS, status),
            None => Ok(()),
        }
    })
}

/// `relayed`, while the body moves.
pub fn relayed(q: &Arc<Queue>, inner: &Inner, status: u16) -> Result {
    let target = inner.moving.as_ref().and_then(|m| m.target.as_ref());
    q.router.post(q, cmd::RELAYED, SIZE, When::Soon, |out| {
        out.u32(queue::ID, q.id)?;
        out.u32(queue::GENERATION, inner.rx.generation())?;
        out.u32(queue::TO, target.map_or(0, |target| target.id))?;
        out.u16(queue::STATUS, status)
    })
}

/// `closed`; with `gone` the queue ends by itself, and nobody has to do anything about it.
pub fn closed(q: &Arc<Queue>, inner: &Inner, gone: bool) -> Result {
    let State::Ended(reason) = inner.rx.state() else {
        return Ok(());
    };
    let sent = q.out.lock().sent;
    let (reason, errno) = reason_numbers(reason);
    let when = if gone { When::Later } else { When::Soon };
    q.router.post(q, cmd::CLOSED, SIZE, when, |out| {
        out.u32(queue::ID, q.id)?;
        out.u32(queue::GENERATION, inner.rx.generation())?;
        out.u32(queue::SIDE, side_number(q.side))?;
        out.u32(queue::REASON, reason)?;
        out.u32(queue::ERROR, errno)?;
        out.uint(queue::TAKEN, inner.rx.taken())?;
        out.uint(queue::SENT, sent)?;
        if gone {
            out.flag(queue::GONE)?;
        }
        Ok(())
    })
}
