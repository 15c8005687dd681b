// SPDX-License-Identifier: GPL-2.0
//! Exchanges as tables: what the engine tells, and what is commanded then.

mod any;
mod bodies;
mod doubt;
mod leftovers;
mod nobody;
mod passing;
mod resumed;
mod tunnels;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use underpass_proto::{Body, Closed, Done, ForwardResult, Framing, Head, Reason, Side};

use super::*;
use crate::config::{AllDeclined, Config, Mode, OnSilence, Terms};

const FRONT: u32 = 1;
const PUT: &str = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// An exchange, the time, and its actions as words.
struct Scene {
    exchange: Exchange,
    now: Instant,
}

impl Scene {
    fn new(head: &str, backends: u16, terms: Terms) -> Self {
        let now = Instant::now();
        let address = |port| Address::Tcp(([127, 0, 0, 1], port).into());
        let place = Place {
            front: FRONT,
            generation: 7,
            client: ([127, 0, 0, 1], 1).into(),
            local: ([127, 0, 0, 1], 2).into(),
            direct: true,
            time: SystemTime::UNIX_EPOCH,
        };
        let plan = Plan {
            backends: (81..81 + backends).map(address).collect(),
            terms: Arc::new(terms),
            ..Plan::default()
        };
        static LIMITS: LazyLock<Arc<Limits>> = LazyLock::new(|| {
            let example = include_str!("../../../underpass.toml");
            Arc::new(Config::parse("example", example).unwrap().limits)
        });
        let request = Request::parse(head.as_bytes(), 1_000).unwrap();
        let mut exchange = Exchange::new(
            place,
            request,
            plan,
            LIMITS.clone(),
            0,
            Room::default(),
            now,
        );
        exchange.begin(None, now);
        Self { exchange, now }
    }

    fn asking(head: &str, backends: u16) -> Self {
        Self::new(head, backends, Terms::default())
    }

    /// The actions since the last call.
    fn actions(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.exchange.take_actions(&mut actions);
        actions
    }

    /// The actions since the last call, one word each.
    fn told(&mut self) -> String {
        let words: Vec<_> = self.actions().iter().map(word).collect();
        words.join(" ")
    }

    fn connected(&mut self, queue: u32, reused: bool) -> String {
        self.exchange.connected(queue, reused, Vec::new(), self.now);
        self.told()
    }

    fn back_head(&mut self, queue: u32, head: &str) -> String {
        let words: Vec<_> = self.exchange_head(queue, head).iter().map(word).collect();
        words.join(" ")
    }

    fn exchange_head(&mut self, queue: u32, response: &str) -> Vec<Action> {
        self.exchange.back_head(&head(queue, response), self.now);
        self.actions()
    }

    fn front_done(&mut self, result: ForwardResult, taken: u64) -> String {
        let done = done(FRONT, result, taken);
        self.exchange.front_done(&done, self.now);
        self.told()
    }

    fn back_done(&mut self, queue: u32, result: ForwardResult, taken: u64) -> String {
        let done = done(queue, result, taken);
        self.exchange.back_done(&done, self.now);
        self.told()
    }

    fn front_closed(&mut self, reason: Reason) -> String {
        self.exchange.front_closed(&closed(FRONT, reason), self.now);
        self.told()
    }

    fn back_closed(&mut self, queue: u32, reason: Reason) -> String {
        self.exchange.back_closed(&closed(queue, reason), self.now);
        self.told()
    }

    fn wait(&mut self, ms: u64) -> String {
        self.now += Duration::from_millis(ms);
        self.exchange.timeout(self.now);
        self.told()
    }
}

fn head(queue: u32, text: &str) -> Head {
    Head {
        id: queue,
        generation: 3,
        side: Side::Back,
        listener: None,
        head: text.as_bytes().to_vec(),
        over_limit: false,
        sent: 0,
        peer: None,
        local: None,
    }
}

fn done(id: u32, result: ForwardResult, taken: u64) -> Done {
    Done {
        id,
        generation: 7,
        to: None,
        result,
        error: 0,
        taken,
        status: None,
    }
}

fn closed(id: u32, reason: Reason) -> Closed {
    Closed {
        id,
        generation: 7,
        side: Side::Back,
        reason,
        error: 0,
        taken: 0,
        sent: 0,
        gone: false,
    }
}

/// Framing, how it leaves if otherwise, and trailers.
fn moved(body: &Body) -> String {
    assert_eq!(
        body.idle_ms.is_none(),
        body.framing == Framing::None,
        "{body:?}"
    );
    let leaves = body.leaves.map_or(String::new(), |l| format!(":{l:?}"));
    let trailers = String::from_utf8_lossy(&body.trailers);
    let plus = if trailers.is_empty() { "" } else { "+" };
    format!("{:?}{leaves}{plus}{trailers}", body.framing)
}

fn word(action: &Action) -> String {
    let status = |data: &[u8]| {
        let text = String::from_utf8_lossy(data);
        match text.strip_prefix("HTTP/1.1 ") {
            Some(rest) => rest[..3].to_owned(),
            None if text.contains("Expect:") => "ask".to_owned(),
            None => "head".to_owned(),
        }
    };
    match action {
        Action::Command(command, _) => match command {
            Command::Send { id, data, .. } => format!("send({id},{})", status(data)),
            Command::Forward { id, to, body, .. } => {
                format!("forward({id}>{},{})", to.unwrap_or(0), moved(body))
            }
            Command::Route {
                id, to, body, data, ..
            } => {
                format!("route({id}>{to},{},{})", moved(body), status(data))
            }
            Command::QueueAbort { id } => format!("abort({id})"),
            Command::QueueDel { id } => format!("del({id})"),
            Command::Drain { id, .. } => format!("drain({id})"),
            Command::Cancel { id, .. } => format!("cancel({id})"),
            other => other.name().to_owned(),
        },
        Action::Connect { backend, fresh } => {
            let backend = backend.to_string();
            let port = backend.rsplit(':').next().unwrap_or_default();
            format!("connect({port}{})", if *fresh { ",fresh" } else { "" })
        }
        Action::TakeBack { queue } => format!("take-back({queue})"),
        Action::Release { queue } => format!("release({queue})"),
        Action::Finished { keep } => format!("finished({keep})"),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

#[test]
fn an_upload_is_asked_for_declined_accepted_and_answered() {
    let mut scene = Scene::asking(PUT, 3);
    assert_eq!(scene.told(), "connect(81)");
    scene.exchange.connect_failed(Verdict::Down, scene.now);
    assert_eq!(scene.told(), "connect(82)");
    assert_eq!(scene.connected(5, false), "send(5,ask)");
    assert_eq!(
        scene.back_head(5, "HTTP/1.1 421 No\r\n\r\n"),
        "abort(5) connect(83)"
    );
    assert_eq!(scene.connected(6, false), "send(6,ask)");
    assert_eq!(
        scene.back_head(6, "HTTP/1.1 100 Continue\r\n\r\n"),
        "forward(6>0,None) forward(1>6,Length(10))"
    );
    assert_eq!(scene.front_done(ForwardResult::Complete, 10), "");
    assert_eq!(scene.back_head(6, OK), "route(6>1,Length(5),200)");
    assert_eq!(
        scene.back_done(6, ForwardResult::Complete, 5),
        "release(6) finished(true)"
    );
    let line = scene.exchange.line().to_string();
    assert!(
        line.contains(
            "asked=127.0.0.1:81=down,127.0.0.1:82=declined-421,127.0.0.1:83=accepted up=10 down=5"
        ),
        "{line}"
    );
}

#[test]
fn without_asking_head_and_body_go_in_one() {
    let optimistic = Terms {
        mode: Mode::Optimistic,
        ..Terms::default()
    };
    let mut scene = Scene::new(PUT, 2, optimistic.clone());
    scene.told();
    assert_eq!(scene.connected(5, false), "route(1>5,Length(10),head)");
    // A decline while the body moves: stopped, to see whether anything was taken.
    assert_eq!(scene.back_head(5, "HTTP/1.1 421 No\r\n\r\n"), "cancel(1)");
    assert_eq!(
        scene.front_done(ForwardResult::Cancelled, 0),
        "abort(5) connect(82)"
    );
    assert_eq!(scene.connected(6, false), "route(1>6,Length(10),head)");
    let mut scene = Scene::new(PUT, 2, optimistic);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        scene.front_done(ForwardResult::Cancelled, 1),
        "route(5>1,None,421) abort(5) drain(1) finished(false)"
    );
}

#[test]
fn nothing_is_tried_again_once_a_byte_was_taken() {
    let mut scene = Scene::asking(PUT, 2);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(scene.front_done(ForwardResult::TargetError, 4), "");
    assert_eq!(
        scene.back_closed(5, Reason::Reset),
        "abort(5) send(1,502) drain(1) finished(false)"
    );
    assert_eq!(scene.exchange.record.reason, "backend-broke");
    // A response that explains the write error is used instead.
    let mut scene = Scene::asking(PUT, 2);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
    scene.front_done(ForwardResult::TargetError, 4);
    assert_eq!(
        scene.back_head(5, "HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n"),
        "route(5>1,None,413) abort(5) drain(1) finished(false)"
    );
}

#[test]
fn a_connection_that_breaks() {
    // (request, reused, what follows)
    for (request, reused, follows) in [
        // The body was withheld: the request was never whole.
        (PUT, false, "abort(5) connect(82)"),
        (PUT, true, "abort(5) connect(81,fresh)"),
        // The whole request was there: only what may be done twice, on a stale connection.
        (GET, true, "abort(5) connect(81,fresh)"),
        (GET, false, "abort(5) send(1,502) finished(true)"),
        (POST, true, "abort(5) send(1,502) finished(true)"),
    ] {
        let mut scene = Scene::asking(request, 2);
        scene.told();
        scene.connected(5, reused);
        assert_eq!(
            scene.back_closed(5, Reason::Reset),
            follows,
            "{request} {reused}"
        );
    }
}

#[test]
fn what_a_dead_connection_is() {
    // Whatever the method, where the route says so.
    let terms = Terms {
        retry_any: true,
        ..Terms::default()
    };
    let mut scene = Scene::new(POST, 2, terms);
    scene.told();
    scene.connected(5, true);
    let again = "abort(5) connect(81,fresh)";
    assert_eq!(scene.back_closed(5, Reason::Fin), again);
    // One that has spoken was not dead.
    let mut scene = Scene::asking(GET, 2);
    scene.told();
    scene.connected(5, true);
    scene.back_head(5, "HTTP/1.1 103 Early\r\n\r\n");
    let given_up = "abort(5) send(1,502) finished(true)";
    assert_eq!(scene.back_closed(5, Reason::Fin), given_up);
    // Nor was one that ended in the midst of its head.
    let mut scene = Scene::asking(GET, 2);
    scene.told();
    scene.connected(5, true);
    assert_eq!(scene.back_closed(5, Reason::FinInHead), given_up);
    // After a silence that was taken for a yes, nobody knows what became of the request.
    let terms = Terms {
        on_silence: OnSilence::Forward,
        ..Terms::default()
    };
    let mut scene = Scene::new(PUT, 2, terms);
    scene.told();
    scene.connected(5, true);
    scene.wait(1_000);
    scene.back_closed(5, Reason::Fin);
    assert_eq!(
        scene.front_done(ForwardResult::TargetError, 0),
        "send(1,502) drain(1) finished(false)"
    );
}

#[test]
fn what_the_engine_refused_was_never_sent() {
    let mut scene = Scene::asking(POST, 2);
    scene.told();
    assert_eq!(scene.connected(5, true), "route(1>5,None,head)");
    scene.exchange.refused(Tag::IntoBack, scene.now);
    assert_eq!(scene.told(), "abort(5) connect(81,fresh)");
    // The head is still in the socket, so it is routed again and not only sent.
    assert_eq!(scene.connected(6, false), "route(1>6,None,head)");
    assert_eq!(
        scene.back_head(6, "HTTP/1.1 421 No\r\n\r\n"),
        "abort(6) connect(82)"
    );
    assert_eq!(scene.connected(7, false), "send(7,head)");
    scene.exchange.refused(Tag::IntoFront, scene.now);
    assert_eq!(scene.told(), "abort(7) abort(1) finished(false)");
}

#[test]
fn an_engine_without_room_is_not_the_back_ends_fault() {
    for reused in [true, false] {
        let mut scene = Scene::asking(POST, 2);
        scene.told();
        scene.connected(5, reused);
        scene.exchange.found_no_room(Tag::IntoBack, scene.now);
        assert_eq!(scene.told(), "abort(5) connect(82)");
        scene.connected(6, false);
        scene.exchange.found_no_room(Tag::IntoBack, scene.now);
        assert_eq!(
            scene.told(),
            "abort(6) send(1,502) forward(1>0,None) finished(true)"
        );
        assert_eq!(scene.exchange.record.reason, "engine-refused");
        let refused = |asked: &(Address, Verdict)| asked.1 == Verdict::Refused;
        assert!(scene.exchange.record.asked.iter().all(refused), "{reused}");
    }
}

#[test]
fn a_refusal_that_comes_late() {
    // Accepted, and gone: its response may be on its way, and is read before 502 is said.
    let accepted = || {
        let mut scene = Scene::asking(PUT, 2);
        scene.told();
        scene.connected(5, false);
        scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
        scene.exchange.refused(Tag::IntoBack, scene.now);
        assert_eq!(scene.told(), "");
        scene
    };
    assert_eq!(
        accepted().back_closed(5, Reason::Reset),
        "abort(5) send(1,502) drain(1) finished(false)"
    );
    let refusal = "HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        accepted().back_head(5, refusal),
        "route(5>1,None,413) abort(5) drain(1) finished(false)"
    );
    // A 200 instead of 100, and gone: there is no second response.
    let mut scene = Scene::asking(PUT, 2);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, OK);
    scene.exchange.refused(Tag::IntoBack, scene.now);
    assert_eq!(scene.told(), "");
    let end = scene.back_done(5, ForwardResult::Complete, 5);
    assert_eq!(end, "abort(5) drain(1) finished(false)");
    // An answer to what was never asked is none.
    let mut scene = Scene::asking(GET, 2);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, OK);
    scene.exchange.refused(Tag::IntoBack, scene.now);
    assert_eq!(scene.told(), "abort(5) abort(1) finished(false)");
}

#[test]
fn silence_declines_or_forwards_and_then_nobody_else_is_asked() {
    let mut scene = Scene::asking(PUT, 1);
    scene.told();
    scene.connected(5, false);
    assert_eq!(scene.wait(999), "");
    assert_eq!(
        scene.wait(1),
        "abort(5) send(1,504) drain(1) finished(false)"
    );
    let forward = Terms {
        on_silence: OnSilence::Forward,
        ..Terms::default()
    };
    let mut scene = Scene::new(PUT, 2, forward);
    scene.told();
    scene.connected(5, false);
    assert_eq!(scene.wait(1_000), "forward(1>5,Length(10))");
    assert_eq!(scene.back_closed(5, Reason::Reset), "abort(5)");
    assert_eq!(
        scene.front_done(ForwardResult::TargetError, 0),
        "send(1,502) drain(1) finished(false)"
    );
}

#[test]
fn an_early_answer() {
    // (response, what follows at once, what follows its end)
    for (response, at_once, at_its_end) in [
        // It goes on reading: so does the upload.
        (OK, "route(5>1,Length(5),200)", ""),
        (
            "HTTP/1.1 413 Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
            "route(5>1,Length(5),413)",
            "abort(5) drain(1) finished(false)",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            "route(5>1,UntilClose,200)",
            "abort(5) drain(1) finished(false)",
        ),
    ] {
        let mut scene = Scene::asking(PUT, 1);
        scene.told();
        scene.connected(5, false);
        scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(scene.back_head(5, response), at_once);
        assert_eq!(scene.back_done(5, ForwardResult::Complete, 5), at_its_end);
    }
    // Instead of 100: a success that goes on reading gets the body, a refusal does not.
    for (response, follows) in [
        (OK, "route(5>1,Length(5),200) forward(1>5,Length(10))"),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n",
            "route(5>1,Length(5),403)",
        ),
    ] {
        let mut scene = Scene::asking(PUT, 1);
        scene.told();
        scene.connected(5, false);
        assert_eq!(scene.back_head(5, response), follows);
        if response == OK {
            // Whether it was the body that it read, it never said.
            assert_eq!(scene.back_done(5, ForwardResult::Complete, 5), "");
            let end = scene.front_done(ForwardResult::Complete, 10);
            assert_eq!(end, "del(5) finished(true)");
        }
    }
}

#[test]
fn the_last_words_of_both_sides() {
    let get = || {
        let mut scene = Scene::asking(GET, 1);
        scene.told();
        assert_eq!(scene.connected(5, false), "route(1>5,None,head)");
        scene
    };
    // The client's FIN does not end the exchange, but its connection.
    let mut scene = get();
    assert_eq!(scene.front_closed(Reason::Fin), "");
    scene.back_head(5, OK);
    let end = scene.back_done(5, ForwardResult::Complete, 5);
    assert_eq!(end, "release(5) drain(1) finished(false)");
    // A client that is gone; one that vanishes while it reads; a response cut short.
    let both = "abort(5) abort(1) finished(false)";
    let mut scene = get();
    assert_eq!(scene.front_closed(Reason::Reset), both);
    for result in [ForwardResult::TargetError, ForwardResult::Truncated] {
        let mut scene = get();
        scene.back_head(5, OK);
        assert_eq!(scene.back_done(5, result, 2), both);
    }
    // More than was asked for: relayed, and never used again.
    let mut scene = get();
    scene.back_head(5, OK);
    assert_eq!(scene.back_head(5, OK), "");
    let end = scene.back_done(5, ForwardResult::Complete, 5);
    assert_eq!(end, "del(5) finished(true)");
}

#[test]
fn interim_responses_are_relayed_within_a_limit() {
    let mut scene = Scene::asking(GET, 1);
    scene.told();
    scene.connected(5, false);
    let early = "HTTP/1.1 103 Early\r\n\r\n";
    for _ in 0..16 {
        assert_eq!(scene.back_head(5, early), "route(5>1,None,103)");
    }
    assert_eq!(
        scene.back_head(5, early),
        "abort(5) send(1,502) finished(true)"
    );
    let mut scene = Scene::asking("GET / HTTP/1.0\r\n\r\n", 1);
    scene.told();
    scene.connected(5, false);
    assert_eq!(scene.back_head(5, early), "forward(5>0,None)");
}

#[test]
fn a_truncated_request() {
    let mut scene = Scene::asking(PUT, 1);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        scene.front_done(ForwardResult::Truncated, 4),
        "abort(5) send(1,400) drain(1) finished(false)"
    );
    // What comes late changes nothing.
    assert_eq!(scene.front_closed(Reason::FinInBody), "");
    assert_eq!(scene.back_closed(5, Reason::Reset), "");
    assert_eq!(scene.wait(1_000_000), "");
}
