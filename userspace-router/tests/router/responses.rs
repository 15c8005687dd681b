// SPDX-License-Identifier: GPL-2.0
//! Responses: their framings, early ones, and those that cannot be relayed.

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_large_download() {
    let body = noise(5_000_000);
    let digest = sha256(&body);
    let backend = backend(move |mut peer, _| {
        peer.head();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        peer.send(&body);
        peer.head();
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send(GET);
    assert_eq!(content_length(&client.head()), 5_000_000);
    assert_eq!(client.digest(5_000_000), digest);
    assert!(router.logged().contains(" up=0 down=5000000 "));
}

#[test]
fn until_close() {
    let body = noise(200_000);
    let expected = body.clone();
    let backend = backend(move |mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        peer.send(&body);
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = client.head();
    assert_eq!(field(&head, "Connection"), Some("close"));
    assert_eq!(client.rest(), expected);
    assert!(router.logged().contains(" down=200000 "));
}

#[test]
fn answers_without_body_leave_the_connection_intact() {
    for (request, answer) in [
        (
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        ),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        ),
        (
            GET,
            "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let router = Router::start(&[answers(answer)], "", "");
        let mut client = router.connect();
        for _ in 0..2 {
            client.send(request);
            for head in answer.split_inclusive("\r\n\r\n") {
                assert_eq!(status(&client.head()), status(head));
            }
        }
    }
}

#[test]
fn what_cannot_be_relayed_is_502_with_its_reason() {
    for (answer, reason) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "response-transfer-coding",
        ),
        ("HTTP/1.1 101 Switching\r\n\r\n", "unasked-upgrade"),
        ("SSH-2.0-x\r\n\r\n", "bad-response"),
    ] {
        let router = Router::start(&[answers(answer)], "", "");
        let mut client = router.connect();
        client.send(GET);
        let head = client.head();
        assert_eq!(status(&head), 502);
        assert!(head.contains(&format!("details=\"{reason}\"")), "{head}");
    }
}

#[test]
fn surplus_bytes_never_reach_another_client() {
    let backend = backend(|mut peer, number| {
        while !peer.head().is_empty() {
            let body = number.to_string();
            peer.send(format!(
                "{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
                ok(&body)
            ));
        }
    });
    let router = Router::start(&[backend], "", "");
    for _ in 0..5 {
        let mut client = router.connect();
        client.send(GET);
        let head = client.head();
        assert_eq!(content_length(&head), 1);
        assert_ne!(client.body(1), b"e");
        router.logged();
    }
}

#[test]
fn an_early_413_is_read_while_the_body_is_being_sent() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(1_000);
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n");
        // Gone with unread bytes: a reset for whoever goes on sending.
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.send(noise(1_000));
    let head = client.head();
    assert_eq!(status(&head), 413);
    assert_eq!(field(&head, "Connection"), Some("close"));
    assert_eq!(client.body(4), b"big\n");
}

#[test]
fn a_200_before_the_100_lets_the_upload_go_on() {
    let backend = backend(|mut peer, _| {
        let head = peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n");
        let digest = peer.digest(content_length(&head));
        peer.send(digest);
    });
    let router = Router::start(&[backend], "", "");
    let body = noise(300_000);
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    assert_eq!(status(&client.head()), 200);
    client.send(&body);
    assert_eq!(client.body(64), sha256(&body).into_bytes());
}

#[test]
fn a_refusal_instead_of_100_is_relayed_and_the_body_left() {
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno\n");
        peer.ends_by_reset();
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    client.send(noise(300_000));
    let head = client.head();
    assert_eq!(status(&head), 403);
    assert_eq!(field(&head, "Connection"), Some("close"));
    assert_eq!(client.rest(), b"no\n");
    let log = router.logged();
    assert!(log.contains(" up=0 "), "{log}");
}

#[test]
fn both_directions_at_once() {
    let backend = backend(|mut peer, _| {
        let head = peer.head();
        let length = content_length(&head) as usize;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        ));
        let mut left = length;
        while left > 0 {
            let part = left.min(10_000);
            let bytes = peer.body(part);
            peer.send(bytes);
            left -= part;
        }
    });
    let router = Router::start(&[backend], "", "");
    let body = noise(3_000_000);
    let mut client = router.connect();
    let mut sender = client.stream.try_clone().expect("a clone");
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    let digest = sha256(&body);
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &body));
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.digest(3_000_000), digest);
    sending.join().expect("no panic").expect("all is sent");
}

#[test]
fn a_client_that_does_not_read_stops_the_back_end() {
    const ALL: usize = 256 << 20;
    let (tell, told) = std::sync::mpsc::channel();
    let backend = backend(move |mut peer, _| {
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ALL}\r\n\r\n"));
        let pause = Some(std::time::Duration::from_millis(500));
        peer.stream.set_write_timeout(pause).expect("a timeout");
        let chunk = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        while let Ok(more) = std::io::Write::write(&mut peer.stream, &chunk) {
            sent += more;
        }
        tell.send(sent).expect("the test waits");
        peer.ends_by_reset();
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send(GET);
    let sent = told
        .recv_timeout(PATIENCE)
        .expect("the back-end is stopped");
    // What fits the sockets on the way, and no more.
    assert!(sent < 64 << 20, "{sent} bytes went to nobody");
    client.reset();
    let log = router.logged();
    assert!(log.contains("reason=client-gone"), "{log}");
}

#[test]
fn what_follows_a_request_that_closes_is_not_answered() {
    let router = Router::start(&[answers("HTTP/1.1 204 No\r\n\r\n")], "", "");
    let mut client = router.connect();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{GET}"
    ));
    assert_eq!(status(&client.head()), 204);
    assert_eq!(client.rest(), b"");
    assert!(router.logged().contains("status=204"));
}
