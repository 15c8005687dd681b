// SPDX-License-Identifier: GPL-2.0
//! Commands about routers.

#![forbid(unsafe_code)]

use super::gen::{cmd, router, ROUTER_ATTACH_POLICY, ROUTER_DETACH_POLICY};
use super::gen::{ROUTER_GET_POLICY, ROUTER_TAKEOVER_POLICY};
use super::{answer, engine, list, refuse, reply, required, sender};
use crate::queue::{Engine, Router, Terms};
use crate::sys::genl::{Attr, Do, List, Refusal, Request};
use crate::sys::message::{Dump, Message};
use kernel::prelude::*;

fn terms(request: &Request<'_>) -> Terms {
    Terms {
        credit: request.u32(router::CREDIT),
        grace: request.u32(router::GRACE),
        queues_max: request.u32(router::QUEUES_MAX),
    }
}

fn not_yet(request: &Request<'_>, engine: &Engine) -> Result<(), Refusal> {
    match engine.router_of(request.net(), request.portid()) {
        Some(r) => Err(Refusal::new(
            EEXIST,
            format_args!("this socket is router {} already", r.id),
        )),
        None => Ok(()),
    }
}

pub struct Attach;

impl Do for Attach {
    const CMD: u8 = cmd::ROUTER_ATTACH;
    const POLICY: &'static [Attr] = &ROUTER_ATTACH_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        not_yet(request, &engine)?;
        let added = engine.add_router(request.net(), request.portid(), terms(request));
        let r = added.map_err(|errno| match errno {
            _ if errno == ENOSPC => Refusal::new(
                ENOSPC,
                format_args!("256 routers exist here; unowned ones end after their grace time"),
            ),
            errno => errno.into(),
        })?;
        answer(request, &engine, Self::CMD, |out| reply::router(out, &r))
            .inspect_err(|_| engine.lose_owner(&r, request.portid(), Some(0)))
    }
}

pub struct Detach;

impl Do for Detach {
    const CMD: u8 = cmd::ROUTER_DETACH;
    const POLICY: &'static [Attr] = &ROUTER_DETACH_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let r = sender(&engine, request)?;
        engine.lose_owner(&r, request.portid(), request.u32(router::GRACE));
        Ok(())
    }
}

pub struct Takeover;

impl Do for Takeover {
    const CMD: u8 = cmd::ROUTER_TAKEOVER;
    const POLICY: &'static [Attr] = &ROUTER_TAKEOVER_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let id = required(request, router::ID, "id")?;
        not_yet(request, &engine)?;
        let r = find(&engine, request, id)?;
        // Memory first: without it, the owner stays who it is.
        let mut message = Message::reply(request, Self::CMD, reply::SIZE)?;
        let changed = r.new_owner(request.portid(), terms(request));
        let (owner, former) = changed
            .ok_or_else(|| refuse!(ENOENT, router::ID, "the grace time of router {id} is over"))?;
        let answered = reply::router(message.writer(), &r)
            .and_then(|()| message.answer(request))
            .map_err(Refusal::from);
        if former != 0 && tell_ousted(request, &r, former).is_err() {
            // One that has no room sees that something was lost, and may ask for its router.
            pr_debug!(
                "port {former} was not told that router {} is its no more\n",
                r.id
            );
        }
        // After the reply, and also if that found no room: the sender is the owner now.
        engine.offer_again(&r, owner);
        answered
    }
}

fn tell_ousted(request: &Request<'_>, r: &Router, former: u32) -> Result {
    let mut message = Message::event(cmd::OUSTED, reply::SIZE)?;
    let out = message.writer();
    out.u32(router::ID, r.id)?;
    out.u32(router::PORT, request.portid())?;
    message.send(request, former)
}

fn find(
    engine: &crate::queue::Engine,
    request: &Request<'_>,
    id: u32,
) -> Result<kernel::sync::Arc<Router>, Refusal> {
    engine
        .router(id)
        .filter(|r| r.net == request.net())
        .ok_or_else(|| refuse!(ENOENT, router::ID, "there is no router {id}"))
}

pub struct Get;

impl Do for Get {
    const CMD: u8 = cmd::ROUTER_GET;
    const POLICY: &'static [Attr] = &ROUTER_GET_POLICY;

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let id = required(request, router::ID, "id")?;
        let r = find(&engine, request, id)?;
        answer(request, &engine, Self::CMD, |out| reply::router(out, &r))
    }
}

impl List for Get {
    fn fill(dump: &mut Dump<'_>) -> Result {
        let next = |engine: &Engine, last| engine.router_after(last).map(|r| (r.id, r.net, r));
        list(dump, cmd::ROUTER_GET, next, reply::router)
    }
}
