// SPDX-License-Identifier: GPL-2.0
//! The pool's rules, one after the other: limits, order, ages, who waits and who owns.

use super::*;

fn backend() -> Address {
    Address::Tcp(([127, 0, 0, 1], 1).into())
}

fn link(connections: usize, waiting: usize) -> Arc<Link> {
    Arc::new(Link {
        connections,
        waiting,
        waiting_time: Duration::from_millis(5),
        ..Link::default()
    })
}

fn asker(front: u32) -> Asker {
    Asker { front, serial: 0 }
}

/// Connects for each of these, with queue number 10 above the front's.
fn connect(pool: &mut Pool, link: &Arc<Link>, fronts: &[u32], now: Instant) {
    for &front in fronts {
        let answer = pool.ask(&backend(), link, asker(front), false, now);
        assert_eq!(answer, Answer::Connect(None));
        pool.made(front + 10, backend(), link.clone(), front);
    }
}

#[test]
fn what_was_on_its_way_before_a_request_is_no_answer_to_it() {
    let now = Instant::now();
    let link = link(100, 0);
    let mut pool = Pool::new(2, Duration::from_millis(10));
    connect(&mut pool, &link, &[1], now);
    assert!(pool.ended(11, 0));
    assert!(pool.heard(11, 1));
    assert_eq!(pool.free(11, now), Freed::Kept);
    let again = pool.ask(&backend(), &link, asker(2), false, now);
    assert_eq!(again, Answer::Idle(11));
    // The engine numbers the request 2, and the answer to it 3.
    assert!(!pool.ended(11, 1) && pool.ended(11, 2));
    assert!(!pool.heard(11, 2) && pool.heard(11, 3));
    assert!(after(1, u32::MAX) && !after(u32::MAX, 1));
}

#[test]
fn last_in_first_out_within_limits_of_number_and_time() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let link = link(100, 0);
    let mut pool = Pool::new(2, Duration::from_millis(10));
    connect(&mut pool, &link, &[1, 2, 3], start);
    assert_eq!(pool.serves(11), Some(Some(1)));
    assert_eq!(pool.free(11, at(0)), Freed::Kept);
    assert_eq!(pool.free(12, at(5)), Freed::Kept);
    assert_eq!(pool.free(13, at(6)), Freed::Surplus);
    assert_eq!(pool.gone(13), None);
    assert_eq!(pool.serves(11), Some(None));
    assert_eq!(pool.deadline(), Some(at(10)));
    assert_eq!(pool.aged(at(9)), []);
    assert_eq!(pool.aged(at(10)), [11]);
    assert_eq!(pool.gone(11), None);
    let mut ask = |fresh| pool.ask(&backend(), &link, asker(4), fresh, at(11));
    assert_eq!(ask(true), Answer::Connect(None));
    assert_eq!(ask(false), Answer::Idle(12));
    assert_eq!(ask(false), Answer::Connect(None));
    assert_eq!(pool.unmade(&backend()), None);
    assert_eq!(pool.unmade(&backend()), None);
    assert_eq!(pool.gone(12), None);
    assert!(pool.is_empty());
}

#[test]
fn one_that_serves_again_grows_old_anew() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let link = link(100, 0);
    let mut pool = Pool::new(2, Duration::from_millis(10));
    connect(&mut pool, &link, &[1], start);
    assert_eq!(pool.free(11, at(0)), Freed::Kept);
    let again = pool.ask(&backend(), &link, asker(2), false, at(5));
    assert_eq!((again, pool.idle()), (Answer::Idle(11), vec![]));
    assert_eq!(pool.free(11, at(6)), Freed::Kept);
    // It is looked at when it was due first, and again when it is.
    assert_eq!(pool.deadline(), Some(at(10)));
    assert_eq!(pool.aged(at(10)), []);
    assert_eq!((pool.deadline(), pool.idle()), (Some(at(16)), vec![11]));
    // While it serves, nothing is.
    let again = pool.ask(&backend(), &link, asker(2), false, at(15));
    assert_eq!(again, Answer::Idle(11));
    assert_eq!((pool.aged(at(16)), pool.deadline()), (vec![], None));
    assert_eq!(pool.free(11, at(17)), Freed::Kept);
    assert_eq!(pool.aged(at(27)), [11]);
    assert_eq!(pool.gone(11), None);
    assert!(pool.is_empty());
}

/// A used one that broke may be replaced once, so that what replaces it is not used.
#[test]
fn who_waits_for_a_new_one_gets_the_place_of_a_used_one() {
    let now = Instant::now();
    let link = link(1, 2);
    let mut pool = Pool::new(9, Duration::from_secs(1));
    connect(&mut pool, &link, &[1], now);
    let mut ask = |front, fresh| pool.ask(&backend(), &link, asker(front), fresh, now);
    assert_eq!((ask(2, true), ask(3, false)), (Answer::Wait, Answer::Wait));
    assert_eq!(pool.free(11, now), Freed::Surplus);
    let grant = pool.gone(11).map(|grant| grant.asker);
    assert_eq!(grant, Some(asker(2)));
    pool.made(12, backend(), link, 2);
    assert_eq!(pool.free(12, now), Freed::Next(asker(3)));
    assert_eq!(pool.gone(12), None);
    assert!(pool.is_empty());
}

#[test]
fn no_more_connections_than_allowed_and_then_a_bounded_line() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let link = link(2, 2);
    let mut pool = Pool::new(9, Duration::from_secs(1));
    connect(&mut pool, &link, &[1, 2], start);
    let ask = |pool: &mut Pool, front, ms| pool.ask(&backend(), &link, asker(front), false, at(ms));
    assert_eq!(ask(&mut pool, 3, 0), Answer::Wait);
    assert_eq!(ask(&mut pool, 4, 1), Answer::Wait);
    assert_eq!(ask(&mut pool, 5, 1), Answer::Full);
    // A free connection goes to the first in line, a free place to the next.
    assert_eq!(pool.free(11, at(2)), Freed::Next(asker(3)));
    assert_eq!(pool.serves(11), Some(Some(3)));
    let grant = pool.gone(12).expect("a place");
    assert_eq!((grant.asker, grant.backend), (asker(4), backend()));
    pool.made(14, backend(), link.clone(), 4);
    // Who gives up, or waits too long, is not served.
    assert_eq!(ask(&mut pool, 6, 3), Answer::Wait);
    assert_eq!(ask(&mut pool, 7, 4), Answer::Wait);
    assert_eq!(pool.deadline(), Some(at(8)));
    pool.give_up(6);
    assert_eq!(pool.deadline(), Some(at(9)));
    assert_eq!(pool.impatient(at(8)), []);
    assert_eq!(pool.impatient(at(9)), [asker(7)]);
    assert_eq!(pool.deadline(), None);
    assert_eq!(pool.free(11, at(9)), Freed::Kept);
    assert_eq!((pool.gone(11), pool.gone(14)), (None, None));
    assert!(pool.is_empty());
    // An attempt that failed makes room, too.
    connect(&mut pool, &link, &[1], start);
    assert_eq!(ask(&mut pool, 2, 0), Answer::Connect(None));
    assert_eq!(ask(&mut pool, 3, 0), Answer::Wait);
    assert_eq!(pool.unmade(&backend()).expect("a place").asker, asker(3));
    assert_eq!((pool.unmade(&backend()), pool.gone(11)), (None, None));
    assert!(pool.is_empty());
}

#[test]
fn who_asks_elsewhere_waits_for_that_one_only() {
    let now = Instant::now();
    let other = Address::Tcp(([127, 0, 0, 1], 2).into());
    let link = link(1, 1);
    let mut pool = Pool::new(9, Duration::from_secs(1));
    connect(&mut pool, &link, &[1], now);
    let answer = pool.ask(&other, &link, asker(2), false, now);
    assert_eq!(answer, Answer::Connect(None));
    pool.made(12, other.clone(), link.clone(), 2);
    assert_eq!(
        pool.ask(&backend(), &link, asker(3), false, now),
        Answer::Wait
    );
    let later = now + Duration::from_millis(1);
    assert_eq!(
        pool.ask(&other, &link, asker(3), false, later),
        Answer::Wait
    );
    assert_eq!(pool.impatient(now + Duration::from_millis(5)), []);
    assert_eq!(pool.free(11, later), Freed::Kept);
    assert_eq!(pool.impatient(now + Duration::from_millis(6)), [asker(3)]);
    assert_eq!((pool.gone(11), pool.gone(12)), (None, None));
    assert!(pool.is_empty());
}

#[test]
fn a_connection_that_names_its_client_serves_it_alone() {
    let now = Instant::now();
    let proxied = |connections, version| {
        Arc::new(Link {
            connections,
            waiting: 1,
            proxy_protocol: Some(version),
            ..Link::default()
        })
    };
    let (v1, v2, plain) = (proxied(3, Version::V1), proxied(3, Version::V2), link(3, 1));
    let mut pool = Pool::new(9, Duration::from_secs(1));
    connect(&mut pool, &v1, &[1, 2], now);
    assert_eq!(pool.idle_of(1), []);
    assert_eq!(
        (pool.free(11, now), pool.free(12, now)),
        (Freed::Kept, Freed::Kept)
    );
    assert_eq!(pool.idle_of(1), [11]);
    let ask = |pool: &mut Pool, link, front| pool.ask(&backend(), link, asker(front), false, now);
    assert_eq!(ask(&mut pool, &v1, 1), Answer::Idle(11));
    // Neither another client, nor one who says it otherwise, nor one who says nothing; but
    // where there is no place left, an idle one makes some.
    assert_eq!(ask(&mut pool, &v2, 2), Answer::Connect(None));
    assert_eq!(ask(&mut pool, &plain, 3), Answer::Connect(Some(12)));
    assert_eq!(pool.serves(12), None);
    assert_eq!(ask(&mut pool, &v1, 4), Answer::Wait);
    assert_eq!(pool.free(11, now), Freed::Surplus);
    assert_eq!(pool.gone(11).expect("a place").asker, asker(4));
    for _ in 0..3 {
        assert_eq!(pool.unmade(&backend()), None);
    }
    assert!(pool.is_empty());
}

#[test]
fn as_many_requests_as_a_connection_may_serve() {
    let now = Instant::now();
    let link = Arc::new(Link {
        requests: Some(2),
        ..Link::default()
    });
    let mut pool = Pool::new(9, Duration::from_secs(1));
    connect(&mut pool, &link, &[1], now);
    assert_eq!(pool.free(11, now), Freed::Kept);
    assert_eq!(
        pool.ask(&backend(), &link, asker(2), false, now),
        Answer::Idle(11)
    );
    assert_eq!(pool.free(11, now), Freed::Surplus);
}

#[test]
fn who_has_room_does_not_wait_behind_who_has_none() {
    let (mut pool, now) = (Pool::new(2, Duration::from_secs(1)), Instant::now());
    let (narrow, wide) = (link(1, 5), link(2, 5));
    connect(&mut pool, &wide, &[1, 2], now);
    for (link, front) in [(&narrow, 3), (&wide, 4)] {
        let answer = pool.ask(&backend(), link, asker(front), false, now);
        assert_eq!(answer, Answer::Wait);
    }
    let next = |grant: Option<Grant>| grant.map(|grant| grant.asker);
    assert_eq!(next(pool.gone(11)), Some(asker(4)));
    pool.made(14, backend(), wide, 4);
    assert_eq!(next(pool.gone(12)), None);
    assert_eq!(next(pool.gone(14)), Some(asker(3)));
}
