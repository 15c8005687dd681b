// SPDX-License-Identifier: GPL-2.0
//! Chunked bodies that are broken, odd, or meant to cost; and their trailers.

use std::time::{Duration, Instant};

use underpass_proto::{Body, Command, ForwardResult, Reason, Side};

use crate::peer::{in_chunks, noise};
use crate::scene::{chunked, idle, tight_pair, to_until_close, trailers, Scene};

/// Each breaks the coding in another place.
const BROKEN: [&str; 16] = [
    "\r\n",
    "x\r\n",
    "-1\r\n",
    "0x1\r\na\r\n0\r\n\r\n",
    " 1\r\na\r\n0\r\n\r\n",
    "00000000000000001\r\na\r\n0\r\n\r\n",
    "1\na\r\n0\r\n\r\n",
    "1 \r\na\r\n0\r\n\r\n",
    "1;a\nb\r\na\r\n0\r\n\r\n",
    "1;a\rb\r\na\r\n0\r\n\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "1\r\na\n0\r\n\r\n",
    "1\r\na\r\n0\r\nno colon\r\n\r\n",
    "1\r\na\r\n0\r\n: no name\r\n\r\n",
    "1\r\na\r\n0\r\nA: b\n\r\n\r\n",
    "1\r\na\r\n0\r\n\n",
];

fn breaks(body: Body, wire: &[u8]) {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (to, target) = scene.queue(Side::Back);
    scene.forward(from, Some(to), body);
    source.send(wire);
    scene.fails(from, ForwardResult::Malformed);
    assert_eq!(scene.closed(from).reason, Reason::Malformed);
    let got = target.until_reset();
    let end = b"0\r\n\r\n";
    assert!(!got.ends_with(end), "a broken body was ended: {got:?}");
    // Nothing more is received, but a last word can be said.
    scene.send(from, b"400");
    scene.drain(from);
    source.expect("400");
    source.half_close();
    assert_eq!(source.rest(), b"");
}

#[test]
fn a_broken_coding_resets_the_target_and_leaves_a_last_word_to_say() {
    for wire in BROKEN {
        breaks(chunked(), wire.as_bytes());
    }
    breaks(to_until_close(), BROKEN[10].as_bytes());
}

#[test]
fn what_costs_more_to_read_than_it_carries_is_broken() {
    let long_line = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5_000));
    breaks(chunked(), long_line.as_bytes());
    let extensions = format!("1;{}\r\na\r\n", "x".repeat(4_000)).repeat(20);
    breaks(chunked(), extensions.as_bytes());
    let long_trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(1_000));
    breaks(chunked(), long_trailers.as_bytes());
}

#[test]
fn a_discard_that_cannot_be_read_ends_too() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    scene.forward(from, None, chunked());
    source.send("1\r\nab");
    scene.fails(from, ForwardResult::Malformed);
    assert_eq!(scene.closed(from).reason, Reason::Malformed);
}

/// What of this trailer section comes out.
fn passed(allow: &str, section: &str) -> Vec<String> {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Back);
    let (to, mut target) = scene.queue(Side::Front);
    scene.forward(from, Some(to), trailers(allow));
    let wire = format!("2\r\nhi\r\n0\r\n{section}\r\n");
    source.send(&wire);
    let (content, lines) = target.chunked();
    assert_eq!(content, b"hi");
    scene.completes(from, wire.len() as u64);
    lines
}

#[test]
fn trailers_are_dropped_but_for_those_allowed() {
    let section = "Grpc-Status: 0\r\nContent-Length: 7\r\nX: y\r\ngrpc-status: 1\r\n";
    assert!(passed("", section).is_empty());
    assert_eq!(passed("x", section), ["X: y"]);
    let both = ["Grpc-Status: 0", "X: y", "grpc-status: 1"];
    assert_eq!(passed("grpc-status,x", section), both);
    assert!(passed("grpc-message", section).is_empty());
}

#[test]
fn a_long_trailer_section_passes() {
    let lines: Vec<_> = (0..100).map(|n| format!("A: {n:030}")).collect();
    assert_eq!(passed("a", &(lines.join("\r\n") + "\r\n")), lines);
}

#[test]
fn a_hundred_thousand_chunks_of_one_byte_pass_in_bounded_time() {
    chunks_of_one_byte(100_000);
}

/// They come through, and none of them costs more than the first.
pub fn chunks_of_one_byte(number: u32) {
    let began = Instant::now();
    let mut scene = Scene::new();
    let (from, source) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    let content = noise(number as usize);
    let wire = in_chunks(&content, &[1]);
    scene.forward(from, Some(to), chunked());
    source.send_aside(wire.clone(), false);
    assert!(target.chunked().0 == content);
    scene.completes(from, wire.len() as u64);
    // Far below a millisecond each, also in an emulated guest.
    let took = began.elapsed();
    assert!(took < Duration::from_micros(400) * number, "{took:?}");
}

#[test]
fn a_target_that_does_not_read_stops_its_source() {
    let mut scene = Scene::new();
    let (from, source) = scene.source(Side::Front);
    let (to, target) = scene.queue(Side::Back);
    let wire = in_chunks(&noise(1 << 20), &[3]);
    scene.forward(from, Some(to), idle(chunked(), 1_000));
    let mut stream = source.stream.try_clone().expect("another handle");
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        let body = wire.strip_suffix(b"0\r\n\r\n").expect("an end");
        // Until the router gives up.
        while stream.write_all(body).is_ok() {}
    });
    let done = scene.fails(from, ForwardResult::TargetStalled);
    // What the sockets between them hold, and no more.
    assert!(done.taken < 64 << 20, "{done:?}");
    target.until_reset();
    scene.command(Command::QueueAbort { id: from });
    writer.join().expect("the writer stops");
}

#[test]
fn nothing_is_taken_while_the_target_has_not_taken_what_goes_before() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    let (ours, _full) = tight_pair();
    let to = scene.adopt(ours, Side::Back);
    for _ in 0..2 {
        scene.send(to, &noise(60_000));
    }
    source.send("2\r\nhi\r\n0\r\n\r\n");
    scene.forward(from, Some(to), idle(chunked(), 1_000));
    let done = scene.fails(from, ForwardResult::TargetStalled);
    assert_eq!(done.taken, 0);
    // So another target gets all of it.
    let (other, mut ready) = scene.queue(Side::Back);
    scene.forward(from, Some(other), chunked());
    assert_eq!(ready.chunked().0, b"hi");
    scene.completes(from, 12);
}
