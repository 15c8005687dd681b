// SPDX-License-Identifier: GPL-2.0
//! Uploads: asked, declined, accepted, pipelined.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crate::support::*;

fn put(length: usize) -> String {
    format!("PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn declined_then_taken_whole() {
    let (first, second) = (decliner(421), taker());
    let router = Router::start(&[nobody(), first, second], "", "");
    let body = noise(5_000_000);
    let mut client = router.connect();
    client.send(put(body.len()));
    client.send(&body);
    let head = client.head();
    assert_eq!(status(&head), 200, "{head}");
    assert_eq!(client.body(64), sha256(&body).into_bytes());
    let log = router.logged();
    assert!(
        log.contains("=down,") && log.contains("=declined-421,"),
        "{log}"
    );
    assert!(
        log.contains(&format!("{second}=accepted up=5000000 down=64 ")),
        "{log}"
    );
    assert!(
        log.contains("method=PUT host=a target=/file status=200 reason=- "),
        "{log}"
    );
}

#[test]
fn taken_at_once_without_asking() {
    let backend = backend(|mut peer, _| {
        let head = peer.head();
        assert!(!head.contains("Expect"), "{head}");
        let digest = peer.digest(content_length(&head));
        peer.send(ok(&digest));
    });
    let router = Router::start(&[backend], "mode = \"optimistic\"", "");
    let body = noise(300_000);
    let mut client = router.connect();
    client.send(put(body.len()));
    client.send(&body);
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(&body).into_bytes());
}

#[test]
fn an_optimistic_decline_before_any_byte_goes_on() {
    let (tell, told) = std::sync::mpsc::channel();
    let second = backend(move |mut peer, _| {
        let head = peer.head();
        tell.send(()).expect("the test waits");
        let digest = peer.digest(content_length(&head));
        peer.send(ok(&digest));
    });
    let router = Router::start(&[decliner(421), second], "mode = \"optimistic\"", "");
    let mut client = router.connect();
    client.send(put(4));
    told.recv_timeout(PATIENCE).expect("the second is asked");
    client.send("body");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(b"body").into_bytes());
}

#[test]
fn an_optimistic_decline_after_some_bytes_is_final() {
    let decliner = backend(|mut peer, _| {
        peer.head();
        peer.body(4);
        peer.send("HTTP/1.1 421 No\r\nContent-Length: 3\r\n\r\nno\n");
        let _either_way = peer.ends_by_reset();
    });
    let router = Router::start(&[decliner, taker()], "mode = \"optimistic\"", "");
    let mut client = router.connect();
    client.send(put(8));
    client.send("body");
    assert_eq!(status(&client.head()), 421);
    assert_eq!(client.rest(), b"no\n");
}

#[test]
fn keep_alive_on_both_sides() {
    let router = Router::start(&[taker()], "", "");
    let mut client = router.connect();
    for size in [1, 70_000, 0, 3] {
        let body = noise(size);
        client.send(put(size));
        client.send(&body);
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.body(64), sha256(&body).into_bytes());
    }
}

#[test]
fn the_back_ends_connection_is_used_again() {
    let backend = backend(|mut peer, number| {
        while !peer.head().is_empty() {
            peer.send(ok(&number.to_string()));
        }
    });
    let router = Router::start(&[backend], "", "");
    for _ in 0..3 {
        let mut client = router.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.body(1), b"1");
        router.logged();
    }
}

#[test]
fn pipelined_requests_in_one_segment_are_answered_in_order() {
    let router = Router::start(&[taker()], "", "");
    let mut client = router.connect();
    let (one, two) = (noise(1_000), noise(2_000));
    let mut all = put(one.len()).into_bytes();
    all.extend_from_slice(&one);
    all.extend_from_slice(put(two.len()).as_bytes());
    all.extend_from_slice(&two);
    all.extend_from_slice(b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    all.extend_from_slice(b"GET /very-last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.send(&all);
    for body in [&one[..], &two, b"", b""] {
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.body(64), sha256(body).into_bytes());
    }
    assert_eq!(client.rest(), b"");
}

#[test]
fn all_decline_and_the_last_answer_is_relayed() {
    let router = Router::start(&[decliner(421), decliner(421)], "", "");
    let mut client = router.connect();
    client.send(put(100));
    let head = client.head();
    assert_eq!(status(&head), 421);
    assert_eq!(field(&head, "Connection"), Some("close"));
    assert_eq!(client.rest(), b"no\n");
}

#[test]
fn all_decline_by_other_codes_and_503_is_configured() {
    let route = "decline = [421, 503, 429]\nall-declined = \"503\"";
    let router = Router::start(&[decliner(503), decliner(429)], route, "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!(status(&head), 503);
    let proxy_status = field(&head, "Proxy-Status").expect("a reason");
    assert_eq!(
        proxy_status,
        "underpass; error=destination_unavailable; details=\"all-declined\""
    );
    let log = router.logged();
    assert!(log.contains("reason=all-declined"), "{log}");
}

#[test]
fn no_more_are_asked_than_attempts_says() {
    for (limits, status, asked) in [("attempts = 1", 421, 1), ("attempts = 2", 200, 2)] {
        let router = Router::start(&[decliner(421), named("n")], "", limits);
        assert_eq!(router.get("/", "").0, status, "{limits}");
        let log = router.logged();
        assert_eq!(
            log.matches("127.0.0.1:").count() - 1,
            asked,
            "{limits}: {log}"
        );
    }
}

#[test]
fn the_clients_own_expect_gets_the_back_ends_verdict() {
    let router = Router::start(&[decliner(421), taker()], "", "");
    let expect = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut client = router.connect();
    client.send(expect);
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(b"hello").into_bytes());
    let nobody_takes = Router::start(&[decliner(421)], "", "");
    let mut client = nobody_takes.connect();
    client.send(expect);
    assert_eq!(status(&client.head()), 421);
}

#[test]
fn a_back_end_that_knows_no_expect_is_asked_again_without() {
    let backend = backend(|mut peer, _| {
        let head = peer.head();
        if head.contains("Expect") {
            return peer.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
        }
        let digest = peer.digest(content_length(&head));
        peer.send(ok(&digest));
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send(put(3));
    client.send("abc");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(b"abc").into_bytes());
}

#[test]
fn a_silent_back_end_declines_or_is_sent_the_body() {
    let silent = || {
        backend(|mut peer, _| {
            let head = peer.head();
            let digest = peer.digest(content_length(&head));
            peer.send(ok(&format!("old{digest}")));
        })
    };
    // Long enough for the second to answer on a busy machine.
    let router = Router::start(&[silent(), taker()], "", "ask-ms = 2000");
    let mut client = router.connect();
    client.send(put(3));
    client.send("abc");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(b"abc").into_bytes());
    assert!(router.logged().contains("=silent,"));
    let router = Router::start(&[silent()], "on-silence = \"forward\"", "ask-ms = 100");
    let mut client = router.connect();
    client.send(put(3));
    client.send("abc");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(3), b"old");
}

#[test]
fn many_at_once() {
    let router = Router::start(&[decliner(421), taker(), nobody(), taker()], "", "");
    std::thread::scope(|scope| {
        for nth in 0..8 {
            let mut client = router.connect();
            scope.spawn(move || {
                for round in 0..10 {
                    let body = noise(1 + nth * 40_009 + round * 7_001);
                    client.send(put(body.len()));
                    client.send(&body);
                    assert_eq!(status(&client.head()), 200);
                    assert_eq!(client.body(64), sha256(&body).into_bytes());
                }
            });
        }
    });
    for _ in 0..80 {
        assert!(router.logged().contains(" status=200 "));
    }
}

#[test]
fn over_ipv6() {
    let router = Router::start(&[backend_at("[::1]:0", take)], "", "");
    let mut client = router.connect();
    client.send(put(3));
    client.send("abc");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(64), sha256(b"abc").into_bytes());
}

#[test]
fn of_answers_that_a_client_does_not_read_none_is_left_out() {
    const COUNT: usize = 2_500;
    // Each is as long as what was asked, so that few fill all buffers.
    let filler = "x".repeat(4_000);
    let request = move |number: usize| {
        format!("TRACE /{number} HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX: {filler}\r\n\r\n")
    };
    let router = Router::start(&[named("last")], "trace = true", "");
    let mut client = router.connect();
    let asker = client.stream.try_clone().expect("a descriptor");
    let asked = Arc::new(AtomicUsize::new(0));
    let asks = asked.clone();
    let asking = std::thread::spawn(move || {
        for number in 0..COUNT {
            (&asker)
                .write_all(request(number).as_bytes())
                .expect("it is taken");
            asks.fetch_add(1, Ordering::Relaxed);
        }
        asker.shutdown(Shutdown::Write).expect("FIN");
    });
    // Until all is asked, or nothing more is taken of it.
    let mut before = usize::MAX;
    while !asking.is_finished() && before != asked.load(Ordering::Relaxed) {
        before = asked.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(300)); // between two looks
    }
    let read = client.rest();
    let text = String::from_utf8(read).expect("text");
    let answers: Vec<_> = text.split("TRACE /").skip(1).collect();
    for (number, answer) in answers.iter().enumerate() {
        let wanted = format!("{number} ");
        assert!(
            answer.starts_with(&wanted),
            "answer {number}: {:.20}",
            answer
        );
    }
    assert_eq!(answers.len(), COUNT);
    asking.join().expect("no panic");
}
