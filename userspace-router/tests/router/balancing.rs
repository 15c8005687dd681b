// SPDX-License-Identifier: GPL-2.0
//! How requests spread over a pool.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::support::*;

fn three() -> [std::net::SocketAddr; 3] {
    [named("a"), named("b"), named("c")]
}

#[test]
fn round_robin_by_weight() {
    let router = Router::with_pool(&three(), "weights = [2, 1, 1]", "");
    let mut client = router.connect();
    let answers: String = (0..8).map(|_| client.get("/", "").1).collect();
    assert_eq!(answers, "abcaabca");
}

#[test]
fn the_fewest_outstanding_gets_the_next() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let (tell, told) = channel();
    // Holds its requests until the test says so.
    let slow = backend(move |mut peer, _| {
        while !peer.head().is_empty() {
            tell.send(()).expect("the test waits");
            gone.lock().expect("no panic").recv().expect("a word");
            peer.send(ok("slow"));
        }
    });
    let pool = "balance = \"least-outstanding\"";
    let router = Router::with_pool(&[slow, named("fast")], pool, "");
    let mut held = router.connect();
    held.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    told.recv_timeout(PATIENCE).expect("the slow one is asked");
    let mut client = router.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/", "").1, "fast");
    }
    go.send(()).expect("it waits");
    assert_eq!(held.answer().1, "slow");
    // Equal again: turns, once the router has heard of the end, of which the client knew first.
    go.send(()).expect("it waits");
    let three = [(); 3].map(|()| client.get("/", "").1);
    assert!(three.contains(&"slow".to_owned()), "{three:?}");
}

#[test]
fn a_hash_keeps_its_keys_and_moves_only_those_of_who_is_gone() {
    for (by, field) in [
        ("header:X-User", "X-User: "),
        ("cookie:sid", "Cookie: a=b; sid="),
    ] {
        let backends = three();
        let pool = format!("balance = \"hash\"\nhash-by = \"{by}\"");
        let all = Router::with_pool(&backends, &pool, "");
        let without = Router::with_pool(&backends[..2], &pool, "");
        let (mut client, mut other) = (all.connect(), without.connect());
        let mut count = [0; 3];
        for n in 0..90 {
            let key = format!("{field}{n}\r\n");
            let (_, answer) = client.get("/", &key);
            assert_eq!(client.get("/", &key).1, answer);
            let at = "abc".find(&answer).expect("a name");
            count[at] += 1;
            if at < 2 {
                assert_eq!(other.get("/", &key).1, answer, "moved: {n}");
            }
        }
        assert!(count.iter().all(|&n| n > 15), "{count:?}");
    }
    // By address: one client, one back-end.
    let router = Router::with_pool(&three(), "balance = \"hash\"", "");
    let first = router.get("/", "").1;
    for _ in 0..5 {
        assert_eq!(router.get("/", "").1, first);
    }
}

/// The others stand in, in the order of the same method.
#[test]
fn a_decline_goes_to_the_next_of_the_plan() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let decliner = |name: &'static str| {
        let asked = asked.clone();
        backend(move |mut peer, _| {
            if !peer.head().is_empty() {
                asked.lock().expect("no panic").push(name);
                peer.send("HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n");
                peer.head();
            }
        })
    };
    let backends = [decliner("a"), named("b"), decliner("c")];
    let pool = "balance = \"hash\"\nhash-by = \"header:K\"";
    let router = Router::with_pool(&backends, pool, "");
    for n in 0..20 {
        assert_eq!(router.get("/", &format!("K: {n}\r\n")).1, "b");
    }
    let asked = asked.lock().expect("no panic");
    assert!(asked.contains(&"a") && asked.contains(&"c"), "{asked:?}");
}
