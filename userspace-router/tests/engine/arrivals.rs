// SPDX-License-Identifier: GPL-2.0
//! Connections that a listener accepts: how long they have for a first head, and how many
//! there are at once.

use std::net::{SocketAddr, TcpStream};

use underpass::engine::Listen;
use underpass_framing::HEAD_LATE;

use super::peer::Peer;
use super::scene::{forward, no_body, Scene, HEAD, HEAD_LIMIT};

const TERMS: Listen = Listen {
    head_limit: HEAD_LIMIT,
    proxy_protocol: false,
    head_ms: 60_000,
    connections: 100,
};

/// So long that a client which sends at once is in time, also on a slow machine.
const IN_TIME: u32 = 1_500;

fn client(address: SocketAddr) -> Peer {
    Peer::new(TcpStream::connect(address).expect("a connection"))
}

#[test]
fn a_first_head_has_to_come_in_time() {
    let mut scene = Scene::new();
    let address = scene.listen_with(Listen {
        head_ms: IN_TIME,
        ..TERMS
    });
    let mut asked = client(address);
    asked.send(HEAD);
    let head = scene.accepted();
    let (mut silent, mut slow) = (client(address), client(address));
    slow.send("GET / HTTP/1.1\r\nHost: ");
    assert_eq!(slow.rest(), HEAD_LATE);
    assert_eq!(silent.rest(), b"");
    // Who asked in time may wait, and may be slow later: the router knows of it.
    scene.command(forward(head.id, 1, None, no_body()));
    asked.send(&HEAD[..4]);
    let mut late = client(address);
    assert_eq!(late.rest(), b"");
    asked.send(&HEAD[4..]);
    assert_eq!(scene.head(head.id).head, HEAD);
    assert_eq!(scene.heads_told(), 0);
}

#[test]
fn a_late_client_can_read_why_although_it_goes_on_sending() {
    let mut scene = Scene::new();
    let address = scene.listen_with(Listen {
        head_ms: IN_TIME,
        ..TERMS
    });
    let mut slow = client(address);
    slow.send("GET / HTTP/1.1\r\n");
    slow.expect(HEAD_LATE);
    slow.send("Host: a\r\n\r\n");
    assert_eq!(slow.rest(), b"");
    assert_eq!(scene.heads_told(), 0);
}

#[test]
fn no_more_connections_than_agreed_are_accepted() {
    let mut scene = Scene::new();
    let address = scene.listen_with(Listen {
        connections: 2,
        ..TERMS
    });
    let other = scene.listen(false);
    let mut clients: Vec<_> = (0..6).map(|_| client(address)).collect();
    for client in &mut clients {
        client.send(HEAD);
    }
    let (first, second) = (scene.accepted(), scene.accepted());
    let mut open = vec![first.id, second.id];
    for left in (0..4).rev() {
        // Whoever was accepted beside these was told before this one.
        let mut witness = client(other);
        witness.send(HEAD);
        let seen = scene.accepted();
        assert_ne!(seen.listener, first.listener, "{left} left");
        assert_eq!(scene.heads_told(), 0, "{left} left");
        scene.close(seen.id);
        scene.close(open.remove(0));
        open.push(scene.accepted().id);
    }
}
