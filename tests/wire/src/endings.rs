// SPDX-License-Identifier: GPL-2.0
//! Connections that break or end, in every place, and the ways in which a router ends one.

use crate::client::{u32, u64, Failure, Message};
use crate::numbers::errno::{ECONNRESET, EMSGSIZE, EPIPE};
use crate::numbers::{cmd, framing, listener, queue, reason, result, side, state};
use crate::scene::{forward, Scene, GET};
use crate::sockets::{body, connect, end, fin, read, reset, End};
use crate::tap::Tap;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;

/// Checks of this file.
pub const PLAN: u32 = 38;

const RESET: Option<u64> = Some(ECONNRESET as u64);

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    sources(tap, &mut scene)?;
    behind_a_full_target(tap, &mut scene)?;
    targets(tap, &mut scene)?;
    between(tap, &mut scene)?;
    over_limit(tap, &mut scene)?;
    drains(tap, &mut scene)?;
    dels(tap, &mut scene)?;
    drop(scene);
    orphans(tap)
}

fn numbers<const N: usize>(message: &Message, attrs: [u16; N]) -> [Option<u64>; N] {
    attrs.map(|n| message.get(n))
}

/// The sender's connection ends in the middle of a body.
fn sources(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, mut server, f, _) = scene.moving(100)?;
    client.write_all(&body(10))?;
    read(&mut server, 10)?;
    fin(&client)?;
    let done = scene.client.event(cmd::DONE, f)?;
    let got = numbers(&done, [queue::RESULT, queue::TAKEN]);
    tap.equal(
        "FIN in a body: done, truncated",
        got,
        [result::TRUNCATED, 10].map(Some),
    );
    let closed = scene.client.event(cmd::CLOSED, f)?;
    let got = numbers(&closed, [queue::REASON, queue::SIDE]);
    let expected = [reason::FIN_IN_BODY, side::FRONT].map(Some);
    tap.equal("FIN in a body: closed, fin-in-body", got, expected);
    tap.equal(
        "FIN in a body: the target is reset",
        end(&mut server)?,
        End::Reset,
    );
    scene.about(cmd::QUEUE_ABORT, f)?;

    let (mut client, mut server, f, _) = scene.moving(100)?;
    client.write_all(&body(10))?;
    read(&mut server, 10)?;
    reset(client)?;
    let done = scene.client.event(cmd::DONE, f)?;
    let got = numbers(&done, [queue::RESULT, queue::ERROR, queue::TAKEN]);
    let expected = [Some(result::SOURCE_ERROR), RESET, Some(10)];
    tap.equal("reset in a body: done, source-error", got, expected);
    let closed = scene.client.event(cmd::CLOSED, f)?;
    let got = numbers(&closed, [queue::REASON, queue::ERROR]);
    tap.equal(
        "reset in a body: closed, reset",
        got,
        [Some(reason::RESET), RESET],
    );
    tap.equal(
        "reset in a body: the target is reset",
        end(&mut server)?,
        End::Reset,
    );
    scene.about(cmd::QUEUE_ABORT, f)?;
    Ok(())
}

/// A client resets while its back-end takes nothing: nobody waits for what will never be whole.
fn behind_a_full_target(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, mut server, f, b) = scene.moving(1 << 40)?;
    fill(scene, &mut client, f)?;
    reset(client)?;
    let done = scene.client.event(cmd::DONE, f)?;
    let got = numbers(&done, [queue::RESULT, queue::ERROR]);
    let expected = [Some(result::SOURCE_ERROR), RESET];
    tap.equal("reset behind a full target: done", got, expected);
    let closed = scene.client.event(cmd::CLOSED, f)?;
    let got = numbers(&closed, [queue::REASON, queue::ERROR]);
    let expected = [Some(reason::RESET), RESET];
    tap.equal("reset behind a full target: closed", got, expected);
    let got = end(&mut server)?;
    tap.equal("reset behind a full target: reset, too", got, End::Reset);
    scene.about(cmd::QUEUE_ABORT, f)?;
    scene.about(cmd::QUEUE_ABORT, b)?;
    Ok(())
}

/// Writes until neither `stream` nor the target of queue `id` takes any more.
fn fill(scene: &mut Scene, stream: &mut TcpStream, id: u32) -> Result<(), Failure> {
    let data = body(1 << 16);
    stream.set_nonblocking(true)?;
    let (mut before, mut looks) = (None, 0);
    while looks < 100 {
        let wrote = match stream.write(&data) {
            Ok(_) => true,
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => return Err(e.into()),
        };
        let taken = scene.queue(id)?.get(queue::TAKEN);
        looks = if !wrote && taken == before {
            looks + 1
        } else {
            0
        };
        before = taken;
    }
    Ok(())
}

/// The target's connection ends in the middle of a body.
fn targets(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, server, f, b) = scene.moving(6)?;
    reset(server)?;
    let done = scene.client.event(cmd::DONE, f)?;
    let got = numbers(&done, [queue::RESULT, queue::TAKEN, queue::TO]);
    let expected = [result::TARGET_ERROR, 0, b.into()].map(Some);
    tap.equal("target reset: done, target-error", got, expected);
    let parked = scene.queue(f)?.get(queue::STATE);
    tap.equal(
        "target reset: the source is parked",
        parked,
        Some(state::PARKED),
    );
    let closed = scene.client.event(cmd::CLOSED, b)?;
    let got = numbers(&closed, [queue::REASON, queue::ERROR]);
    tap.equal(
        "target reset: closed, reset",
        got,
        [Some(reason::RESET), RESET],
    );
    scene.refused(tap, "send to a broken queue", EPIPE, cmd::SEND, &{
        let mut attrs = vec![u32(queue::ID, b)];
        attrs.push(crate::client::bytes(queue::DATA, b"x"));
        attrs
    })?;
    scene.about(cmd::QUEUE_DEL, b)?;
    let (mut second, b2) = scene.back()?;
    scene.call(cmd::FORWARD, &forward(f, 1, Some(b2), framing::LENGTH, 6))?;
    client.write_all(b"abcdef")?;
    let got = read(&mut second, 6)?;
    tap.equal(
        "target reset: another one takes the body",
        &got[..],
        b"abcdef",
    );
    scene.client.event(cmd::DONE, f)?;

    let (mut client, mut server, f, b) = scene.moving(100)?;
    client.write_all(&body(10))?;
    read(&mut server, 10)?;
    scene.about(cmd::QUEUE_DEL, b)?;
    let done = scene.client.event(cmd::DONE, f)?;
    let got = numbers(&done, [queue::RESULT, queue::TAKEN]);
    tap.equal(
        "target deleted: done, target-error",
        got,
        [result::TARGET_ERROR, 10].map(Some),
    );
    scene.about(cmd::QUEUE_ABORT, f)?;
    Ok(())
}

/// Ends outside of bodies.
fn between(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    scene.call(cmd::FORWARD, &forward(f, 1, None, framing::NONE, 0))?;
    fin(&client)?;
    let closed = scene.client.event(cmd::CLOSED, f)?;
    let got = numbers(&closed, [queue::REASON, queue::GENERATION, queue::ERROR]);
    tap.equal(
        "FIN between messages: closed, fin",
        got,
        [reason::FIN, 1, 0].map(Some),
    );
    let ended = numbers(&scene.queue(f)?, [queue::STATE, queue::REASON]);
    tap.equal(
        "FIN between messages: ended",
        ended,
        [state::ENDED, reason::FIN].map(Some),
    );
    scene.send(f, b"last words")?;
    scene.about(cmd::DRAIN, f)?;
    let got = end(&mut client)?;
    tap.equal(
        "a half-closed client gets its response",
        got,
        End::Fin(b"last words".to_vec()),
    );

    let (mut server, b) = scene.back()?;
    server.write_all(b"HTTP/1.1 2")?;
    fin(&server)?;
    let closed = scene.client.event(cmd::CLOSED, b)?;
    let got = numbers(&closed, [queue::REASON, queue::SIDE]);
    tap.equal(
        "FIN in a head: fin-in-head",
        got,
        [reason::FIN_IN_HEAD, side::BACK].map(Some),
    );
    scene.about(cmd::QUEUE_DEL, b)?;

    let (server, b) = scene.back()?;
    reset(server)?;
    let closed = scene.client.event(cmd::CLOSED, b)?;
    let got = numbers(&closed, [queue::REASON, queue::ERROR]);
    tap.equal(
        "reset of an idle connection",
        got,
        [Some(reason::RESET), RESET],
    );
    scene.about(cmd::QUEUE_DEL, b)?;

    // What arrived before the end is used first.
    let (mut server, b) = scene.back()?;
    server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    fin(&server)?;
    scene.client.event(cmd::HEAD, b)?;
    let early = scene.queue(b)?.get(queue::STATE);
    tap.equal(
        "FIN behind a head: the head waits",
        early,
        Some(state::READY),
    );
    scene.call(cmd::FORWARD, &forward(b, 1, None, framing::NONE, 0))?;
    let closed = scene.client.event(cmd::CLOSED, b)?.get(queue::REASON);
    tap.equal("FIN behind a head: then closed", closed, Some(reason::FIN));
    scene.about(cmd::QUEUE_DEL, b)?;
    Ok(())
}

fn over_limit(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (id, address) = scene.listen(&[u32(listener::HEAD_LIMIT, 64)])?;
    let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 100]].concat();
    let usual = std::mem::replace(&mut scene.address, address);
    let (mut client, head) = scene.front(&long)?;
    scene.address = usual;
    let flagged = head.attrs.contains_key(&queue::OVER_LIMIT);
    let got = (flagged, &head.attrs[&queue::HEAD][..]);
    tap.equal("a head over its limit", got, (true, &long[..64]));
    let answer = forward(head.id(), 1, None, framing::NONE, 0);
    scene.refused(
        tap,
        "it cannot be forwarded",
        EMSGSIZE,
        cmd::FORWARD,
        &answer,
    )?;
    scene.send(head.id(), b"HTTP/1.1 431 Too Large\r\n\r\n")?;
    scene.about(cmd::DRAIN, head.id())?;
    let got = end(&mut client)?;
    let expected = End::Fin(b"HTTP/1.1 431 Too Large\r\n\r\n".to_vec());
    tap.equal("it can be answered, and drained", got, expected);
    scene.about(cmd::LISTENER_DEL, id)?;
    Ok(())
}

fn gone(id: u32) -> impl Fn(&[Message]) -> bool {
    move |all| all.iter().all(|q| q.id() != id)
}

fn drains(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    client.write_all(&body(50_000))?;
    scene.send(f, b"no")?;
    scene.about(cmd::DRAIN, f)?;
    let got = end(&mut client)?;
    tap.equal(
        "drain: the last word arrives, unread bytes or not",
        got,
        End::Fin(b"no".to_vec()),
    );
    drop(client);
    scene.until(cmd::QUEUE_GET, gone(f))?;
    let events = scene.client.events_waiting(|e| e.id() == f);
    tap.equal("drain: no event comes", events, 0);

    let (mut client, head) = scene.front(GET)?;
    let limits = [u32(queue::ID, head.id()), u32(queue::LIMIT_MS, 100)];
    scene.call(cmd::DRAIN, &limits)?;
    scene.until(cmd::QUEUE_GET, gone(head.id()))?;
    let got = end(&mut client)?;
    tap.equal("drain: ends by its time", got, End::Fin(vec![]));

    let (mut client, head) = scene.front(GET)?;
    let limits = [u32(queue::ID, head.id()), u64(queue::LIMIT_BYTES, 100)];
    scene.call(cmd::DRAIN, &limits)?;
    client.write_all(&body(10_000))?;
    scene.until(cmd::QUEUE_GET, gone(head.id()))?;
    tap.ok("drain: ends by its bytes", true, String::new);

    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    stuff(scene, f)?;
    scene.call(cmd::DRAIN, &[u32(queue::ID, f), u32(queue::LIMIT_MS, 100)])?;
    scene.until(cmd::QUEUE_GET, gone(f))?;
    let whole = end(&mut client)? != End::Reset;
    tap.ok(
        "drain: what did not go out in time is cut by a reset",
        !whole,
        || "it looks whole".into(),
    );
    Ok(())
}

/// Sends to a peer that does not read until a part of it waits, and nothing moves any more.
fn stuff(scene: &mut Scene, id: u32) -> Result<(), Failure> {
    let (mut before, mut looks) = (None, 0);
    while looks < 100 {
        let now = numbers(&scene.queue(id)?, [queue::UNSENT, queue::TX_BYTES]);
        looks = if before == Some(now) { looks + 1 } else { 0 };
        before = Some(now);
        if now[0] == Some(0) {
            scene.send(id, &body(60_000))?;
        }
    }
    Ok(())
}

/// A router that does not come back: who still waited to be accepted is told so, as are the others.
fn orphans(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (_, address) = scene.listen(&[u32(listener::CONNECTIONS, 1)])?;
    scene.address = address;
    let (mut first, _) = scene.front(GET)?;
    let mut waiting = connect(address)?;
    waiting.write_all(GET)?;
    drop(scene);
    for (who, client) in [
        ("who was accepted", &mut first),
        ("who waited for that", &mut waiting),
    ] {
        let told = matches!(end(client)?, End::Fin(bytes) if bytes.starts_with(b"HTTP/1.1 503 "));
        let name = format!("a router that is gone for good: 503 to {who}");
        tap.ok(&name, told, || "a reset, or another answer".into());
    }
    Ok(())
}

fn dels(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut server, b) = scene.back()?;
    let data = body(60_000);
    scene.send(b, &data)?;
    scene.about(cmd::QUEUE_DEL, b)?;
    let got = end(&mut server)?;
    tap.ok(
        "queue-del: what was sent arrives, then FIN",
        got == End::Fin(data),
        || "other bytes, or a reset".into(),
    );
    scene.until(cmd::QUEUE_GET, gone(b))?;

    let (mut client, mut server, f, b) = scene.moving(100)?;
    client.write_all(&body(10))?;
    read(&mut server, 10)?;
    scene.about(cmd::QUEUE_ABORT, f)?;
    tap.equal(
        "queue-abort of a source: reset",
        end(&mut client)?,
        End::Reset,
    );
    tap.equal("and its target, too", end(&mut server)?, End::Reset);
    let closed = scene.client.event(cmd::CLOSED, b)?.get(queue::REASON);
    tap.equal("of which the router hears", closed, Some(reason::RESET));
    scene.until(cmd::QUEUE_GET, gone(f))?;

    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    scene.about(cmd::QUEUE_ABORT, f)?;
    tap.equal(
        "queue-abort of a waiting head: reset",
        end(&mut client)?,
        End::Reset,
    );

    let (at, address) = scene.listen(&[])?;
    let mut waiting = connect(address)?;
    scene.until(cmd::QUEUE_GET, |all| {
        all.iter()
            .any(|q| q.get(queue::LISTENER) == Some(at.into()))
    })?;
    scene.about(cmd::LISTENER_DEL, at)?;
    waiting.write_all(GET)?;
    let head = scene
        .client
        .event_where(|e| e.get(queue::LISTENER) == Some(at.into()))?;
    tap.equal("listener-del: its queues live on", head.number, cmd::HEAD);
    Ok(())
}
