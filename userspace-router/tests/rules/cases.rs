// SPDX-License-Identifier: GPL-2.0
//! The lines of the tables: each plays one case in a scene, to its end.

use crate::scene::{Act, Scene};
use crate::wire::{Answer, Body, End, Peer};

/// A request that is answered by 200 where the one before it ended at the exact byte.
pub const PROBE: &str = "GET /probe HTTP/1.1\r\nHost: a\r\n\r\n";

/// The head that a back-end gets: `lines` of it, and what the router adds.
pub fn passed_on(lines: &[&str], added: &[&str]) -> String {
    let mut head = String::new();
    let host = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("host").then_some(value)
    });
    let host = format!("X-Forwarded-Host: {}", host.expect("a Host"));
    let by_us = [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        &host,
        "Via: 1.1 underpass",
    ];
    for line in lines.iter().chain(&by_us).chain(added) {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// An answer of the router itself: whole, with this status and reason.
pub fn assert_own(answer: &Answer, status: u16, reason: &str, case: &str) {
    let expected = (status, Some(reason));
    assert_eq!(
        (answer.status, answer.reason()),
        expected,
        "{case}: {answer:?}"
    );
    assert_eq!(answer.body.cut, None, "{case}: {answer:?}");
    assert!(answer.body.content.ends_with(b"\n"), "{case}: {answer:?}");
}

/// What the router refuses by itself: one answer, FIN, and no back-end hears of it.
pub fn refused(scene: &Scene, request: impl AsRef<[u8]>, status: u16, reason: &str) {
    let request = request.as_ref();
    let case = shown(request);
    let mut client = scene.connect();
    client.send(request);
    let (answers, end) = client.answers(&[]);
    assert_eq!((answers.len(), end), (1, End::Fin), "{case}: {answers:?}");
    for answer in &answers {
        assert_own(answer, status, reason, &case);
        assert_eq!(answer.field("Connection"), Some("close"), "{case}");
    }
    scene.logged(&format!("status={status} reason={reason} "));
    scene.unheard();
}

/// What passes: `request` is one whole message, of which a back-end hears this head and
/// content. The client's connection goes on behind its last byte.
pub fn passes(scene: &Scene, request: impl AsRef<[u8]>, head: &str, content: impl AsRef<[u8]>) {
    let request = request.as_ref();
    let case = shown(request);
    let method = case.split(' ').next().unwrap_or_default();
    let mut client = scene.connect();
    client.send([request, PROBE.as_bytes()].concat());
    for method in [method, "GET"] {
        let answer = client.last_answer(method).expect("an answer");
        let expected = if method == "HEAD" { "" } else { "ok" };
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, expected),
            "{case}"
        );
        assert_eq!(answer.body.cut, None, "{case}");
    }
    let heard = scene.heard();
    assert_eq!(heard.head, head, "{case}");
    let whole = Body {
        content: content.as_ref().to_vec(),
        ..Body::default()
    };
    assert_eq!(heard.body, Some(whole), "{case}");
    assert_eq!(scene.heard().target(), "/probe", "{case}");
    scene.logged(" status=200 reason=- ");
    scene.logged(" target=/probe status=200 reason=- ");
}

/// The beginning of what was sent, for messages.
pub fn shown(bytes: &[u8]) -> String {
    let first = bytes.get(..300).unwrap_or(bytes);
    first.escape_ascii().to_string()
}

/// A POST with these further field lines, each ended, and what follows its head.
pub fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}").into_bytes()
}

/// A request whose chunked body breaks: 400, and the back-end sees a reset, with nothing
/// that is not part of `content` before it.
pub fn breaks(scene: &Scene, request: impl AsRef<[u8]>, content: &str, reason: &str) {
    let request = request.as_ref();
    let case = shown(request);
    let mut client = scene.connect();
    client.send(request);
    client.half_close();
    let (answers, end) = client.answers(&[]);
    assert_eq!((answers.len(), end), (1, End::Fin), "{case}: {answers:?}");
    for answer in &answers {
        assert_own(answer, 400, reason, &case);
        assert_eq!(answer.field("Connection"), Some("close"), "{case}");
    }
    let heard = scene.heard();
    let body = heard.body.expect("a body was read");
    assert_eq!(body.cut, Some(End::Reset), "{case}: {body:?}");
    assert!(
        content.as_bytes().starts_with(&body.content),
        "{case}: {body:?}"
    );
    scene.logged(&format!(" status=400 reason={reason} "));
}

/// A response that breaks: the client's connection ends by reset, with nothing that is not
/// part of `content` before it.
pub fn cut_short(scene: &Scene, request: &str, response: Vec<Act>, content: &str, reason: &str) {
    let case = format!("{request:?} {response:?}");
    scene.script(0, response);
    let mut client = scene.connect();
    client.send(request);
    match client.answer("GET") {
        // The head may be lost in the reset, too.
        Err(end) => assert_eq!(end, End::Reset, "{case}"),
        Ok(answer) => {
            assert_eq!(answer.status, 200, "{case}: {answer:?}");
            assert_eq!(answer.body.cut, Some(End::Reset), "{case}: {answer:?}");
            let part = content.as_bytes().starts_with(&answer.body.content);
            assert!(part, "{case}: {answer:?}");
        }
    }
    scene.heard();
    scene.logged(&format!(" status=200 reason={reason} "));
}

/// What a client gets for a GET that a back-end answers like this.
pub fn relayed(scene: &Scene, request: &str, response: Vec<Act>) -> (Peer, Answer) {
    scene.script(0, response);
    let mut client = scene.connect();
    client.send(request);
    let method = request.split(' ').next().unwrap_or_default();
    let answer = client.last_answer(method).expect("an answer");
    (client, answer)
}
