// SPDX-License-Identifier: GPL-2.0
//! Heads 1, 2 and 5: what is refused, and HTTP/1.0.

use crate::cases::{passed_on, passes, post, refused, relayed};
use crate::scene::{sends, Act, Scene};
use crate::wire::End;

#[test]
fn heads_01_folding_in_requests_is_400() {
    let scene = Scene::plain();
    for fields in [
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A: b\r\n \r\n",
        "A:\r\n b\r\n",
        " A: b\r\n",
        "\tA: b\r\n",
        " \r\n",
        "Cookie: a\r\n =b; Host: x\r\n",
    ] {
        refused(&scene, post(fields, ""), 400, "obs-fold");
    }
    refused(
        &scene,
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        400,
        "obs-fold",
    );
    refused(
        &scene,
        "GET /\r\n / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "obs-fold",
    );
}

#[test]
fn heads_01_space_before_the_colon_in_requests_is_400() {
    let scene = Scene::plain();
    for fields in [
        "A : b\r\n",
        "A\t: b\r\n",
        "A  \t : b\r\n",
        "A b: c\r\n",
        "Host : a\r\n",
        "Expect : 100-continue\r\n",
    ] {
        refused(&scene, post(fields, ""), 400, "bad-field-name");
    }
}

#[test]
fn heads_01_responses_folded_or_with_space_before_the_colon() {
    let scene = Scene::plain();
    for (fields, names) in [
        ("A : b\r\n", vec!["A: b"]),
        ("A\t: b\r\nB: c\r\n", vec!["A: b", "B: c"]),
        ("A \t : b\r\n", vec!["A: b"]),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length : 2\r\n\r\nok");
        scene.script(0, vec![Act::Send(response.into_bytes())]);
        let mut client = scene.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer("GET").expect("an answer");
        let lines: Vec<_> = answer.head.lines().collect();
        for name in names {
            assert!(lines.contains(&name), "{fields:?}: {answer:?}");
        }
        assert_eq!(answer.text(), "ok", "{fields:?}");
        scene.heard();
        scene.logged(" status=200 reason=- ");
    }
    // Folded lines become one (RFC 9112 section 5.2).
    for (fields, line) in [
        ("A: b\r\n c\r\n", "A: b c"),
        ("A: b\r\n\tc\r\n", "A: b c"),
        ("A: b \r\n \t c\r\n  d\r\n", "A: b c d"),
        ("A:\r\n b\r\n", "A: b"),
        ("A: b\r\n \r\n", "A: b"),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
        let (_, answer) = relayed(
            &scene,
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            vec![sends(response)],
        );
        let lines: Vec<_> = answer.head.lines().map(squeezed).collect();
        assert!(lines.contains(&line.to_owned()), "{fields:?}: {answer:?}");
        assert_eq!(answer.text(), "ok", "{fields:?}");
        scene.heard();
        scene.logged(" status=200 reason=- ");
    }
    // Before the first field there is nothing to fold to.
    for fields in [" A: b\r\n", "\tA: b\r\n"] {
        let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (_, answer) = relayed(&scene, request, vec![sends(response), Act::End]);
        assert_eq!(
            (answer.status, answer.reason()),
            (502, Some("bad-response")),
            "{fields:?}"
        );
        assert_eq!(scene.heard().end, Some(End::Reset), "never used again");
        scene.logged(" status=502 reason=bad-response ");
    }
}

/// With single spaces: how many a fold leaves is nobody's concern.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn heads_02_control_characters_are_400_wherever_they_stand() {
    let scene = Scene::plain();
    let places: [(&str, &str); 6] = [
        ("PO", "ST / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("POST /", "x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("POST / HTTP/1.1", "\r\nHost: a\r\n\r\n"),
        ("POST / HTTP/1.1\r\nHo", "st: a\r\n\r\n"),
        ("POST / HTTP/1.1\r\nHost: a", "\r\n\r\n"),
        ("POST / HTTP/1.1\r\nHost: a\r\nA:", "b\r\n\r\n"),
    ];
    for byte in (0..0x20).chain([0x7f]) {
        let reason = match byte {
            b'\r' => "bare-cr",
            b'\n' => "bare-lf",
            // A tab is a space of sorts in values, and an error of its own elsewhere.
            b'\t' => continue,
            _ => "control-character",
        };
        for (before, after) in places {
            let request = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            // Before an empty line, a CR more is a bare one too; an LF makes an end.
            refused(&scene, request, 400, reason);
        }
    }
}

#[test]
fn heads_02_bare_line_ends_are_400() {
    let scene = Scene::plain();
    for (request, reason) in [
        ("GET / HTTP/1.1\nHost: a\n\n", "bare-lf"),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare-lf"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "bare-lf"),
        ("GET / HTTP/1.1\r\nHost: a\n\n", "bare-lf"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "bare-lf"),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare-lf"),
        ("GET / HTTP/1.1\rHost: a\r\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\r\rHost: a\r\n\r\n", "bare-cr"),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", "bare-cr"),
    ] {
        refused(&scene, request, 400, reason);
    }
    // Empty lines before a request are skipped (RFC 9112 section 2.2).
    let head = passed_on(&["GET / HTTP/1.1", "Host: a"], &[]);
    passes(
        &scene,
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &head,
        "",
    );
}

#[test]
fn heads_02_field_names_are_tokens() {
    let scene = Scene::plain();
    for line in [
        ": b",
        " : b",
        "A",
        "A b",
        "A(b): c",
        "A,b: c",
        "A/b: c",
        "A;b: c",
        "A<b: c",
        "A@b: c",
        "A[b: c",
        "A\\b: c",
        "A\"b: c",
        "A{b: c",
        "A\u{e9}: c",
        "A=b: c",
        "A?b: c",
    ] {
        let reason = if line.starts_with(' ') {
            "obs-fold"
        } else {
            "bad-field-name"
        };
        refused(&scene, post(&format!("{line}\r\n"), ""), 400, reason);
    }
    for line in [
        "!#$%&'*+-.^_`|~9aZ: x",
        "A:",
        "A: \u{e9}\u{fe}",
        "A: \"(),/:;<=>?@[\\]{}",
    ] {
        let lines = ["GET / HTTP/1.1", "Host: a", line];
        let expected: Vec<_> = lines
            .iter()
            .map(|l| if *l == "A:" { "A: " } else { *l })
            .collect();
        let request = lines.map(|line| format!("{line}\r\n")).concat() + "\r\n";
        passes(&scene, request, &passed_on(&expected, &[]), "");
    }
}

#[test]
fn heads_02_request_lines() {
    let scene = Scene::new(1, "", "target-bytes = 512\nhead-bytes = 2048");
    let long = format!("GET /{} HTTP/1.1", "x".repeat(511));
    let longer = format!("GET /{} HTTP/1.1", "x".repeat(512));
    let longest = format!("GET /{} HTTP/1.1", "x".repeat(4_000));
    for (line, status, reason) in [
        ("GET /", 400, "bad-request-line"),
        ("GET  / HTTP/1.1", 400, "bad-request-line"),
        ("GET / HTTP/1.1 ", 400, "bad-request-line"),
        ("GET /  HTTP/1.1", 400, "bad-request-line"),
        (" GET / HTTP/1.1", 400, "bad-request-line"),
        ("GET\t/ HTTP/1.1", 400, "bad-request-line"),
        ("GET /\tHTTP/1.1", 400, "bad-request-line"),
        ("GET /a b HTTP/1.1", 400, "bad-request-line"),
        ("GET / http/1.1", 400, "bad-request-line"),
        ("GET / HTTP/1,1", 400, "bad-request-line"),
        ("GET / HTTP/1.10", 400, "bad-request-line"),
        ("GET / HTTP/01.1", 400, "bad-request-line"),
        ("GET / HTTP/+1.1", 400, "bad-request-line"),
        ("GET / HTTP/1.", 400, "bad-request-line"),
        ("GET / HTTP/", 400, "bad-request-line"),
        ("GET / XTTP/1.1", 400, "bad-request-line"),
        ("HTTP/1.1 200 OK", 400, "bad-request-line"),
        ("PRI * HTTP/2.0", 505, "unknown-version"),
        ("GET / HTTP/0.9", 505, "unknown-version"),
        ("GET / HTTP/1.2", 505, "unknown-version"),
        ("GET / HTTP/2.0", 505, "unknown-version"),
        ("GET / HTTP/3.0", 505, "unknown-version"),
        ("G(T / HTTP/1.1", 400, "bad-method"),
        ("\u{e9} / HTTP/1.1", 400, "bad-method"),
        ("GET: / HTTP/1.1", 400, "bad-method"),
        ("get / HTTP/1.1", 400, "bad-method"),
        ("Head / HTTP/1.1", 400, "bad-method"),
        ("tRACE / HTTP/1.1", 400, "bad-method"),
        ("connect a:1 HTTP/1.1", 400, "bad-method"),
        ("GET * HTTP/1.1", 400, "bad-target"),
        ("GET a HTTP/1.1", 400, "bad-target"),
        ("GET a:1 HTTP/1.1", 400, "bad-target"),
        ("GET /a#b HTTP/1.1", 400, "bad-target"),
        ("GET /\u{e9} HTTP/1.1", 400, "bad-target"),
        ("GET https://a/ HTTP/1.1", 400, "bad-target"),
        ("GET ftp://a/ HTTP/1.1", 400, "bad-target"),
        ("GET http:/a HTTP/1.1", 400, "bad-target"),
        ("GET http:///a HTTP/1.1", 400, "bad-host"),
        ("GET http://u@a/ HTTP/1.1", 400, "bad-host"),
        (&longer, 414, "target-too-long"),
        (&longest, 414, "target-too-long"),
    ] {
        refused(&scene, format!("{line}\r\nHost: a\r\n\r\n"), status, reason);
    }
    let head = passed_on(&[&long, "Host: a"], &[]);
    passes(&scene, format!("{long}\r\nHost: a\r\n\r\n"), &head, "");
}

#[test]
fn heads_02_over_long_heads_are_431() {
    let scene = Scene::new(1, "", "target-bytes = 64\nhead-bytes = 1024");
    let head = |filler: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(filler - start.len() - 4))
    };
    for length in [1025, 1026, 2_000, 60_000] {
        refused(&scene, head(length), 431, "head-too-long");
    }
    for length in [1023, 1024] {
        let whole = head(length);
        let line = whole.lines().nth(2).expect("a field");
        let lines = ["GET / HTTP/1.1", "Host: a", line];
        passes(&scene, &whole, &passed_on(&lines, &[]), "");
    }
    // Without an end, too.
    let target = |length: usize| format!("GET /{}", "x".repeat(length - 1));
    refused(&scene, target(2_000), 414, "target-too-long");
    for start in [
        format!("{} HTTP/1.1\r\nA: {}", target(64), "x".repeat(2_000)),
        "x".repeat(2_000),
    ] {
        refused(&scene, start, 431, "head-too-long");
    }
    refused(
        &scene,
        format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(2_000)),
        431,
        "head-too-long",
    );
    refused(&scene, "\r\n".repeat(1_000), 431, "head-too-long");
    let scene = Scene::plain();
    let fields = |n: usize| "A: b\r\n".repeat(n);
    refused(&scene, post(&fields(128), ""), 431, "many-fields");
    let lines: Vec<_> = fields(127).lines().map(str::to_owned).collect();
    let mut expected = vec!["POST / HTTP/1.1", "Host: a"];
    expected.extend(lines.iter().map(String::as_str));
    passes(
        &scene,
        post(&fields(127), ""),
        &passed_on(&expected, &[]),
        "",
    );
}

#[test]
fn heads_02_host_is_one_and_valid() {
    let scene = Scene::plain();
    for (fields, reason) in [
        ("", "no-host"),
        ("X: Host: a\r\n", "no-host"),
        ("Host: a\r\nHost: a\r\n", "many-hosts"),
        ("Host: a\r\nX: y\r\nhOST: b\r\n", "many-hosts"),
        ("Host:\r\n", "bad-host"),
        ("Host: \r\n", "bad-host"),
        ("Host: a b\r\n", "bad-host"),
        ("Host: a, b\r\n", "bad-host"),
        ("Host: a/\r\n", "bad-host"),
        ("Host: http://a\r\n", "bad-host"),
        ("Host: u@a\r\n", "bad-host"),
        ("Host: a?\r\n", "bad-host"),
        ("Host: a#\r\n", "bad-host"),
        ("Host: :80\r\n", "bad-host"),
        ("Host: a:b\r\n", "bad-host"),
        ("Host: a:-1\r\n", "bad-host"),
        ("Host: a:65536\r\n", "bad-host"),
        ("Host: a:1:2\r\n", "bad-host"),
        ("Host: ::1\r\n", "bad-host"),
        ("Host: [::1\r\n", "bad-host"),
        ("Host: [::g]\r\n", "bad-host"),
        ("Host: [::1]x\r\n", "bad-host"),
        ("Host: a\u{e9}\r\n", "bad-host"),
        ("Host: a\"\r\n", "bad-host"),
        ("Host: a\\b\r\n", "bad-host"),
    ] {
        let request = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        refused(&scene, request, 400, reason);
    }
    for host in [
        "a",
        "A.Example",
        "a:80",
        "a:",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:80",
        "a-b_c.~%20",
    ] {
        let line = format!("hoST: {host}");
        let request = format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
        passes(
            &scene,
            request,
            &passed_on(&["GET / HTTP/1.1", &line], &[]),
            "",
        );
    }
}

#[test]
fn heads_02_absolute_form_replaces_host() {
    let scene = Scene::plain();
    for (target, path, host) in [
        ("http://b/x?y", "/x?y", "b"),
        ("HTTP://B:81/x", "/x", "B:81"),
        ("http://b", "/", "b"),
        ("http://b?q", "/?q", "b"),
        ("http://[::1]:80/", "/", "[::1]:80"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nX: 1\r\nHost: a\r\nY: 2\r\n\r\n");
        let (start, host) = (format!("GET {path} HTTP/1.1"), format!("Host: {host}"));
        let lines = [&start, "X: 1", &host, "Y: 2"];
        passes(&scene, request, &passed_on(&lines, &[]), "");
    }
    let request = "OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n";
    passes(
        &scene,
        request,
        &passed_on(&["OPTIONS * HTTP/1.1", "Host: b"], &[]),
        "",
    );
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    passes(
        &scene,
        request,
        &passed_on(&["OPTIONS * HTTP/1.1", "Host: a"], &[]),
        "",
    );
    // It does not make up for a Host that is missing, repeated or invalid.
    for (fields, reason) in [
        ("", "no-host"),
        ("Host: b\r\nHost: b\r\n", "many-hosts"),
        ("Host: a b\r\n", "bad-host"),
    ] {
        refused(
            &scene,
            format!("GET http://b/ HTTP/1.1\r\n{fields}\r\n"),
            400,
            reason,
        );
    }
}
