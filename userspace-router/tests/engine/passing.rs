// SPDX-License-Identifier: GPL-2.0
//! Heads of responses that may be passed on, and a pair of connections that waits for one.

use underpass_proto::{Body, Command, Done, Event, ForwardResult, Relay, Side};

use crate::peer::Peer;
use crate::scene::{no_body, Scene};

const VIA: &str = "Via: 1.1 a\r\n";

/// A response head of these fields.
pub fn ok(fields: &str) -> String {
    head("200 OK", fields)
}

pub fn head(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status}\r\nDate: x\r\n{fields}\r\n")
}

/// The same, as it reaches the client.
pub fn passed(status: &str, fields: &str) -> String {
    head(status, &format!("{fields}{VIA}"))
}

pub fn relay() -> Relay {
    Relay {
        lines: VIA.as_bytes().into(),
        of_head: false,
        idle_ms: None,
        idle_bytes: None,
    }
}

/// A route that allows it.
pub fn armed(from: u32, to: u32, body: Body, relay: Relay) -> Command {
    Command::Route {
        id: from,
        generation: 1,
        to,
        body,
        data: b"request".to_vec(),
        if_quiet: false,
        relay: Some(relay),
    }
}

/// A client and a back-end between whom a request has passed, and their queues.
pub struct Pair {
    pub front: u32,
    pub back: u32,
    pub client: Peer,
    pub server: Peer,
}

impl Pair {
    /// Of a request without body.
    pub fn new(scene: &mut Scene, relay: Relay) -> Self {
        let mut pair = Self::with_body(scene, no_body(), relay);
        pair.server.expect("request");
        pair
    }

    /// The body is still to be sent.
    pub fn with_body(scene: &mut Scene, body: Body, relay: Relay) -> Self {
        let (front, client) = scene.source(Side::Front);
        let (back, server) = scene.queue(Side::Back);
        scene.command(armed(front, back, body, relay));
        Self {
            front,
            back,
            client,
            server,
        }
    }

    /// The next event is the end of a response that was passed on.
    pub fn done(&self, scene: &mut Scene, status: u16, taken: u64) {
        match scene.next(self.back) {
            Event::Done(done) => self.whole(&done, status, taken),
            other => panic!("{other:?}"),
        }
    }

    /// The server answers without a body, which is passed on.
    pub fn answered(&mut self, scene: &mut Scene) {
        let fields = "Content-Length: 0\r\n";
        self.server.send(ok(fields));
        self.client.expect(passed("200 OK", fields));
        self.done(scene, 200, 0);
    }

    /// The same as `done`, behind whatever was told before.
    pub fn told(&self, scene: &mut Scene, status: u16, taken: u64) {
        let done = scene.done(self.back);
        self.whole(&done, status, taken);
    }

    pub fn whole(&self, done: &Done, status: u16, taken: u64) {
        assert_eq!(done.status, Some(status), "{done:?}");
        assert_eq!(done.to, Some(self.front), "{done:?}");
        assert_eq!((done.result, done.taken), (ForwardResult::Complete, taken));
    }

    /// The server's head comes up, and the client gets nothing but what is sent then.
    pub fn comes_up(mut self, scene: &mut Scene, response: &str) {
        match scene.next(self.back) {
            Event::Head(head) => {
                assert_eq!(String::from_utf8_lossy(&head.head), response);
                scene.command(Command::Route {
                    id: self.back,
                    generation: head.generation,
                    to: self.front,
                    body: no_body(),
                    data: b"other".to_vec(),
                    if_quiet: false,
                    relay: None,
                });
            }
            other => panic!("{other:?} instead of {response:?}"),
        }
        self.client.expect("other");
    }

    pub fn cancel(&self, generation: u32) -> Command {
        Command::Cancel {
            id: self.back,
            generation,
        }
    }
}
