// SPDX-License-Identifier: GPL-2.0
//! What an attempt leaves behind that ended between being asked for and being done: nothing of it is for the
//! next one. And what a router leaves to the next one.

use super::*;

const NO: &str = "HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n";

fn optimistic() -> Scene {
    let terms = Terms {
        mode: Mode::Optimistic,
        ..Terms::default()
    };
    let mut scene = Scene::new(PUT, 2, terms);
    scene.told();
    assert_eq!(scene.connected(5, false), "route(1>5,Length(10),head)");
    scene
}

fn refused(scene: &mut Scene) -> String {
    scene.exchange.refused(Tag::IntoBack, scene.now);
    scene.told()
}

/// The second back-end takes the request, and answers.
fn is_served(mut scene: Scene) {
    assert_eq!(scene.connected(6, false), "route(1>6,Length(10),head)");
    assert_eq!(scene.front_done(ForwardResult::Complete, 10), "");
    assert_eq!(scene.back_head(6, OK), "route(6>1,Length(5),200)");
    assert_eq!(
        scene.back_done(6, ForwardResult::Complete, 5),
        "release(6) finished(true)"
    );
}

#[test]
fn a_back_end_that_broke_before_it_was_asked() {
    let mut scene = optimistic();
    assert_eq!(scene.back_closed(5, Reason::Reset), "abort(5)");
    assert_eq!(refused(&mut scene), "connect(82)");
    is_served(scene);
}

#[test]
fn a_back_end_that_declined_before_it_was_asked_and_broke() {
    let mut scene = optimistic();
    assert_eq!(scene.back_head(5, NO), "cancel(1)");
    assert_eq!(scene.back_closed(5, Reason::Reset), "");
    assert_eq!(refused(&mut scene), "abort(5) connect(82)");
    is_served(scene);
}

#[test]
fn one_that_accepted_and_declined_before_the_body_went() {
    let mut scene = Scene::asking(PUT, 2);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(scene.back_head(5, NO), "cancel(1)");
    assert_eq!(scene.back_closed(5, Reason::Reset), "");
    // It took nothing, and says why.
    assert_eq!(refused(&mut scene), "abort(5) connect(82)");
}

#[test]
fn one_that_accepted_and_was_given_up_before_the_body_went() {
    let mut scene = Scene::asking(PUT, 2);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n");
    scene.exchange.back_lost(scene.now);
    assert_eq!(scene.told(), "");
    assert_eq!(refused(&mut scene), "send(1,502) drain(1) finished(false)");
}

#[test]
fn a_head_that_is_too_long_with_what_is_added_is_the_clients_fault() {
    let field = "x".repeat(64_990);
    let mut scene = Scene::asking(
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {field}\r\n\r\n"),
        2,
    );
    scene.told();
    let told = scene.connected(5, false);
    assert!(told.starts_with("abort(5) send(1,431)"), "{told}");
    assert_eq!(scene.exchange.record.asked.len(), 1);
    assert_eq!(scene.exchange.record.asked[0].1, Verdict::Asked);
}

#[test]
fn a_router_that_comes_after_waits_for_no_response_that_went_before_the_body() {
    for (response, answered) in [
        ("HTTP/1.1 100 Continue\r\n\r\n", false),
        (OK, true),
        ("HTTP/1.1 204 No\r\n\r\n", true),
    ] {
        let mut scene = Scene::asking(PUT, 1);
        scene.told();
        scene.connected(5, false);
        let actions = scene.exchange_head(5, response);
        let note = actions.iter().find_map(|action| match action {
            Action::Command(
                Command::Forward {
                    id: FRONT, body, ..
                },
                _,
            ) => body.note,
            _ => None,
        });
        let note = note
            .and_then(note::Note::of)
            .expect("it goes with the body");
        assert_eq!((note.back, note.answered), (5, answered), "{response}");
    }
}
