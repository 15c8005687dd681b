// SPDX-License-Identifier: GPL-2.0
//! Whole conversations, cut into segments in every way: what each peer gets is the same.
//!
//! Both sides are cut: what the client sends, and what the back-end answers. Bytes leave one
//! write at a time, and after each the router is given the time to read them; no verdict
//! depends on whether it did.

use proptest::test_runner::{Config, TestRunner};

use crate::cases::PROBE;
use crate::scene::{sends, Act, Heard, Scene};
use crate::wire::{Answer, End};

/// What a client sends, and what a back-end does with its requests, by target.
struct Conversation {
    name: &'static str,
    request: String,
    /// Of the requests, in order.
    methods: &'static [&'static str],
    scripts: Vec<(&'static str, Vec<Act>)>,
    /// Statuses that the client gets.
    statuses: &'static [u16],
}

/// All that anybody can see of a conversation, times and ports aside.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answers: Vec<Answer>,
    end: End,
    heard: Vec<Heard>,
    log: Vec<String>,
}

fn conversations() -> Vec<Conversation> {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5;x\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n";
    let hints = "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n";
    let folded = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 3\r\n\r\nabc";
    let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let post = "POST /p HTTP/1.1\r\nHost: a\r\n";
    let coded = "Transfer-Encoding: chunked\r\n\r\n";
    vec![
        Conversation {
            name: "pipelined, all framings",
            request: format!(
                "\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n{post}Content-Length: 6\r\n\r\nGET /x\
                 HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n\
                 {post}{coded}4;e=1\r\n\r\n0\r\r\n1\r\nz\r\n0\r\nT: 1\r\n\r\n{last}"
            ),
            methods: &["GET", "POST", "HEAD", "POST", "GET"],
            scripts: vec![("/p", vec![Act::Body, sends(response)])],
            statuses: &[200, 200, 200, 200, 200],
        },
        Conversation {
            name: "interim, chunked and folded responses",
            request: format!(
                "GET /h HTTP/1.1\r\nHost: a\r\n\r\nGET /f HTTP/1.1\r\nHost: a\r\n\r\n{last}"
            ),
            methods: &["GET"],
            scripts: vec![
                ("/h", vec![sends(format!("{hints}{response}"))]),
                ("/f", vec![sends(folded)]),
            ],
            statuses: &[103, 102, 200, 200, 200],
        },
        Conversation {
            name: "to HTTP/1.0",
            // Without a length that it knows, the first answer ends the connection.
            request: format!("GET /h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{PROBE}"),
            methods: &["GET"],
            scripts: vec![("/h", vec![sends(format!("{hints}{response}"))])],
            statuses: &[200],
        },
        Conversation {
            name: "a broken chunk",
            request: format!("{PROBE}{post}{coded}5\r\nhello\r\n5\r\nhello\n0\r\n\r\n"),
            methods: &["GET", "POST"],
            scripts: vec![("/p", vec![Act::Body])],
            statuses: &[200, 400],
        },
        Conversation {
            name: "a bad head",
            request: format!("{PROBE}GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n{PROBE}"),
            methods: &["GET"],
            scripts: vec![],
            statuses: &[200, 400],
        },
        Conversation {
            name: "length and coding",
            request: format!("{post}Content-Length: 4\r\n{coded}0\r\n\r\n"),
            methods: &["POST"],
            scripts: vec![],
            statuses: &[400],
        },
    ]
}

/// Plays it once; each side is cut at these places.
fn play(scene: &Scene, it: &Conversation, client_cuts: &[usize], back_cuts: &[usize]) -> Outcome {
    let case = format!("{} cut at {client_cuts:?} and {back_cuts:?}", it.name);
    scene.cut(back_cuts);
    let mut client = scene.connect();
    client.cuts = client_cuts.to_vec();
    client.send(&it.request);
    let (mut answers, end) = client.answers(it.methods);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, it.statuses, "{case}: {end:?} {answers:?}");
    for answer in &mut answers {
        answer.head = answer.lines().join("\r\n");
    }
    let finals = statuses.iter().filter(|status| **status >= 200);
    let log: Vec<_> = finals.map(|_| timeless(&scene.router.logged())).collect();
    let asked = log
        .iter()
        .filter(|line| !line.contains(" asked=- ") && !line.ends_with(" asked=-"));
    let mut heard: Vec<_> = asked.map(|_| scene.heard()).collect();
    for heard in &mut heard {
        heard.connection = 0;
        if let Some(body) = heard.body.as_mut().filter(|body| body.cut.is_some()) {
            // How much of a broken body comes through is a matter of timing.
            body.content.clear();
        }
    }
    // Each connection tells by itself when a request is over.
    heard.sort_by(|one, other| one.head.cmp(&other.head));
    Outcome {
        answers,
        end,
        heard,
        log,
    }
}

/// A line of the log without what differs from run to run: times, ports, and how far a
/// broken body had come.
fn timeless(line: &str) -> String {
    let broken = line.contains(" status=400 ");
    let fields = line.split(' ').filter(|field| {
        let key = field.split('=').next().unwrap_or_default();
        !(key == "client" || key.ends_with("-ms") || (broken && key == "up"))
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// A scene for a conversation, and what comes of it when nothing is cut.
fn uncut(it: &Conversation) -> (Scene, Outcome) {
    let scene = Scene::plain();
    for (target, acts) in &it.scripts {
        scene.script_for(0, target, acts.clone());
    }
    let whole = play(&scene, it, &[], &[]);
    (scene, whole)
}

#[test]
fn each_byte_alone() {
    for it in conversations() {
        let (scene, whole) = uncut(&it);
        let all: Vec<_> = (1..it.request.len().max(300)).collect();
        for (client, back) in [(&all[..], &[][..]), (&[], &all), (&all, &all)] {
            assert_eq!(play(&scene, &it, client, back), whole, "{}", it.name);
        }
    }
}

#[test]
fn every_single_split_point() {
    for it in conversations() {
        let (scene, whole) = uncut(&it);
        for at in 1..it.request.len() {
            // The same number cuts each of the back-end's answers, where it is that long.
            let outcome = play(&scene, &it, &[at], &[at]);
            assert_eq!(outcome, whole, "{} cut at {at}", it.name);
        }
    }
}

#[test]
fn random_segments_of_both_sides() {
    // PROPTEST_CASES sets another number.
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    config.cases /= 4;
    for it in conversations() {
        let (scene, whole) = uncut(&it);
        let cuts = proptest::collection::btree_set(1..it.request.len(), 0..12);
        let played =
            TestRunner::new(config.clone()).run(&(cuts.clone(), cuts), |(client, back)| {
                let (client, back): (Vec<_>, Vec<_>) =
                    (client.into_iter().collect(), back.into_iter().collect());
                assert_eq!(play(&scene, &it, &client, &back), whole, "{}", it.name);
                Ok(())
            });
        played.unwrap_or_else(|failure| panic!("{}: {failure}", it.name));
    }
}
