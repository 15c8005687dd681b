// SPDX-License-Identifier: GPL-2.0
//! Framing 4 to 7: the chunked coding, of requests and of responses.

use std::process::Stdio;

use crate::cases::{breaks, cut_short, passed_on, passes, post, relayed, PROBE};
use crate::scene::{sends, Act, Scene};
use crate::support::program;
use crate::wire::End;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Broken chunks, and the content before the fault.
type Broken = (String, &'static str);

/// In a request, and in a response to clients of both versions.
fn both_ways(scene: &Scene, all: &[Broken]) {
    for (chunks, content) in all {
        scene.script(0, vec![Act::Body]);
        breaks(scene, post(CHUNKED, chunks), content, "bad-chunk");
        for request in [GET, "GET / HTTP/1.0\r\n\r\n"] {
            let response = vec![sends(format!("{RESPONSE}{chunks}")), Act::End];
            cut_short(scene, request, response, content, "bad-response-chunk");
        }
    }
}

/// Bodies that are fine, and their content: of requests and of responses.
fn fine_both_ways(scene: &Scene, all: &[(String, String)]) {
    for (chunks, content) in all {
        scene.script(0, crate::scene::take());
        let lines = ["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"];
        let head = passed_on(&lines, &["Expect: 100-continue"]);
        passes(scene, post(CHUNKED, chunks), &head, content);
        for request in [GET, "GET / HTTP/1.0\r\n\r\n"] {
            let (_, answer) = relayed(scene, request, vec![sends(format!("{RESPONSE}{chunks}"))]);
            assert_eq!(answer.body.content, content.as_bytes(), "{chunks:.99?}");
            assert_eq!(
                (answer.status, answer.body.cut),
                (200, None),
                "{chunks:.99?}"
            );
            scene.heard();
            scene.logged(" status=200 reason=- ");
        }
    }
}

#[test]
fn framing_04_chunk_sizes_are_hex_digits_16_at_the_most() {
    let scene = Scene::plain();
    let sizes = [
        "",
        " ",
        "g",
        "G",
        "+1",
        "-1",
        "-0",
        " 1",
        "\t1",
        "1 ",
        "1\t",
        "0x1",
        "0X1",
        "x1",
        "1g",
        "1,",
        "1.",
        "1 1",
        "1_0",
        "'1'",
        "\"1\"",
        "1h",
        "\\x31",
        "%31",
        "\0",
        "1\0",
        "\x0b1",
        "1\x0b",
        "1\x0c",
        "\u{ff11}",
        "00000000000000001",
        "10000000000000000",
        "00000000000000000",
        "fffffffffffffffff",
    ];
    let mut all: Vec<Broken> = Vec::new();
    for size in sizes {
        all.push((format!("{size}\r\na\r\n0\r\n\r\n"), ""));
        all.push((format!("5\r\nhello\r\n{size}\r\na\r\n0\r\n\r\n"), "hello"));
    }
    // A size that wraps around: 2^64 + 1.
    all.push(("10000000000000001\r\na\r\n0\r\n\r\n".to_owned(), ""));
    all.push((format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5_000)), ""));
    all.push((format!("{}\r\na\r\n0\r\n\r\n", "0".repeat(5_000)), ""));
    both_ways(&scene, &all);
}

#[test]
fn framing_04_what_is_a_chunk_size() {
    let scene = Scene::plain();
    let many = "1\r\nx\r\n".repeat(500);
    let long = "y".repeat(70_000);
    fine_both_ways(
        &scene,
        &[
            ("0\r\n\r\n".to_owned(), String::new()),
            ("0000000000000000\r\n\r\n".to_owned(), String::new()),
            ("5\r\nhello\r\n0\r\n\r\n".to_owned(), "hello".to_owned()),
            (
                "0000000000000005\r\nhello\r\n0\r\n\r\n".to_owned(),
                "hello".to_owned(),
            ),
            (
                "a\r\n0123456789\r\nA\r\nabcdefghij\r\n00\r\n\r\n".to_owned(),
                "0123456789abcdefghij".to_owned(),
            ),
            (
                "3\r\n0\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n".to_owned(),
                "0\r\n\r\n".to_owned(),
            ),
            (format!("{many}0\r\n\r\n"), "x".repeat(500)),
            (format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len()), long),
        ],
    );
}

#[test]
fn framing_05_line_ends_are_crlf() {
    let scene = Scene::plain();
    let all: Vec<Broken> = [
        // In chunk lines and extensions.
        ("1\na\r\n0\r\n\r\n", ""),
        ("1\ra\r\n0\r\n\r\n", ""),
        ("1\r\ra\r\n0\r\n\r\n", ""),
        ("1\r\r\na\r\n0\r\n\r\n", ""),
        ("1;\na\r\n0\r\n\r\n", ""),
        ("1;x\na\r\n0\r\n\r\n", ""),
        ("1;x=\"\n\"\r\na\r\n0\r\n\r\n", ""),
        ("1;x\r1\r\na\r\n0\r\n\r\n", ""),
        ("1;x\0\r\na\r\n0\r\n\r\n", ""),
        ("1;x\x7f\r\na\r\n0\r\n\r\n", ""),
        ("1 ;x\na\r\n0\r\n\r\n", ""),
        ("1 x\r\na\r\n0\r\n\r\n", ""),
        // Behind content; one byte too many, one too few.
        ("1\r\na\n0\r\n\r\n", "a"),
        ("1\r\na\r0\r\n\r\n", "a"),
        ("1\r\na\r\r\n0\r\n\r\n", "a"),
        ("1\r\na0\r\n\r\n", "a"),
        ("1\r\nab\r\n0\r\n\r\n", "a"),
        ("5\r\nhello!\r\n0\r\n\r\n", "hello"),
        ("5\r\nhell\r\n0\r\n\r\n", "hell\r"),
        ("1\r\na \r\n0\r\n\r\n", "a"),
        ("1\r\na\r\n\r\n0\r\n\r\n", "a"),
        // The last chunk, and trailers.
        ("0\n\r\n", ""),
        ("0\r\r\n\r\n", ""),
        ("0\r\n\n", ""),
        ("0\r\n\r\r\n", ""),
        ("0\r\n\rX", ""),
        ("0\r\nX", ""),
        ("0\r\nA: b\n\r\n", ""),
        ("0\r\nA: b\r\r\n\r\n", ""),
        ("0\r\nA: b\rc\r\n\r\n", ""),
        ("0\r\nA: \0\r\n\r\n", ""),
        ("0\r\nA : b\r\n\r\n", ""),
        ("0\r\n A: b\r\n\r\n", ""),
        ("0\r\nA: b\r\n c\r\n\r\n", ""),
        ("0\r\nA b: c\r\n\r\n", ""),
        ("0\r\n: c\r\n\r\n", ""),
        ("0\r\nA\r\n\r\n", ""),
    ]
    .map(|(chunks, content)| (format!("{chunks}{PROBE}"), content))
    .into();
    both_ways(&scene, &all);
}

#[test]
fn framing_05_extensions_are_dropped_and_bounded() {
    let scene = Scene::plain();
    fine_both_ways(
        &scene,
        &[
            ("1;\r\na\r\n0\r\n\r\n".to_owned(), "a".to_owned()),
            ("1;x\r\na\r\n0;y\r\n\r\n".to_owned(), "a".to_owned()),
            ("1 ; x = y\r\na\r\n0\t;z\r\n\r\n".to_owned(), "a".to_owned()),
            (
                "1;x=\"5;\\\"\"\r\na\r\n0\r\n\r\n".to_owned(),
                "a".to_owned(),
            ),
            ("1;;;\u{e9}\r\na\r\n0\r\n\r\n".to_owned(), "a".to_owned()),
            (
                format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(4_000)),
                "a".to_owned(),
            ),
        ],
    );
    // In ratio to content: 200 bytes for each one.
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(200));
    both_ways(
        &scene,
        &[(
            chunk.repeat(200) + "0\r\n\r\n",
            Box::leak("a".repeat(200).into()),
        )],
    );
}

/// What stands between a body's beginning and its end.
const CUT: [(&str, &str); 9] = [
    ("", ""),
    ("5", ""),
    ("5\r", ""),
    ("5\r\n", ""),
    ("5\r\nhe", "he"),
    ("5\r\nhello", "hello"),
    ("5\r\nhello\r\n", "hello"),
    ("5\r\nhello\r\n0\r\n", "hello"),
    ("5\r\nhello\r\n0\r\nA: b\r\n", "hello"),
];

#[test]
fn framing_06_a_body_cut_short_never_looks_whole() {
    let scene = Scene::plain();
    for (chunks, content) in CUT {
        scene.script(0, vec![Act::Body]);
        breaks(&scene, post(CHUNKED, chunks), content, "request-truncated");
        for request in [GET, "GET / HTTP/1.0\r\n\r\n"] {
            for end in [Act::Fin, Act::Reset] {
                let response = vec![sends(format!("{RESPONSE}{chunks}")), end];
                cut_short(&scene, request, response, content, "response-truncated");
            }
        }
    }
    for content in ["", "hell"] {
        scene.script(0, vec![Act::Body]);
        breaks(
            &scene,
            post("Content-Length: 5\r\n", content),
            content,
            "request-truncated",
        );
        for request in [GET, "GET / HTTP/1.0\r\n\r\n"] {
            for end in [Act::Fin, Act::Reset] {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
                let response = vec![sends(format!("{head}{content}")), end];
                cut_short(&scene, request, response, content, "response-truncated");
            }
        }
    }
}

#[test]
fn framing_06_a_client_that_vanishes_leaves_no_whole_body() {
    let scene = Scene::plain();
    for (chunks, content) in CUT {
        // A 103 tells that the back-end waits for content.
        let hint = sends("HTTP/1.1 103 Early Hints\r\n\r\n");
        scene.script(0, vec![Act::Accept, hint, Act::Rest]);
        let mut client = scene.connect();
        client.send(post(CHUNKED, chunks));
        assert_eq!(client.answer("POST").expect("a hint").status, 103);
        client.reset();
        let body = scene.heard().body.expect("a body was read");
        assert_eq!(body.cut, Some(End::Reset), "{chunks:?}: {body:?}");
        assert!(
            content.as_bytes().starts_with(&body.content),
            "{chunks:?}: {body:?}"
        );
        scene.logged("reason=client-gone ");
    }
}

#[test]
fn framing_06_only_bytes_that_are_held_are_announced() {
    let scene = Scene::plain();
    // The client holds three of five bytes back until two have come through.
    let hint = sends("HTTP/1.1 103 Early Hints\r\n\r\n");
    scene.script(
        0,
        vec![Act::Accept, Act::Take(7), hint, Act::Rest, Act::Ok("ok")],
    );
    let mut client = scene.connect();
    client.send(post(CHUNKED, "5\r\nhe"));
    assert_eq!(client.answer("POST").expect("a hint").status, 103);
    client.send("llo\r\n0\r\n\r\n");
    assert_eq!(client.answer("POST").expect("an answer").text(), "ok");
    let heard = scene.heard();
    assert_eq!(heard.bytes, b"2\r\nhe\r\n");
    assert_eq!(heard.content(), b"llo");
    scene.logged(" status=200 ");
    // The same for a response.
    let head = sends(format!("{RESPONSE}5\r\nhe"));
    scene.script(0, vec![head, Act::End]);
    let mut client = scene.connect();
    client.send(GET);
    client.head().expect("a head");
    assert_eq!(client.exactly(7), (b"2\r\nhe\r\n".to_vec(), None));
    client.reset();
    assert_eq!(scene.heard().end, Some(End::Reset));
    scene.logged(" reason=client-gone ");
}

const TRAILERS: &str = "X-A: 1\r\nx-b: 2\r\nX-A:3\r\nX-C: 4\r\n";

#[test]
fn framing_07_trailers_are_dropped_by_default() {
    let scene = Scene::plain();
    let chunks = format!("2\r\nhi\r\n0\r\n{TRAILERS}\r\n");
    fine_both_ways(&scene, &[(chunks, "hi".to_owned())]);
}

#[test]
fn framing_07_trailers_pass_by_an_allow_list() {
    let scene = Scene::new(1, "trailers = [\"x-a\", \"X-B\"]", "");
    let passed = "X-A: 1\r\nx-b: 2\r\nX-A:3\r\n";
    let chunks = format!("2\r\nhi\r\n0\r\n{TRAILERS}\r\n");
    let mut client = scene.connect();
    client.send(post(CHUNKED, &chunks));
    assert_eq!(client.answer("POST").expect("an answer").status, 200);
    let heard = scene.heard();
    assert_eq!(heard.content(), b"hi");
    assert_eq!(heard.body.expect("a body").trailers, passed);
    scene.logged(" status=200 ");
    let response = || vec![sends(format!("{RESPONSE}{chunks}"))];
    let (_, answer) = relayed(
        &scene,
        "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
        response(),
    );
    assert_eq!(
        (answer.text().as_str(), answer.body.trailers.as_str()),
        ("hi", passed)
    );
    scene.heard();
    scene.logged(" status=200 ");
    // HTTP/1.0 has none.
    let (_, answer) = relayed(&scene, "GET / HTTP/1.0\r\n\r\n", response());
    assert_eq!(
        (answer.text().as_str(), answer.body.trailers.as_str()),
        ("hi", "")
    );
    scene.heard();
    scene.logged(" status=200 ");
}

#[test]
fn framing_07_what_frames_or_authenticates_is_never_a_trailer() {
    for name in [
        "Content-Length",
        "transfer-encoding",
        "HOST",
        "Authorization",
        "Connection",
        "Set-Cookie",
        "a b",
        "",
    ] {
        let text = format!(
            "engine = \"user\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[pool.p]\nbackends = \
             [\"127.0.0.1:1\"]\n[[route]]\npool = \"p\"\ntrailers = [\"{name}\"]\n"
        );
        let file =
            std::env::temp_dir().join(format!("underpass-trailer-{}.toml", std::process::id()));
        std::fs::write(&file, text).expect("a file");
        let check = program()
            .arg("check")
            .arg(&file)
            .stderr(Stdio::piped())
            .output()
            .expect("it runs");
        let error = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(
            !check.status.success() && error.contains("cannot be a trailer"),
            "{name}: {error}"
        );
        std::fs::remove_file(&file).expect("it is removed");
    }
}
