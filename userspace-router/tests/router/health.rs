// SPDX-License-Identifier: GPL-2.0
//! Back-ends that fail are left out, and come back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::Arc;

use crate::support::*;

/// Answers with its name, or with what `fails` says while `is_bad`.
fn moody(name: &'static str, is_bad: &Arc<AtomicBool>, fails: fn(Client)) -> SocketAddr {
    let is_bad = is_bad.clone();
    backend(move |mut peer, _| loop {
        let head = peer.head();
        if head.is_empty() {
            return;
        }
        if is_bad.load(Ordering::SeqCst) {
            return fails(peer);
        }
        peer.send(ok(name));
        if head.contains("Connection: close") {
            return;
        }
    })
}

fn resets(peer: Client) {
    peer.reset();
}

fn answers_503(mut peer: Client) {
    peer.send("HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

fn who(router: &Router, requests: usize) -> String {
    (0..requests).map(|_| router.get("/", "").1).collect()
}

#[test]
fn who_fails_in_a_row_is_left_out() {
    for fails in [resets, answers_503] {
        let bad = Arc::new(AtomicBool::new(true));
        let moody = moody("m", &bad, fails);
        let pool = "[pool.p.eject]\nfailures = 3\nms = 86400000\nmax-ms = 86400000\nstatus = [503]";
        let router = Router::with_pool(&[moody, named("w")], pool, "");
        // Every second one is its turn; the client sees these three fail, and no more.
        let statuses: Vec<_> = (0..12).map(|_| router.get("/", "").0).collect();
        let failed = statuses.iter().filter(|&&status| status != 200).count();
        assert_eq!(failed, 3, "{statuses:?}");
        router.said(&format!(
            "pool p: {moody} is left out for 86400 s after 3 failures in a row"
        ));
        assert_eq!(who(&router, 4), "wwww");
    }
}

#[test]
fn whom_nobody_listens_to_goes_on() {
    let bad = Arc::new(AtomicBool::new(true));
    let pool = "[pool.p.eject]\nfailures = 1\nms = 86400000\nmax-ms = 86400000\nstatus = [503]";
    let backends = [moody("m", &bad, answers_503), named("w")];
    let mut router = Router::with_pool(&backends, pool, "");
    router.is_not_listened_to();
    // That one is left out is said to nobody.
    assert!((0..3).any(|_| router.get("/", "").0 == 503));
    assert_eq!(who(&router, 4), "wwww");
    router.terminate();
    assert!(router.wait().success());
}

#[test]
fn a_trial_brings_it_back() {
    let bad = Arc::new(AtomicBool::new(true));
    let moody = moody("m", &bad, resets);
    let pool = "[pool.p.eject]\nfailures = 1\nms = 20\nmax-ms = 20";
    let router = Router::with_pool(&[moody, named("w")], pool, "");
    who(&router, 2);
    router.said("is left out for 0.02 s after 1 failures in a row");
    // A trial fails, sooner or later.
    while router.get("/", "").0 == 200 {}
    router.said("is left out for 0.02 s: its trial failed");
    bad.store(false, Ordering::SeqCst);
    while router.get("/", "").1 != "m" {}
    router.said("is back: its trial went well");
    let answers = who(&router, 4);
    assert!(answers == "mwmw" || answers == "wmwm", "{answers}");
}

#[test]
fn declines_are_no_failures_and_the_last_one_is_never_left_out() {
    let pool = "[pool.p.eject]\nfailures = 1\nms = 86400000\nmax-ms = 86400000";
    let router = Router::with_pool(&[decliner(421), decliner(421)], pool, "");
    for _ in 0..4 {
        assert_eq!(router.get("/", "").0, 421);
        assert_eq!(router.logged().matches("=declined-421").count(), 2);
    }
    let router = Router::with_pool(&[nobody(), nobody()], pool, "");
    for _ in 0..4 {
        assert_eq!(router.get("/", "").0, 502);
        // Where none is well, each may be.
        assert_eq!(router.logged().matches("=down").count(), 2);
    }
}

#[test]
fn checks_take_out_and_bring_back() {
    let bad = Arc::new(AtomicBool::new(false));
    let moody = moody("m", &bad, answers_503);
    let pool = "[pool.p.eject]\nfailures = 0\n\
        [pool.p.check]\npath = \"/health\"\ninterval-ms = 20\ntimeout-ms = 60000\nrise = 2\nfall = 2";
    let router = Router::with_pool(&[moody, named("w")], pool, "");
    assert_eq!(who(&router, 4), "mwmw");
    bad.store(true, Ordering::SeqCst);
    router.said(&format!(
        "pool p: {moody} is down after 2 bad checks: status 503"
    ));
    assert_eq!(who(&router, 4), "wwww");
    bad.store(false, Ordering::SeqCst);
    router.said(&format!("pool p: {moody} is up after 2 good checks"));
    let answers = who(&router, 4);
    assert_eq!(answers.matches('m').count(), 2, "{answers}");
}

#[test]
fn a_check_says_the_host_and_wants_the_status_of_the_file() {
    let (tell, hosts) = channel();
    let backend = |name: &'static str, status: u16, tell: Sender<Option<String>>| {
        backend(move |mut peer, _| {
            let head = peer.head();
            if !head.starts_with("GET /health ") {
                return peer.send(ok(name));
            }
            // The test may be over and not care.
            let _over = tell.send(field(&head, "Host").map(str::to_owned));
            peer.send(format!("HTTP/1.1 {status} S\r\nContent-Length: 0\r\n\r\n"));
        })
    };
    let good = backend("g", 204, tell.clone());
    let other = backend("o", 200, tell);
    let pool = "[pool.p.check]\npath = \"/health\"\nhost = \"health.example\"\nstatus = [204]\n\
        interval-ms = 20\ntimeout-ms = 60000\nfall = 1";
    let router = Router::with_pool(&[good, other], pool, "idle-connections = 0");
    router.said(&format!(
        "pool p: {other} is down after 1 bad checks: status 200"
    ));
    for _ in 0..6 {
        let host = hosts.recv_timeout(PATIENCE).expect("a check");
        assert_eq!(host.as_deref(), Some("health.example"));
    }
    assert_eq!(who(&router, 4), "gggg");
}

/// What a check cannot use: nobody there, another protocol, silence, endless talk.
#[test]
fn every_way_to_fail_a_check() {
    let silent = backend(|mut peer, _| {
        peer.head();
        peer.head();
    });
    let foreign = backend(|mut peer, _| {
        // Who closes with something unread resets, and takes its answer back.
        peer.head();
        peer.send("SSH-2.0-OpenSSH\r\n");
    });
    let endless = backend(|mut peer, _| {
        // Until the check has had enough.
        while peer.try_send(&[b'x'; 4096]) {}
    });
    let cases = [
        (nobody(), 60_000, "Connection refused"),
        (silent, 50, "no answer within 50 ms"),
        (foreign, 60_000, "its answer is no HTTP/1 response"),
        (endless, 60_000, "no status within 8192 bytes"),
    ];
    for (backend, timeout, why) in cases {
        let pool = format!(
            "[pool.p.check]\npath = \"/\"\ninterval-ms = 20\ntimeout-ms = {timeout}\nfall = 1"
        );
        let router = Router::with_pool(&[backend], &pool, "");
        router.said(&format!("is down after 1 bad checks: {why}"));
    }
}

#[test]
fn who_waits_for_a_place_blames_nobody() {
    let (slow, told, go) = patient("", ok("s"));
    let pool = "connections = 1\nwaiting = 10\nwaiting-ms = 60000\n[pool.p.eject]\nfailures = 1\n";
    // Enough for the first one to be asked, also on a slow machine.
    let router = Router::with_pool(&[slow], pool, "asking-ms = 1500");
    let mut first = router.connect();
    first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    told.recv_timeout(PATIENCE).expect("the request arrives");
    for _ in 0..3 {
        assert_eq!(router.get("/", "").0, 503);
        let line = router.logged();
        assert!(
            line.contains("reason=all-full") && line.contains("=full"),
            "{line}"
        );
    }
    go.send(()).expect("the back-end waits");
    assert_eq!(first.answer(), (200, "s".to_owned()));
}

#[test]
fn one_that_breaks_in_mid_body_has_failed_over_an_old_connection_too() {
    let bad = backend(|mut peer, _| {
        peer.head();
        peer.send(ok("b"));
        if peer.head().is_empty() {
            return;
        }
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(100_000);
        peer.reset();
    });
    let pool = "[pool.p.eject]\nfailures = 1\nms = 86400000\nmax-ms = 86400000";
    let router = Router::with_pool(&[bad, named("w")], pool, "");
    assert_eq!(who(&router, 2), "bw");
    let mut client = router.connect();
    client.send("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.try_send(&vec![0; 1_000_000]);
    assert_eq!(status(&client.head()), 502);
    router.said(&format!(
        "pool p: {bad} is left out for 86400 s after 1 failures in a row"
    ));
    assert_eq!(who(&router, 4), "wwww");
}
