// SPDX-License-Identifier: GPL-2.0
//! Commands whose attributes are missing, malformed or out of range: refused, with a text,
//! and without effect.

use crate::client::{bytes, nested, u32, u64, Attr, Client, Failure};
use crate::numbers::errno::*;
use crate::numbers::{cmd, framing, listener, queue, router, side};
use crate::refusals::all;
use crate::scene::{forward, refused, Scene, GET};
use crate::sockets::{body, listening, pair, V4};
use crate::tap::Tap;
use std::os::fd::AsRawFd;

/// Checks of this file.
pub const PLAN: u32 = 48;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    missing(tap, &mut scene)?;
    malformed(tap, &mut scene)
}

/// `attrs` without attribute `number`.
fn without(attrs: &[Attr], number: u16) -> Vec<Attr> {
    let other = |a: &&Attr| *a.nla_type().nla_type() != number;
    attrs.iter().filter(other).cloned().collect()
}

fn missing(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_client, head) = scene.front(GET)?;
    let f = head.id();
    let (near, _far) = pair(V4)?;
    let fd = near.as_raw_fd() as u32;
    let add = [u32(queue::FD, fd), u32(queue::SIDE, side::BACK as u32)];
    let send = [u32(queue::ID, f), bytes(queue::DATA, b"x")];
    let (_server, b) = scene.back()?;
    let forward = forward(f, 1, Some(b), framing::LENGTH, 5);
    let route = [&forward[..], &[bytes(queue::DATA, b"x")]].concat();
    let cancel = [u32(queue::ID, f), u32(queue::GENERATION, 1)];
    let cases = vec![
        (
            "router-takeover without id",
            EINVAL,
            cmd::ROUTER_TAKEOVER,
            vec![],
        ),
        ("router-get without id", EINVAL, cmd::ROUTER_GET, vec![]),
        ("listener-add without fd", EINVAL, cmd::LISTENER_ADD, vec![]),
        ("listener-del without id", EINVAL, cmd::LISTENER_DEL, vec![]),
        ("listener-get without id", EINVAL, cmd::LISTENER_GET, vec![]),
        (
            "queue-add without fd",
            EINVAL,
            cmd::QUEUE_ADD,
            without(&add, queue::FD),
        ),
        (
            "queue-add without side",
            EINVAL,
            cmd::QUEUE_ADD,
            without(&add, queue::SIDE),
        ),
        ("queue-del without id", EINVAL, cmd::QUEUE_DEL, vec![]),
        ("queue-abort without id", EINVAL, cmd::QUEUE_ABORT, vec![]),
        ("queue-get without id", EINVAL, cmd::QUEUE_GET, vec![]),
        (
            "send without id",
            EINVAL,
            cmd::SEND,
            without(&send, queue::ID),
        ),
        (
            "send without data",
            EINVAL,
            cmd::SEND,
            without(&send, queue::DATA),
        ),
        (
            "forward without id",
            EINVAL,
            cmd::FORWARD,
            without(&forward, queue::ID),
        ),
        (
            "forward without generation",
            EINVAL,
            cmd::FORWARD,
            without(&forward, queue::GENERATION),
        ),
        (
            "forward without framing",
            EINVAL,
            cmd::FORWARD,
            without(&forward, queue::FRAMING),
        ),
        (
            "forward without length",
            EINVAL,
            cmd::FORWARD,
            without(&forward, queue::LENGTH),
        ),
        (
            "route without id",
            EINVAL,
            cmd::ROUTE,
            without(&route, queue::ID),
        ),
        (
            "route without generation",
            EINVAL,
            cmd::ROUTE,
            without(&route, queue::GENERATION),
        ),
        (
            "route without to",
            EINVAL,
            cmd::ROUTE,
            without(&route, queue::TO),
        ),
        (
            "route without framing",
            EINVAL,
            cmd::ROUTE,
            without(&route, queue::FRAMING),
        ),
        (
            "route without length",
            EINVAL,
            cmd::ROUTE,
            without(&route, queue::LENGTH),
        ),
        (
            "route without data",
            EINVAL,
            cmd::ROUTE,
            without(&route, queue::DATA),
        ),
        (
            "cancel without id",
            EINVAL,
            cmd::CANCEL,
            without(&cancel, queue::ID),
        ),
        (
            "cancel without generation",
            EINVAL,
            cmd::CANCEL,
            without(&cancel, queue::GENERATION),
        ),
        ("drain without id", EINVAL, cmd::DRAIN, vec![]),
    ];
    all(tap, scene, cases)
}

fn malformed(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_client, head) = scene.front(GET)?;
    let f = head.id();
    let id = u32(queue::ID, f);
    let (near, _far) = pair(V4)?;
    let fd = near.as_raw_fd() as u32;
    let adding = |attr: Attr| vec![u32(queue::FD, fd), u32(queue::SIDE, 2), attr];
    let side = |side| vec![u32(queue::FD, fd), u32(queue::SIDE, side)];
    let framed = |kind| forward(f, 1, None, kind, 5);
    let answer = framed(framing::LENGTH);
    let with_length = |length: Attr| [without(&answer, queue::LENGTH), vec![length]].concat();
    let listens = listening(V4)?;
    let listener_fd = listens.as_raw_fd() as u32;
    let limit = |n| vec![u32(listener::FD, listener_fd), u32(listener::HEAD_LIMIT, n)];
    let mut nothing_else = framed(framing::NONE);
    nothing_else.push(u64(queue::LENGTH, 5));
    let cases = vec![
        (
            "listener-add: head-limit too small",
            ERANGE,
            cmd::LISTENER_ADD,
            limit(63),
        ),
        (
            "listener-add: head-limit too large",
            ERANGE,
            cmd::LISTENER_ADD,
            limit(65_001),
        ),
        (
            "queue-add: head-limit too large",
            ERANGE,
            cmd::QUEUE_ADD,
            adding(u32(queue::HEAD_LIMIT, 65_001)),
        ),
        ("queue-add: side 0", ERANGE, cmd::QUEUE_ADD, side(0)),
        ("queue-add: side 3", ERANGE, cmd::QUEUE_ADD, side(3)),
        (
            "queue-add: a negative fd",
            ERANGE,
            cmd::QUEUE_ADD,
            vec![u32(queue::FD, u32::MAX), u32(queue::SIDE, 2)],
        ),
        ("forward: framing 5", ERANGE, cmd::FORWARD, framed(5)),
        (
            "forward: a length that says nothing",
            EINVAL,
            cmd::FORWARD,
            nothing_else,
        ),
        (
            "drain: limit-ms too large",
            ERANGE,
            cmd::DRAIN,
            vec![id.clone(), u32(queue::LIMIT_MS, 3_600_001)],
        ),
        (
            "send: data too long",
            ERANGE,
            cmd::SEND,
            vec![id.clone(), bytes(queue::DATA, &body(65_001))],
        ),
        (
            "an id of 2 bytes",
            EINVAL,
            cmd::QUEUE_GET,
            vec![bytes(queue::ID, &[1, 0])],
        ),
        (
            "an id of 8 bytes",
            EINVAL,
            cmd::QUEUE_GET,
            vec![u64(queue::ID, f.into())],
        ),
        (
            "an empty id",
            EINVAL,
            cmd::QUEUE_GET,
            vec![bytes(queue::ID, &[])],
        ),
        (
            "a length of 2 bytes",
            EINVAL,
            cmd::FORWARD,
            with_length(bytes(queue::LENGTH, &[5, 0])),
        ),
        (
            "an id that pretends to hold attributes",
            EINVAL,
            cmd::QUEUE_GET,
            vec![nested(queue::ID, &f.to_ne_bytes())],
        ),
        (
            "an attribute that only replies have",
            EINVAL,
            cmd::QUEUE_GET,
            vec![id.clone(), u32(queue::STATE, 1)],
        ),
        (
            "an attribute that nothing has",
            EINVAL,
            cmd::QUEUE_GET,
            vec![id, u32(1000, 1)],
        ),
    ];
    all(tap, scene, cases)?;

    // These terms are refused before anybody looks who asks.
    let terms = [
        ("router-attach: credit 0", u32(router::CREDIT, 0)),
        (
            "router-attach: credit too large",
            u32(router::CREDIT, (1 << 20) + 1),
        ),
        (
            "router-attach: grace too large",
            u32(router::GRACE, 86_400_001),
        ),
    ];
    for (name, attr) in terms {
        let mut other = Client::new()?;
        refused(tap, &mut other, name, ERANGE, (cmd::ROUTER_ATTACH, &[attr]))?;
    }
    // Generic netlink itself refuses these, without a text.
    for (name, number) in [
        ("command 0", 0),
        ("an event as a command", cmd::HEAD),
        ("a command above all others", cmd::RELAYED + 1),
    ] {
        let answer = scene.client.call(number, &[])?.map_err(|r| r.errno);
        tap.equal(name, answer, Err(EOPNOTSUPP));
    }
    Ok(())
}
