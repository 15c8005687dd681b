// SPDX-License-Identifier: GPL-2.0
//! `if-quiet`: a connection that served others is used only if it is clean.

use underpass_proto::{Command, ForwardResult, Side};

use crate::peer::Peer;
use crate::scene::{forward, length, no_body, route, send, Scene, HEAD};

const ENOTEMPTY: i32 = 39;
const EPIPE: i32 = 32;

#[test]
fn a_quiet_queue_is_written_to() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    scene.command(send(to, b"one", true));
    source.send("body");
    scene.command(route(from, to, length(4), b"two", true));
    target.expect("onetwobody");
    scene.completes(from, 4);
    // Answered heads do not count, nor a body that is through.
    target.send([HEAD, b"ab"].concat());
    // Both commands began a generation, and the head is the third.
    assert_eq!(scene.head(to).generation, 3);
    scene.command(forward(to, 3, Some(from), length(2)));
    scene.completes(to, 2);
    scene.command(send(to, b"three", true));
    target.expect("three");
}

/// What must be refused, and leave the source as it is.
fn loud(scene: &mut Scene, to: u32, mut target: Peer, errnos: &[i32]) {
    let (from, mut source) = scene.source(Side::Front);
    source.send("body");
    for command in [
        send(to, b"no", true),
        route(from, to, length(4), b"no", true),
    ] {
        let errno = scene.refused(command);
        assert!(errnos.contains(&errno), "{errno}");
    }
    // Nothing changed: the same goes elsewhere.
    let (other, mut peer) = scene.queue(Side::Back);
    scene.command(route(from, other, length(4), b"yes", true));
    peer.expect("yesbody");
    scene.completes(from, 4);
    if errnos == [ENOTEMPTY] {
        scene.drain(to);
        assert_eq!(target.rest(), b"", "something was sent all the same");
    }
}

#[test]
fn a_head_that_waits_is_loud() {
    let mut scene = Scene::new();
    let (to, mut target) = scene.queue(Side::Back);
    target.send(HEAD);
    scene.head(to);
    loud(&mut scene, to, target, &[ENOTEMPTY]);
}

#[test]
fn any_byte_is_loud_at_once() {
    let mut scene = Scene::new();
    for bytes in ["x", "\r\n", "HTTP/1.1 408 Request Timeout\r\n"] {
        let (to, mut target) = scene.queue(Side::Back);
        target.send(bytes);
        loud(&mut scene, to, target, &[ENOTEMPTY]);
    }
}

#[test]
fn what_the_engine_had_no_time_to_notice_is_loud() {
    let mut scene = Scene::new();
    for _ in 0..50 {
        let (to, mut target) = scene.queue(Side::Back);
        target.send(HEAD);
        assert_eq!(scene.refused(send(to, b"no", true)), ENOTEMPTY);
        assert_eq!(scene.head(to).head, HEAD, "and it is told none the less");
        scene.command(Command::QueueAbort { id: to });
    }
}

#[test]
fn an_end_is_loud() {
    let mut scene = Scene::new();
    let (to, target) = scene.queue(Side::Back);
    target.half_close();
    scene.closed(to);
    loud(&mut scene, to, target, &[ENOTEMPTY]);
    let (to, target) = scene.queue(Side::Back);
    let (_, unused) = scene.queue(Side::Back);
    target.reset();
    scene.closed(to);
    loud(&mut scene, to, unused, &[ENOTEMPTY, EPIPE]);
}

#[test]
fn a_body_that_waits_for_the_router_is_loud() {
    let mut scene = Scene::new();
    let (to, mut target) = scene.source(Side::Back);
    let (front, _client) = scene.queue(Side::Front);
    target.send("ab");
    scene.command(route(to, front, length(9), b"", false));
    scene.cancel(to);
    loud(&mut scene, to, target, &[ENOTEMPTY]);
}

#[test]
fn without_the_flag_nothing_of_it_matters() {
    let mut scene = Scene::new();
    let (from, _source) = scene.source(Side::Front);
    let (to, mut target) = scene.source(Side::Back);
    scene.command(send(to, b"100", false));
    scene.command(route(from, to, no_body(), b"200", false));
    target.expect("100200");
}

/// A client that sent two heads and got a part of the first response, and its back-end.
fn ahead(scene: &mut Scene) -> ((u32, Peer), (u32, Peer)) {
    let (front, mut client) = scene.queue(Side::Front);
    let (back, mut server) = scene.queue(Side::Back);
    client.send([HEAD, HEAD].concat());
    scene.head(front);
    server.send("HTTP/1.1 200 OK\r\n\r\na");
    scene.head(back);
    scene.command(route(back, front, length(2), b"200", false));
    scene.command(forward(front, 1, None, no_body()));
    client.expect("200a");
    ((front, client), (back, server))
}

/// No head was told before one that comes up now, but those that were looked at.
fn none_told(scene: &mut Scene) {
    let (other, mut witness) = scene.queue(Side::Front);
    witness.send(HEAD);
    scene.head(other);
    assert_eq!(scene.heads_told(), 0);
}

#[test]
fn a_head_that_was_sent_ahead_comes_behind_the_response() {
    let mut scene = Scene::new();
    let ((front, _client), (back, mut server)) = ahead(&mut scene);
    none_told(&mut scene);
    server.send("b");
    scene.completes(back, 2);
    assert_eq!(scene.head(front).generation, 2);
}

#[test]
fn a_head_that_was_sent_ahead_is_not_told_of_a_queue_that_is_ended() {
    let ends: [fn(u32) -> Command; 3] = [
        |id| Command::QueueAbort { id },
        |id| Command::QueueDel { id },
        |id| Command::Drain {
            id,
            limit_bytes: None,
            limit_ms: None,
        },
    ];
    for end in ends {
        let mut scene = Scene::new();
        let ((front, _client), (back, _server)) = ahead(&mut scene);
        scene.command(end(front));
        scene.fails(back, ForwardResult::TargetError);
        none_told(&mut scene);
    }
}
