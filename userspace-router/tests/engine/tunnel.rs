// SPDX-License-Identifier: GPL-2.0
//! Tunnels: two forwards that end each on its own.

use underpass_proto::{ForwardResult, Reason, Side};

use crate::peer::{noise, sha256, Peer};
use crate::scene::{idle, tunnel, Scene};

struct Tunnel {
    scene: Scene,
    front: u32,
    back: u32,
    client: Peer,
    server: Peer,
}

fn open(idle_ms: u32) -> Tunnel {
    let mut scene = Scene::new();
    let (front, client) = scene.source(Side::Front);
    let (back, server) = scene.source(Side::Back);
    scene.forward(front, Some(back), idle(tunnel(), idle_ms));
    scene.forward(back, Some(front), idle(tunnel(), idle_ms));
    Tunnel {
        scene,
        front,
        back,
        client,
        server,
    }
}

#[test]
fn each_direction_ends_by_its_own_fin() {
    for front_first in [true, false] {
        let mut t = open(60_000);
        let (first, second) = match front_first {
            true => (&mut t.client, &mut t.server),
            false => (&mut t.server, &mut t.client),
        };
        let (from, to) = match front_first {
            true => (t.front, t.back),
            false => (t.back, t.front),
        };
        first.send("ping");
        second.expect("ping");
        second.send("pong");
        first.expect("pong");
        first.half_close();
        assert_eq!(second.rest(), b"");
        t.scene.completes(from, 4);
        assert_eq!(t.scene.closed(from).reason, Reason::BodyEnd);
        second.send("still here");
        first.expect("still here");
        second.half_close();
        assert_eq!(first.rest(), b"");
        t.scene.completes(to, 14);
        assert_eq!(t.scene.closed(to).reason, Reason::BodyEnd);
    }
}

#[test]
fn both_directions_at_once_lose_nothing() {
    let mut t = open(60_000);
    let content = noise(2 << 20);
    t.client.send_aside(content.clone(), true);
    t.server.send_aside(content.clone(), true);
    let mut server = t.server;
    let reader = std::thread::spawn(move || sha256(&server.rest()));
    let got = sha256(&t.client.rest());
    assert_eq!(got, sha256(&content));
    assert_eq!(reader.join().expect("the server reads"), got);
    t.scene.completes(t.front, content.len() as u64);
    t.scene.completes(t.back, content.len() as u64);
}

#[test]
fn a_reset_goes_through() {
    let mut t = open(60_000);
    t.client.send("x");
    t.server.expect("x");
    t.client.reset();
    t.scene.fails(t.front, ForwardResult::SourceError);
    t.server.until_reset();
}
