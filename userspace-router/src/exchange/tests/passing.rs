// SPDX-License-Identifier: GPL-2.0
//! Responses that the engine passes on: when it may, what follows, and when it may not any more.

use underpass_proto::{Relay, Relayed};

use super::*;
use crate::http::{Edit, Rewrite};

const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";

/// What the route of this request allows of the response.
fn allowed(head: &str, terms: Terms) -> Option<Relay> {
    let mut scene = Scene::new(head, 1, terms);
    scene.told();
    scene.exchange.connected(5, false, Vec::new(), scene.now);
    let routes = scene.actions();
    routes.iter().find_map(|action| match action {
        Action::Command(Command::Route { relay, .. }, _) => relay.clone(),
        _ => None,
    })
}

fn rewriting(change: impl FnOnce(&mut Rewrite)) -> Terms {
    let mut terms = Terms::default();
    change(&mut terms.rewrite);
    terms
}

fn optimistic() -> Terms {
    Terms {
        mode: Mode::Optimistic,
        ..Terms::default()
    }
}

impl Scene {
    /// An exchange whose request was sent, and the response of which may be passed on.
    fn armed(head: &str) -> Self {
        let mut scene = Self::new(head, 2, optimistic());
        scene.told();
        scene.connected(5, false);
        assert_eq!(scene.exchange.passing, Passing::Armed);
        scene
    }

    fn relayed(&mut self, status: u16) -> String {
        let relayed = Relayed {
            id: 5,
            generation: 3,
            to: FRONT,
            status,
        };
        self.exchange.relayed(&relayed, self.now);
        self.told()
    }

    fn back_done_of(&mut self, status: u16, result: ForwardResult, taken: u64) -> String {
        let done = Done {
            status: Some(status),
            ..done(5, result, taken)
        };
        self.exchange.back_done(&done, self.now);
        self.told()
    }
}

#[test]
fn what_is_allowed() {
    let relay = allowed(GET, Terms::default()).expect("allowed");
    assert_eq!(*relay.lines, *b"Via: 1.1 underpass\r\n");
    assert!(!relay.of_head && relay.idle_ms.is_some());
    assert!(allowed(HEAD, Terms::default()).expect("allowed").of_head);
    assert!(allowed(POST, Terms::default()).is_some());
    assert!(allowed(PUT, optimistic()).is_some());
    let mut edit = Edit::default();
    edit.add("A", "b").expect("may be added");
    let terms = rewriting(|rewrite| rewrite.response = edit.clone());
    let lines = allowed(GET, terms).expect("allowed").lines;
    assert_eq!(*lines, *b"Via: 1.1 underpass\r\nA: b\r\n");
}

#[test]
fn what_is_not_allowed() {
    let not = |head: &str, terms| assert_eq!(allowed(head, terms), None, "{head}");
    not(PUT, Terms::default());
    for head in [
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
    ] {
        not(head, optimistic());
    }
    let mut edit = Edit::default();
    edit.remove("Server").expect("may be removed");
    not(GET, rewriting(|rewrite| rewrite.response = edit));
    not(GET, rewriting(|rewrite| rewrite.trailers = "a".to_owned()));
    let mut edit = Edit::default();
    edit.add("A", &"b".repeat(1_000)).expect("may be added");
    not(GET, rewriting(|rewrite| rewrite.response = edit));
    let terms = Terms {
        decline: vec![421, 399],
        ..Terms::default()
    };
    not(GET, terms);
    // Of what stops or was half-closed, the client has to be told.
    let mut scene = Scene::asking(GET, 1);
    scene.told();
    scene.exchange.stop();
    scene.connected(5, false);
    assert_eq!(scene.exchange.passing, Passing::Off);
}

#[test]
fn a_response_without_body() {
    let mut scene = Scene::armed(GET);
    assert_eq!(
        scene.back_done_of(304, ForwardResult::Complete, 0),
        "release(5) finished(true)"
    );
    let record = &scene.exchange.record;
    assert_eq!((record.status, record.down), (304, 0));
    assert!(record.head_after.is_some());
    assert_eq!(record.asked[0].1, Verdict::Accepted);
}

#[test]
fn a_long_body_ends_the_wait_for_the_response() {
    let mut scene = Scene::armed(GET);
    assert_eq!(scene.relayed(200), "");
    assert_eq!(scene.exchange.deadline(), None);
    assert_eq!(scene.wait(1_000_000), "");
    assert_eq!(
        scene.back_done_of(200, ForwardResult::Complete, 9),
        "release(5) finished(true)"
    );
    let record = &scene.exchange.record;
    assert_eq!((record.status, record.down), (200, 9));
}

#[test]
fn the_end_of_the_response_may_be_told_before_that_of_the_request() {
    let mut scene = Scene::armed(PUT);
    assert_eq!(scene.back_done_of(200, ForwardResult::Complete, 5), "");
    assert_eq!(
        scene.front_done(ForwardResult::Complete, 10),
        "release(5) finished(true)"
    );
}

#[test]
fn a_client_that_half_closed_or_a_router_that_stops_ends_the_connection() {
    for stop in [false, true] {
        let mut scene = Scene::armed(GET);
        match stop {
            true => scene.exchange.stop(),
            false => assert_eq!(scene.front_closed(Reason::Fin), ""),
        }
        assert_eq!(
            scene.back_done_of(200, ForwardResult::Complete, 5),
            "release(5) drain(1) finished(false)"
        );
    }
}

#[test]
fn a_response_that_is_not_whole() {
    for told in [false, true] {
        let mut scene = Scene::armed(GET);
        if told {
            scene.relayed(200);
        }
        assert_eq!(
            scene.back_done_of(200, ForwardResult::Truncated, 3),
            "abort(5) abort(1) finished(false)"
        );
        let record = &scene.exchange.record;
        assert_eq!((record.status, record.reason), (200, "response-truncated"));
    }
}

#[test]
fn before_a_504_it_is_taken_back() {
    let late = || {
        let mut scene = Scene::armed(GET);
        assert_eq!(scene.wait(1_000_000), "take-back(5)");
        scene
    };
    // In time. What the connection tells of is the response that it brought before.
    let mut scene = late();
    assert_eq!(
        scene.back_done(5, ForwardResult::Cancelled, 5000),
        "abort(5) send(1,504) finished(true)"
    );
    assert_eq!(scene.exchange.record.down, 0);
    // Too late: what the engine did comes instead.
    assert_eq!(
        late().back_done_of(200, ForwardResult::Complete, 5),
        "release(5) finished(true)"
    );
    let mut scene = late();
    scene.relayed(200);
    assert_eq!(scene.exchange.deadline(), None);
    assert_eq!(late().back_head(5, OK), "route(5>1,Length(5),200)");
    // Of an engine that tells nothing, the client is told nothing.
    assert_eq!(late().wait(1_000_000), "abort(5) abort(1) finished(false)");
}

#[test]
fn what_comes_up_is_relayed_as_ever() {
    let mut scene = Scene::armed(GET);
    assert_eq!(
        scene.back_head(5, "HTTP/1.1 103 Early\r\n\r\n"),
        "route(5>1,None,103)"
    );
    assert_eq!(scene.exchange.passing, Passing::Off);
    assert_eq!(scene.wait(1_000_000), "abort(5) send(1,504) finished(true)");
}

#[test]
fn a_request_that_is_not_whole_is_answered_here() {
    for result in [
        ForwardResult::Malformed,
        ForwardResult::Truncated,
        ForwardResult::SourceStalled,
    ] {
        let mut scene = Scene::armed(PUT);
        let told = scene.front_done(result, 3);
        assert!(told.starts_with("abort(5) send(1,4"), "{told}");
    }
}

#[test]
fn a_request_that_is_sent_again_is_not_routed_and_so_not_allowed() {
    let mut scene = Scene::asking(GET, 1);
    scene.told();
    scene.connected(5, true);
    assert_eq!(
        scene.back_closed(5, Reason::Fin),
        "abort(5) connect(81,fresh)"
    );
    assert_eq!(scene.connected(6, false), "send(6,head)");
    assert_eq!(scene.exchange.passing, Passing::Off);
}
