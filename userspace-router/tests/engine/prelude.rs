// SPDX-License-Identifier: GPL-2.0
//! PROXY protocol headers in front of the first head of a connection.

use std::net::TcpStream;

use crate::peer::Peer;
use crate::scene::{forward, no_body, Scene, HEAD, HEAD_LIMIT};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
/// Its addresses hold what would end a head.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\r\n\r\n\n\n\n\n\r\n\r\n";

#[test]
fn it_comes_up_with_the_first_head_and_only_there() {
    let mut scene = Scene::new();
    let address = scene.listen(true);
    for prelude in [V1, V2] {
        for step in [1, 7, 1000] {
            let mut client = Peer::new(TcpStream::connect(address).expect("a connection"));
            let wire = [prelude, HEAD].concat();
            for piece in wire.chunks(step) {
                client.send(piece);
            }
            let head = scene.accepted();
            assert_eq!((head.head, head.over_limit), (wire, false));
            scene.command(forward(head.id, 1, None, no_body()));
            client.send(HEAD);
            assert_eq!(scene.head(head.id).head, HEAD);
            scene.close(head.id);
        }
    }
}

#[test]
fn bytes_that_are_none_come_up_at_once() {
    let mut scene = Scene::new();
    let address = scene.listen(true);
    for (bytes, length) in [("GET / HTTP/1.1\r\n", 1), ("PROXY\r", 6), ("\r\n\r\nG", 5)] {
        let mut client = Peer::new(TcpStream::connect(address).expect("a connection"));
        client.send(bytes);
        let head = scene.accepted();
        assert_eq!(head.head, bytes.as_bytes()[..length], "{bytes:?}");
        scene.drain(head.id);
        client.half_close();
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn it_counts_towards_the_limit() {
    let mut scene = Scene::new();
    let address = scene.listen(true);
    let mut client = Peer::new(TcpStream::connect(address).expect("a connection"));
    let field = vec![b'x'; HEAD_LIMIT as usize - V1.len()];
    client.send([V1, &field].concat());
    let head = scene.accepted();
    assert_eq!((head.head.len(), head.over_limit), (4096, true));
}

#[test]
fn other_listeners_know_nothing_of_it() {
    let mut scene = Scene::new();
    let address = scene.listen(false);
    let mut client = Peer::new(TcpStream::connect(address).expect("a connection"));
    let line = "GET / HTTP/1.1\r\n\r\n";
    client.send([V1, line.as_bytes()].concat());
    assert_eq!(scene.accepted().head, [V1, line.as_bytes()].concat());
}
