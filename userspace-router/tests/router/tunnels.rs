// SPDX-License-Identifier: GPL-2.0
//! Upgrade and CONNECT: tunnels, their ends, and what is none.

use crate::support::*;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";
const CONNECT: &str = "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n";

/// Switches, then sends back what comes, to the FIN.
fn echo(mut peer: Client, answer: &str) {
    peer.send(answer);
    let mut reader = peer.stream.try_clone().expect("a clone");
    std::io::copy(&mut reader, &mut peer.stream).expect("all is sent back");
}

fn echoing() -> std::net::SocketAddr {
    backend(|mut peer, _| {
        let head = peer.head();
        assert_eq!(field(&head, "Upgrade"), Some("websocket"), "{head}");
        assert_eq!(field(&head, "Connection"), Some("upgrade"), "{head}");
        echo(peer, SWITCH);
    })
}

#[test]
fn both_directions_at_once_and_each_ends_by_itself() {
    let router = Router::start(&[decliner(421), echoing()], "", "");
    let mut client = router.connect();
    let body = noise(3_000_000);
    // The first bytes of the tunnel come with the head.
    client.send([UPGRADE.as_bytes(), &body[..1_000]].concat());
    let head = client.head();
    assert_eq!(status(&head), 101);
    assert_eq!(field(&head, "Connection"), Some("upgrade"));
    assert_eq!(field(&head, "Upgrade"), Some("websocket"));
    assert_eq!(field(&head, "Sec-WebSocket-Accept"), Some("y"));
    let mut sender = client.stream.try_clone().expect("a clone");
    let rest = body[1_000..].to_vec();
    let sending = std::thread::spawn(move || {
        std::io::Write::write_all(&mut sender, &rest).expect("all is sent");
        sender.shutdown(std::net::Shutdown::Write).expect("a FIN");
    });
    assert_eq!(sha256(&client.rest()), sha256(&body));
    sending.join().expect("no panic");
    let log = router.logged();
    assert!(log.contains(" status=101 reason=- "), "{log}");
    assert!(log.contains("=accepted up=3000000 down=3000000 "), "{log}");
}

#[test]
fn the_back_end_may_end_first() {
    let (tell, told) = std::sync::mpsc::channel();
    let backend = backend(move |mut peer, _| {
        peer.head();
        // The first words come with the head, and are no surplus.
        peer.send(format!("{SWITCH}first words"));
        peer.half_close();
        tell.send(peer.rest()).expect("the test waits");
    });
    let router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send(UPGRADE);
    assert_eq!(status(&client.head()), 101);
    assert_eq!(client.rest(), b"first words");
    client.send("and the last");
    client.half_close();
    let seen = told.recv_timeout(PATIENCE).expect("all, to the FIN");
    assert_eq!(seen, b"and the last");
    assert!(router.logged().contains(" up=12 down=11 "));
}

#[test]
fn a_tunnel_that_breaks_on_one_side_breaks_on_the_other() {
    for by_client in [true, false] {
        let (tell, told) = std::sync::mpsc::channel();
        let backend = backend(move |mut peer, _| {
            peer.head();
            peer.send(SWITCH);
            peer.body(4);
            if by_client {
                peer.send("pong");
                tell.send(peer.ends_by_reset()).expect("the test waits");
            } else {
                peer.reset();
            }
        });
        let router = Router::start(&[backend], "", "");
        let mut client = router.connect();
        client.send(UPGRADE);
        assert_eq!(status(&client.head()), 101);
        client.send("ping");
        let reason = if by_client {
            client.body(4);
            client.reset();
            assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
            "client-gone"
        } else {
            assert!(client.ends_by_reset());
            "backend-broke"
        };
        let log = router.logged();
        assert!(log.contains(&format!("reason={reason} ")), "{log}");
        let moved = if by_client {
            " up=4 down=4 "
        } else {
            " up=4 down=0 "
        };
        assert!(log.contains(moved), "{log}");
    }
}

#[test]
fn an_idle_tunnel_ends() {
    let (tell, told) = std::sync::mpsc::channel();
    let backend = backend(move |mut peer, _| {
        peer.head();
        peer.send(format!("{SWITCH}pong"));
        tell.send(peer.ends_by_reset()).expect("the test waits");
    });
    let router = Router::start(&[backend], "", "tunnel-idle-ms = 300");
    let mut client = router.connect();
    client.send(format!("{UPGRADE}ping!"));
    assert_eq!(status(&client.head()), 101);
    assert!(client.ends_by_reset());
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
    let log = router.logged();
    assert!(log.contains("reason=tunnel-idle "), "{log}");
    assert!(log.contains(" up=5 down=4 "), "{log}");
}

#[test]
fn an_upgrade_that_is_not_wanted_is_an_exchange_like_any_other() {
    let router = Router::start(&[answers(ok("plain"))], "", "");
    let mut client = router.connect();
    for _ in 0..2 {
        client.send(UPGRADE);
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.body(5), b"plain");
        assert!(router.logged().contains(" status=200 "));
    }
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&client.head()), 200);
}

#[test]
fn what_is_no_upgrade_is_sent_on_without() {
    let router = Router::start(&[mirror()], "", "");
    for (request, lives_on) in [
        // No protocol that the route lets through; no option; HTTP/1.0.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            true,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            true,
        ),
        (
            "GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n",
            true,
        ),
        // With a body: what follows it is in doubt.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
            false,
        ),
    ] {
        let mut client = router.connect();
        client.send(request);
        let head = client.head();
        let seen = client.body(content_length(&head) as usize);
        let seen = String::from_utf8(seen).expect("text");
        assert_eq!(field(&seen, "Upgrade"), None, "{seen}");
        assert_eq!(field(&seen, "Connection"), None, "{seen}");
        let closes = field(&head, "Connection") == Some("close");
        assert_eq!(closes, !lives_on, "{request}{head}");
        router.logged();
    }
}

#[test]
fn a_switch_to_something_else_is_502() {
    for answer in [
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
    ] {
        let router = Router::start(&[answers(answer)], "", "");
        let mut client = router.connect();
        client.send(UPGRADE);
        let head = client.head();
        assert_eq!(status(&head), 502);
        assert!(head.contains("details=\"unasked-upgrade\""), "{head}");
    }
}

#[test]
fn connect_goes_to_the_pools_proxies_and_nowhere_else() {
    let proxy = backend(|mut peer, _| {
        let head = peer.head();
        assert!(
            head.starts_with("CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n"),
            "{head}"
        );
        // What a 2xx says of a body means nothing.
        echo(peer, "HTTP/1.1 200 Connected\r\nContent-Length: 9\r\n\r\n");
    });
    let router = Router::start(&[proxy], "connect = true", "");
    let mut client = router.connect();
    client.send(CONNECT);
    let head = client.head();
    assert_eq!((status(&head), field(&head, "Content-Length")), (200, None));
    client.send("hello");
    client.half_close();
    assert_eq!(client.rest(), b"hello");
    let log = router.logged();
    assert!(
        log.contains("method=CONNECT host=b.example:443 target=b.example:443 status=200 "),
        "{log}"
    );
    assert!(log.contains(" up=5 down=5 "), "{log}");
}

#[test]
fn a_connect_that_fails_ends_the_connection() {
    let refused = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    for (route, code, body) in [
        ("connect = true", 403, &b"no"[..]),
        ("", 501, b"CONNECT and TRACE are not served here.\n"),
    ] {
        let router = Router::start(&[answers(refused)], route, "");
        let mut client = router.connect();
        // What was sent ahead for the tunnel is no request.
        client.send(format!("{CONNECT}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        assert_eq!(status(&head), code);
        assert_eq!(field(&head, "Connection"), Some("close"));
        assert_eq!(client.rest(), body);
    }
}
