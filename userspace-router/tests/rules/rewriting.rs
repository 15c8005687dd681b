// SPDX-License-Identifier: GPL-2.0
//! Heads 3, 4 and 5: what is passed on, and how; and HTTP/1.0.

use crate::cases::{assert_own, passed_on, passes, refused, relayed};
use crate::scene::{sends, Act, Scene};
use crate::wire::End;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request with these lines.
fn request(lines: &[&str]) -> String {
    let lines = lines
        .iter()
        .fold(String::new(), |all, line| all + line + "\r\n");
    lines + "\r\n"
}

#[test]
fn heads_03_hop_by_hop_fields_of_requests_end_here() {
    let scene = Scene::plain();
    let clean = passed_on(&["GET / HTTP/1.1", "Host: a"], &[]);
    for fields in [
        vec!["Connection: keep-alive"],
        vec!["Keep-Alive: timeout=5"],
        vec!["Proxy-Connection: keep-alive"],
        vec!["TE: trailers, deflate", "Connection: TE"],
        vec!["Upgrade: h2c", "Connection: upgrade"],
        vec!["Upgrade: websocket"],
        vec!["X-Mine: 1", "Connection: x-mine"],
        vec!["Connection: X-MINE", "x-mine: 1", "X-Mine: 2"],
        vec![
            "Connection: a, b",
            "Connection: ,c ,",
            "A: 1",
            "B: 2",
            "c: 3",
        ],
        vec!["Connection: \tx-mine\t", "X-Mine: 1"],
        vec!["Connection:", "Connection: ,"],
        vec!["Connection: keep-alive, Keep-Alive", "Keep-Alive: 1"],
    ] {
        let mut lines = vec!["GET / HTTP/1.1", "Host: a"];
        lines.extend(fields);
        passes(&scene, request(&lines), &clean, "");
    }
}

#[test]
fn heads_03_connection_cannot_remove_what_frames_or_routes() {
    let scene = Scene::plain();
    for options in [
        "Host",
        "content-length",
        "Content-Length, HOST",
        "Transfer-Encoding, host",
        "keep-alive, Host, Content-Length",
    ] {
        let named = format!("Connection: {options}");
        for (framing, body) in [
            ("Content-Length: 2", "hi"),
            ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
        ] {
            let whole = request(&["PUT / HTTP/1.1", &named, "Host: a", framing]) + body;
            let head = passed_on(
                &["PUT / HTTP/1.1", "Host: a", framing],
                &["Expect: 100-continue"],
            );
            passes(&scene, whole, &head, "hi");
        }
    }
    // In responses too.
    for (framing, body) in [
        ("Content-Length: 2", "hi"),
        ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
    ] {
        let response = format!(
            "HTTP/1.1 200 OK\r\nConnection: content-length, Transfer-Encoding\r\n{framing}\r\n\r\n{body}"
        );
        let (_, answer) = relayed(&scene, GET, vec![sends(response)]);
        assert_eq!(answer.text(), "hi");
        let lines = answer.lines();
        assert_eq!(
            lines,
            ["HTTP/1.1 200 OK", framing, "Via: 1.1 underpass", ""]
        );
        scene.heard();
        scene.logged(" status=200 ");
    }
}

#[test]
fn heads_03_hop_by_hop_fields_of_responses_end_here() {
    let scene = Scene::plain();
    for fields in [
        "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        "Connection: x-mine\r\nX-Mine: 1\r\nx-MINE: 2\r\n",
        "Proxy-Connection: close\r\n",
        "Upgrade: h2c\r\n",
        "TE: trailers\r\n",
    ] {
        let response = format!("HTTP/1.1 200 Fine thing\r\n{fields}Content-Length: 2\r\n\r\nok");
        let (_, answer) = relayed(&scene, GET, vec![sends(response)]);
        let lines = answer.lines();
        assert_eq!(
            lines,
            [
                "HTTP/1.1 200 Fine thing",
                "Content-Length: 2",
                "Via: 1.1 underpass",
                ""
            ]
        );
        scene.heard();
        scene.logged(" status=200 ");
    }
}

#[test]
fn heads_03_case_and_order_are_kept() {
    let scene = Scene::plain();
    let lines = [
        "cOpy /A%2f?B=c&D HTTP/1.1",
        "x-LAST: z",
        "ACCEPT: */*",
        "hOsT: A.Example",
        "accept: text/html",
        "Cookie: a=b; c=d",
        "X-Last: y",
    ];
    passes(&scene, request(&lines), &passed_on(&lines, &[]), "");
    let response = "HTTP/1.1 299 Odd\r\nset-COOKIE: a\r\nX: 1\r\nSet-Cookie: b\r\ncontent-length: 2\r\nx: 2\r\n\r\nok";
    let (_, answer) = relayed(&scene, GET, vec![sends(response)]);
    let expected: Vec<_> = response
        .lines()
        .take(6)
        .chain(["Via: 1.1 underpass", ""])
        .collect();
    assert_eq!(answer.lines(), expected);
}

#[test]
fn heads_04_via_is_added_behind_those_before() {
    let scene = Scene::plain();
    let lines = ["GET / HTTP/1.1", "Via: 1.0 first, 1.1 second", "Host: a"];
    passes(&scene, request(&lines), &passed_on(&lines, &[]), "");
    // The version is the one that was received.
    let mut client = scene.connect();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    client.answer("GET").expect("an answer");
    assert_eq!(scene.heard().field("Via"), Some("1.0 underpass"));
    for version in ["1.0", "1.1"] {
        let (_, answer) = relayed(
            &scene,
            GET,
            vec![sends(format!("HTTP/{version} 204 No\r\n\r\n"))],
        );
        let via = format!("{version} underpass");
        assert_eq!(answer.field("Via"), Some(via.as_str()));
    }
}

#[test]
fn heads_04_a_loop_is_ended() {
    let scene = Scene::plain();
    let mut client = scene.connect();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nVia: {}\r\n\r\n",
        ["1.1 underpass"; 20].join(", ")
    ));
    let answer = client.answer("GET").expect("an answer");
    assert_own(&answer, 502, "loop-detected", "a loop");
    scene.unheard();
}

#[test]
fn heads_04_what_back_ends_are_told_about_the_client() {
    let spoofed = [
        "GET / HTTP/1.1",
        "X-Forwarded-For: 6.6.6.6",
        "Host: a",
        "x-forwarded-proto: https",
        "X_Forwarded_Host: evil",
        "Forwarded: for=6.6.6.6",
    ];
    for (heads, told) in [
        (
            "",
            vec![
                "X-Forwarded-For: 127.0.0.1",
                "X-Forwarded-Proto: http",
                "X-Forwarded-Host: a",
            ],
        ),
        (
            "forwarded = \"forwarded\"",
            vec!["Forwarded: for=127.0.0.1;host=a;proto=http"],
        ),
        ("forwarded = \"none\"", vec![]),
        (
            "trust = [\"127.0.0.0/8\"]",
            vec!["X-Forwarded-For: 6.6.6.6, 127.0.0.1"],
        ),
    ] {
        let scene = Scene::new(1, &format!("[route.heads]\n{heads}"), "");
        let mut client = scene.connect();
        client.send(request(&spoofed));
        assert_eq!(client.answer("GET").expect("an answer").status, 200);
        let heard = scene.heard();
        let lines: Vec<_> = heard.head.lines().collect();
        for line in &told {
            assert!(lines.contains(line), "{heads}: {heard:?}");
        }
        let passes = heads.starts_with("trust") || heads.ends_with("\"none\"");
        for (line, kept) in [
            ("X-Forwarded-For: 6.6.6.6", heads.ends_with("\"none\"")),
            ("x-forwarded-proto: https", passes),
            ("X_Forwarded_Host: evil", passes),
            ("Forwarded: for=6.6.6.6", passes),
        ] {
            assert_eq!(lines.contains(&line), kept, "{heads}: {line}: {heard:?}");
        }
    }
}

#[test]
fn heads_04_a_route_may_say_how_the_client_came() {
    // Whatever ends TLS stands in front, and may be no proxy of HTTP.
    for trust in ["", "trust = [\"127.0.0.0/8\"]\n"] {
        let heads = format!(
            "[route.heads]\n{trust}request-remove = [\"x-forwarded-proto\"]\n\
             request-add = [\"X-Forwarded-Proto: https\", \"x-forwarded-host: b\"]"
        );
        let scene = Scene::new(1, &heads, "");
        for sent in [None, Some("X-Forwarded-Proto: http")] {
            let mut client = scene.connect();
            let lines = ["GET / HTTP/1.1", "Host: a"];
            client.send(request(&lines.into_iter().chain(sent).collect::<Vec<_>>()));
            assert_eq!(client.answer("GET").expect("an answer").status, 200);
            let heard = scene.heard();
            let begins = |line: &&str| line.to_ascii_lowercase().starts_with("x-forwarded-");
            let told: Vec<_> = heard.head.lines().filter(begins).collect();
            let expected = [
                "X-Forwarded-For: 127.0.0.1",
                "X-Forwarded-Proto: https",
                "x-forwarded-host: b",
            ];
            assert_eq!(told, expected, "{trust}{sent:?}");
        }
    }
}

#[test]
fn heads_03_a_client_cannot_take_back_what_a_trusted_proxy_says_of_it() {
    let scene = Scene::new(1, "[route.heads]\ntrust = [\"127.0.0.0/8\"]", "");
    let mut client = scene.connect();
    client.send(request(&[
        "GET / HTTP/1.1",
        "Host: a",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Mine: 1",
        "Connection: x-forwarded-for, X-Forwarded-Proto, x-mine",
    ]));
    assert_eq!(client.answer("GET").expect("an answer").status, 200);
    let heard = scene.heard();
    let lines: Vec<_> = heard.head.lines().collect();
    for line in [
        "X-Forwarded-For: 6.6.6.6, 127.0.0.1",
        "X-Forwarded-Proto: https",
    ] {
        assert!(lines.contains(&line), "{line}: {heard:?}");
    }
    assert!(!lines.contains(&"X-Mine: 1"), "{heard:?}");
}

#[test]
fn heads_04_max_forwards_counts_for_trace_and_options() {
    let scene = Scene::new(1, "trace = true", "");
    for (method, sent, passed) in [
        ("OPTIONS", "5", "4"),
        ("OPTIONS", "1", "0"),
        ("TRACE", "18", "17"),
        // More than can be counted is lowered to what can be.
        ("OPTIONS", "99999999999999999999", "18446744073709551614"),
        // For others it says nothing.
        ("GET", "5", "5"),
        ("GET", "0", "0"),
    ] {
        let (start, sent) = (
            format!("{method} / HTTP/1.1"),
            format!("Max-Forwards: {sent}"),
        );
        let passed = format!("Max-Forwards: {passed}");
        let head = passed_on(&[&start, "Host: a", &passed], &[]);
        passes(&scene, request(&[&start, "Host: a", &sent]), &head, "");
    }
    for (method, content) in [
        ("OPTIONS", ""),
        (
            "TRACE",
            "TRACE / HTTP/1.1\\r\\nHost: a\\r\\nMax-Forwards: 0\\r\\n\\r\\n",
        ),
    ] {
        let mut client = scene.connect();
        let start = format!("{method} / HTTP/1.1");
        // What a script must not learn is not shown.
        let secrets = ["Cookie: s=1", "authorization: Basic eA=="];
        client.send(request(&[
            &start,
            "Host: a",
            secrets[0],
            secrets[1],
            "Max-Forwards: 0",
        ]));
        let answer = client.answer(method).expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, content));
        scene.unheard();
        scene.logged(" status=200 ");
    }
    for value in ["-1", "x", "", "1, 1"] {
        let lines = [
            "OPTIONS / HTTP/1.1",
            "Host: a",
            &format!("Max-Forwards: {value}"),
        ];
        refused(&scene, request(&lines), 400, "bad-max-forwards");
    }
}

#[test]
fn heads_04_trace_and_connect_are_off_by_default() {
    let scene = Scene::plain();
    for start in ["TRACE / HTTP/1.1", "CONNECT a:1 HTTP/1.1"] {
        let mut client = scene.connect();
        client.send(request(&[start, "Host: a:1"]));
        let answer = client.answer("GET").expect("an answer");
        assert_own(&answer, 501, "method-not-served", start);
        scene.unheard();
        scene.logged(" status=501 reason=method-not-served ");
    }
}

#[test]
fn heads_04_a_route_adds_and_removes_fields() {
    let scene = Scene::new(
        1,
        "[route.heads]\nhost = \"b:1\"\nrequest-remove = [\"cookie\"]\nrequest-add = [\"X-New: 1\"]\n\
         response-remove = [\"server\"]\nresponse-add = [\"X-Out: 2\"]",
        "",
    );
    let response = sends("HTTP/1.1 200 OK\r\nSERVER: x\r\nContent-Length: 2\r\n\r\nok");
    scene.script(0, vec![response]);
    let mut client = scene.connect();
    client.send("GET / HTTP/1.1\r\nCookie: a\r\nhost: a\r\ncookie: b\r\nX: y\r\n\r\n");
    let answer = client.answer("GET").expect("an answer");
    let lines = answer.lines();
    assert_eq!(
        lines,
        [
            "HTTP/1.1 200 OK",
            "Content-Length: 2",
            "Via: 1.1 underpass",
            "X-Out: 2",
            ""
        ]
    );
    let heard = scene.heard();
    assert_eq!(
        (heard.field("Cookie"), heard.field("Host")),
        (None, Some("b:1"))
    );
    assert_eq!(
        (heard.field("X-New"), heard.field("X")),
        (Some("1"), Some("y"))
    );
    assert_eq!(heard.field("X-Forwarded-Host"), Some("a"));
}

#[test]
fn heads_05_no_interim_and_no_chunks_for_http10() {
    let scene = Scene::plain();
    let interim = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n";
    for version in [
        "1.0",
        "1.0\r\nConnection: keep-alive",
        "1.0\r\nExpect: 100-continue",
    ] {
        let head = format!("GET / HTTP/{version}\r\n\r\n");
        for response in [format!("{interim}{chunked}"), chunked.to_owned()] {
            scene.script(0, vec![sends(response)]);
            let mut client = scene.connect();
            client.send(&head);
            let (answers, end) = client.answers(&["GET"]);
            assert_eq!((answers.len(), end), (1, End::Fin), "{head}: {answers:?}");
            for answer in answers {
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (200, "ok"),
                    "{head}"
                );
                assert_eq!(answer.field("Transfer-Encoding"), None, "{head}");
                assert_eq!(answer.field("Connection"), Some("close"), "{head}");
            }
            scene.heard();
            scene.logged(" status=200 ");
        }
    }
}

#[test]
fn heads_05_http10_closes_unless_asked() {
    let scene = Scene::plain();
    for (fields, kept) in [
        ("", false),
        ("Connection: close\r\n", false),
        ("Connection: x\r\n", false),
        ("Keep-Alive: 5\r\n", false),
        ("Connection: keep-alive\r\n", true),
        ("Connection: x, Keep-ALIVE\r\n", true),
        ("Connection: keep-alive, close\r\n", false),
    ] {
        let mut client = scene.connect();
        let one = format!("POST / HTTP/1.0\r\nHost: a\r\n{fields}Content-Length: 2\r\n\r\nhi");
        client.send(&one);
        let answer = client.answer("POST").expect("an answer");
        let expected = if kept { "keep-alive" } else { "close" };
        assert_eq!(answer.field("Connection"), Some(expected), "{fields}");
        assert_eq!(scene.heard().content(), b"hi", "{fields}");
        if kept {
            client.send(&one);
            assert_eq!(
                client.answer("POST").expect("an answer").text(),
                "ok",
                "{fields}"
            );
            scene.heard();
        } else {
            assert_eq!(client.rest(), (Vec::new(), End::Fin), "{fields}");
        }
    }
    // HTTP/1.1 is the other way round.
    for (fields, kept) in [
        ("", true),
        ("Connection: x\r\n", true),
        ("Connection: CLOSE\r\n", false),
    ] {
        let mut client = scene.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let answer = client.answer("GET").expect("an answer");
        assert_eq!(
            answer.field("Connection"),
            (!kept).then_some("close"),
            "{fields}"
        );
        scene.heard();
        if kept {
            client.send(GET);
            assert_eq!(
                client.answer("GET").expect("an answer").text(),
                "ok",
                "{fields}"
            );
            scene.heard();
        } else {
            assert_eq!(client.rest(), (Vec::new(), End::Fin), "{fields}");
        }
    }
}

#[test]
fn heads_05_what_http10_need_not_have() {
    let scene = Scene::plain();
    // No Host: that of the address; and no expectation (RFC 9110 section 10.1.1).
    let mut client = scene.connect();
    client.send("POST / HTTP/1.0\r\nExpect: nonsense\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.answer("POST").expect("an answer").text(), "ok");
    let heard = scene.heard();
    let address = scene.router.address.to_string();
    assert!(heard.head.starts_with("POST / HTTP/1.1\r\n"), "{heard:?}");
    assert_eq!(heard.field("Host"), Some(address.as_str()));
    assert_eq!(heard.field("Expect"), Some("100-continue"));
    // What has no length ends with the connection.
    let response = vec![sends("HTTP/1.1 200 OK\r\n\r\nok"), Act::Fin];
    let (_, answer) = relayed(&scene, "GET / HTTP/1.0\r\n\r\n", response);
    assert_eq!(
        (answer.text().as_str(), answer.field("Connection")),
        ("ok", Some("close"))
    );
    assert_eq!(answer.body.cut, None);
}
