// SPDX-License-Identifier: GPL-2.0
//! Every way in which a body can come and leave, in every segmentation.

use underpass_proto::{Body, Command, Side};

use crate::peer::{in_chunks, noise, sha256, Peer, Watch};
use crate::scene::{
    chunked, forward, length, no_body, pair, to_chunked, to_until_close, until_close, Scene, HEAD,
};

/// A chunked body and its content.
const BODIES: [(&str, &str); 5] = [
    ("0\r\n\r\n", ""),
    ("3\r\nabc\r\n0\r\n\r\n", "abc"),
    (
        "1;x=\"y\"\r\na\r\n00002\r\nbc\r\n000\r\nA: b\r\n\r\n",
        "abc",
    ),
    (
        "A \t;e\r\n0123456789\r\n0;last\r\nT:\r\nU: v\r\n\r\n",
        "0123456789",
    ),
    ("2\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n"),
];

/// Two pieces, cut at each place; all in one piece; each byte alone.
fn segmentations(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut all: Vec<Vec<&[u8]>> = (0..bytes.len())
        .map(|at| [&bytes[..at], &bytes[at..]].into())
        .collect();
    all.push(bytes.chunks(1).collect());
    all
}

/// Sends the pieces one by one, each when the one before has left the socket. What follows
/// goes with the last.
fn send_pieces(peer: &mut Peer, watch: &Watch, pieces: &[&[u8]], follows: &[u8]) {
    let (last, first) = pieces.split_last().expect("a piece");
    for piece in first.iter().filter(|piece| !piece.is_empty()) {
        peer.send(piece);
        watch.until_empty();
    }
    peer.send([last, follows].concat());
}

#[test]
fn chunked_stays_chunked_however_it_is_segmented() {
    let mut scene = Scene::new();
    let (ours, theirs) = pair();
    let watch = Watch::new(&ours);
    let (from, mut source) = (scene.adopt(ours, Side::Front), Peer::new(theirs));
    let (to, mut target) = scene.queue(Side::Back);
    source.send(HEAD);
    for (wire, content) in BODIES {
        for pieces in segmentations(wire.as_bytes()) {
            let generation = scene.head(from).generation;
            scene.command(forward(from, generation, Some(to), chunked()));
            send_pieces(&mut source, &watch, &pieces, HEAD);
            let got = target.chunked();
            assert_eq!(got, (content.into(), Vec::new()), "{pieces:?}");
            scene.completes(from, wire.len() as u64);
        }
    }
}

#[test]
fn chunked_becomes_until_close_however_it_is_segmented() {
    let mut scene = Scene::new();
    let (ours, theirs) = pair();
    let watch = Watch::new(&ours);
    let (from, mut source) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
    source.send(HEAD);
    for (wire, content) in BODIES {
        for pieces in segmentations(wire.as_bytes()) {
            let (to, mut target) = scene.queue(Side::Front);
            let generation = scene.head(from).generation;
            scene.command(forward(from, generation, Some(to), to_until_close()));
            send_pieces(&mut source, &watch, &pieces, HEAD);
            assert_eq!(target.rest(), content.as_bytes(), "{pieces:?}");
            scene.completes(from, wire.len() as u64);
            scene.close(to);
        }
    }
}

#[test]
fn until_close_becomes_chunked_however_it_is_segmented() {
    let mut scene = Scene::new();
    let (to, mut target) = scene.queue(Side::Front);
    for content in ["", "a", "0\r\n\r\n", "a body of some bytes"] {
        for pieces in segmentations(content.as_bytes()) {
            let (ours, theirs) = pair();
            let watch = Watch::new(&ours);
            let (from, mut source) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
            source.send(HEAD);
            scene.head(from);
            scene.forward(from, Some(to), to_chunked());
            if !pieces.is_empty() {
                send_pieces(&mut source, &watch, &pieces, b"");
            }
            source.half_close();
            assert_eq!(target.chunked(), (content.into(), Vec::new()));
            scene.completes(from, content.len() as u64);
            scene.close(from);
        }
    }
}

#[test]
fn a_discard_follows_the_coding_however_it_is_segmented() {
    let mut scene = Scene::new();
    let (ours, theirs) = pair();
    let watch = Watch::new(&ours);
    let (from, mut source) = (scene.adopt(ours, Side::Front), Peer::new(theirs));
    source.send(HEAD);
    for (wire, _) in BODIES {
        for pieces in segmentations(wire.as_bytes()) {
            let generation = scene.head(from).generation;
            scene.command(forward(from, generation, None, chunked()));
            send_pieces(&mut source, &watch, &pieces, HEAD);
            scene.completes(from, wire.len() as u64);
        }
    }
}

/// Many bytes of one message; gives what came to the target.
fn through(side: Side, body: Body, wire: &[u8], fin: bool, get: impl FnOnce(&mut Peer) -> Vec<u8>) {
    let mut scene = Scene::new();
    let (from, source) = scene.source(side);
    let other = match side {
        Side::Front => Side::Back,
        Side::Back => Side::Front,
    };
    let (to, mut target) = scene.queue(other);
    scene.command(Command::Route {
        id: from,
        generation: 1,
        to,
        body,
        data: b"in front".to_vec(),
        if_quiet: false,
        relay: None,
    });
    source.send_aside(wire.to_vec(), fin);
    target.expect("in front");
    let content = noise(CONTENT);
    assert_eq!(sha256(&get(&mut target)), sha256(&content));
    scene.completes(from, wire.len() as u64);
}

const CONTENT: usize = 3 << 20;
const SIZES: [usize; 7] = [1, 70_000, 3, 16, 4096, 15, 200_001];

#[test]
fn a_large_chunked_body_stays_what_it_is() {
    let wire = in_chunks(&noise(CONTENT), &SIZES);
    through(Side::Front, chunked(), &wire, false, |peer| {
        peer.chunked().0
    });
}

#[test]
fn a_large_chunked_body_becomes_until_close() {
    let wire = in_chunks(&noise(CONTENT), &SIZES);
    through(Side::Back, to_until_close(), &wire, false, Peer::rest);
}

#[test]
fn a_large_until_close_body_becomes_chunked() {
    let wire = noise(CONTENT);
    through(Side::Back, to_chunked(), &wire, true, |peer| {
        peer.chunked().0
    });
}

#[test]
fn a_large_until_close_body_stays_what_it_is() {
    through(Side::Back, until_close(), &noise(CONTENT), true, Peer::rest);
}

#[test]
fn a_large_body_of_known_length_stays_what_it_is() {
    let body = length(CONTENT as u64);
    let get = |peer: &mut Peer| peer.take(CONTENT);
    through(Side::Front, body, &noise(CONTENT), false, get);
}

#[test]
fn the_next_message_follows_at_the_exact_byte_and_another_framing() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), chunked());
    let after = "NEXT\r\n\r\n0123LAST\r\n\r\n";
    source.send(format!("2\r\nhi\r\n0\r\n\r\n{after}"));
    assert_eq!(target.chunked().0, b"hi");
    scene.completes(from, 12);
    assert_eq!(scene.head(from).head, b"NEXT\r\n\r\n");
    scene.command(forward(from, 2, Some(to), length(4)));
    target.expect("0123");
    scene.completes(from, 4);
    assert_eq!(scene.head(from).head, b"LAST\r\n\r\n");
    scene.command(forward(from, 3, Some(to), no_body()));
    source.half_close();
    assert_eq!(scene.closed(from).generation, 3);
}
