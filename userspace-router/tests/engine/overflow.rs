// SPDX-License-Identifier: GPL-2.0
//! More than the engine's socket holds, and what is said before all of that was read.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use underpass::engine::{Listen, Socket};
use underpass_proto::Side;

use crate::peer::PATIENCE;
use crate::scene::{forward, length, pair, Scene, HEAD};

/// Within a router's credit; of this length 16 MiB of kernel memory do not hold as many.
const HEADS: usize = 1_020;
const LENGTH: usize = 9_000;

#[test]
fn while_the_kernel_drops_answers_all_is_told() {
    let mut scene = Scene::new();
    if !scene.is_kernel() {
        // What it tells is in its own memory.
        return;
    }
    let address = scene.listen_with(Listen {
        head_limit: 16_000,
        proxy_protocol: false,
        head_ms: 600_000,
        connections: 2_000,
    });
    // A body that may be forwarded again.
    let (parked, _sender) = scene.source(Side::Front);
    let (target, _receiver) = scene.queue(Side::Back);
    scene.forward(parked, Some(target), length(6));
    scene.cancel(parked);
    let mut head = vec![b'x'; LENGTH];
    head.extend_from_slice(b"\r\n\r\n");
    let before = scene.overflows();
    let connect = |_| {
        let mut client = TcpStream::connect(address).expect("a connection");
        client.write_all(&head).expect("it is taken");
        client
    };
    // engine.sh allows that many descriptors.
    let _clients: Vec<_> = (0..HEADS).map(connect).collect();
    let began = Instant::now();
    while scene.overflows() == before {
        assert!(began.elapsed() < PATIENCE, "no message was dropped");
    }
    // The first part of what waits. The kernel drops what it answers until the last was read.
    scene.collect_some();
    // It began with another framing, and stays parked.
    let again = scene.give(forward(parked, 1, Some(target), length(7)));
    // What cannot be answered is undone, and that is told.
    let (ours, _theirs) = pair();
    let outcome = scene.try_adopt(Socket::Tcp(ours), Side::Back, 4_096);
    let refused = outcome.expect_err("the answer found its way");
    assert_eq!(refused.errno, 105, "{refused}");
    let refused = scene.refusal(again);
    assert_eq!(refused.errno, 105, "{refused}");
    // Now all was read.
    let (id, mut peer) = scene.queue(Side::Back);
    peer.send(HEAD);
    assert_eq!(scene.head(id).head, HEAD);
}
