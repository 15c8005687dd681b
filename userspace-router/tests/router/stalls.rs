// SPDX-License-Identifier: GPL-2.0
//! Peers that stand still in mid-body, and time that is up.

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const STALL: &str = "stall-ms = 300\nstall-bytes = 0";

#[test]
fn a_client_that_stops_sending_gets_408_and_the_back_end_a_reset() {
    for (framing, part) in [
        ("Content-Length: 10", "part"),
        ("Transfer-Encoding: chunked", "4\r\npart\r\n"),
    ] {
        let (tell, told) = std::sync::mpsc::channel();
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            tell.send(peer.ends_by_reset()).expect("the test waits");
        });
        let router = Router::start(&[backend], "", STALL);
        let mut client = router.connect();
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{part}"
        ));
        let head = client.head();
        assert_eq!(status(&head), 408);
        assert!(head.contains("details=\"request-stalled\""), "{head}");
        assert_eq!(field(&head, "Connection"), Some("close"));
        assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
    }
}

#[test]
fn a_back_end_that_stops_taking_is_504() {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let backend = backend(move |mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        // Until the test is over.
        let _over = ended.lock().expect("no panic").recv();
    });
    let router = Router::start(&[backend], "", STALL);
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    let mut sender = client.stream.try_clone().expect("a clone");
    let sending = std::thread::spawn(move || {
        let chunk = vec![b'x'; 1 << 20];
        while std::io::Write::write_all(&mut sender, &chunk).is_ok() {}
    });
    let head = client.head();
    assert_eq!(status(&head), 504);
    assert!(
        head.contains("error=connection_write_timeout; details=\"backend-stalled\""),
        "{head}"
    );
    // It ends once the router has drained enough.
    sending.join().expect("no panic");
    drop(end);
}

#[test]
fn a_response_that_stops_is_cut_by_reset() {
    for (head, part) in [
        ("Content-Length: 10", "part"),
        ("Transfer-Encoding: chunked", "4\r\npart\r\n"),
        ("X: until close", "part"),
    ] {
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{part}"));
            peer.ends_by_reset();
        });
        let router = Router::start(&[backend], "", STALL);
        let mut client = router.connect();
        client.send(GET);
        assert_eq!(status(&client.head()), 200);
        let seen = client.until_reset().expect("a reset, and no FIN");
        assert!(!seen.ends_with(b"0\r\n\r\n"));
        assert!(
            router.logged().contains("reason=response-stalled "),
            "{head}"
        );
    }
}

#[test]
fn a_client_that_stops_reading_is_given_up() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let chunk = vec![b'x'; 1 << 20];
        while std::io::Write::write_all(&mut peer.stream, &chunk).is_ok() {}
    });
    let router = Router::start(&[backend], "", STALL);
    let mut client = router.connect();
    client.send(GET);
    let log = router.logged();
    assert!(log.contains("reason=client-stalled "), "{log}");
    assert!(client.ends_by_reset());
}

#[test]
fn a_response_that_is_complete_outlives_a_stalled_upload() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.send(ok("early"));
        peer.ends_by_reset();
    });
    let router = Router::start(&[backend], "", STALL);
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\npart");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(5), b"early");
    // The connection cannot be used again, and ends so that all can be read.
    assert_eq!(client.rest(), b"");
    let log = router.logged();
    assert!(log.contains(" status=200 reason=request-stalled "), "{log}");
}

#[test]
fn asking_ends_after_a_while() {
    let silent = || {
        backend(|mut peer, _| {
            peer.head();
            peer.ends_by_reset();
        })
    };
    let all: Vec<_> = (0..8).map(|_| silent()).collect();
    let router = Router::start(&all, "", "ask-ms = 400\nasking-ms = 1000");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let head = client.head();
    assert_eq!(status(&head), 504);
    // The time is up while one is asked, or while the next is connected to.
    let whys = ["details=\"no-verdict\"", "details=\"connect-timeout\""];
    assert!(whys.iter().any(|why| head.contains(why)), "{head}");
    let log = router.logged();
    assert!(log.matches("=silent").count() <= 3, "{log}");
}

/// Sends `byte` until the connection ends.
fn trickle(peer: &Client, byte: &'static [u8]) -> std::thread::JoinHandle<()> {
    let mut stream = peer.stream.try_clone().expect("a clone");
    std::thread::spawn(move || {
        while std::io::Write::write_all(&mut stream, byte).is_ok() {
            // Slowness is what is tested.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    })
}

#[test]
fn one_byte_after_the_other_is_408() {
    for (framing, byte) in [
        ("Content-Length: 1000000", b"x".as_slice()),
        ("Transfer-Encoding: chunked", b"1\r\nx\r\n".as_slice()),
    ] {
        let (tell, told) = std::sync::mpsc::channel();
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            tell.send(peer.ends_by_reset()).expect("the test waits");
        });
        let router = Router::start(&[backend], "", "stall-ms = 1000\nstall-bytes = 10000");
        let mut client = router.connect();
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let sending = trickle(&client, byte);
        let head = client.head();
        assert_eq!(status(&head), 408);
        assert!(head.contains("details=\"request-slow\""), "{head}");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
        assert!(router.logged().contains(" reason=request-slow "));
        // Until the drain has had enough.
        sending.join().expect("no panic");
    }
}

#[test]
fn a_route_may_be_more_patient_and_responses_are() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = peer.body(40);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n");
        for byte in body.chunks(1) {
            peer.send(byte);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let limits = "stall-ms = 1000\nstall-bytes = 10000";
    let router = Router::start(&[backend], "limits = { stall-bytes = 0 }", limits);
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n");
    for _ in 0..40 {
        client.send("x");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(40), [b'x'; 40]);
}

#[test]
fn a_slow_response_is_cut_where_the_route_says_so() {
    let backend = backend(|mut peer, _| {
        peer.head();
        // With Date it need not be shown to the router.
        peer.send("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 1000000\r\n\r\n");
        trickle(&peer, b"x").join().expect("no panic");
    });
    let route = "limits = { response-stall-bytes = 10000 }";
    let router = Router::start(&[backend], route, "stall-ms = 1000");
    let mut client = router.connect();
    client.send(GET);
    assert_eq!(status(&client.head()), 200);
    assert!(client.until_reset().is_some(), "a reset, and no FIN");
    assert!(router.logged().contains(" reason=response-slow "));
}

#[test]
fn a_route_and_a_listener_have_times_of_their_own() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.head();
    });
    // Who sends at once is in time, also on a slow machine.
    let listener = format!("{LISTENER}\nhead-ms = 1500");
    let tables = format!(
        "[pool.p]\nbackends = [\"{backend}\"]\n[[route]]\npool = \"p\"\n[route.limits]\nresponse-ms = 100\n"
    );
    let router = Router::launch(&listener, &tables, "");
    let mut client = router.connect();
    client.send(GET);
    let head = client.head();
    assert_eq!(status(&head), 504);
    assert!(head.contains("details=\"response-timeout\""), "{head}");
    let mut late = router.connect();
    late.send("GET / HT");
    let head = late.head();
    assert_eq!(status(&head), 408);
    assert!(head.contains("details=\"head-late\""), "{head}");
}
