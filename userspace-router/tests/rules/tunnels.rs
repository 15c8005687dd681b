// SPDX-License-Identifier: GPL-2.0
//! Responses 4: Upgrade and CONNECT.

use crate::cases::{assert_own, refused, relayed, PROBE};
use crate::scene::{ok, sends, Act, Scene};
use crate::wire::End;

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\nY: z\r\n\r\n";
const CONNECT: &str = "CONNECT b:1 HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn responses_04_a_tunnel_only_after_101() {
    let scene = Scene::plain();
    // Bytes right behind both heads, that look like messages.
    let (up, down) = (
        "GET /smuggled HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n\0",
    );
    for half_first in [true, false] {
        let take = Act::Take(up.len());
        let acts = vec![
            sends(format!("{SWITCH}{down}")),
            take,
            sends("more"),
            if half_first { Act::End } else { Act::Fin },
        ];
        scene.script(0, acts);
        let mut client = scene.connect();
        client.send(format!("{UPGRADE}{up}"));
        let answer = client.answer("GET").expect("an answer");
        let lines: Vec<_> = answer.head.lines().collect();
        assert_eq!(lines[0], "HTTP/1.1 101 Switching");
        assert_eq!(
            (answer.field("Upgrade"), answer.field("Connection")),
            (Some("websocket"), Some("upgrade"))
        );
        assert_eq!(answer.field("Y"), Some("z"));
        let expected = format!("{down}more").into_bytes();
        assert_eq!(client.exactly(expected.len()), (expected, None));
        client.send("after");
        // FIN goes over alone; the other direction lives on.
        client.half_close();
        assert_eq!(client.rest(), (Vec::new(), End::Fin));
        let heard = scene.heard();
        assert_eq!(
            (heard.field("Upgrade"), heard.field("Connection")),
            (Some("websocket"), Some("upgrade"))
        );
        assert_eq!(heard.bytes, format!("{up}after").into_bytes());
        assert_eq!(heard.end, Some(End::Fin));
        scene.logged(" status=101 reason=- ");
    }
}

#[test]
fn responses_04_a_half_closed_tunnel_still_carries_the_other_way() {
    let scene = Scene::plain();
    // The back-end answers once it has seen FIN.
    scene.script(
        0,
        vec![
            sends(SWITCH),
            Act::Take(1_000),
            sends("last words"),
            Act::Fin,
        ],
    );
    let mut client = scene.connect();
    client.send(format!("{UPGRADE}first"));
    assert_eq!(client.answer("GET").expect("an answer").status, 101);
    client.half_close();
    assert_eq!(client.rest(), (b"last words".to_vec(), End::Fin));
    assert_eq!(scene.heard().bytes, b"first");
    scene.logged(" status=101 ");
}

#[test]
fn responses_04_a_reset_goes_over() {
    let scene = Scene::plain();
    scene.script(0, vec![sends(SWITCH), Act::Take(5), Act::Reset]);
    let mut client = scene.connect();
    client.send(format!("{UPGRADE}first"));
    assert_eq!(client.answer("GET").expect("an answer").status, 101);
    assert_eq!(client.rest().1, End::Reset);
    scene.heard();
    scene.logged(" status=101 ");
    scene.script(0, vec![sends(SWITCH), Act::End]);
    let mut client = scene.connect();
    client.send(UPGRADE);
    assert_eq!(client.answer("GET").expect("an answer").status, 101);
    client.reset();
    assert_eq!(scene.heard().end, Some(End::Reset));
    scene.logged(" status=101 reason=client-gone ");
}

#[test]
fn responses_04_an_upgrade_does_not_hang_on_a_used_connection() {
    let scene = Scene::plain();
    // One is pooled. It may end while a head is on its way, which nobody would send again.
    let (mut client, first) = scene.pooled();
    scene.script(0, vec![sends(SWITCH), Act::Fin]);
    client.send(UPGRADE);
    assert_eq!(client.answer("GET").expect("an answer").status, 101);
    client.half_close();
    assert_ne!(scene.heard().connection, first);
    scene.logged(" status=101 ");
}

#[test]
fn responses_04_without_101_it_is_http() {
    let scene = Scene::plain();
    for response in [
        ok("ok"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.1 426 Upgrade\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok".to_vec(),
    ] {
        let (mut client, answer) = relayed(&scene, UPGRADE, vec![Act::Send(response)]);
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.field("Upgrade"), (answer.status == 426).then_some("h2c"));
        scene.heard();
        scene.script(0, crate::scene::take());
        client.send(PROBE);
        assert_eq!(client.answer("GET").expect("an answer").text(), "ok");
        scene.heard();
    }
}

#[test]
fn responses_04_a_101_that_was_not_asked_for_is_502() {
    let scene = Scene::plain();
    let other = "HTTP/1.1 101 Go\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n";
    let none = "HTTP/1.1 101 Go\r\n\r\n";
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    // Upgrade counts only where Connection names it, and not in HTTP/1.0.
    let unnamed = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    let old = "GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let unknown = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    for (request, response) in [
        (plain, SWITCH),
        (plain, none),
        (UPGRADE, other),
        (UPGRADE, none),
        (unnamed, SWITCH),
        (old, SWITCH),
        (
            unknown,
            "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
    ] {
        let (_, answer) = relayed(&scene, request, vec![sends(response), Act::End]);
        assert_own(&answer, 502, "unasked-upgrade", response);
        assert_eq!(scene.heard().end, Some(End::Reset));
        scene.logged(" status=502 reason=unasked-upgrade ");
    }
}

#[test]
fn responses_04_upgrade_with_a_body_is_400_or_no_upgrade() {
    let scene = Scene::plain();
    for (framing, body) in [
        ("Content-Length: 2", "hi"),
        ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
    ] {
        let fields = "Connection: upgrade\r\nUpgrade: websocket";
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{framing}\r\n\r\n{body}");
        let mut client = scene.connect();
        client.send(request);
        let answer = client.answer("POST").expect("an answer");
        if answer.status == 400 {
            assert_eq!(client.rest(), (Vec::new(), End::Fin));
            scene.unheard();
            continue;
        }
        // It is sent on as what it is besides: a POST.
        assert_eq!(answer.text(), "ok");
        let heard = scene.heard();
        assert_eq!(
            (heard.field("Upgrade"), heard.content()),
            (None, &b"hi"[..])
        );
    }
}

#[test]
fn responses_04_connect_by_configuration() {
    let scene = Scene::new(1, "connect = true", "");
    // 2xx, with whatever it says of a body, is a tunnel.
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        scene.script(
            0,
            vec![sends(format!("{head}down")), Act::Take(2), Act::Fin],
        );
        let mut client = scene.connect();
        client.send(format!("{CONNECT}up"));
        let answer = client.answer("CONNECT").expect("an answer");
        assert_eq!(
            (
                answer.field("Content-Length"),
                answer.field("Transfer-Encoding")
            ),
            (None, None)
        );
        assert_eq!(client.rest(), (b"down".to_vec(), End::Fin));
        client.send("on");
        client.half_close();
        let heard = scene.heard();
        assert!(
            heard
                .head
                .starts_with("CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n"),
            "{heard:?}"
        );
        assert_eq!(
            (heard.bytes.as_slice(), heard.end),
            (&b"upon"[..], Some(End::Fin))
        );
        scene.logged(" method=CONNECT ");
    }
    // Otherwise an answer, and the end: what follows might have been for the tunnel.
    let request = format!("{CONNECT}{PROBE}");
    let (mut client, answer) = relayed(
        &scene,
        &request,
        vec![sends("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")],
    );
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), End::Fin));
    scene.heard();
    scene.unheard();
    scene.logged(" status=403 ");
    for target in [
        "b",
        "b:",
        ":1",
        "/",
        "*",
        "http://b:1/",
        "u@b:1",
        "b:1/",
        "b:x",
    ] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        refused(&scene, request, 400, "bad-authority");
    }
    for body in [
        "Content-Length: 2\r\n\r\nhi",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        refused(
            &scene,
            format!("CONNECT b:1 HTTP/1.1\r\nHost: a\r\n{body}"),
            400,
            "connect-with-body",
        );
    }
}
