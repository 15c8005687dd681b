// SPDX-License-Identifier: GPL-2.0
//! A client that leaves behind a response that was passed on: the kernel ends its queue by itself,
//! and tells so, for there is nothing left to say. Wherever something may be, the queue stays.

use underpass_proto::gen::Reason;
use underpass_proto::{Command, Event, ForwardResult, Side};

use crate::passing::{armed, head, ok, passed, relay, Pair};
use crate::peer::noise;
use crate::scene::{no_body, send, Scene, HEAD};

const ENOENT: i32 = 2;

/// The client closed: whether its queue ended with that.
fn gone(scene: &mut Scene, pair: &Pair, reason: Reason) -> bool {
    let closed = scene.closed(pair.front);
    assert_eq!((closed.side, closed.reason), (Side::Front, reason));
    if closed.gone {
        assert_eq!(scene.refused(Command::QueueDel { id: pair.front }), ENOENT);
    }
    closed.gone
}

#[test]
fn after_a_response_that_was_passed_on() {
    let mut scene = Scene::new();
    let is_kernel = scene.is_kernel();
    for size in [0, 4, 3 << 20] {
        let mut pair = Pair::new(&mut scene, relay());
        let content = noise(size);
        let fields = format!("Content-Length: {size}\r\n");
        pair.server.send(ok(&fields));
        pair.server.send_aside(content.clone(), false);
        pair.client.expect(passed("200 OK", &fields));
        assert!(pair.client.take(size) == content);
        // The client may have the last byte before the kernel looks what follows.
        pair.told(&mut scene, 200, size as u64);
        pair.client.half_close();
        assert_eq!(gone(&mut scene, &pair, Reason::Fin), is_kernel, "{size}");
        if is_kernel {
            assert_eq!(pair.client.rest(), b"");
        }
    }
    // And without a body that could be.
    let mut pair = Pair::new(&mut scene, relay());
    pair.server.send(head("304 Not Modified", ""));
    pair.client.expect(passed("304 Not Modified", ""));
    pair.client.reset();
    let closed = scene.closed(pair.front);
    assert_eq!((closed.reason, closed.gone), (Reason::Reset, is_kernel));
}

#[test]
fn while_the_response_is_to_come() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    pair.client.half_close();
    assert!(!gone(&mut scene, &pair, Reason::Fin));
    pair.answered(&mut scene);
    scene.close(pair.front);
}

#[test]
fn while_the_second_response_is_to_come() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    pair.client.send(HEAD);
    let generation = scene.head(pair.front).generation;
    pair.answered(&mut scene);
    let mut second = armed(pair.front, pair.back, no_body(), relay());
    if let Command::Route { generation: of, .. } = &mut second {
        *of = generation;
    }
    scene.command(second);
    pair.server.expect("request");
    pair.client.half_close();
    assert!(!gone(&mut scene, &pair, Reason::Fin));
    pair.server.send(ok("Content-Length: 1\r\n") + "a");
    pair.client
        .expect(passed("200 OK", "Content-Length: 1\r\n") + "a");
    pair.done(&mut scene, 200, 1);
    scene.close(pair.front);
}

#[test]
fn after_what_the_router_sent() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    // With it the response is not passed on.
    scene.command(send(pair.back, b"more", false));
    let response = ok("Content-Length: 0\r\n");
    pair.server.send(&response);
    let up = scene.head(pair.back);
    scene.command(Command::Route {
        id: pair.back,
        generation: up.generation,
        to: pair.front,
        body: no_body(),
        data: up.head,
        if_quiet: false,
        relay: None,
    });
    pair.client.expect(&response);
    pair.client.half_close();
    assert!(!gone(&mut scene, &pair, Reason::Fin));
    // It may have more to say.
    scene.send(pair.front, b"more");
    pair.client.expect("more");
}

#[test]
fn in_the_middle_of_the_response() {
    let mut scene = Scene::new();
    let mut pair = Pair::new(&mut scene, relay());
    let content = noise(3 << 20);
    let fields = format!("Content-Length: {}\r\n", content.len());
    pair.server.send(ok(&fields));
    pair.client.expect(passed("200 OK", &fields));
    pair.client.half_close();
    assert!(!gone(&mut scene, &pair, Reason::Fin));
    pair.server.send_aside(content.clone(), false);
    assert!(pair.client.take(content.len()) == content);
    match scene.next(pair.back) {
        Event::Relayed(_) => {}
        other => panic!("{other:?}"),
    }
    let done = scene.done(pair.back);
    assert_eq!(done.result, ForwardResult::Complete);
    scene.close(pair.front);
}
