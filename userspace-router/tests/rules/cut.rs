// SPDX-License-Identifier: GPL-2.0
//! Conversations cut short at every byte, by RST and by FIN, by the client and by the back-end.
//!
//! What holds: a message that is not whole never looks whole to the other side, a request is
//! answered once and never sent twice, the next connection works, and nothing is left behind.
//! Which of the allowed ends comes is a matter of timing; what must not come is not.

use crate::cases::PROBE;
use crate::left::Left;
use crate::scene::{sends, take, Act, Heard, Scene};
use crate::support::field;
use crate::wire::{End, Peer};

/// One pooled connection at the most, so that what is left behind can be counted.
const LIMITS: &str = "idle-connections = 1";

const CONTENT: &str = "0123456789";

/// Requests, one after the other on one connection.
fn requests(target: &str) -> Vec<(&'static str, Vec<String>)> {
    let put = |fields: &str, body: &str| {
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
    };
    let length = put("Content-Length: 10\r\n", CONTENT);
    let chunked = put(
        "Transfer-Encoding: chunked\r\n",
        "4;a=b\r\n0123\r\n6\r\n456789\r\n0\r\nT: u\r\n\r\n",
    );
    let expects = put("Content-Length: 10\r\nExpect: 100-continue\r\n", CONTENT);
    let get = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    vec![
        ("length", vec![length.clone()]),
        ("chunked", vec![chunked]),
        ("100-continue", vec![expects]),
        ("keep-alive", vec![get, length]),
    ]
}

/// Places to cut a text of this length at, its end included: all, or where UNDERPASS_CUT_EVERY is
/// set every so-manieth and the last ones.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let every = std::env::var("UNDERPASS_CUT_EVERY");
    let every = every.map_or(1, |n| n.parse().expect("a number"));
    (0..=length).filter(move |at| at % every == 0 || at + 5 > length)
}

/// A scene, and what its router holds while nobody is connected.
struct Stage {
    scene: Scene,
    left: Left,
}

impl std::ops::Deref for Stage {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

fn stage(backends: usize) -> Stage {
    let scene = Scene::new(backends, "", LIMITS);
    let left = Left::of(&scene.router);
    Stage { scene, left }
}

fn end_by(how: End, peer: Peer) -> Option<Peer> {
    match how {
        End::Reset => {
            peer.reset();
            None
        }
        End::Fin => {
            peer.half_close();
            Some(peer)
        }
    }
}

/// Everything a back-end says it heard up to now must be whole, or visibly cut.
fn whole_or_reset(heard: &Heard, case: &str) {
    match &heard.body {
        Some(body) if body.cut.is_none() => {
            let expected = if heard.method() == "GET" { "" } else { CONTENT };
            let got = String::from_utf8_lossy(&body.content);
            assert_eq!(got, expected, "{case}: {heard:?}");
        }
        Some(body) => {
            assert_eq!(body.cut, Some(End::Reset), "{case}: {heard:?}");
            assert!(CONTENT.as_bytes().starts_with(&body.content), "{case}");
        }
        None => {}
    }
}

/// The router serves the next client, and nothing is left of those before.
fn goes_on(scene: &Stage, case: &str) {
    let mut client = scene.connect();
    client.send(PROBE);
    let answer = client.last_answer("GET").expect(case);
    assert_eq!(
        (answer.status, answer.text()),
        (200, "ok".to_owned()),
        "{case}"
    );
    drop(client);
    // One back-end's connection each, to be used again.
    scene.left.until_at_most(scene.backends.len(), case);
}

/// The lines of the access log up to that of the probe.
fn log(scene: &Scene) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = scene.router.logged();
        if line.contains(" target=/probe ") {
            return lines;
        }
        lines.push(line);
    }
}

#[test]
fn a_client_that_ends_at_every_byte() {
    let scene = stage(1);
    // Each case has a target of its own.
    let mut targets = (0..).map(|number| format!("/{number:05}"));
    for (index, (name, parts)) in requests("/00000").into_iter().enumerate() {
        for at in cuts(parts.concat().len()) {
            for how in [End::Fin, End::Reset] {
                let target = targets.next().expect("endless");
                let parts = requests(&target).swap_remove(index).1;
                let whole = parts.concat();
                let case = format!("{name}: {how:?} after {at} bytes");
                let ends = parts.iter().scan(0, |sum, part| {
                    *sum += part.len();
                    Some(*sum)
                });
                let complete = ends.filter(|end| *end <= at).count();
                let mut client = scene.connect();
                client.send(whole.get(..at).expect("a part"));
                if let Some(mut client) = end_by(how, client) {
                    // Whoever asked whole gets answers; whoever did not is told.
                    let (answers, _) = client.answers(&[]);
                    let answers: Vec<_> = answers.iter().filter(|it| it.status >= 200).collect();
                    let good = answers.iter().filter(|it| it.status == 200).count();
                    assert_eq!(good, complete, "{case}: {answers:?}");
                    assert!(answers.len() <= complete + 1, "{case}: {answers:?}");
                    for answer in &answers {
                        assert_eq!(answer.body.cut, None, "{case}: {answers:?}");
                        assert!(matches!(answer.status, 200 | 400), "{case}: {answers:?}");
                    }
                }
                goes_on(&scene, &case);
                log(&scene);
                // Each connection tells by itself, also of an earlier case.
                let (mut probed, mut puts) = (false, 0);
                while !probed || (how == End::Fin && puts < complete) {
                    let heard = scene.heard();
                    whole_or_reset(&heard, &case);
                    probed |= heard.target() == "/probe";
                    let all = heard.body.as_ref().is_some_and(|body| body.cut.is_none());
                    puts += usize::from(heard.target() == target && all);
                }
                assert!(
                    puts <= complete,
                    "{case}: {puts} whole requests of {complete}"
                );
            }
        }
    }
}

/// Responses, and where their heads end. The last one is until close.
fn responses() -> Vec<(&'static str, String)> {
    let head = "HTTP/1.1 200 OK\r\n";
    vec![
        (
            "length",
            format!("{head}Content-Length: 10\r\n\r\n{CONTENT}"),
        ),
        // The kernel may pass it on without showing it.
        (
            "dated",
            format!("{head}Date: x\r\nContent-Length: 10\r\n\r\n{CONTENT}"),
        ),
        (
            "chunked",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"
            ),
        ),
        ("until close", format!("{head}X: y\r\n\r\n{CONTENT}")),
    ]
}

#[test]
fn a_back_end_that_ends_at_every_byte_of_its_response() {
    let scene = stage(1);
    let upload = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{CONTENT}");
    for (name, response) in responses() {
        for request in ["GET /x HTTP/1.1\r\nHost: a\r\n\r\n", &upload] {
            for at in cuts(response.len()) {
                for how in [End::Fin, End::Reset] {
                    let case = format!("{name}: {how:?} after {at} bytes, {request}");
                    let last = match how {
                        End::Fin => Act::Fin,
                        End::Reset => Act::Reset,
                    };
                    let part = response.get(..at).expect("a part");
                    scene.script_for(0, "/x", vec![Act::Body, sends(part), last]);
                    cut_response(&scene, request, &response, (at, how), name, &case);
                }
            }
        }
    }
}

fn cut_response(
    scene: &Stage,
    request: &str,
    response: &str,
    (at, how): (usize, End),
    name: &str,
    case: &str,
) {
    let ends = response.find("\r\n\r\n").expect("a head") + 4;
    let by_close = name == "until close";
    let mut client = scene.connect();
    client.send(request);
    match client.last_answer("GET") {
        Ok(answer) if answer.status == 200 => {
            let content = answer.body.content.as_slice();
            assert!(
                CONTENT.as_bytes().starts_with(content),
                "{case}: {answer:?}"
            );
            assert!(at >= ends, "{case}: {answer:?}");
            match answer.body.cut {
                Some(end) => assert_eq!(end, End::Reset, "{case}: {answer:?}"),
                // What only a FIN ends is whole wherever that comes; all else at its end alone.
                None if by_close => {
                    assert_eq!(how, End::Fin, "{case}: {answer:?}");
                    assert_eq!(content.len(), at - ends, "{case}: {answer:?}");
                }
                None => assert_eq!(
                    (at, content),
                    (response.len(), CONTENT.as_bytes()),
                    "{case}"
                ),
            }
            if answer.body.cut.is_some() {
                let whole = at == response.len() || by_close;
                assert!(!(whole && how == End::Fin), "{case}: {answer:?}");
            }
        }
        Ok(answer) => {
            assert_eq!(answer.status, 502, "{case}: {answer:?}");
            assert_eq!(answer.body.cut, None, "{case}: {answer:?}");
            assert!(at < ends || how == End::Reset, "{case}: {answer:?}");
        }
        // A reset may overtake the head that was cut.
        Err(end) => {
            assert_eq!(end, End::Reset, "{case}");
            assert!(at >= ends, "{case}");
        }
    }
    drop(client);
    goes_on(scene, case);
    log(scene);
    // The request, and again where the connection had served before and the method allows it; the probe.
    let mut probed = false;
    while !probed {
        let heard = scene.heard();
        whole_or_reset(&heard, case);
        probed = heard.target() == "/probe";
    }
}

#[test]
fn a_back_end_that_ends_at_every_byte_of_an_upload() {
    let scene = stage(2);
    for (name, parts) in requests("/x") {
        let [request] = parts.as_slice() else {
            continue;
        };
        for at in cuts(CONTENT.len()) {
            for last in [Act::Fin, Act::Reset, Act::Drop] {
                let case = format!("{name}: {last:?} after {at} bytes of the body");
                for backend in 0..2 {
                    let acts = vec![Act::Accept, Act::Take(at), last.clone()];
                    scene.script_for(backend, "/x", acts);
                }
                let mut client = scene.connect();
                client.send(request);
                let answer = client.last_answer("PUT").expect(&case);
                assert_eq!((answer.status, answer.body.cut), (502, None), "{case}");
                drop(client);
                goes_on(&scene, &case);
                // It accepted, so that nobody else was asked.
                let lines = log(&scene);
                assert_eq!(lines.len(), 1, "{case}: {lines:?}");
                let asked = lines.concat();
                let whom = asked.split(" asked=").nth(1).expect("a field");
                assert!(!whom.contains(','), "{case}: {asked}");
                let heard = [scene.heard(), scene.heard()];
                let probes = heard.iter().filter(|it| it.target() == "/probe");
                assert_eq!(probes.count(), 1, "{case}: {heard:?}");
            }
        }
    }
}

#[test]
fn a_back_end_that_ends_at_every_byte_of_its_acceptance() {
    const YES: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let scene = stage(2);
    scene.script_for(1, "/x", take());
    for (name, parts) in requests("/x") {
        let [request] = parts.as_slice() else {
            continue;
        };
        for at in cuts(YES.len() - 1) {
            for last in [Act::Fin, Act::Reset] {
                let case = format!("{name}: {last:?} after {at} bytes of 100");
                let part = YES.get(..at).expect("a part");
                scene.script_for(0, "/x", vec![sends(part), last]);
                // The two take turns: it is the first one's every other time.
                for _ in 0..2 {
                    let mut client = scene.connect();
                    client.send(request);
                    let answer = client.last_answer("PUT").expect(&case);
                    assert_eq!((answer.status, answer.text()), (200, "ok".into()), "{case}");
                }
                goes_on(&scene, &case);
                let asked = log(&scene).concat();
                let broke = asked.matches("=broke,").count();
                assert!(broke > 0, "{case}: {asked}");
                let mut whole = 0;
                for _ in 0..broke + 3 {
                    let heard = scene.heard();
                    let target = heard.target();
                    if heard.backend == 1 && target == "/x" {
                        assert_eq!(heard.content(), CONTENT.as_bytes(), "{case}");
                        whole += 1;
                    }
                }
                assert_eq!(whole, 2, "{case}");
            }
        }
    }
}

#[test]
fn a_client_that_resets_at_every_byte_of_its_response() {
    let scene = stage(1);
    for (name, response) in responses() {
        let head = response.find("\r\n\r\n").expect("a head") + 4;
        // What is not whole yet: the client could still take it for a cut one.
        let last = response.len() - usize::from(name != "until close");
        for at in cuts(last).filter(|at| *at <= last) {
            let case = format!("{name}: the client resets after {at} bytes");
            let part = response.get(..at).expect("a part");
            scene.script_for(0, "/x", vec![sends(part), Act::End]);
            let mut client = scene.connect();
            client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
            if at >= head {
                let got = client.head().expect(&case);
                if field(&got, "Content-Length").is_some() {
                    client.exactly(at - head);
                }
            }
            client.reset();
            goes_on(&scene, &case);
            log(&scene);
            // If it heard of it at all, it was reset.
            loop {
                let heard = scene.heard();
                if heard.target() == "/probe" {
                    break;
                }
                assert_eq!(heard.end, Some(End::Reset), "{case}: {heard:?}");
            }
        }
    }
}

/// What was heard of a case, and of the probe behind it: each connection tells by itself.
fn both(scene: &Scene) -> (Heard, Heard) {
    let (one, other) = (scene.heard(), scene.heard());
    match one.target() {
        "/probe" => (other, one),
        _ => (one, other),
    }
}

#[test]
fn a_length_that_is_one_too_long_or_too_short() {
    let scene = stage(1);
    for promised in [9, 11] {
        let case = format!("a client promises {promised} of 10 bytes");
        let mut client = scene.connect();
        client.send(format!(
            "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: {promised}\r\n\r\n{CONTENT}"
        ));
        client.half_close();
        let (answers, _) = client.answers(&[]);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        // One too few: the byte behind is the beginning of another request, and of no whole one.
        let expected = if promised == 9 { 200 } else { 400 };
        assert_eq!(statuses.first(), Some(&expected), "{case}: {answers:?}");
        goes_on(&scene, &case);
        log(&scene);
        let (heard, _) = both(&scene);
        let body = heard.body.as_ref().expect(&case);
        match promised {
            9 => assert_eq!(heard.content(), b"012345678", "{case}"),
            _ => assert_eq!(body.cut, Some(End::Reset), "{case}"),
        }
    }
    for promised in [9, 11] {
        let case = format!("a back-end promises {promised} of 10 bytes");
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n{CONTENT}");
        scene.script_for(0, "/x", vec![sends(response), Act::Fin]);
        let mut client = scene.connect();
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.last_answer("GET").expect(&case);
        match promised {
            9 => assert_eq!(answer.text(), "012345678", "{case}"),
            _ => assert_eq!(answer.body.cut, Some(End::Reset), "{case}"),
        }
        drop(client);
        goes_on(&scene, &case);
        log(&scene);
        let (one, probe) = both(&scene);
        assert_ne!(one.connection, probe.connection, "{case}: pooled");
    }
}
