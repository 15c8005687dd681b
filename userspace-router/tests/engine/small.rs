// SPDX-License-Identifier: GPL-2.0
//! Bodies so small that they leave with their head, to targets that take all of it, a part, or
//! nothing now: where the socket is cut off, every byte comes once.

use underpass_proto::{Command, Relay, Side};

use crate::peer::{noise, Peer};
use crate::scene::{length, no_body, route, tight_pair, Scene, HEAD};

const BODY: usize = 2000;
/// More than the tight sockets take, in steps smaller than what is sent in one go.
const FILLED: std::ops::Range<usize> = 0..40_000;
const STEP: usize = 900;

#[test]
fn a_request_is_cut_at_every_place() {
    let mut scene = Scene::new();
    for filled in FILLED.step_by(STEP) {
        let (ours, theirs) = tight_pair();
        let (back, mut server) = (scene.adopt(ours, Side::Back), Peer::new(theirs));
        let (front, mut client) = scene.queue(Side::Front);
        let (before, data, body) = (noise(filled), noise(1000), noise(BODY));
        scene.send(back, &before);
        client.send([HEAD, &body].concat());
        scene.head(front);
        scene.command(route(front, back, length(BODY as u64), &data, false));
        server.expect([before, data, body].concat());
        scene.completes(front, BODY as u64);
        scene.close(front);
        scene.close(back);
    }
}

#[test]
fn a_response_that_is_passed_on_is_cut_at_every_place() {
    const VIA: &str = "Via: 1.1 a\r\n";
    let mut scene = Scene::new();
    for filled in FILLED.step_by(STEP) {
        let (ours, theirs) = tight_pair();
        let (front, mut client) = (scene.adopt(ours, Side::Front), Peer::new(theirs));
        let (back, mut server) = scene.queue(Side::Back);
        let (before, body) = (noise(filled), noise(BODY));
        client.send(HEAD);
        scene.head(front);
        scene.send(front, &before);
        scene.command(Command::Route {
            id: front,
            generation: 1,
            to: back,
            body: no_body(),
            data: b"request".to_vec(),
            if_quiet: false,
            relay: Some(Relay {
                lines: VIA.as_bytes().into(),
                of_head: false,
                idle_ms: None,
                idle_bytes: None,
            }),
        });
        server.expect("request");
        let lines = format!("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: {BODY}\r\n");
        server.send([lines.as_bytes(), b"\r\n", &body].concat());
        let expected = [&before, lines.as_bytes(), VIA.as_bytes(), b"\r\n", &body].concat();
        client.expect(expected);
        assert_eq!(scene.done(back).status, Some(200));
        scene.close(front);
        scene.close(back);
    }
}
