// SPDX-License-Identifier: GPL-2.0
//! Exchanges that a former router began, whose request nobody knows.

use proptest::prelude::*;

use super::any::{input, play, Watch};
use super::note::Note;
use super::resume::{Found, Half};
use super::*;

/// One whose response is to come.
fn resumed(upload: Half) -> Scene {
    found(upload, Half::ToCome, Note::default(), false)
}

fn found(upload: Half, download: Half, note: Note, armed: bool) -> Scene {
    let mut scene = Scene::asking(PUT, 1);
    scene.told();
    let place = scene.exchange.place.clone();
    let found = Found {
        back: 5,
        note: Note { back: 5, ..note },
        upload,
        download,
        armed,
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

/// What may be found of a request and its response.
fn halves() -> impl Strategy<Value = (Half, Half)> {
    use Half::{Moves, Over, Stopped, ToCome};
    prop_oneof![
        Just((Moves, ToCome)),
        Just((Stopped, ToCome)),
        Just((Over, ToCome)),
        Just((Moves, Moves)),
        Just((Stopped, Moves)),
        Just((Over, Moves)),
        Just((Moves, Over)),
        // It was answered without its body.
        Just((ToCome, Moves)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold(
        (upload, download) in halves(),
        (close, http10, armed) in any::<(bool, bool, bool)>(),
        inputs in prop::collection::vec(input(), 0..40),
    ) {
        let answered = download != Half::ToCome;
        let held = upload == Half::ToCome;
        let armed = armed && !answered && upload != Half::Stopped;
        let note = Note { close: close || held, http10, answered, ..Note::default() };
        let watch = Watch {
            backs: vec![(5, false)],
            up: (upload == Half::Moves).then_some(5),
            up_complete: upload == Half::Over,
            down: download == Half::Moves,
            down_complete: download == Half::Over,
            armed,
            taken: !held,
            head_dropped: !held,
            finals: u32::from(answered),
            note: note.bits(),
            ..Watch::default()
        };
        play(found(upload, download, note, armed), watch, inputs);
    }
}
