// SPDX-License-Identifier: GPL-2.0
//! Commands about listeners.

#![forbid(unsafe_code)]

use super::gen::{cmd, listener, LISTENER_ADD_POLICY, LISTENER_DEL_POLICY, LISTENER_GET_POLICY};
use super::gen::{CONNECTIONS_DEFAULT, HEAD_LIMIT_DEFAULT, HEAD_MS_DEFAULT};
use super::{answer, check_owner, engine, list, refuse, reply, required, sender, taken_over};
use crate::queue::{Accept, Engine, Listener};
use crate::sys::genl::{Attr, Do, List, Refusal, Request};
use crate::sys::message::{Dump, Message};
use crate::sys::netns::NetId;
use crate::sys::sock::{FdError, Kind, Sock};
use kernel::prelude::*;
use kernel::sync::Arc;

/// What any adopted socket must be.
pub fn usable(kind: &Kind, net: NetId) -> Result<(), FdError> {
    if !kind.is_tcp {
        return Err((EPROTONOSUPPORT, "not a TCP socket over IPv4 or IPv6"));
    }
    if kind.net != net {
        return Err((EXDEV, "the socket belongs to another network namespace"));
    }
    if kind.has_ulp {
        return Err((
            EOPNOTSUPP,
            "an upper layer protocol such as TLS is on the socket",
        ));
    }
    if kind.taken {
        return Err((EBUSY, "the socket is adopted already, or in a sockmap"));
    }
    Ok(())
}

fn listening(kind: &Kind, net: NetId) -> Result<(), FdError> {
    usable(kind, net)?;
    if kind.listening {
        Ok(())
    } else {
        Err((EINVAL, "the socket does not listen"))
    }
}

fn find(engine: &Engine, request: &Request<'_>, id: u32) -> Result<Arc<Listener>, Refusal> {
    engine
        .listener(id)
        .filter(|l| l.router.net == request.net() && !l.has_ended())
        .ok_or_else(|| refuse!(ENOENT, listener::ID, "there is no listener {id}"))
}

pub struct Add;

impl Do for Add {
    const CMD: u8 = cmd::LISTENER_ADD;
    const POLICY: &'static [Attr] = &LISTENER_ADD_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let router = sender(&engine, request)?;
        let fd = required(request, listener::FD, "fd")?;
        let or = |attr, default| request.u32(attr).unwrap_or(default);
        let terms = Accept {
            head_limit: or(listener::HEAD_LIMIT, HEAD_LIMIT_DEFAULT),
            head_ms: or(listener::HEAD_MS, HEAD_MS_DEFAULT),
            connections: or(listener::CONNECTIONS, CONNECTIONS_DEFAULT),
            proxy_protocol: request.flag(listener::PROXY_PROTOCOL),
        };
        let refused = |(errno, words): FdError| refuse!(errno, listener::FD, "fd {fd}: {words}");
        let sock = Sock::from_fd(fd).map_err(refused)?;
        listening(&sock.kind(), request.net()).map_err(refused)?;
        let l = Listener::new(&engine, &router, sock, terms)?;
        // Memory first: once adopted, what waits in the backlog would be accepted.
        let mut message = Message::reply(request, Self::CMD, reply::SIZE)?;
        reply::listener(message.writer(), &l)?;
        engine
            .add_listener(&l, request.portid(), |kind| listening(kind, request.net()))
            .map_err(refused)?;
        if let Err(errno) = message.answer(request) {
            // Whoever took over meanwhile was told of it, and keeps it.
            if Listener::end_of(&l, request.portid()) {
                return Err(errno.into());
            }
        }
        // Only now, so that no head comes before the reply.
        Listener::open(&l);
        Ok(())
    }
}

pub struct Del;

impl Do for Del {
    const CMD: u8 = cmd::LISTENER_DEL;
    const POLICY: &'static [Attr] = &LISTENER_DEL_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let id = required(request, listener::ID, "id")?;
        let l = find(&engine, request, id)?;
        check_owner(request, &l.router, listener::ID, "listener", id)?;
        // Whoever took over meanwhile was told of it, and keeps it.
        match Listener::end_of(&l, request.portid()) {
            true => Ok(()),
            false => Err(taken_over(&l.router)),
        }
    }
}

pub struct Get;

impl Do for Get {
    const CMD: u8 = cmd::LISTENER_GET;
    const POLICY: &'static [Attr] = &LISTENER_GET_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let id = required(request, listener::ID, "id")?;
        let l = find(&engine, request, id)?;
        answer(request, &engine, Self::CMD, |out| reply::listener(out, &l))
    }
}

impl List for Get {
    fn fill(dump: &mut Dump<'_>) -> Result {
        // One that was ended may still be emptied: whoever takes over must not count on it.
        let next = |engine: &Engine, mut last| loop {
            let l = engine.listener_after(last)?;
            if !l.has_ended() {
                break Some((l.id, l.router.net, l));
            }
            last = l.id;
        };
        list(dump, cmd::LISTENER_GET, next, reply::listener)
    }
}
