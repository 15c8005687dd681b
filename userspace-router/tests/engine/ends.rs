// SPDX-License-Identifier: GPL-2.0
//! Bodies that end before their end, and targets that go.

use underpass_proto::{Body, Command, Event, ForwardResult, Reason, Side};

use crate::peer::{noise, Peer};
use crate::scene::{
    chunked, forward, idle, length, tight_pair, to_chunked, to_until_close, until_close, Scene,
    HEAD,
};

const EBADE: i32 = 52;

fn cut_short(side: Side, body: Body, wire: &[u8]) -> Vec<u8> {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(side);
    let (to, target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), body);
    source.send(wire);
    source.half_close();
    let done = scene.fails(from, ForwardResult::Truncated);
    assert_eq!(done.taken, wire.len() as u64);
    assert_eq!(scene.closed(from).reason, Reason::FinInBody);
    target.until_reset()
}

#[test]
fn a_fin_anywhere_within_a_body_resets_the_target() {
    let wire = b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for at in 0..wire.len() {
        let got = cut_short(Side::Front, chunked(), &wire[..at]);
        assert!(!got.ends_with(b"0\r\n\r\n"), "{at}: ended: {got:?}");
    }
    cut_short(Side::Back, to_until_close(), &wire[..8]);
    cut_short(Side::Front, length(9), b"12345678");
}

#[test]
fn whoever_ends_the_target_at_once_does_not_end_it_by_fin() {
    let mut scene = Scene::new();
    for _ in 0..50 {
        let (from, mut source) = scene.source(Side::Back);
        let (to, target) = scene.queue(Side::Front);
        scene.forward(from, Some(to), to_until_close());
        source.send(b"3\r\nabc");
        source.half_close();
        scene.fails(from, ForwardResult::Truncated);
        // It may be gone by now.
        let _ended = scene.attempt(Command::Drain {
            id: to,
            limit_bytes: None,
            limit_ms: None,
        });
        assert_eq!(target.until_reset(), b"abc");
    }
}

#[test]
fn a_reset_is_never_the_end_of_an_until_close_body() {
    for body in [until_close(), to_chunked()] {
        let mut scene = Scene::new();
        let (from, mut source) = scene.source(Side::Back);
        let (to, mut target) = scene.queue(Side::Front);
        scene.forward(from, Some(to), body.clone());
        source.send("part");
        match body.leaves {
            None => target.expect("part"),
            Some(_) => target.expect("4\r\npart\r\n"),
        }
        source.reset();
        scene.fails(from, ForwardResult::SourceError);
        assert_eq!(scene.closed(from).reason, Reason::Reset);
        assert_eq!(target.until_reset(), b"");
    }
}

/// Nobody waits for what will never be whole.
#[test]
fn a_client_that_resets_behind_a_full_target_is_noticed() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (ours, theirs) = tight_pair();
    let (to, target) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
    scene.forward(from, Some(to), length(1 << 30));
    // More than the target takes, and more than is held back for it.
    source.send(noise(200_000));
    source.reset();
    scene.fails(from, ForwardResult::SourceError);
    assert_eq!(scene.closed(from).reason, Reason::Reset);
    target.until_reset();
}

#[test]
fn a_body_that_came_whole_before_the_reset_is_whole() {
    let body = noise(30_000);
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (ours, theirs) = tight_pair();
    let (to, mut target) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
    scene.forward(from, Some(to), length(30_000));
    source.send(&body);
    target.expect(&body[..100]);
    source.reset();
    target.expect(&body[100..]);
    scene.completes(from, 30_000);
    assert_eq!(scene.closed(from).reason, Reason::Reset);
}

#[test]
fn a_body_that_was_taken_from_can_only_be_discarded() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), chunked());
    source.send("3\r\nab");
    assert_eq!(target.take(5), b"2\r\nab");
    target.reset();
    let done = scene.fails(from, ForwardResult::TargetError);
    assert_eq!((done.taken, done.to), (5, Some(to)));
    let (other, _peer) = scene.queue(Side::Back);
    assert_eq!(
        scene.refused(forward(from, 1, Some(other), chunked())),
        EBADE
    );
    scene.forward(from, None, chunked());
    source.send("c\r\n0\r\n\r\n");
    source.send(HEAD);
    scene.completes(from, 13);
    assert_eq!(scene.head(from).generation, 2);
}

#[test]
fn a_target_that_goes_is_noticed_while_there_is_nothing_to_send() {
    let mut scene = Scene::new();
    let (from, _source) = scene.source(Side::Front);
    let (to, target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), chunked());
    target.reset();
    let done = scene.fails(from, ForwardResult::TargetError);
    assert_eq!(done.taken, 0);
    // The same where the target's own head waits, or it has received its last byte.
    for last in ["head", "fin"] {
        let (to, mut target) = scene.queue(Side::Back);
        match last {
            "head" => {
                target.send(HEAD);
                scene.head(to);
            }
            _ => {
                target.half_close();
                scene.closed(to);
            }
        }
        scene.forward(from, Some(to), chunked());
        target.reset();
        let done = scene.fails(from, ForwardResult::TargetError);
        assert_eq!(done.taken, 0);
    }
}

#[test]
fn a_whole_body_is_told_when_the_target_has_all_of_it() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), chunked());
    source.send("1\r\na\r\n0\r\n\r\n");
    source.send(HEAD);
    scene.completes(from, 11);
    target.send(HEAD);
    // The chunk, its frame, and the end.
    assert_eq!(scene.head(to).sent, 11);
    assert_eq!(target.chunked().0, b"a");
}

#[test]
fn the_end_of_a_queue_is_told_last() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Back);
    let (to, mut target) = scene.queue(Side::Front);
    scene.forward(from, Some(to), idle(to_until_close(), 60_000));
    source.send([b"1\r\na\r\n0\r\n\r\n", HEAD].concat());
    source.half_close();
    assert_eq!(target.rest(), b"a");
    // Which of these comes first is nobody's business.
    let told = [scene.next(from), scene.next(from)];
    assert!(
        matches!(
            &told,
            [Event::Head(_), Event::Done(_)] | [Event::Done(_), Event::Head(_)]
        ),
        "{told:?}"
    );
    scene.command(forward(from, 2, None, length(0)));
    assert_eq!(scene.closed(from).reason, Reason::Fin);
}
