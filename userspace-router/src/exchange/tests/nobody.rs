// SPDX-License-Identifier: GPL-2.0
//! What the client is told when no back-end took its request.

use super::*;

#[test]
fn no_more_attempts_than_allowed() {
    let mut scene = Scene::asking(PUT, 100);
    let mut asked = 0;
    while scene.told().starts_with("connect") {
        asked += 1;
        scene
            .exchange
            .connect_failed(Verdict::ConnectTimeout, scene.now);
    }
    assert_eq!(asked, 8);
    assert_eq!(scene.exchange.record.reason, "connect-timeout");
    // What the only one failed by is what the client is told.
    for (verdict, status, reason) in [
        (Verdict::Down, 502, "none-reachable"),
        (Verdict::ConnectTimeout, 504, "connect-timeout"),
        (Verdict::Full, 503, "all-full"),
    ] {
        let mut scene = Scene::asking(GET, 1);
        scene.told();
        scene.exchange.connect_failed(verdict, scene.now);
        let record = &scene.exchange.record;
        assert_eq!((record.status, record.reason), (status, reason));
    }
}

/// Asks two back-ends in vain, and says what the client was told.
fn told_of(outcomes: [Verdict; 2], all_declined: AllDeclined) -> (u16, &'static str) {
    let terms = Terms {
        all_declined,
        ..Terms::default()
    };
    let mut scene = Scene::new(PUT, 2, terms);
    for (queue, outcome) in (5..).zip(outcomes) {
        scene.told();
        match outcome {
            Verdict::Declined(status) => {
                scene.connected(queue, false);
                scene.back_head(queue, &format!("HTTP/1.1 {status} No\r\n\r\n"));
            }
            Verdict::Refused => {
                scene.connected(queue, false);
                scene.exchange.found_no_room(Tag::IntoBack, scene.now);
            }
            Verdict::Silent => {
                scene.connected(queue, false);
                scene.wait(1_000);
            }
            failed => scene.exchange.connect_failed(failed, scene.now),
        }
    }
    let record = &scene.exchange.record;
    assert!(record
        .asked
        .iter()
        .map(|(_, verdict)| *verdict)
        .eq(outcomes));
    (record.status, record.reason)
}

#[test]
fn what_is_told_does_not_hang_on_who_was_asked_last() {
    const NO: Verdict = Verdict::Declined(421);
    for (one, other, told) in [
        (NO, NO, (503, "all-declined")),
        (NO, Verdict::Full, (503, "all-declined")),
        (NO, Verdict::Down, (503, "all-declined")),
        (NO, Verdict::Silent, (503, "all-declined")),
        (Verdict::Full, Verdict::Full, (503, "all-full")),
        (Verdict::Full, Verdict::Down, (503, "all-full")),
        (Verdict::Full, Verdict::ConnectTimeout, (503, "all-full")),
        (Verdict::Full, Verdict::Silent, (503, "all-full")),
        (Verdict::Full, Verdict::Refused, (503, "all-full")),
    ] {
        for order in [[one, other], [other, one]] {
            assert_eq!(told_of(order, AllDeclined::Unavailable), told, "{order:?}");
        }
    }
    // Of these, the last one's.
    for (order, told) in [
        ([Verdict::Silent, Verdict::Down], (502, "none-reachable")),
        ([Verdict::Down, Verdict::Silent], (504, "no-verdict")),
    ] {
        assert_eq!(told_of(order, AllDeclined::Unavailable), told, "{order:?}");
    }
}

#[test]
fn a_decline_counts_also_where_there_is_no_time_to_ask_the_last_one_again() {
    let mut scene = Scene::asking(PUT, 2);
    scene.told();
    scene.connected(5, false);
    scene.back_head(5, "HTTP/1.1 421 No\r\n\r\n");
    scene.connected(6, true);
    // As long as all may be asked.
    scene.now += Duration::from_secs(10);
    scene.back_closed(6, Reason::Fin);
    assert_eq!(scene.exchange.record.reason, "all-declined");
}

#[test]
fn a_decline_is_relayed_if_it_came_last() {
    let no = Verdict::Declined(421);
    let relay = |order| told_of(order, AllDeclined::Relay);
    assert_eq!(relay([Verdict::Down, no]), (421, ""));
    // The connection that it came over is gone.
    assert_eq!(relay([no, Verdict::Down]), (503, "all-declined"));
}
