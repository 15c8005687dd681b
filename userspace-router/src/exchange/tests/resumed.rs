// SPDX-License-Identifier: GPL-2.0
//! Exchanges that a former router began, whose request nobody knows.

use super::note::Note;
use super::resume::{Found, Half};
use super::*;

/// One whose response is to come.
fn resumed(upload: Half) -> Scene {
    let mut scene = Scene::asking(PUT, 1);
    let place = scene.exchange.place.clone();
    let found = Found {
        back: 5,
        note: Note {
            back: 5,
            ..Note::default()
        },
        upload,
        download: Half::ToCome,
        armed: false,
        tunnel: false,
        status: 0,
        taken: 3,
    };
    let (terms, limits) = (Some(Arc::default()), scene.exchange.limits.clone());
    scene.exchange = Exchange::resumed(place, found, terms, limits, scene.now).expect("it goes on");
    scene
}

#[test]
fn whose_body_is_not_over_has_its_connection_ended_with_the_answer() {
    let broke = "abort(5) send(1,502) drain(1) finished(false)";
    let mut scene = resumed(Half::Moves);
    assert_eq!(scene.front_done(ForwardResult::TargetError, 4), "");
    assert_eq!(scene.back_closed(5, Reason::Reset), broke);
    let mut scene = resumed(Half::Stopped);
    assert_eq!(scene.back_closed(5, Reason::Reset), broke);
    let mut scene = resumed(Half::Moves);
    assert_eq!(
        scene.front_done(ForwardResult::SourceStalled, 4),
        "abort(5) send(1,408) drain(1) finished(false)"
    );
    // Whose body is, goes on.
    let mut scene = resumed(Half::Moves);
    assert_eq!(scene.front_done(ForwardResult::Complete, 4), "");
    assert_eq!(
        scene.back_closed(5, Reason::Reset),
        "abort(5) send(1,502) finished(true)"
    );
    let mut scene = resumed(Half::Over);
    assert_eq!(
        scene.back_closed(5, Reason::Reset),
        "abort(5) send(1,502) finished(true)"
    );
}
