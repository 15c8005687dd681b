// SPDX-License-Identifier: GPL-2.0
//! Responses that are passed on without being shown, and those that are not.
//!
//! Each head here is answered by an armed queue, unless a test says otherwise.

use underpass_proto::{Command, Event, ForwardResult, Relay, Side};

use crate::pace::{trickle, LONG};
use crate::passing::{armed, head, ok, passed, relay, Pair};
use crate::peer::{in_chunks, noise, sha256, Peer, Watch};
use crate::scene::{
    chunked, forward, idle, length, no_body, pair, route, send, tight_pair, tunnel, until_close,
    Scene, HEAD,
};

const EINVAL: i32 = 22;
const ERANGE: i32 = 34;
const ENODATA: i32 = 61;
const ESTALE: i32 = 116;

#[test]
fn a_response_is_passed_on_with_its_body() {
    let mut scene = Scene::new();
    for split in [false, true] {
        let mut pair = Pair::new(&mut scene, relay());
        let fields = "Content-Length: 4\r\nA: b\r\n";
        pair.server.send(ok(fields));
        if split {
            pair.client.expect(passed("200 OK", fields));
        }
        pair.server.send("body");
        if !split {
            pair.client.expect(passed("200 OK", fields));
        }
        pair.client.expect("body");
        let mut done = scene.next(pair.back);
        if let Event::Relayed(relayed) = &done {
            assert_eq!((relayed.status, relayed.to), (200, pair.front));
            assert_eq!(relayed.generation, 1);
            done = scene.next(pair.back);
        }
        match &done {
            Event::Done(done) => pair.whole(done, 200, 4),
            other => panic!("{other:?}"),
        }
        // Both connections live on, and nothing is allowed any more.
        pair.client.send(HEAD);
        let next = scene.head(pair.front);
        assert_eq!(next.generation, 2);
        scene.command(forward(pair.front, 2, None, no_body()));
        scene.send(pair.back, b"again");
        pair.server.expect("again");
        pair.server.send(ok("Content-Length: 0\r\n"));
        assert_eq!(scene.head(pair.back).generation, 2);
    }
}

#[test]
fn a_response_without_body_has_a_done_too() {
    let mut scene = Scene::new();
    for (status, fields, of_head) in [
        ("200 OK", "Content-Length: 0\r\n", false),
        ("204 No Content", "", false),
        ("304 Not Modified", "Content-Length: 5\r\n", false),
        ("200 OK", "Content-Length: 5\r\n", true),
        ("301 Moved", "Transfer-Encoding: chunked\r\n", true),
        ("200 OK", "", true),
    ] {
        let terms = Relay { of_head, ..relay() };
        let mut pair = Pair::new(&mut scene, terms);
        pair.server.send(head(status, fields));
        pair.client.expect(passed(status, fields));
        let number = status[..3].parse().expect("a number");
        pair.done(&mut scene, number, 0);
    }
}

#[test]
fn what_the_engine_is_not_sure_of_comes_up() {
    let mut scene = Scene::new();
    for response in [
        head("404 Not Found", "Content-Length: 0\r\n"),
        head("199 Odd", ""),
        ok(""),
        ok("Content-Length: 0\r\nConnection: close\r\n"),
        ok("Content-Length: 0\r\nContent-Length: 0\r\n"),
        ok("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        ok("Transfer-Encoding: gzip, chunked\r\n"),
        ok("Content-Length: 0\r\nA : b\r\n"),
        ok("Content-Length: 0\r\nA: b\r\n c\r\n"),
        ok("Content-Length: 0\r\nA: b\nC: d\r\n"),
        head("204 No", "Content-Length: 0\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.0 200 OK\r\nDate: x\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let mut pair = Pair::new(&mut scene, relay());
        pair.server.send(&response);
        pair.comes_up(&mut scene, &response);
    }
}

#[test]
fn an_over_long_head_comes_up() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    pair.server
        .send(ok(&format!("A: {}\r\n", "b".repeat(5_000))));
    assert!(scene.head(pair.back).over_limit);
}

#[test]
fn fields_of_one_hop_end_here_and_the_lines_stand_behind() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    pair.server.send(ok(
        "Connection: keep-alive\r\nA:b\r\nKeep-Alive: timeout=5\r\nC: d \r\nContent-Length:0\r\n",
    ));
    let left = "A: b\r\nC: d\r\nContent-Length: 0\r\n";
    pair.client.expect(passed("200 OK", left));
    let mut pair = Pair::new(&mut scene, Relay::default());
    pair.server.send(ok("Content-Length: 0\r\n"));
    pair.client.expect(ok("Content-Length: 0\r\n"));
    pair.done(&mut scene, 200, 0);
}

#[test]
fn chunks() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    let content = noise(300_000);
    let wire = in_chunks(&content, &[1, 70_000, 16]);
    let fields = "Transfer-Encoding: chunked\r\n";
    let response = [ok(fields).as_bytes(), &wire].concat();
    pair.server.send_aside(response, false);
    pair.client.expect(passed("200 OK", fields));
    assert_eq!(pair.client.chunked().0, content);
    let done = scene.done(pair.back);
    pair.whole(&done, 200, wire.len() as u64);
}

#[test]
fn a_long_body_is_told_of_before_its_end() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    let content = noise(3 << 20);
    let fields = format!("Content-Length: {}\r\n", content.len());
    pair.server.send(ok(&fields));
    match scene.next(pair.back) {
        Event::Relayed(relayed) => assert_eq!((relayed.status, relayed.to), (200, pair.front)),
        other => panic!("{other:?}"),
    }
    pair.server.send_aside(content.clone(), false);
    pair.client.expect(passed("200 OK", &fields));
    assert_eq!(sha256(&pair.client.take(content.len())), sha256(&content));
    // Once only.
    pair.done(&mut scene, 200, content.len() as u64);
}

#[test]
fn after_a_request_with_a_body() {
    let mut scene = Scene::new();
    for body in [length(4), chunked()] {
        let wire = match body == chunked() {
            true => in_chunks(b"body", &[4]),
            false => b"body".to_vec(),
        };
        let mut pair = Pair::with_body(&mut scene, body, relay());
        pair.client.send(&wire);
        pair.server.expect("request");
        pair.server.expect(&wire);
        scene.completes(pair.front, wire.len() as u64);
        pair.answered(&mut scene);
    }
}

#[test]
fn a_response_in_the_middle_of_the_request_comes_up() {
    let mut scene = Scene::new();
    let mut pair = Pair::with_body(&mut scene, length(4), relay());
    pair.client.send("bo");
    pair.server.expect("requestbo");
    let fields = "Content-Length: 0\r\n";
    pair.server.send(ok(fields));
    assert_eq!(scene.head(pair.back).head, ok(fields).as_bytes());
    pair.client.send("dy");
    pair.server.expect("dy");
    scene.completes(pair.front, 4);
    // It stays with the router, also once the request is whole.
    scene.command(route(pair.back, pair.front, no_body(), b"shown", false));
    pair.client.expect("shown");
}

#[test]
fn an_interim_response_comes_up_and_so_does_what_follows() {
    let mut scene = Scene::new();
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early\r\n\r\n",
    ] {
        let mut pair = Pair::new(&mut scene, relay());
        pair.server.send(interim);
        let head = scene.head(pair.back);
        assert_eq!(head.head, interim.as_bytes());
        scene.command(forward(pair.back, head.generation, None, no_body()));
        let response = ok("Content-Length: 0\r\n");
        pair.server.send(&response);
        pair.comes_up(&mut scene, &response);
    }
}

#[test]
fn a_head_that_came_before_uses_up_what_is_allowed_after_it() {
    let mut scene = Scene::new();
    let (front, mut client) = scene.source(Side::Front);
    let (back, mut server) = scene.source(Side::Back);
    scene.command(armed(front, back, no_body(), relay()));
    server.expect("request");
    scene.command(route(back, front, no_body(), b"first", false));
    client.expect("first");
    server.send(ok("Content-Length: 0\r\n"));
    assert_eq!(scene.head(back).generation, 2);
}

#[test]
fn what_is_sent_without_it_disarms() {
    let mut scene = Scene::new();
    let response = ok("Content-Length: 0\r\n");
    let mut pair = Pair::new(&mut scene, relay());
    scene.send(pair.back, b"more");
    pair.server.expect("more");
    pair.server.send(&response);
    pair.comes_up(&mut scene, &response);
    // A route from elsewhere.
    let mut pair = Pair::new(&mut scene, relay());
    let (other, _client) = scene.source(Side::Front);
    scene.command(route(other, pair.back, no_body(), b"more", false));
    pair.server.expect("more");
    pair.server.send(&response);
    pair.comes_up(&mut scene, &response);
}

#[test]
fn a_request_that_is_not_whole_is_answered_by_nobody_else() {
    let mut scene = Scene::new();
    // Truncated: the server is reset.
    let mut pair = Pair::with_body(&mut scene, length(9), relay());
    pair.client.send("bo");
    pair.server.expect("requestbo");
    pair.client.half_close();
    scene.fails(pair.front, ForwardResult::Truncated);
    // Stopped by the router, and the server says something all the same.
    let mut pair = Pair::with_body(&mut scene, length(9), relay());
    pair.client.send("bo");
    pair.server.expect("requestbo");
    scene.cancel(pair.front);
    let response = ok("Content-Length: 0\r\n");
    pair.server.send(&response);
    pair.comes_up(&mut scene, &response);
    // It stands still.
    let body = idle(length(9), 100);
    let pair = Pair::with_body(&mut scene, body, relay());
    scene.fails(pair.front, ForwardResult::SourceStalled);
    assert_eq!(scene.refused(pair.cancel(0)), ENODATA);
}

#[test]
fn cancel_before_the_response_takes_it_back() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    scene.command(pair.cancel(0));
    let done = scene.fails(pair.back, ForwardResult::Cancelled);
    assert_eq!(done.status, None);
    // Nothing is left to take back.
    assert_eq!(scene.refused(pair.cancel(0)), ENODATA);
    let response = ok("Content-Length: 0\r\n");
    pair.server.send(&response);
    pair.comes_up(&mut scene, &response);
}

#[test]
fn cancel_after_the_response_is_too_late() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    pair.server.send(ok("Content-Length: 2\r\n"));
    pair.client
        .expect(passed("200 OK", "Content-Length: 2\r\n"));
    assert_eq!(scene.refused(pair.cancel(0)), ESTALE);
    pair.server.send("ab");
    pair.client.expect("ab");
    let done = scene.done(pair.back);
    pair.whole(&done, 200, 2);
    assert_eq!(scene.refused(pair.cancel(0)), ESTALE);
    assert_eq!(scene.refused(pair.cancel(1)), ENODATA);
    // One that came up is not taken back either.
    let mut pair = Pair::new(&mut scene, relay());
    pair.server.send(head("500 No", ""));
    scene.head(pair.back);
    assert_eq!(scene.refused(pair.cancel(0)), ESTALE);
}

/// Whoever wins, the client gets one answer.
#[test]
fn cancel_and_the_response_at_once() {
    let mut scene = Scene::new();
    let response = ok("Content-Length: 0\r\n");
    let mut wins = [0, 0];
    for round in 0..200u32 {
        let mut pair = Pair::new(&mut scene, relay());
        // The response is somewhere on its way.
        pair.server.send(&response);
        for _ in 0..(round % 20) * 200 {
            std::hint::spin_loop();
        }
        match scene.attempt(pair.cancel(0)) {
            Ok(()) => {
                scene.fails(pair.back, ForwardResult::Cancelled);
                scene.send(pair.front, b"504");
                pair.client.expect("504");
                assert_eq!(scene.head(pair.back).head, response.as_bytes());
                wins[0] += 1;
            }
            Err(refusal) => {
                assert_eq!(refusal.errno, ESTALE, "{refusal}");
                pair.client
                    .expect(passed("200 OK", "Content-Length: 0\r\n"));
                pair.done(&mut scene, 200, 0);
                wins[1] += 1;
            }
        }
        scene.close(pair.front);
        assert_eq!(pair.client.rest(), b"", "a second answer");
        scene.close(pair.back);
    }
    println!("cancelled {} times, too late {} times", wins[0], wins[1]);
}

#[test]
fn a_client_that_is_gone_gets_nothing_and_the_head_comes_up() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    scene.command(Command::QueueAbort { id: pair.front });
    pair.client.until_reset();
    let response = ok("Content-Length: 0\r\n");
    pair.server.send(&response);
    assert_eq!(scene.head(pair.back).head, response.as_bytes());
}

#[test]
fn a_client_that_is_half_closed_gets_its_response() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    pair.client.half_close();
    scene.closed(pair.front);
    pair.answered(&mut scene);
}

#[test]
fn a_client_without_room_gets_it_by_the_router() {
    let mut scene = Scene::new();
    // A client that does not read, into whose queue as much was sent as it takes.
    let (ours, theirs) = tight_pair();
    let (mut client, front) = (Peer::new(theirs), scene.adopt(ours, Side::Front));
    client.send(HEAD);
    scene.head(front);
    let piece = vec![b'x'; 32 << 10];
    while scene.attempt(send(front, &piece, false)).is_ok() {}
    let fill = vec![b'x'; 64];
    while scene.attempt(send(front, &fill, false)).is_ok() {}
    let (back, mut server) = scene.queue(Side::Back);
    scene.command(armed(front, back, no_body(), relay()));
    server.send(ok(&format!(
        "A: {}\r\nContent-Length: 0\r\n",
        "b".repeat(100)
    )));
    scene.head(back);
}

#[test]
fn the_server_ends_behind_its_response() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    pair.server.send(ok("Content-Length: 2\r\n") + "ab");
    pair.server.half_close();
    pair.client
        .expect(passed("200 OK", "Content-Length: 2\r\n") + "ab");
    let done = scene.done(pair.back);
    pair.whole(&done, 200, 2);
    scene.closed(pair.back);
    // Within its body: the client must not take it for whole.
    let mut pair = Pair::new(&mut scene, relay());
    pair.server.send(ok("Content-Length: 2\r\n") + "a");
    pair.client
        .expect(passed("200 OK", "Content-Length: 2\r\n"));
    pair.server.half_close();
    let done = scene.done(pair.back);
    assert_eq!(done.status, Some(200));
    assert_eq!((done.result, done.taken), (ForwardResult::Truncated, 1));
    pair.client.until_reset();
}

#[test]
fn a_response_that_is_too_slow() {
    let mut scene = Scene::new();
    let terms = Relay {
        // Far more than between two bytes: else it stands still on a slow machine.
        idle_ms: Some(1_500),
        idle_bytes: Some(1_000),
        ..relay()
    };
    let mut pair = Pair::new(&mut scene, terms);
    pair.server.send(ok("Content-Length: 1000000\r\n"));
    let sender = trickle(&pair.server, LONG);
    let done = scene.done(pair.back);
    assert_eq!(
        (done.result, done.status),
        (ForwardResult::SourceSlow, Some(200))
    );
    pair.client.until_reset();
    scene.close(pair.back);
    sender.join().expect("no panic");
}

#[test]
fn a_response_that_stands_still() {
    let mut scene = Scene::new();
    let terms = Relay {
        idle_ms: Some(200),
        ..relay()
    };
    let mut pair = Pair::new(&mut scene, terms);
    pair.server.send(ok("Content-Length: 2\r\n") + "a");
    let done = scene.done(pair.back);
    assert_eq!(
        (done.result, done.status),
        (ForwardResult::SourceStalled, Some(200))
    );
    pair.client.until_reset();
}

#[test]
fn what_follows_the_response_is_not_passed_on() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    let response = ok("Content-Length: 0\r\n");
    pair.server.send(response.repeat(2));
    pair.client
        .expect(passed("200 OK", "Content-Length: 0\r\n"));
    let done = scene.done(pair.back);
    pair.whole(&done, 200, 0);
    assert_eq!(scene.head(pair.back).generation, 2);
    scene.close(pair.front);
    assert_eq!(pair.client.rest(), b"");
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut scene = Scene::new();
    let (front, _client) = scene.source(Side::Front);
    let (other, _other) = scene.source(Side::Front);
    let (back, mut server) = scene.queue(Side::Back);
    let with = |change: &dyn Fn(&mut Relay)| {
        let mut terms = relay();
        change(&mut terms);
        terms
    };
    for (command, errno) in [
        (armed(front, other, no_body(), relay()), EINVAL),
        (armed(front, back, tunnel(), relay()), EINVAL),
        (armed(front, back, until_close(), relay()), EINVAL),
        (
            armed(
                front,
                back,
                no_body(),
                with(&|r| r.lines = b"A: b"[..].into()),
            ),
            EINVAL,
        ),
        (
            armed(
                front,
                back,
                no_body(),
                with(&|r| r.lines = b"\r\n"[..].into()),
            ),
            EINVAL,
        ),
        (
            armed(
                front,
                back,
                no_body(),
                with(&|r| r.lines = b"A: b\r\n\r\n"[..].into()),
            ),
            EINVAL,
        ),
        (
            armed(
                front,
                back,
                no_body(),
                with(&|r| r.lines = vec![b'a'; 1_025].into()),
            ),
            ERANGE,
        ),
        (
            armed(front, back, no_body(), with(&|r| r.idle_ms = Some(0))),
            ERANGE,
        ),
    ] {
        assert_eq!(scene.refused(command.clone()), errno, "{command:?}");
    }
    // From a back-end.
    let (from, mut peer) = scene.source(Side::Back);
    assert_eq!(scene.refused(armed(from, back, no_body(), relay())), EINVAL);
    peer.send("");
    scene.command(armed(front, back, no_body(), relay()));
    server.expect("request");
}

#[test]
fn the_body_that_comes_with_the_head_is_not_left_behind() {
    let mut scene = Scene::new();
    let (ours, theirs) = pair();
    let watch = Watch::new(&ours);
    let back = scene.adopt(ours, Side::Back);
    let mut server = Peer::new(theirs);
    let (front, mut client) = scene.source(Side::Front);
    scene.command(armed(front, back, no_body(), relay()));
    server.send(ok("Content-Length: 4\r\n") + "body");
    client.expect(passed("200 OK", "Content-Length: 4\r\n") + "body");
    watch.until_empty();
    scene.completes(back, 4);
}
