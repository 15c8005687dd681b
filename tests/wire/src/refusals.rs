// SPDX-License-Identifier: GPL-2.0
//! Commands that must be refused: with which errno, with a text, and without effect.

use crate::client::{bytes, u32, Attr, Client, Failure};
use crate::numbers::errno::*;
use crate::numbers::{cmd, framing, listener, queue, router, VERSION};
use crate::scene::{everything, forward, refused, Scene, GET};
use crate::sockets::{body, listening, pair, read, V4};
use crate::tap::Tap;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Checks of this file.
pub const PLAN: u32 = 49;

/// Name, errno, command, attributes.
pub type Case = (&'static str, i32, u8, Vec<Attr>);

/// An id that nothing has.
const NOBODY: u32 = 0x7fff_fff0;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    versions(tap, &mut scene)?;
    unknown(tap, &mut scene)?;
    states(tap, &mut scene)?;
    full(tap, &mut scene)?;
    foreign(tap, &mut scene)
}

/// Checks them all, as commands of this router.
pub fn all(tap: &mut Tap, scene: &mut Scene, cases: Vec<Case>) -> Result<(), Failure> {
    for (name, errno, number, attrs) in cases {
        scene.refused(tap, name, errno, number, &attrs)?;
    }
    Ok(())
}

/// Whoever speaks another version of the family would be misunderstood.
fn versions(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    for version in [VERSION - 1, VERSION + 1] {
        let before = everything(&mut scene.client)?;
        let mut other = Client::new()?;
        other.version = version;
        let answer = other.call(cmd::ROUTER_ATTACH, &[])?;
        let told = answer.map_err(|r| (r.errno, r.text.contains("version")));
        let dump = other
            .dump(cmd::ROUTER_GET)?
            .map(|_| ())
            .map_err(|r| r.errno);
        let name = format!("dump of version {version}");
        tap.equal(&name, dump, Err(EPROTO));
        let same = everything(&mut scene.client)? == before;
        let name = format!("router-attach of version {version}");
        tap.equal(&name, (told, same), (Err((EPROTO, true)), true));
    }
    Ok(())
}

fn unknown(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_client, head) = scene.front(GET)?;
    let id = vec![u32(queue::ID, NOBODY)];
    let with = |attr: Attr| vec![u32(queue::ID, NOBODY), attr];
    let route = |from, to| {
        let mut attrs = forward(from, 1, Some(to), framing::NONE, 0);
        attrs.push(bytes(queue::DATA, b"x"));
        attrs
    };
    let f = head.id();
    let cases = vec![
        (
            "router-get: no such router",
            ENOENT,
            cmd::ROUTER_GET,
            id.clone(),
        ),
        (
            "listener-del: no such listener",
            ENOENT,
            cmd::LISTENER_DEL,
            id.clone(),
        ),
        (
            "listener-get: no such listener",
            ENOENT,
            cmd::LISTENER_GET,
            id.clone(),
        ),
        (
            "queue-del: no such queue",
            ENOENT,
            cmd::QUEUE_DEL,
            id.clone(),
        ),
        (
            "queue-abort: no such queue",
            ENOENT,
            cmd::QUEUE_ABORT,
            id.clone(),
        ),
        (
            "queue-get: no such queue",
            ENOENT,
            cmd::QUEUE_GET,
            id.clone(),
        ),
        (
            "send: no such queue",
            ENOENT,
            cmd::SEND,
            with(bytes(queue::DATA, b"x")),
        ),
        (
            "forward: no such source",
            ENOENT,
            cmd::FORWARD,
            forward(NOBODY, 1, None, framing::NONE, 0),
        ),
        (
            "forward: no such target",
            ENOENT,
            cmd::FORWARD,
            forward(f, 1, Some(NOBODY), framing::LENGTH, 5),
        ),
        (
            "route: no such source",
            ENOENT,
            cmd::ROUTE,
            route(NOBODY, f),
        ),
        (
            "route: no such target",
            ENOENT,
            cmd::ROUTE,
            route(f, NOBODY),
        ),
        (
            "cancel: no such queue",
            ENOENT,
            cmd::CANCEL,
            with(u32(queue::GENERATION, 1)),
        ),
        ("drain: no such queue", ENOENT, cmd::DRAIN, id.clone()),
        (
            "a listener is no queue",
            ENOENT,
            cmd::QUEUE_DEL,
            vec![u32(queue::ID, scene.listener)],
        ),
    ];
    all(tap, scene, cases)?;
    let mut other = Client::new()?;
    let takeover = (cmd::ROUTER_TAKEOVER, &id[..]);
    refused(
        tap,
        &mut other,
        "router-takeover: no such router",
        ENOENT,
        takeover,
    )
}

fn states(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_client, head) = scene.front(GET)?;
    let f = head.id();
    let (_idle, b) = scene.back()?;
    let (mut c2, mut s2, moving, target) = scene.moving(100)?;
    c2.write_all(&body(10))?;
    read(&mut s2, 10)?;
    let route = |from, generation, to| {
        let mut attrs = forward(from, generation, Some(to), framing::NONE, 0);
        attrs.push(bytes(queue::DATA, b"x"));
        attrs
    };
    let about = |id, generation| vec![u32(queue::ID, id), u32(queue::GENERATION, generation)];
    let to = |to| forward(f, 1, Some(to), framing::LENGTH, 5);
    let cases = vec![
        ("router-attach: twice", EEXIST, cmd::ROUTER_ATTACH, vec![]),
        (
            "router-takeover: a router is one already",
            EEXIST,
            cmd::ROUTER_TAKEOVER,
            vec![u32(router::ID, scene.router)],
        ),
        (
            "forward: generation 0",
            ESTALE,
            cmd::FORWARD,
            forward(f, 0, None, framing::NONE, 0),
        ),
        (
            "forward: a later one",
            ESTALE,
            cmd::FORWARD,
            forward(f, 2, None, framing::NONE, 0),
        ),
        (
            "route: another generation",
            ESTALE,
            cmd::ROUTE,
            route(f, 2, b),
        ),
        (
            "cancel: another generation",
            ESTALE,
            cmd::CANCEL,
            about(moving, 2),
        ),
        ("cancel: nothing moves", ENODATA, cmd::CANCEL, about(f, 1)),
        (
            "forward: no head waits",
            ENODATA,
            cmd::FORWARD,
            forward(b, 0, None, framing::NONE, 0),
        ),
        ("forward: into itself", EINVAL, cmd::FORWARD, to(f)),
        (
            "forward: while one runs",
            EBUSY,
            cmd::FORWARD,
            forward(moving, 1, Some(b), framing::LENGTH, 100),
        ),
        (
            "forward: into a queue with a writer",
            EBUSY,
            cmd::FORWARD,
            to(target),
        ),
        (
            "route: into a queue with a writer",
            EBUSY,
            cmd::ROUTE,
            route(f, 1, target),
        ),
        (
            "send: into a queue with a writer",
            EBUSY,
            cmd::SEND,
            vec![u32(queue::ID, target), bytes(queue::DATA, b"x")],
        ),
    ];
    all(tap, scene, cases)?;
    scene.call(cmd::CANCEL, &about(moving, 1))?;
    let parked = vec![
        (
            "a body that was begun to another target",
            EBADE,
            cmd::FORWARD,
            forward(moving, 1, Some(b), framing::LENGTH, 100),
        ),
        (
            "a body that was begun, of another length",
            EINVAL,
            cmd::FORWARD,
            forward(moving, 1, None, framing::LENGTH, 99),
        ),
    ];
    all(tap, scene, parked)
}

/// Without an acknowledgement in this time none is on its way.
const QUIET: Duration = Duration::from_secs(1);

/// A peer that does not read: `send` stops at its limit.
fn full(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_server, b) = scene.back()?;
    let data = [u32(queue::ID, b), bytes(queue::DATA, &body(65_000))];
    let mut sent = 0;
    // The first refusal is too early: what waits still moves to the peer until the peer's
    // buffer is full, some acknowledgements later. Filled again and again, it stays full.
    let mut quiet = Instant::now();
    while quiet.elapsed() < QUIET {
        // Far more than any socket buffer; each of these may be taken.
        while sent < 1000 && scene.client.call(cmd::SEND, &data)?.is_ok() {
            sent += 1;
            quiet = Instant::now();
        }
    }
    scene.refused(tap, "send: above its limit", ENOBUFS, cmd::SEND, &data)?;
    let unsent = scene.queue(b)?.get(queue::UNSENT).unwrap_or(u64::MAX);
    let limit = crate::numbers::SEND_LIMIT as u64;
    tap.ok(
        "and within it otherwise",
        unsent <= limit && unsent + 65_000 > limit,
        || format!("{unsent} bytes wait, {limit} may, after {sent} commands"),
    );
    Ok(())
}

/// Sockets that are no router, or another one.
fn foreign(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_client, head) = scene.front(GET)?;
    let f = head.id();
    let (near, _far) = pair(V4)?;
    let listens = listening(V4)?;
    let add = [u32(queue::FD, near.as_raw_fd() as u32), u32(queue::SIDE, 2)];
    let listen = [u32(listener::FD, listens.as_raw_fd() as u32)];
    let mut other = Client::new()?;
    let stranger = [
        ("router-detach of no router", cmd::ROUTER_DETACH, &[][..]),
        ("listener-add of no router", cmd::LISTENER_ADD, &listen[..]),
        ("queue-add of no router", cmd::QUEUE_ADD, &add[..]),
    ];
    for (name, number, attrs) in stranger {
        refused(tap, &mut other, name, EPERM, (number, attrs))?;
    }
    let grace = [u32(router::GRACE, 0)];
    other
        .call(cmd::ROUTER_ATTACH, &grace)?
        .map_err(|r| r.text)?;
    let own = other.call(cmd::QUEUE_ADD, &add)?.map_err(|r| r.text)?[0].id();
    let id = [u32(queue::ID, f)];
    let send = [u32(queue::ID, f), bytes(queue::DATA, b"x")];
    let mut route = forward(f, 1, Some(own), framing::NONE, 0);
    route.push(bytes(queue::DATA, b"x"));
    let away = forward(f, 1, None, framing::NONE, 0);
    let cancel = [u32(queue::ID, f), u32(queue::GENERATION, 1)];
    let theirs = [u32(listener::ID, scene.listener)];
    let foreign = [
        ("listener-del of another's", cmd::LISTENER_DEL, &theirs[..]),
        ("queue-del of another's", cmd::QUEUE_DEL, &id[..]),
        ("queue-abort of another's", cmd::QUEUE_ABORT, &id[..]),
        ("send to another's", cmd::SEND, &send[..]),
        ("forward from another's", cmd::FORWARD, &away[..]),
        ("route from another's", cmd::ROUTE, &route[..]),
        ("cancel of another's", cmd::CANCEL, &cancel[..]),
        ("drain of another's", cmd::DRAIN, &id[..]),
    ];
    for (name, number, attrs) in foreign {
        refused(tap, &mut other, name, EPERM, (number, attrs))?;
    }
    let into = forward(f, 1, Some(own), framing::LENGTH, 5);
    scene.refused(tap, "forward into another's", EPERM, cmd::FORWARD, &into)?;
    // Looking is allowed.
    let seen = everything(&mut other)?;
    let found = seen
        .iter()
        .any(|m| m.number == cmd::QUEUE_GET && m.id() == f);
    tap.ok("a dump shows another's", found, || format!("{seen:?}"));
    Ok(())
}
