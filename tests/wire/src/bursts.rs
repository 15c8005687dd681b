// SPDX-License-Identifier: GPL-2.0
//! Bytes of a body that wait for others, so that many go on at once: none waits for ever.

use crate::client::{u32, u64, Failure};
use crate::numbers::{cmd, framing, queue, result, side, stats};
use crate::scene::{forward, good, Scene, GET};
use crate::sockets::{body, pair, read, V4};
use crate::tap::Tap;
use socket2::SockRef;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// Checks of this file.
pub const PLAN: u32 = PIECES.len() as u32 + 6;

/// Bytes that go on before anything waits: no more and no fewer.
const FIRST: usize = 256 << 10;
/// Pieces of a body, each sent when the one before it is there. Of the short ones each waits for more, in
/// vain; of the long ones so much goes on without waiting.
const PIECES: [usize; 6] = [FIRST, 1, FIRST, 100, 2 * FIRST, 1];

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    by_pieces(tap)?;
    small_window(tap)?;
    drained(tap)
}

/// Whether `sent` arrives.
fn arrives(from: &mut TcpStream, to: &mut TcpStream, sent: &[u8]) -> Result<bool, Failure> {
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| from.write_all(sent));
        let got = read(to, sent.len())?;
        writer.join().map_err(|_| "the writer panicked")??;
        Ok(got == sent)
    })
}

/// The sender waits for each piece to arrive, which the module cannot know.
fn by_pieces(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let sent = body(PIECES.iter().sum());
    let (mut client, mut server, f, _) = scene.moving(sent.len() as u64)?;
    let mut rest = &sent[..];
    for (number, length) in PIECES.into_iter().enumerate() {
        let (piece, after) = rest.split_at(length);
        let name = format!("piece {number} of {length} bytes arrives by itself");
        tap.equal(&name, arrives(&mut client, &mut server, piece)?, true);
        rest = after;
    }
    let done = scene.client.event(cmd::DONE, f)?;
    let expected = (Some(result::COMPLETE), Some(sent.len() as u64));
    let got = (done.get(queue::RESULT), done.get(queue::TAKEN));
    tap.equal("done of all pieces", got, expected);
    client.write_all(GET)?;
    let next = scene.client.event(cmd::HEAD, f)?;
    let generation = next.get(queue::GENERATION);
    tap.equal("the head behind them", generation, Some(2));
    Ok(())
}

/// The sender may send but a few thousand bytes before some are read.
fn small_window(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (mut client, head) = scene.front(GET)?;
    let (near, mut far) = pair(V4)?;
    SockRef::from(&near).set_recv_buffer_size(4096)?;
    let attrs = [
        u32(queue::FD, near.as_raw_fd() as u32),
        u32(queue::SIDE, side::BACK as u32),
    ];
    let b = scene.call(cmd::QUEUE_ADD, &attrs)?[0].id();
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    scene.client.event(cmd::HEAD, b)?;
    let sent = body(1_000_000);
    let attrs = forward(b, 1, Some(head.id()), framing::LENGTH, sent.len() as u64);
    scene.call(cmd::FORWARD, &attrs)?;
    let got = arrives(&mut far, &mut client, &sent)?;
    tap.equal("a body through a small window", got, true);
    let done = scene.client.event(cmd::DONE, b)?.get(queue::RESULT);
    tap.equal("it is done", done, Some(result::COMPLETE));
    Ok(())
}

/// A queue that is drained while its body waits throws away what comes, however little it is.
fn drained(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (mut client, mut server, f, b) = scene.moving(FIRST as u64)?;
    let first = arrives(&mut client, &mut server, &body(FIRST))?;
    tap.equal("the body before the one that waits", first, true);
    client.write_all(GET)?;
    scene.client.event(cmd::HEAD, f)?;
    let limits = vec![
        u32(queue::ID, f),
        u64(queue::LIMIT_BYTES, 1000),
        u32(queue::LIMIT_MS, 600_000),
    ];
    let waits = forward(f, 2, Some(b), framing::LENGTH, 1_000_000);
    // In one datagram: nobody ends the waiting in between.
    let commands = [(cmd::FORWARD, waits), (cmd::DRAIN, limits)];
    for answer in scene.client.call_all(&commands)? {
        good(answer)?;
    }
    // With this comes the acknowledgement of the FIN, which wakes the queue anyway.
    let before = scene.stats()?[&stats::DISCARDED];
    client.write_all(&body(500))?;
    while scene.stats()?[&stats::DISCARDED] < before + 500 {}
    client.write_all(&body(600))?;
    scene.until(cmd::QUEUE_GET, |all| all.iter().all(|q| q.id() != f))?;
    tap.ok("a queue that waited is drained", true, String::new);
    Ok(())
}
