// SPDX-License-Identifier: GPL-2.0
//! Responses that the router allows to be passed on without having been shown.

use crate::client::{bytes, u32, u64, Failure};
use crate::numbers::{cmd, framing, queue, result, state, stats};
use crate::scene::{forward, Scene, GET};
use crate::sockets::read;
use crate::tap::Tap;
use std::io::Write;

/// Checks of this file.
pub const PLAN: u32 = 15;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    relayed(tap, &mut scene)?;
    lines_of_each(tap, &mut scene)?;
    left_for_later(tap, &mut scene)?;
    sent_ahead(tap, &mut scene)
}

/// An event that wakes nobody goes before an answer that shows what it tells.
fn left_for_later(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(GET)?;
    let (mut server, b) = scene.back()?;
    let f = head.id();
    let mut route = forward(f, 1, Some(b), framing::LENGTH, 3);
    route.push(bytes(queue::DATA, b"PUT"));
    route.push(bytes(queue::RELAY, b""));
    scene.call(cmd::ROUTE, &route)?;
    client.write_all(b"abc")?;
    read(&mut server, 6)?;
    scene.until(cmd::QUEUE_GET, |all| {
        all.iter()
            .any(|q| q.id() == f && q.get(queue::STATE) == Some(state::COLLECTING))
    })?;
    let told = scene
        .client
        .events_waiting(|e| e.number == cmd::DONE && e.id() == f);
    tap.equal("done goes before a dump that shows it", told, 1);
    scene.client.event(cmd::DONE, f)?;
    scene.about(cmd::QUEUE_ABORT, f)?;
    scene.about(cmd::QUEUE_ABORT, b)?;
    Ok(())
}

/// What a client sends ahead is not told while a response is on its way to it.
fn sent_ahead(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(&[GET, GET].concat())?;
    let (mut server, b) = scene.back()?;
    let f = head.id();
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\na")?;
    scene.client.event(cmd::HEAD, b)?;
    let mut response = forward(b, 1, Some(f), framing::LENGTH, 2);
    response.push(bytes(queue::DATA, b"200"));
    scene.call(cmd::ROUTE, &response)?;
    read(&mut client, 4)?;
    scene.call(cmd::FORWARD, &forward(f, 1, None, framing::NONE, 0))?;
    scene.until(cmd::QUEUE_GET, |all| {
        all.iter()
            .any(|q| q.id() == f && q.get(queue::STATE) == Some(state::READY))
    })?;
    let early = scene
        .client
        .events_waiting(|e| e.number == cmd::HEAD && e.id() == f);
    server.write_all(b"b")?;
    scene.client.event(cmd::DONE, b)?;
    let next = scene.client.event(cmd::HEAD, f)?;
    let got = (early, next.get(queue::GENERATION));
    tap.equal(
        "a head that was sent ahead waits for the response",
        got,
        (0, Some(2)),
    );
    read(&mut client, 1)?;
    scene.about(cmd::QUEUE_ABORT, f)?;
    scene.about(cmd::QUEUE_ABORT, b)?;
    Ok(())
}

/// A response that is passed on without being shown, and one that was not to be any more.
fn relayed(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    const RESPONSE: &[u8] = b"HTTP/1.1 206 Part\r\nDate: x\r\nContent-Length: 2\r\n";
    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    let arm = |generation, lines: &[u8]| {
        let mut route = forward(f, generation, Some(b), framing::NONE, 0);
        route.push(bytes(queue::DATA, b"GET"));
        route.push(bytes(queue::RELAY, lines));
        route.push(u32(queue::RELAY_IDLE_MS, 60_000));
        route.push(u32(queue::RELAY_IDLE_BYTES, 1));
        route
    };
    let via = b"Via: a\r\n";
    let badly = arm(1, b"Via: a");
    let errno = crate::numbers::errno::EINVAL;
    scene.refused(tap, "relay: not whole lines", errno, cmd::ROUTE, &badly)?;
    let mut alone = forward(f, 1, Some(b), framing::NONE, 0);
    alone.push(bytes(queue::DATA, b"GET"));
    alone.push(bytes(queue::RELAY_HEAD, b""));
    scene.refused(tap, "relay-head alone", errno, cmd::ROUTE, &alone)?;

    let none = [
        u32(queue::ID, b),
        bytes(queue::DATA, b"x"),
        u64(queue::NOTE, 1),
    ];
    scene.refused(tap, "note: no front queue", errno, cmd::SEND, &none)?;

    let before = scene.stats()?;
    let mut noted = arm(1, via);
    noted.push(u64(queue::NOTE, 7 << 32));
    scene.call(cmd::ROUTE, &noted)?;
    let note = scene.queue(f)?.get(queue::NOTE);
    tap.equal("note: kept with the front queue", note, Some(7 << 32));
    read(&mut server, 3)?;
    let armed = scene.queue(b)?.get(queue::RELAY_TO);
    tap.equal("relay-to of an armed queue", armed, Some(f.into()));
    server.write_all(&[RESPONSE, b"\r\n"].concat())?;
    let event = scene.client.event(cmd::RELAYED, b)?;
    let numbers = [queue::GENERATION, queue::TO, queue::STATUS];
    let expected = [1, f.into(), 206].map(Some);
    tap.equal("relayed", numbers.map(|n| event.get(n)), expected);
    let moving = scene.queue(b)?;
    let got = [queue::STATUS, queue::STATE, queue::RELAY_TO].map(|n| moving.get(n));
    tap.equal(
        "status while it moves",
        got,
        [Some(206), Some(state::MOVING), None],
    );
    server.write_all(b"ok")?;
    let done = scene.client.event(cmd::DONE, b)?;
    let numbers = [queue::RESULT, queue::TAKEN, queue::TO, queue::STATUS];
    let got = numbers.map(|n| done.get(n));
    let expected = [result::COMPLETE, 2, f.into(), 206].map(Some);
    tap.equal("done with a status", got, expected);
    let whole = [RESPONSE, b"Via: a\r\n\r\nok"].concat();
    let after = scene.stats()?;
    let counted = [stats::RELAYED, stats::HEADS].map(|n| after[&n] - before[&n]);
    let got = (read(&mut client, whole.len())?, counted);
    tap.equal("it came with the lines, unshown", got, (whole, [1, 0]));
    let note = scene.queue(f)?.get(queue::NOTE);
    tap.equal(
        "note: its highest bit says so",
        note,
        Some((1 << 63) | (7 << 32)),
    );
    let word = [
        u32(queue::ID, f),
        bytes(queue::DATA, b"x"),
        u64(queue::NOTE, 9),
    ];
    scene.call(cmd::SEND, &word)?;
    read(&mut client, 1)?;
    let note = scene.queue(f)?.get(queue::NOTE);
    tap.equal("note: another one with `send`", note, Some(9));

    client.write_all(GET)?;
    scene.client.event(cmd::HEAD, f)?;
    scene.call(cmd::ROUTE, &arm(2, via))?;
    let cancel = [u32(queue::ID, b), u32(queue::GENERATION, 1)];
    scene.call(cmd::CANCEL, &cancel)?;
    server.write_all(&[RESPONSE, b"\r\nok"].concat())?;
    let generation = scene.client.event(cmd::HEAD, b)?.get(queue::GENERATION);
    tap.equal("cancel: it comes up", generation, Some(2));
    scene.about(cmd::QUEUE_ABORT, b)?;
    scene.about(cmd::QUEUE_ABORT, f)?;
    Ok(())
}

/// The lines of a route go behind the response to it, whatever those of the one before were.
fn lines_of_each(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 0\r\n";
    const LINES: [&[u8]; 5] = [b"A: b\r\n", b"A: c\r\n", b"A: c\r\n", b"", b"A: b\r\n"];
    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    let (mut got, mut expected) = (Vec::new(), Vec::new());
    for (generation, lines) in (1..).zip(LINES) {
        if generation > 1 {
            client.write_all(GET)?;
            scene.client.event(cmd::HEAD, f)?;
        }
        let mut route = forward(f, generation, Some(b), framing::NONE, 0);
        route.push(bytes(queue::DATA, b"GET"));
        route.push(bytes(queue::RELAY, lines));
        scene.call(cmd::ROUTE, &route)?;
        read(&mut server, 3)?;
        server.write_all(&[RESPONSE, b"\r\n"].concat())?;
        scene.client.event(cmd::DONE, b)?;
        let whole = [RESPONSE, lines, b"\r\n"].concat();
        got.push(read(&mut client, whole.len())?);
        expected.push(whole);
    }
    tap.equal(
        "relay: each response has the lines of its route",
        got,
        expected,
    );
    scene.about(cmd::QUEUE_ABORT, b)?;
    scene.about(cmd::QUEUE_ABORT, f)?;
    Ok(())
}
