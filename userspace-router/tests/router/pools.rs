// SPDX-License-Identifier: GPL-2.0
//! Connections to back-ends: used again, counted, waited for; and idle ones of clients.

use std::net::SocketAddr;
use std::sync::mpsc::{channel, Sender};
use std::sync::Mutex;

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers with the number of the connection.
fn counter() -> SocketAddr {
    backend(|mut peer, number| {
        while !peer.head().is_empty() {
            peer.send(ok(&number.to_string()));
        }
    })
}

/// The same, each time after a word; tells when it was asked.
fn held(tell: Sender<u32>) -> (SocketAddr, Sender<()>) {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let address = backend(move |mut peer, number| {
        while !peer.head().is_empty() {
            tell.send(number).expect("the test waits");
            gone.lock().expect("no panic").recv().expect("a word");
            peer.send(ok(&number.to_string()));
        }
    });
    (address, go)
}

/// Some servers send a body, so by default nobody else gets that connection.
#[test]
fn a_connection_is_kept_after_head_if_the_pool_says_so() {
    for keeps in [false, true] {
        let backend = backend(move |mut peer, number| {
            for _ in 0..=u32::from(keeps) {
                peer.head();
                peer.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: {number}\r\n\r\n"
                ));
            }
            peer.try_rest();
        });
        let pool = format!("reuse-after-head = {keeps}");
        let router = Router::with_pool(&[backend], &pool, "");
        let mut client = router.connect();
        for connection in ["1", if keeps { "1" } else { "2" }] {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(field(&client.head(), "X"), Some(connection));
            router.logged();
        }
    }
}

#[test]
fn a_connection_is_used_again_by_others() {
    let router = Router::with_pool(&[counter()], "", "");
    for _ in 0..3 {
        assert_eq!(router.get("/", "").1, "1");
    }
    let router = Router::with_pool(&[counter()], "requests-per-connection = 2", "");
    let mut client = router.connect();
    let answers: String = (0..5).map(|_| client.get("/", "").1).collect();
    assert_eq!(answers, "11223");
    // None is kept.
    let router = Router::with_pool(&[counter()], "", "idle-connections = 0");
    assert_eq!([router.get("/", "").1, router.get("/", "").1], ["1", "2"]);
}

#[test]
fn who_finds_all_connections_busy_waits_in_line() {
    let (tell, told) = channel();
    let (busy, go) = held(tell);
    // The weights make it the first choice of all requests here.
    let pool = "weights = [1000, 1]\nconnections = 1\nwaiting = 2\nwaiting-ms = 60000";
    let router = Router::with_pool(&[busy, named("other")], pool, "");
    let ask = || {
        let mut client = router.connect();
        client.send(GET);
        client
    };
    // The one of these that the log speaks of.
    let logged = |clients: &mut Vec<Client>| {
        let log = router.logged();
        let is_it = |client: &Client| {
            let address = client.stream.local_addr().expect("an address");
            log.starts_with(&format!("client={address} "))
        };
        let at = clients.iter().position(is_it).expect("a client of these");
        (clients.remove(at), log)
    };
    let mut first = ask();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
    // Two stand in line, the third finds it full.
    let mut line = vec![ask(), ask(), ask()];
    let (mut third, log) = logged(&mut line);
    assert!(log.contains(&format!("asked={busy}=full,")), "{log}");
    assert_eq!(third.answer().1, "other");
    // One leaves, and makes room for one.
    line.remove(0).reset();
    assert!(router.logged().contains("reason=client-gone"));
    line.extend([ask(), ask()]);
    let (mut third, log) = logged(&mut line);
    assert!(log.contains(&format!("asked={busy}=full,")), "{log}");
    assert_eq!(third.answer().1, "other");
    for _ in 0..3 {
        go.send(()).expect("it waits");
    }
    assert_eq!(first.answer().1, "1");
    for client in &mut line {
        assert_eq!(client.answer().1, "1");
    }
}

#[test]
fn who_waited_for_a_connection_that_ends_gets_another() {
    // Each serves one request and does not say so: it ends at once, or when it is asked again.
    let curt = |ends_late: bool| {
        backend(move |mut peer, number| {
            peer.head();
            peer.send(ok(&number.to_string()));
            if ends_late {
                peer.head();
            }
        })
    };
    let pool = "connections = 1\nwaiting = 100\nwaiting-ms = 60000";
    let limits = "connect-ms = 60000\nasking-ms = 60000";
    let (soon, late) = (|| curt(false), || curt(true));
    for backends in [vec![soon()], vec![soon(), soon()], vec![late()]] {
        let router = Router::with_pool(&backends, pool, limits);
        // Four at a time.
        for _ in 0..5 {
            let mut clients: Vec<_> = (0..4).map(|_| router.connect()).collect();
            for client in &mut clients {
                client.send(GET);
            }
            for client in &mut clients {
                assert_eq!(status(&client.head()), 200);
            }
        }
    }
}

#[test]
fn without_any_room_the_answer_is_503() {
    let (tell, told) = channel();
    let (busy, go) = held(tell);
    let router = Router::with_pool(&[busy], "connections = 1", "");
    let mut first = router.connect();
    first.send(GET);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
    let answer = router.get("/", "");
    assert_eq!(answer, (503, "Every back-end is busy.\n".to_owned()));
    assert!(router.logged().contains("status=503 reason=all-full"));
    go.send(()).expect("it waits");
    assert_eq!(first.answer().1, "1");
}

#[test]
fn who_waits_too_long_or_finds_it_full_asks_the_next() {
    for waiting in [0, 1] {
        let (tell, told) = channel();
        let (backend, go) = held(tell);
        let pool = format!("connections = 1\nwaiting = {waiting}\nwaiting-ms = 50");
        let router = Router::with_pool(&[backend, named("other")], &pool, "");
        let mut first = router.connect();
        first.send(GET);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
        let mut second = router.connect();
        let answers = [second.get("/", "").1, second.get("/", "").1];
        assert_eq!(answers, ["other", "other"]);
        router.logged();
        let log = router.logged();
        assert!(log.contains(&format!("asked={backend}=full,")), "{log}");
        go.send(()).expect("it waits");
        assert_eq!(first.answer().1, "1");
    }
}

/// The places of connections that end in any way are free again.
#[test]
fn a_place_is_free_again_whatever_its_end() {
    let backend = backend(|mut peer, _| {
        let head = peer.head();
        match head.split(' ').nth(1) {
            Some("/reset") => peer.reset(),
            Some("/half") => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            Some("/close") => peer.send("HTTP/1.1 200 OK\r\n\r\nclosed"),
            Some("/decline") => peer.send("HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n"),
            _ => {
                peer.send(ok("fine"));
                peer.head();
            }
        }
    });
    let pool = "connections = 1\n[pool.p.eject]\nfailures = 0";
    let router = Router::with_pool(&[backend], pool, "idle-connections = 1");
    for _ in 0..3 {
        for target in ["/reset", "/half", "/close", "/decline", "/fine"] {
            let mut client = router.connect();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.half_close();
            let _whatever = client.try_rest();
            let log = router.logged();
            assert!(!log.contains("=full"), "{target}: {log}");
        }
    }
}

#[test]
fn an_idle_client_is_let_go() {
    let router = Router::with_pool(&[counter()], "", "client-idle-ms = 50");
    let mut client = router.connect();
    assert_eq!(client.get("/", "").0, 200);
    assert!(client.rest().is_empty());
    // Not before its first request, nor while one runs.
    let (tell, told) = channel();
    let (backend, go) = held(tell);
    let router = Router::with_pool(&[backend], "", "client-idle-ms = 1");
    let mut client = router.connect();
    client.send(GET);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
    let mut other = router.connect();
    other.send("OPTIONS /none HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    other.head();
    other.rest();
    go.send(()).expect("it waits");
    assert_eq!(client.answer().1, "1");
}
