// SPDX-License-Identifier: GPL-2.0
//! Forwards that move, and too slowly: `idle-bytes`.

use std::time::{Duration, Instant};

use underpass_proto::{Body, ForwardResult, Side};

use crate::peer::{noise, Peer};
use crate::scene::{chunked, forward, idle, length, tight_pair, tunnel, Scene};

/// Long enough for the guest to do anything.
const SHORT: u32 = 1_500;
/// Between two bytes of whoever is slow.
const PAUSE: Duration = Duration::from_millis(20);

/// `bytes` of it have to move in each `SHORT`.
fn least(body: Body, bytes: u32) -> Body {
    Body {
        idle_bytes: Some(bytes),
        ..idle(body, SHORT)
    }
}

/// Sends single bytes until the connection ends or `time` is over.
pub fn trickle(peer: &Peer, time: Duration) -> std::thread::JoinHandle<()> {
    let mut stream = peer.stream.try_clone().expect("another handle");
    let end = Instant::now() + time;
    std::thread::spawn(move || {
        use std::io::Write;
        while Instant::now() < end && stream.write_all(b"x").is_ok() {
            // Slowness is what is tested.
            std::thread::sleep(PAUSE);
        }
    })
}

/// It moves, so that standing still is not what ends it.
pub const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_source_that_sends_too_little_is_slow_and_can_be_discarded() {
    let mut scene = Scene::new();
    let (from, source) = scene.source(Side::Front);
    let (to, target) = scene.queue(Side::Back);
    let began = Instant::now();
    scene.forward(from, Some(to), least(length(1 << 20), 100_000));
    let sender = trickle(&source, LONG);
    let done = scene.fails(from, ForwardResult::SourceSlow);
    assert!(began.elapsed() >= Duration::from_millis(SHORT.into()));
    assert_eq!(done.to, Some(to));
    assert!((1..100_000).contains(&done.taken), "{}", done.taken);
    // The reset may throw away what was taken last.
    assert!(target.until_reset().len() as u64 <= done.taken);
    // It is only parked; what is thrown away has to come as fast.
    scene.forward(from, None, least(length(1 << 20), 100_000));
    scene.fails(from, ForwardResult::SourceSlow);
    scene.close(from);
    sender.join().expect("no panic");
}

#[test]
fn what_came_fast_does_not_make_up_for_later() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), least(length(1 << 20), 100_000));
    source.send(noise(500_000));
    target.expect(noise(500_000));
    let sender = trickle(&source, LONG);
    let done = scene.fails(from, ForwardResult::SourceSlow);
    assert!((500_000..600_000).contains(&done.taken), "{}", done.taken);
    target.until_reset();
    scene.close(from);
    sender.join().expect("no panic");
}

#[test]
fn what_carries_nothing_does_not_count() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), least(chunked(), 1_000));
    // One byte of content, and extensions without end.
    source.send("1\r\na\r\n1;");
    target.expect("1\r\na\r\n");
    let sender = trickle(&source, LONG);
    scene.fails(from, ForwardResult::SourceSlow);
    target.until_reset();
    scene.close(from);
    sender.join().expect("no panic");
}

#[test]
fn who_is_fast_enough_lives() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    let began = Instant::now();
    scene.forward(from, Some(to), least(length(1 << 30), 10));
    let mut count = 0;
    while began.elapsed() < 4 * Duration::from_millis(SHORT.into()) {
        source.send("x");
        target.expect("x");
        count += 1;
    }
    // And then stands still.
    let done = scene.done(from);
    let ends = [ForwardResult::SourceStalled, ForwardResult::SourceSlow];
    assert!(ends.contains(&done.result), "{done:?}");
    assert!(began.elapsed() >= 4 * Duration::from_millis(SHORT.into()));
    assert_eq!(done.taken, count);
}

#[test]
fn a_target_that_takes_too_little_is_slow() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (ours, theirs) = tight_pair();
    let (to, target) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
    // All of it is taken at once, and is none of the source's business any more.
    scene.forward(from, Some(to), least(length(60_000), 1 << 20));
    source.send(noise(60_000));
    let mut stream = target.stream.try_clone().expect("another handle");
    let reader = std::thread::spawn(move || {
        use std::io::Read;
        // So many at a time that the window opens a little, or it stands still.
        while matches!(stream.read(&mut [0; 1_000]), Ok(1..)) {
            std::thread::sleep(10 * PAUSE);
        }
    });
    scene.fails(from, ForwardResult::TargetSlow);
    reader.join().expect("no panic");
}

#[test]
fn it_needs_a_time_and_a_body() {
    const EINVAL: i32 = 22;
    const ERANGE: i32 = 34;
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    for (body, errno) in [
        (least(length(3), 0), ERANGE),
        (least(tunnel(), 1), EINVAL),
        (
            Body {
                idle_ms: None,
                ..least(length(3), 1)
            },
            EINVAL,
        ),
    ] {
        assert_eq!(scene.refused(forward(from, 1, Some(to), body)), errno);
    }
    source.send("abc");
    scene.forward(from, Some(to), least(length(3), u32::MAX));
    target.expect("abc");
    scene.completes(from, 3);
}
