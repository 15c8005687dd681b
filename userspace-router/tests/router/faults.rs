// SPDX-License-Identifier: GPL-2.0
//! Peers that leave, break or stay silent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::Duration;

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn none_reachable() {
    let router = Router::start(&[nobody(), nobody()], "", "");
    let mut client = router.connect();
    client.send(GET);
    let head = client.head();
    assert_eq!(status(&head), 502);
    assert!(head.contains("details=\"none-reachable\""), "{head}");
    client.body(content_length(&head) as usize);
    client.send(GET);
    assert_eq!(status(&client.head()), 502);
}

#[test]
fn a_reset_before_accepting_goes_to_the_next() {
    let resetter = backend(|mut peer, _| {
        peer.head();
        peer.reset();
    });
    let router = Router::start(&[resetter, taker()], "", "");
    let mut client = router.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(b"abc").into_bytes());
    assert!(router.logged().contains("=broke,"));
}

#[test]
fn a_reset_in_mid_upload_is_never_tried_again() {
    let resetter = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(1_000);
        peer.reset();
    });
    let router = Router::start(&[resetter, taker()], "", "");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    client.send(noise(1_000));
    let head = client.head();
    assert_eq!(status(&head), 502, "{head}");
    assert!(head.contains("details=\"backend-broke\""), "{head}");
    assert!(router.logged().contains(" up=1000 "));
}

#[test]
fn a_download_cut_short_is_cut_by_reset() {
    for by_reset in [false, true] {
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            peer.send(noise(50_000));
            if by_reset {
                peer.reset();
            }
        });
        let router = Router::start(&[backend], "", "");
        let mut client = router.connect();
        client.send(GET);
        assert!(client.ends_by_reset());
        assert!(router.logged().contains("reason=response-truncated"));
    }
}

#[test]
fn a_client_that_vanishes_in_mid_upload_resets_the_back_end() {
    for by_reset in [false, true] {
        let (tell, told) = channel();
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            peer.body(1_000);
            tell.send("began").expect("the test waits");
            tell.send(if peer.ends_by_reset() { "reset" } else { "fin" })
                .expect("the test waits");
        });
        let router = Router::start(&[backend], "", "");
        let mut client = router.connect();
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
        client.send(noise(1_000));
        assert_eq!(told.recv_timeout(PATIENCE), Ok("began"));
        if by_reset {
            client.reset();
        } else {
            drop(client);
        }
        assert_eq!(told.recv_timeout(PATIENCE), Ok("reset"));
        let log = router.logged();
        assert!(
            log.contains(if by_reset {
                "client-gone"
            } else {
                "request-truncated"
            }),
            "{log}"
        );
    }
}

#[test]
fn a_half_closed_client_gets_its_response() {
    let (go, gone) = channel();
    let gone = std::sync::Mutex::new(gone);
    let backend = backend(move |mut peer, _| {
        let head = peer.head();
        if head.contains("Expect") {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let digest = peer.digest(content_length(&head));
        gone.lock()
            .expect("no panic")
            .recv()
            .expect("the client has sent FIN");
        peer.send(ok(&digest));
    });
    let router = Router::start(&[backend], "", "");
    for request in [
        GET,
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let mut client = router.connect();
        client.send(request);
        client.half_close();
        go.send(()).expect("the back-end waits");
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.rest().len(), 64);
        router.logged();
    }
}

#[test]
fn a_stale_idle_connection_is_replaced_for_idempotent_requests() {
    let backend = backend(|mut peer, number| {
        peer.head();
        peer.send(ok(&number.to_string()));
        if number == 1 {
            // Reads the next request, and leaves it unanswered.
            peer.head();
        }
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send(GET);
    client.head();
    assert_eq!(client.body(1), b"1");
    client.send(GET);
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(1), b"2");
}

/// Whether such a back-end has seen the request before it broke, nobody knows: the file says whether that matters.
#[test]
fn a_post_over_a_stale_connection_is_repeated_only_if_the_file_says_so() {
    for (route, answered) in [
        ("", (502, vec![1, 1])),
        ("retry-non-idempotent = true", (200, vec![1, 1, 2])),
    ] {
        let (tell, told) = channel();
        let backend = backend(move |mut peer, number| {
            for request in 1..=2 {
                if peer.head().is_empty() {
                    return;
                }
                tell.send(number).expect("the test waits");
                // The first connection ends with its second request unanswered.
                if (number, request) != (1, 2) {
                    peer.send(ok(""));
                }
            }
        });
        let router = Router::start(&[backend], route, "");
        let mut client = router.connect();
        assert_eq!(client.get("/", "").0, 200);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let head = client.head();
        let asked: Vec<u32> = told.try_iter().collect();
        assert_eq!((status(&head), asked), answered, "{route}: {head}");
    }
}

#[test]
fn a_response_that_does_not_come_is_504() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.head();
    });
    let router = Router::start(&[backend], "", "response-ms = 100");
    let mut client = router.connect();
    client.send(GET);
    let head = client.head();
    assert_eq!(status(&head), 504);
    assert!(head.contains("details=\"response-timeout\""), "{head}");
}

/// Sets how many descriptors the router may have.
fn descriptors(router: &Router, most: &str) {
    let status = std::process::Command::new("prlimit")
        .arg(format!("--pid={}", router.pid()))
        .arg(format!("--nofile={most}:"))
        .status();
    assert!(status.expect("util-linux has it").success());
}

#[test]
fn descriptors_that_run_out_are_503_and_no_fault_of_the_back_end() {
    let backends = [named("ok"), named("ok")];
    let router = Router::with_pool(&backends, "", "idle-connections = 0");
    let mut client = router.connect();
    assert_eq!(client.get("/", ""), (200, "ok".to_owned()));
    descriptors(&router, "1");
    // As often as would leave a back-end out, had it failed.
    for _ in 0..20 {
        client.send(GET);
        let head = client.head();
        assert_eq!(status(&head), 503);
        assert!(head.contains("details=\"all-full\""), "{head}");
        client.body(content_length(&head) as usize);
    }
    // Somebody new waits, or is told the same.
    let mut other = router.connect();
    other.send(GET);
    descriptors(&router, "1024");
    assert!([200, 503].contains(&status(&other.head())));
    for _ in 0..4 {
        assert_eq!(client.get("/", ""), (200, "ok".to_owned()));
    }
}

#[test]
fn a_check_without_a_descriptor_does_not_take_a_back_end_out() {
    let bad = Arc::new(AtomicBool::new(false));
    let moody = {
        let bad = bad.clone();
        backend(move |mut peer, _| {
            let status = if bad.load(Ordering::SeqCst) { 500 } else { 200 };
            peer.head();
            peer.send(format!("HTTP/1.1 {status} S\r\nContent-Length: 0\r\n\r\n"));
        })
    };
    let pool = "[pool.p.check]\npath = \"/\"\ninterval-ms = 10\nfall = 5";
    let router = Router::with_pool(&[moody], pool, "idle-connections = 0");
    descriptors(&router, "1");
    // Long enough for many checks.
    std::thread::sleep(Duration::from_millis(500));
    bad.store(true, Ordering::SeqCst);
    descriptors(&router, "1024");
    // It was up until then.
    router.said("is down after 5 bad checks: status 500");
}
