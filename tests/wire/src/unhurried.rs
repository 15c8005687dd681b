// SPDX-License-Identifier: GPL-2.0
//! Events that wait for others, because nobody has to act on them, and come nevertheless.

use crate::client::{bytes, u32, Failure};
use crate::numbers::{cmd, framing, queue, result};
use crate::scene::{forward, Scene, GET};
use crate::sockets::{body, connect, read};
use crate::tap::Tap;
use std::io::Write;

/// Checks of this file.
pub const PLAN: u32 = 4;

/// Bytes of a body that goes out with its head, and of one that moves by itself.
const LENGTHS: [usize; 2] = [1_000, 50_000];

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    for length in LENGTHS {
        by_the_clock(tap, length)?;
    }
    with_the_next(tap)
}

/// Lets a body move whose response may be passed on; says whose it is.
fn upload(scene: &mut Scene, length: usize) -> Result<(u32, [std::net::TcpStream; 2]), Failure> {
    // All of it is there before its head is answered, so that also the small one is whole.
    let sent = body(length);
    let (client, head) = scene.front(&[GET, &sent].concat())?;
    let (mut server, b) = scene.back()?;
    let mut route = forward(head.id(), 1, Some(b), framing::LENGTH, length as u64);
    route.push(bytes(queue::DATA, b"PUT"));
    route.push(bytes(queue::RELAY, b""));
    route.push(u32(queue::RELAY_IDLE_MS, 60_000));
    scene.call(cmd::ROUTE, &route)?;
    read(&mut server, 3 + length)?;
    Ok((head.id(), [client, server]))
}

/// The back-end does not answer, the client is silent, and the router asks nothing.
fn by_the_clock(tap: &mut Tap, length: usize) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (f, _peers) = upload(&mut scene, length)?;
    let done = scene.client.event(cmd::DONE, f)?;
    let got = [queue::RESULT, queue::TAKEN].map(|n| done.get(n));
    let expected = [Some(result::COMPLETE), Some(length as u64)];
    let name = format!("done of {length} bytes whose response is awaited");
    tap.equal(&name, got, expected);
    Ok(())
}

/// Whatever comes next brings it, and comes behind it.
fn with_the_next(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (f, _peers) = upload(&mut scene, LENGTHS[1])?;
    let mut other = connect(scene.address)?;
    other.write_all(GET)?;
    let first = scene.client.event_where(|_| true)?;
    let got = (first.number, first.id());
    tap.equal("what was left comes first", got, (cmd::DONE, f));
    let second = scene.client.event_where(|_| true)?.number;
    tap.equal("then what brought it", second, cmd::HEAD);
    Ok(())
}
