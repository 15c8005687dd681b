// SPDX-License-Identifier: GPL-2.0
//! The netlink family: commands in, replies and events out.
//!
//! Invariants: numbers and policies come from `gen.rs`, which is generated from the spec. A
//! command is checked completely before anything changes, and each refusal has a text. A command
//! sends its data, and with it a small body that is there whole; other bodies are moved by the
//! queue's work item, which it wakes.

#![forbid(unsafe_code)]

mod body;
pub mod event;
mod forward;
#[rustfmt::skip]
pub mod gen;
mod listener;
mod queue;
mod relay;
mod reply;
mod router;
mod send;
mod stats;

use self::gen::{FAMILY_NAME, FAMILY_VERSION};
use crate::queue::{Engine, Router, ENGINE};
use crate::sys::genl::{Family, Refusal, Registration, Request};
use crate::sys::message::{Dump, Message, Writer};
use crate::sys::netns::NetId;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Refuses a command: errno, attribute, and words with values.
macro_rules! refuse {
    ($errno:expr, $attr:expr, $($words:tt)*) => {
        $crate::sys::genl::Refusal::new($errno, format_args!($($words)*)).at($attr)
    };
}
use refuse;

/// Registers the family. Operations stand in the order of their numbers. `user_namespaces`: see the
/// module's parameter.
pub fn register(user_namespaces: bool) -> Result<Registration> {
    Family::new(user_namespaces)
        .add::<router::Attach>()?
        .add::<router::Detach>()?
        .add::<router::Takeover>()?
        .add::<router::Get>()?
        .add_list::<router::Get>()?
        .add::<listener::Add>()?
        .add::<listener::Del>()?
        .add::<listener::Get>()?
        .add_list::<listener::Get>()?
        .add::<queue::Add>()?
        .add::<queue::Del>()?
        .add::<queue::Abort>()?
        .add::<queue::Get>()?
        .add_list::<queue::Get>()?
        .add::<send::Send>()?
        .add::<forward::Forward>()?
        .add::<forward::Route>()?
        .add::<forward::Cancel>()?
        .add::<queue::Drain>()?
        .add::<stats::Get>()?
        .register(FAMILY_NAME, FAMILY_VERSION)
}

fn engine() -> Result<Arc<Engine>, Refusal> {
    ENGINE
        .get()
        .ok_or_else(|| Refusal::new(ENODEV, format_args!("the module is being unloaded")))
}

/// To be called when an answer to `portid` is written and not sent: if that is a router, what it was not told
/// yet of what the answer shows goes up before it.
fn tell_first(engine: &Engine, net: NetId, portid: u32) {
    if let Some(router) = engine.router_of(net, portid) {
        router.heard();
    }
}

/// Answers with what `fill` writes.
fn answer(
    request: &Request<'_>,
    engine: &Engine,
    cmd: u8,
    fill: impl FnOnce(&mut Writer) -> Result,
) -> Result<(), Refusal> {
    let mut message = Message::reply(request, cmd, reply::SIZE)?;
    fill(message.writer())?;
    tell_first(engine, request.net(), request.portid());
    Ok(message.answer(request)?)
}

/// A part of a dump: the objects behind `dump.last`, which `next` finds, as far as there is room.
fn list<T>(
    dump: &mut Dump<'_>,
    cmd: u8,
    next: impl Fn(&Engine, u32) -> Option<(u32, NetId, Arc<T>)>,
    fill: impl Fn(&mut Writer, &T) -> Result,
) -> Result {
    let engine = ENGINE.get().ok_or(ENODEV)?;
    let mut written = Ok(());
    while let Some((id, net, object)) = next(&engine, *dump.last) {
        if net == dump.net() {
            written = dump.entry(cmd, |out| fill(out, &object));
            if written.is_err() {
                break;
            }
        }
        *dump.last = id;
    }
    tell_first(&engine, dump.net(), dump.portid());
    written
}

/// The router that the sender is.
fn sender(engine: &Engine, request: &Request<'_>) -> Result<Arc<Router>, Refusal> {
    let router = engine
        .router_of(request.net(), request.portid())
        .ok_or_else(|| {
            let words = format_args!("this socket is not a router; send router-attach first");
            Refusal::new(EPERM, words)
        })?;
    router.heard();
    Ok(router)
}

/// Checks that the sender is `router` even now that what it adds can be found. One that took over
/// before would not hear of it; one that does from now on finds it.
fn check_still(request: &Request<'_>, router: &Router) -> Result<(), Refusal> {
    match router.port() == request.portid() {
        true => Ok(()),
        false => Err(taken_over(router)),
    }
}

fn taken_over(router: &Router) -> Refusal {
    Refusal::new(
        EPERM,
        format_args!("router {} was taken over meanwhile", router.id),
    )
}

/// Checks that the sender owns an object of `router`, called `what` and `id`.
fn check_owner(
    request: &Request<'_>,
    router: &Router,
    attr: u16,
    what: &str,
    id: u32,
) -> Result<(), Refusal> {
    if router.port() != request.portid() {
        return Err(refuse!(
            EPERM,
            attr,
            "{what} {id} belongs to another router"
        ));
    }
    router.heard();
    Ok(())
}

fn required(request: &Request<'_>, attr: u16, name: &str) -> Result<u32, Refusal> {
    request
        .u32(attr)
        .ok_or_else(|| Refusal::missing(attr, name))
}
