// SPDX-License-Identifier: GPL-2.0
//! Back-ends of which is not known what they make of a request: silent ones, early ones, and those that get
//! no body after all.

use super::*;

/// It waits for the body, and would until `response-ms` were over, and be blamed for that.
#[test]
fn an_engine_without_room_keeps_nobody_waiting_who_accepted() {
    let forward = Terms {
        on_silence: OnSilence::Forward,
        ..Terms::default()
    };
    for silent in [false, true] {
        let mut scene = Scene::new(PUT, 2, forward.clone());
        scene.told();
        scene.connected(5, false);
        match silent {
            true => scene.wait(1_000),
            false => scene.back_head(5, "HTTP/1.1 100 Continue\r\n\r\n"),
        };
        scene.exchange.found_no_room(Tag::IntoBack, scene.now);
        assert_eq!(
            scene.told(),
            "abort(5) send(1,502) drain(1) finished(false)"
        );
        let line = scene.exchange.line().to_string();
        assert!(line.contains(" reason=engine-refused "), "{line}");
        assert!(line.contains("=refused up=0 "), "{line}");
    }
}

/// A back-end that does not look at the body may be at it, and only some requests may be carried out twice.
#[test]
fn silence_is_a_decline_where_the_request_may_be_carried_out_twice() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let (by_method, decline) = (OnSilence::ByMethod, OnSilence::Decline);
    let (next, same) = ("abort(5) connect", "forward(1>5,Length(10))");
    for (request, on_silence, retry_any, expected) in [
        (PUT, by_method, false, next),
        (post, by_method, false, same),
        (post, by_method, true, next),
        (post, decline, false, next),
    ] {
        let terms = Terms {
            on_silence,
            retry_any,
            ..Terms::default()
        };
        let mut scene = Scene::new(request, 2, terms);
        scene.told();
        scene.connected(5, false);
        let told = scene.wait(1_000);
        assert!(told.starts_with(expected), "{request}{on_silence:?} {told}");
    }
    assert_eq!(Terms::default().on_silence, by_method);
}

#[test]
fn who_answers_before_the_body_is_whole_serves_nobody_else() {
    let optimistic = || Terms {
        mode: Mode::Optimistic,
        ..Terms::default()
    };
    let forward = || Terms {
        on_silence: OnSilence::Forward,
        ..Terms::default()
    };
    let refused = "HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n";
    let accepted = "HTTP/1.1 100 Continue\r\n\r\n";
    // (how it is asked, whether it says 100, whether the body is whole when it answers, what becomes of it)
    for (terms, accepts, whole, follows) in [
        (optimistic(), false, false, "del(5) finished(true)"),
        (optimistic(), false, true, "release(5) finished(true)"),
        // It said that it reads the body, asked or not.
        (optimistic(), true, false, "release(5) finished(true)"),
        // Silence that was taken for a yes is none.
        (forward(), false, false, "del(5) finished(true)"),
        (forward(), false, true, "release(5) finished(true)"),
        (forward(), true, false, "release(5) finished(true)"),
    ] {
        for answer in [OK, refused] {
            let mut scene = Scene::new(PUT, 1, terms.clone());
            scene.told();
            scene.connected(5, false);
            scene.wait(1_000);
            if accepts {
                scene.back_head(5, accepted);
            }
            let up = |scene: &mut Scene| scene.front_done(ForwardResult::Complete, 10);
            let down = |scene: &mut Scene| {
                scene.back_head(5, answer);
                scene.back_done(5, ForwardResult::Complete, 5)
            };
            let end = match whole {
                true => up(&mut scene) + &down(&mut scene),
                false => down(&mut scene) + &up(&mut scene),
            };
            // Who refuses the body in its midst is done with it, whatever it said before; so is the client.
            let refuses = answer == refused && !whole;
            let follows = if refuses {
                "del(5) drain(1) finished(false)"
            } else {
                follows
            };
            assert_eq!(end, follows, "{accepts} {whole} {answer}");
        }
    }
    // The engine may tell of the response before it tells that a small body was whole.
    for (terms, sent, follows) in [
        (optimistic(), 10, "release(5) finished(true)"),
        (optimistic(), 9, "del(5) finished(true)"),
        (forward(), 10, "del(5) finished(true)"),
    ] {
        let mut scene = Scene::new(PUT, 1, terms);
        scene.told();
        scene.connected(5, true);
        scene.wait(1_000);
        let answer = Head {
            sent,
            ..head(5, OK)
        };
        scene.exchange.back_head(&answer, scene.now);
        scene.front_done(ForwardResult::Complete, 10);
        let end = scene.back_done(5, ForwardResult::Complete, 5);
        assert_eq!(end, follows, "{sent}");
    }
    // A response that ends behind the body and began before it is early, too.
    let mut scene = Scene::new(PUT, 1, optimistic());
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, OK);
    scene.front_done(ForwardResult::Complete, 10);
    let end = scene.back_done(5, ForwardResult::Complete, 5);
    assert_eq!(end, "del(5) finished(true)");
}
