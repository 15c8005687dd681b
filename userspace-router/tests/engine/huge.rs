// SPDX-License-Identifier: GPL-2.0
//! Bodies around 2^32 bytes, which are really moved: each counter on their way must be wider. And one of a
//! million chunks.

use std::io::{Read, Write};

use underpass_proto::Side;

use crate::chunked::chunks_of_one_byte;
use crate::peer::{noise, Peer};
use crate::scene::{length, to_until_close, until_close, Scene, HEAD};

const EDGE: u64 = 1 << 32;

/// Repeated, it is the content: its length divides no power of two.
fn block() -> Vec<u8> {
    noise((1 << 20) - 15)
}

/// Sends that many bytes of content between two texts, from a thread of its own.
fn pour(peer: &Peer, before: String, bytes: u64, after: &'static [u8]) {
    let mut stream = peer.stream.try_clone().expect("another handle");
    std::thread::spawn(move || {
        let block = block();
        let mut left = bytes;
        stream.write_all(before.as_bytes()).expect("bytes are sent");
        while left > 0 {
            let piece = left.min(block.len() as u64);
            stream
                .write_all(&block[..piece as usize])
                .expect("bytes are sent");
            left -= piece;
        }
        stream.write_all(after).expect("bytes are sent");
    });
}

/// Exactly that many bytes of content must come next.
fn expect_content(peer: &mut Peer, bytes: u64) {
    let block = block();
    let mut space = vec![0; block.len()];
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(block.len() as u64) as usize;
        peer.stream
            .read_exact(&mut space[..piece])
            .unwrap_or_else(|error| panic!("{left} of {bytes} bytes are missing: {error}"));
        assert!(
            space[..piece] == block[..piece],
            "content differs in the last {left} bytes"
        );
        left -= piece as u64;
    }
}

fn a_length_of(bytes: u64) {
    let mut scene = Scene::new();
    let (from, source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    pour(&source, String::new(), bytes, HEAD);
    scene.forward(from, Some(to), length(bytes));
    expect_content(&mut target, bytes);
    scene.completes(from, bytes);
    // The next request begins at the exact byte.
    assert_eq!(scene.head(from).head, HEAD);
    scene.send(to, b"next");
    target.expect("next");
}

#[test]
#[ignore = "one of them is enough for each change; make test LONG=1"]
fn a_length_one_below_4_gib() {
    a_length_of(EDGE - 1);
}

#[test]
fn a_length_one_above_4_gib() {
    a_length_of(EDGE + 1);
}

#[test]
#[ignore = "one of them is enough for each change; make test LONG=1"]
fn a_single_chunk_above_4_gib() {
    let mut scene = Scene::new();
    let (from, source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    let line = format!("{:x}\r\n", EDGE + 1);
    let all = EDGE + 1 + (line.len() + "\r\n0\r\n\r\n".len()) as u64;
    pour(&source, line, EDGE + 1, b"\r\n0\r\n\r\n");
    scene.forward(from, Some(to), to_until_close());
    expect_content(&mut target, EDGE + 1);
    assert!(target.rest().is_empty(), "more than the content");
    scene.completes(from, all);
}

#[test]
#[ignore = "one of them is enough for each change; make test LONG=1"]
fn until_close_above_4_gib() {
    let mut scene = Scene::new();
    let (from, source) = scene.source(Side::Back);
    let (to, mut target) = scene.queue(Side::Front);
    pour(&source, String::new(), EDGE + 1, b"");
    scene.forward(from, Some(to), until_close());
    expect_content(&mut target, EDGE + 1);
    source.half_close();
    assert!(target.rest().is_empty(), "more than the content");
    scene.completes(from, EDGE + 1);
}

#[test]
#[ignore = "a tenth of them is enough for each change; make test LONG=1"]
fn a_million_chunks_of_one_byte_pass_in_bounded_time() {
    chunks_of_one_byte(1_000_000);
}
