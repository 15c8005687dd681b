// SPDX-License-Identifier: GPL-2.0
//! Unix stream sockets as back-ends: the engine `user` carries them, the module does not.

use std::os::unix::net::UnixStream;

use underpass::engine::Socket;
use underpass_proto::{Command, ForwardResult, Reason, Side};

use crate::peer::{in_chunks, noise, sha256, Peer};
use crate::scene::{chunked, forward, route, send, to_chunked, tunnel, Scene, HEAD, HEAD_LIMIT};

const EPROTONOSUPPORT: i32 = 93;
const ENOTEMPTY: i32 = 39;

/// A back-end behind a Unix socket; none where the engine refuses it, as it must.
fn backend(scene: &mut Scene) -> Option<(u32, Peer<UnixStream>)> {
    let (ours, theirs) = UnixStream::pair().expect("two ends");
    let adopted = scene.try_adopt(Socket::Unix(ours), Side::Back, HEAD_LIMIT);
    if scene.is_kernel() {
        let refusal = adopted.expect_err("the module carries TCP only");
        assert_eq!(refusal.errno, EPROTONOSUPPORT);
        return None;
    }
    let id = adopted.expect("it is taken over");
    Some((id, Peer::over_unix(theirs)))
}

#[test]
fn requests_and_responses_pass() {
    let mut scene = Scene::new();
    let Some((back, mut server)) = backend(&mut scene) else {
        return;
    };
    let (front, mut client) = scene.source(Side::Front);
    scene.command(route(front, back, chunked(), b"request", false));
    let content = noise(1 << 20);
    let wire = in_chunks(&content, &[5, 100_000]);
    client.send_aside(wire.clone(), false);
    server.expect("request");
    assert_eq!(sha256(&server.chunked().0), sha256(&content));
    scene.completes(front, wire.len() as u64);
    server.send([HEAD, b"answer"].concat());
    let head = scene.head(back);
    assert_eq!((head.peer, head.local), (None, None));
    scene.command(route(back, front, to_chunked(), b"", false));
    server.half_close();
    assert_eq!(client.chunked().0, b"answer");
    scene.completes(back, 6);
    assert_eq!(scene.closed(back).reason, Reason::BodyEnd);
}

#[test]
fn a_body_cut_short_ends_the_connection() {
    let mut scene = Scene::new();
    let Some((back, mut server)) = backend(&mut scene) else {
        return;
    };
    let (front, mut client) = scene.source(Side::Front);
    scene.forward(front, Some(back), chunked());
    client.send("2\r\na");
    server.expect("1\r\na\r\n");
    client.half_close();
    scene.fails(front, ForwardResult::Truncated);
    // It cannot be reset: the missing last chunk tells.
    assert_eq!(server.rest(), b"");
}

#[test]
fn what_it_says_unasked_is_heard() {
    let mut scene = Scene::new();
    let Some((back, mut server)) = backend(&mut scene) else {
        return;
    };
    server.send("x");
    assert_eq!(scene.refused(send(back, b"no", true)), ENOTEMPTY);
    scene.command(Command::QueueAbort { id: back });
    // Linux tells a Unix peer of bytes that nobody read.
    drop(server);
}

#[test]
fn a_peer_that_goes_is_noticed() {
    let mut scene = Scene::new();
    let Some((back, server)) = backend(&mut scene) else {
        return;
    };
    let (front, mut client) = scene.source(Side::Front);
    scene.forward(front, Some(back), tunnel());
    drop(server);
    client.send("into the void");
    scene.fails(front, ForwardResult::TargetError);
    scene.command(forward(front, 1, None, tunnel()));
    client.half_close();
    assert_eq!(scene.done(front).result, ForwardResult::Complete);
}
