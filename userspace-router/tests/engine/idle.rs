// SPDX-License-Identifier: GPL-2.0
//! Forwards that stand still: who is to blame, and what is left.

use std::time::{Duration, Instant};

use underpass_proto::{Command, ForwardResult, Side};

use crate::peer::{in_chunks, noise, Peer};
use crate::scene::{chunked, forward, idle, length, tight_pair, tunnel, Scene, HEAD};

/// Long enough for the guest to do anything.
const SHORT: u32 = 1_500;

#[test]
fn a_silent_source_stalls_and_can_be_discarded() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    let began = Instant::now();
    scene.forward(from, Some(to), idle(chunked(), SHORT));
    source.send("3\r\nab");
    target.expect("2\r\nab\r\n");
    let done = scene.fails(from, ForwardResult::SourceStalled);
    assert!(began.elapsed() >= Duration::from_millis(SHORT.into()));
    assert_eq!((done.taken, done.to), (5, Some(to)));
    assert_eq!(target.until_reset(), b"");
    // It is only parked.
    scene.forward(from, None, chunked());
    source.send([b"c\r\n0\r\n\r\n", HEAD].concat());
    scene.completes(from, 13);
    scene.head(from);
}

#[test]
fn a_silent_source_of_which_nothing_was_taken_can_go_elsewhere() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), idle(length(2), SHORT));
    let done = scene.fails(from, ForwardResult::SourceStalled);
    assert_eq!(done.taken, 0);
    target.until_reset();
    let (to, mut target) = scene.queue(Side::Back);
    source.send("hi");
    scene.forward(from, Some(to), idle(length(2), SHORT));
    target.expect("hi");
    scene.completes(from, 2);
}

#[test]
fn a_discard_stalls_too() {
    let mut scene = Scene::new();
    let (from, _source) = scene.source(Side::Front);
    scene.forward(from, None, idle(length(2), SHORT));
    let done = scene.fails(from, ForwardResult::SourceStalled);
    assert_eq!((done.taken, done.to), (0, None));
}

#[test]
fn a_target_that_takes_nothing_stalls() {
    let mut scene = Scene::new();
    let (from, source) = scene.source(Side::Front);
    let (to, target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), idle(length(1 << 30), SHORT));
    let mut stream = source.stream.try_clone().expect("another handle");
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        // Until the router gives up.
        while stream.write_all(&noise(1 << 16)).is_ok() {}
    });
    let done = scene.fails(from, ForwardResult::TargetStalled);
    assert!(done.taken > 0);
    target.until_reset();
    scene.command(Command::QueueAbort { id: from });
    writer.join().expect("the writer stops");
}

#[test]
fn a_body_that_was_received_whole_is_not_complete_before_the_target_took_it() {
    for (body, wire) in [
        // No more than comes in one piece: a part that is not there cannot be taken.
        (length(30_000), noise(30_000)),
        (chunked(), in_chunks(&noise(30_000), &[30_000])),
    ] {
        let mut scene = Scene::new();
        let (from, mut source) = scene.source(Side::Front);
        let (ours, theirs) = tight_pair();
        let (to, target) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
        scene.forward(from, Some(to), idle(body.clone(), SHORT));
        source.send(&wire);
        let done = scene.fails(from, ForwardResult::TargetStalled);
        assert_eq!(done.taken, wire.len() as u64);
        target.until_reset();
        // Nothing of it is left to discard.
        source.send(HEAD);
        scene.forward(from, None, body);
        assert_eq!(scene.head(from).generation, 2);
    }
}

#[test]
fn every_byte_gives_a_body_more_time() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    let began = Instant::now();
    scene.forward(from, Some(to), idle(length(1 << 20), SHORT));
    let mut count = 0;
    while began.elapsed() < 3 * Duration::from_millis(SHORT.into()) {
        source.send("x");
        target.expect("x");
        count += 1;
    }
    let done = scene.fails(from, ForwardResult::SourceStalled);
    assert_eq!(done.taken, count);
}

#[test]
fn a_target_that_takes_a_little_now_and_then_is_only_slow() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (ours, theirs) = tight_pair();
    let (to, mut target) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
    let began = Instant::now();
    let content = noise(60_000);
    // A small window is shut for a while after each opening.
    let limit = 2 * SHORT;
    scene.forward(from, Some(to), idle(length(60_000), limit));
    source.send(&content);
    let mut got = Vec::new();
    while began.elapsed() < 2 * Duration::from_millis(limit.into()) && got.len() < 50_000 {
        got.extend(target.take(100));
        // Slowness is what is tested.
        std::thread::sleep(Duration::from_millis(10));
    }
    got.extend(target.take(content.len() - got.len()));
    assert_eq!(got, content);
    scene.completes(from, 60_000);
}

#[test]
fn a_shorter_time_than_the_last_forward_had_is_kept() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    scene.forward(from, None, idle(length(1), 600_000));
    source.send([b"x", HEAD].concat());
    scene.completes(from, 1);
    scene.head(from);
    scene.command(forward(from, 2, None, idle(length(1), SHORT)));
    scene.fails(from, ForwardResult::SourceStalled);
}

#[test]
fn a_tunnel_lives_as_long_as_one_direction_does() {
    let mut scene = Scene::new();
    let (front, mut client) = scene.source(Side::Front);
    let (back, mut server) = scene.source(Side::Back);
    let began = Instant::now();
    scene.forward(front, Some(back), idle(tunnel(), SHORT));
    scene.forward(back, Some(front), idle(tunnel(), SHORT));
    let mut count = 0;
    while began.elapsed() < 3 * Duration::from_millis(SHORT.into()) {
        server.send("x");
        client.expect("x");
        count += 1;
    }
    // Then neither does.
    let ends = [scene.done(front), scene.done(back)];
    assert_eq!((ends[0].taken, ends[1].taken), (0, count));
    let stalled = |result| result == ForwardResult::SourceStalled;
    assert!(ends.iter().any(|done| stalled(done.result)), "{ends:?}");
    client.until_reset();
    server.until_reset();
}

#[test]
fn a_parked_body_has_no_clock() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, _target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), idle(length(2), SHORT));
    scene.cancel(from);
    // Another forward's clock, which begins later, has run out.
    let (other, _peer) = scene.source(Side::Front);
    scene.forward(other, None, idle(length(1), 2 * SHORT));
    scene.fails(other, ForwardResult::SourceStalled);
    let (to, mut target) = scene.queue(Side::Back);
    scene.command(forward(from, 1, Some(to), length(2)));
    source.send("hi");
    target.expect("hi");
    scene.completes(from, 2);
}
