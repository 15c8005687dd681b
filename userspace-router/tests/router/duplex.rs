// SPDX-License-Identifier: GPL-2.0
//! Responses that begin, and end, while the request still flows; and what comes before them.

use crate::support::*;

#[test]
fn a_response_may_end_first_and_both_connections_live_on() {
    let backend = backend(|mut peer, number| {
        assert_eq!(number, 1, "a second connection");
        loop {
            let head = peer.head();
            if head.is_empty() {
                return;
            }
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            peer.send(ok("early"));
            peer.chunked();
        }
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    for _ in 0..3 {
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.body(5), b"early");
        // The exchange ends with the upload, not before.
        client.send(in_chunks(&noise(100_000), 1_000));
        let log = router.logged();
        assert!(log.contains(" status=200 reason=- "), "{log}");
    }
}

/// One that does not read the body of what it answers takes it for a request.
#[test]
fn what_a_back_end_takes_for_a_request_is_answered_to_nobody() {
    const GET: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
    let backend = backend(|mut peer, _| loop {
        let head = peer.head();
        let Some(target) = head.split(' ').nth(1) else {
            return;
        };
        if target == "/evil" {
            // The next client asks meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        peer.send(ok(target));
    });
    let router = Router::start(&[backend], "mode = \"optimistic\"", "");
    let body = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = body.len();
    let mut client = router.connect();
    client.send(format!(
        "PUT /static HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    assert_eq!(client.answer(), (200, "/static".to_owned()));
    client.send(body);
    router.logged();
    let mut other = router.connect();
    other.send(GET);
    assert_eq!(other.answer(), (200, "/good".to_owned()));
}

/// With the engine `kernel` too, which tells the end of a body with the next event where it may pass the response on.
#[test]
fn a_small_body_that_is_answered_at_once_costs_no_connection() {
    let backend = backend(|mut peer, number| loop {
        let head = peer.head();
        if head.is_empty() {
            return;
        }
        if field(&head, "Transfer-Encoding").is_some() {
            peer.chunked();
        } else {
            peer.body(content_length(&head) as usize);
        }
        // One that the engine shows.
        peer.send(format!(
            "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n{number}"
        ));
    });
    let router = Router::start(&[backend], "mode = \"optimistic\"", "");
    let mut client = router.connect();
    for _ in 0..20 {
        for (framing, body) in [
            ("Content-Length: 5", "hello"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ] {
            client.send(format!(
                "PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}"
            ));
            assert_eq!(client.answer(), (404, "1".to_owned()), "{framing}");
        }
    }
}

#[test]
fn an_echo_in_chunks() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let size = usize::from_str_radix(&peer.line(), 16).expect("a size");
            let chunk = peer.body(size + 2);
            peer.send(format!("{size:x}\r\n"));
            peer.send(chunk);
            if size == 0 {
                return;
            }
        }
    });
    let router = Router::start(&[backend], "", "");
    let body = noise(3_000_000);
    let mut client = router.connect();
    let mut sender = client.stream.try_clone().expect("a clone");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunks = in_chunks(&body, 7_919);
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &chunks));
    assert_eq!(status(&client.head()), 200);
    assert_eq!(sha256(&client.chunked().0), sha256(&body));
    sending.join().expect("no panic").expect("all is sent");
}

#[test]
fn a_response_that_explains_a_broken_upload_is_relayed() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(1_000);
        // No word of closing, and gone with unread bytes: whoever goes on sending is reset.
        peer.send("HTTP/1.1 413 Large\r\nContent-Length: 4\r\n\r\nbig\n");
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.send(noise(1_000_000));
    assert_eq!(status(&client.head()), 413);
    assert_eq!(client.body(4), b"big\n");
}

#[test]
fn a_half_closed_client_gets_its_response_to_a_chunked_upload() {
    let router = Router::start(&[taker()], "", "");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(in_chunks(b"hello", 2));
    client.half_close();
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.rest(), sha256(b"hello").into_bytes());
}

#[test]
fn interim_responses_pass_in_order_but_not_to_an_old_client() {
    let backend = || {
        backend(|mut peer, _| {
            while !peer.head().is_empty() {
                peer.send(
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                     HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
                );
                peer.body(2);
                peer.send(ok("done"));
            }
        })
    };
    let put = "Content-Length: 2\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n";
    let router = Router::start(&[backend()], "", "");
    let mut client = router.connect();
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{put}"));
    let early = client.head();
    assert_eq!((status(&early), field(&early, "Link")), (103, Some("</a>")));
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(status(&client.head()), 102);
    client.send("hi");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(4), b"done");
    let mut client = router.connect();
    client.send(format!("PUT / HTTP/1.0\r\n{put}hi"));
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(4), b"done");
    // A 100 that nobody asked for is the router's own business.
    let router = Router::start(
        &[answers(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        )],
        "",
        "",
    );
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&client.head()), 204);
}

#[test]
fn too_many_interim_responses_are_502() {
    // More than a slow machine passes on in the time that it takes for them.
    let many = "HTTP/1.1 103 Early\r\n\r\n".repeat(10_000);
    let router = Router::start(&[answers(many)], "", "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..16 {
        assert_eq!(status(&client.head()), 103);
    }
    let head = loop {
        let head = client.head();
        if status(&head) != 103 {
            break head;
        }
    };
    assert_eq!(status(&head), 502);
    assert!(
        head.contains("details=\"many-interim-responses\""),
        "{head}"
    );
}

#[test]
fn a_client_that_waits_for_100_and_gets_a_final_answer_may_not_go_on() {
    // The back-end would read on, but the client never sends: its connection ends.
    let router = Router::start(&[answers(ok("no need"))], "", "");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let head = client.head();
    assert_eq!(status(&head), 200);
    assert_eq!(field(&head, "Connection"), Some("close"));
    assert_eq!(client.rest(), b"no need");
}

#[test]
fn a_client_that_waits_for_100_may_send_its_body_after_a_final_answer() {
    // An application that begins its response before it reads: some clients go on then.
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let body = peer.body(5);
        peer.send(body);
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let head = client.head();
    assert_eq!(status(&head), 200);
    assert_eq!(field(&head, "Connection"), Some("close"));
    client.send("hello");
    assert_eq!(client.rest(), b"hello");
}

/// A back-end that refuses an upload in its midst, by a body without a length, and then ends so; what the
/// ten lines of the log say.
fn refused_in_its_midst(
    body: &'static str,
    end: fn(Client),
    mut then: impl FnMut(Client),
) -> Vec<String> {
    let backend = backend(move |mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(1_000);
        peer.send(format!("HTTP/1.0 413 Large\r\n\r\n{body}"));
        end(peer);
    });
    let router = Router::start(&[backend], "", "");
    let mut once = || {
        let mut client = router.connect();
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        client.try_send(&noise(3_000_000));
        then(client);
        router.logged()
    };
    (0..10).map(|_| once()).collect()
}

#[test]
fn what_ended_by_fin_is_whole_though_the_upload_broke() {
    // What is unread makes a reset behind the FIN.
    let end = |peer: Client| peer.half_close();
    let lines = refused_in_its_midst("too large\n", end, |mut client| {
        assert_eq!(status(&client.head()), 413);
        assert_eq!(client.rest(), b"too large\n");
    });
    let whole = |line: &String| line.contains(" status=413 reason=- ");
    assert!(lines.iter().all(whole), "{lines:?}");
}

#[test]
fn what_ended_by_a_reset_is_cut_though_the_upload_was_told_of_it() {
    let end = |peer: Client| peer.reset();
    let lines = refused_in_its_midst("too lar", end, |mut client| {
        client.try_rest();
    });
    let whole = |line: &String| line.contains(" reason=- ");
    assert!(!lines.iter().any(whole), "{lines:?}");
}
