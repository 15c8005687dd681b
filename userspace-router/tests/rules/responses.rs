// SPDX-License-Identifier: GPL-2.0
//! Responses 1, 2, 3, 5 and 6: early ones, broken connections, pipelining, our own errors.

use std::net::SocketAddr;

use crate::cases::{assert_own, post, relayed, PROBE};
use crate::scene::{ok, sends, Act, Scene};
use crate::support::nobody;
use crate::wire::{Answer, End, Peer};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// All answers up to the final one.
fn up_to_final(client: &mut Peer) -> Vec<Answer> {
    let mut all = Vec::new();
    loop {
        let answer = client.answer("GET").expect("an answer");
        let last = answer.status >= 200;
        all.push(answer);
        if last {
            return all;
        }
    }
}

#[test]
fn responses_01_interim_responses_are_forwarded_in_order() {
    let scene = Scene::plain();
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX: y\r\n\r\n";
    for (before, expected) in [
        (hints.to_owned(), vec![103, 200]),
        (hints.repeat(3), vec![103, 103, 103, 200]),
        (
            "HTTP/1.1 102 Processing\r\n\r\n".to_owned() + hints,
            vec![102, 103, 200],
        ),
        (
            "HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 150 Odd\r\n\r\n".to_owned(),
            vec![199, 150, 200],
        ),
        (hints.repeat(16), [vec![103; 16], vec![200]].concat()),
        // Nobody asked for this one.
        ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), vec![200]),
    ] {
        let response = [before.as_bytes(), &ok("ok")].concat();
        scene.script(0, vec![Act::Send(response)]);
        let mut client = scene.connect();
        client.send(GET);
        let answers = up_to_final(&mut client);
        assert_eq!(statuses(&answers), expected);
        for answer in &answers {
            if answer.status == 103 {
                assert_eq!(
                    answer.head,
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX: y\r\n\r\n"
                );
            }
        }
        scene.heard();
        // And nothing is left of them on either connection.
        scene.script(0, crate::scene::take());
        client.send(PROBE);
        assert_eq!(client.answer("GET").expect("an answer").text(), "ok");
        scene.heard();
    }
}

#[test]
fn responses_01_interim_responses_are_bounded_in_number() {
    let scene = Scene::plain();
    for before in [
        "HTTP/1.1 103 A\r\n\r\n",
        "HTTP/1.1 100 A\r\n\r\n",
        "HTTP/1.1 102 A\r\n\r\n",
    ] {
        let flood = before.repeat(10_000);
        scene.script(0, vec![sends(flood), Act::End]);
        let mut client = scene.connect();
        client.send(GET);
        let answers = up_to_final(&mut client);
        assert!(answers.len() < 1_000, "{} answers", answers.len());
        let last = answers.last().expect("one at least");
        assert_own(last, 502, "many-interim-responses", before);
        assert_eq!(scene.heard().end, Some(End::Reset));
        scene.logged(" reason=many-interim-responses ");
    }
}

#[test]
fn responses_01_a_final_response_while_the_body_flows_is_relayed_at_once() {
    let scene = Scene::plain();
    let head = post("Content-Length: 1000000000\r\n", "first");
    let chunked = post("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n");
    for (request, bytes) in [(&head, 5), (&chunked, 8)] {
        // The back-end stops reading: its connection ends, and so does the client's.
        let response = "HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n";
        scene.script(
            0,
            vec![Act::Accept, Act::Take(bytes), sends(response), Act::End],
        );
        let mut client = scene.connect();
        client.send(request);
        let (answers, end) = client.answers(&["POST"]);
        assert_eq!((statuses(&answers), end), (vec![413], End::Fin));
        assert_eq!(answers[0].field("Connection"), Some("close"));
        assert_eq!(scene.heard().end, Some(End::Reset));
        scene.logged(" status=413 ");
    }
}

#[test]
fn responses_01_the_client_can_read_it_while_it_is_still_sending() {
    let scene = Scene::new(1, "", "drain-bytes = 100000000");
    for close in ["", "Connection: close\r\n"] {
        let response = format!("HTTP/1.1 413 No\r\nContent-Length: 3\r\n{close}\r\nno\n");
        // The back-end leaves, with bytes unread: whoever goes on sending gets a reset.
        scene.script(
            0,
            vec![Act::Accept, Act::Take(1_000), sends(response), Act::Reset],
        );
        let mut client = scene.connect();
        client.send(post("Content-Length: 30000000\r\n", ""));
        client.send(vec![b'x'; 30_000_000]);
        let answer = client.answer("POST").expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (413, "no\\n"));
        assert_eq!(client.rest(), (Vec::new(), End::Fin));
        scene.heard();
        scene.logged(" status=413 ");
    }
}

#[test]
fn responses_01_a_back_end_that_reads_on_gets_the_whole_body() {
    let scene = Scene::plain();
    for (request, rest) in [
        (post("Content-Length: 10\r\n", "first"), "later"),
        (
            post("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n"),
            "5\r\nlater\r\n0\r\n\r\n",
        ),
    ] {
        // Before the body, instead of 100; and in mid-body.
        for (acts, pooled) in [
            (vec![Act::Ok("ok"), Act::Body], false),
            (vec![Act::Accept, Act::Ok("ok"), Act::Body], true),
        ] {
            // The 100 for a body that is read has been said: it must not come again.
            let acts: Vec<_> = acts
                .into_iter()
                .map(|act| {
                    if matches!(act, Act::Body) {
                        Act::Rest
                    } else {
                        act
                    }
                })
                .collect();
            scene.script(0, acts);
            let mut client = scene.connect();
            client.send(&request);
            assert_eq!(client.answer("POST").expect("an answer").text(), "ok");
            client.send(rest);
            let heard = scene.heard();
            assert_eq!(heard.content(), b"firstlater");
            scene.logged(" status=200 reason=- ");
            // Both ended exactly: both go on, where the back-end has said that it reads the body.
            scene.script(0, crate::scene::take());
            client.send(PROBE);
            assert_eq!(client.answer("GET").expect("an answer").text(), "ok");
            let same = scene.heard().connection == heard.connection;
            assert_eq!(same, pooled, "{heard:?}");
            scene.logged(" target=/probe ");
        }
    }
}

#[test]
fn responses_01_who_is_refused_in_mid_body_is_told_that_the_connection_ends() {
    let scene = Scene::plain();
    for code in [307, 403, 500] {
        // It says nothing of closing, and many do nevertheless, sooner or later.
        let response = format!("HTTP/1.1 {code} No\r\nContent-Length: 3\r\n\r\nno\n");
        scene.script(0, vec![Act::Accept, sends(response), Act::Rest]);
        let mut client = scene.connect();
        client.send(post("Content-Length: 10\r\n", "first"));
        let answer = client.answer("POST").expect("an answer");
        assert_eq!(
            (answer.status, answer.field("Connection")),
            (code, Some("close"))
        );
        // This one reads on.
        client.send("later");
        let heard = scene.heard();
        assert_eq!(heard.content(), b"firstlater");
        assert_eq!(client.rest(), (Vec::new(), End::Fin));
        scene.logged(&format!(" status={code} reason=- "));
        // Nor does its own connection serve anybody else.
        scene.script(0, crate::scene::take());
        let (_, connection) = scene.pooled();
        assert_ne!(connection, heard.connection);
    }
}

#[test]
fn responses_01_a_body_that_a_back_end_takes_for_a_request_is_answered_to_nobody() {
    let scene = Scene::plain();
    // It answers by the head, and takes what is behind it for the next one, whose answer takes its time.
    scene.script(0, vec![sends(ok("ok"))]);
    scene.script_for(0, "/slow", vec![]);
    scene.script_for(0, "/probe", vec![Act::Ok("ok")]);
    let body = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = scene.connect();
    client.send(post(&format!("Content-Length: {}\r\n", body.len()), body));
    assert_eq!(client.answer("POST").expect("an answer").text(), "ok");
    scene.logged(" status=200 ");
    let (first, second) = (scene.heard(), scene.heard());
    let slow = (second.connection, second.target());
    assert_eq!(slow, (first.connection, "/slow"));
    let mut other = scene.connect();
    other.send(PROBE);
    assert_eq!(other.answer("GET").expect("an answer").text(), "ok");
    assert_ne!(scene.heard().connection, first.connection);
}

#[test]
fn responses_01_what_the_client_still_sends_is_drained_within_bounds() {
    for limits in [
        "drain-bytes = 100000",
        "drain-ms = 100\ndrain-bytes = 1000000000000",
    ] {
        let scene = Scene::new(1, "", limits);
        let response = "HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n";
        scene.script(0, vec![sends(response), Act::End]);
        let mut client = scene.connect();
        client.send(post("Content-Length: 1000000000000\r\n", ""));
        let answer = client.answer("POST").expect("an answer");
        assert_eq!(
            (answer.status, answer.field("Connection")),
            (413, Some("close"))
        );
        // Bounded: at some point the connection is gone.
        let began = std::time::Instant::now();
        while client.try_send([b'x'; 10_000]) {
            assert!(began.elapsed() < crate::support::PATIENCE, "{limits}");
        }
    }
}

#[test]
fn responses_02_a_pending_response_is_read_before_502() {
    let scene = Scene::plain();
    for (content, code) in [("no\n", 413), ("denied", 403), ("", 500)] {
        // The answer, and then a reset because of unread bytes: the router may notice the
        // write error first.
        let response = format!(
            "HTTP/1.1 {code} No\r\nContent-Length: {}\r\n\r\n{content}",
            content.len()
        );
        scene.script(
            0,
            vec![Act::Accept, Act::Take(1), sends(response), Act::Drop],
        );
        let mut client = scene.connect();
        client.send(post("Content-Length: 3000000\r\n", ""));
        client.send(vec![b'x'; 3_000_000]);
        let answer = client.answer("POST").expect("an answer");
        assert_eq!(
            (answer.status, answer.text()),
            (code, content.as_bytes().escape_ascii().to_string())
        );
        scene.heard();
        scene.logged(&format!(" status={code} "));
    }
    // Without one, or with half of one, it is a 502.
    for half in ["", "HTTP/1.1 413 No\r\nContent-"] {
        scene.script(0, vec![Act::Accept, Act::Take(1), sends(half), Act::Drop]);
        let mut client = scene.connect();
        client.send(post("Content-Length: 3000000\r\n", ""));
        client.send(vec![b'x'; 3_000_000]);
        let answer = client.answer("POST").expect("an answer");
        assert_own(&answer, 502, "backend-broke", half);
        scene.heard();
        scene.logged(" status=502 reason=backend-broke ");
    }
}

#[test]
fn responses_03_a_client_that_half_closes_gets_its_response() {
    let scene = Scene::plain();
    let big = "y".repeat(1_000_000);
    let big_chunks = format!("{:x}\r\n{big}\r\n0\r\n\r\n", big.len());
    for (request, content) in [
        (GET.as_bytes().to_vec(), ""),
        (post("Content-Length: 2\r\n", "hi"), "hi"),
        (
            post("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
            "hi",
        ),
        (
            post(&format!("Content-Length: {}\r\n", big.len()), &big),
            &big,
        ),
        (post("Transfer-Encoding: chunked\r\n", &big_chunks), &big),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), ""),
    ] {
        for (response, expected) in [
            (ok("ok"), "ok".to_owned()),
            (ok(&big), big.clone()),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                    .to_vec(),
                "ok".to_owned(),
            ),
        ] {
            scene.script(0, vec![Act::Body, Act::Send(response)]);
            let mut client = scene.connect();
            client.send(&request);
            client.half_close();
            let (answers, end) = client.answers(&["POST"]);
            assert_eq!((statuses(&answers), end), (vec![200], End::Fin));
            assert_eq!(answers[0].body.content, expected.as_bytes());
            assert_eq!(scene.heard().content(), content.as_bytes());
            scene.logged(" status=200 reason=- ");
        }
    }
    // Until the end of the connection, too.
    let (mut client, answer) = relayed(
        &scene,
        "GET / HTTP/1.0\r\n\r\n",
        vec![sends("HTTP/1.1 200 OK\r\n\r\nok"), Act::Fin],
    );
    assert_eq!((answer.text().as_str(), client.rest().1), ("ok", End::Fin));
}

#[test]
fn responses_03_a_client_gone_in_mid_body_is_a_reset_for_the_back_end() {
    let scene = Scene::plain();
    let hint = || sends("HTTP/1.1 103 A\r\n\r\n");
    for (request, bytes) in [
        (post("Content-Length: 10\r\n", "first"), 5),
        (post("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n"), 10),
    ] {
        scene.script(0, vec![Act::Accept, Act::Take(bytes), hint(), Act::End]);
        let mut client = scene.connect();
        client.send(&request);
        assert_eq!(client.answer("POST").expect("a hint").status, 103);
        client.reset();
        let heard = scene.heard();
        assert_eq!((heard.end, heard.bytes.len()), (Some(End::Reset), bytes));
        scene.logged(" reason=client-gone ");
    }
    // While it waits for the response, and in the middle of it.
    for response in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\n\r\nfirst",
    ] {
        scene.script(0, vec![hint(), sends(response), Act::End]);
        let mut client = scene.connect();
        client.send(GET);
        assert_eq!(client.answer("GET").expect("a hint").status, 103);
        if !response.is_empty() {
            client.head().expect("a head");
        }
        client.reset();
        assert_eq!(scene.heard().end, Some(End::Reset), "{response}");
        scene.logged(" reason=client-gone ");
    }
}

#[test]
fn responses_05_answers_come_in_order_and_requests_at_the_exact_byte() {
    let scene = Scene::plain();
    let requests: [(&str, Vec<u8>, &str); 7] = [
        ("GET", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n".into(), ""),
        ("POST", "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /".into(), "GET /"),
        ("HEAD", "HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n".into(), ""),
        ("POST", "POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\r\n0\r\n0\r\n\r\n".into(), "\r\n0"),
        ("PUT", "PUT /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".into(), ""),
        ("POST", "\r\nPOST /6 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n".into(), ""),
        ("GET", "GET /7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), ""),
    ];
    for (n, content) in ["one", "two", "three", "four", "five", "six", "seven"]
        .iter()
        .enumerate()
    {
        scene.script_for(0, &format!("/{}", n + 1), vec![Act::Body, Act::Ok(content)]);
    }
    let mut client = scene.connect();
    let all: Vec<u8> = requests
        .iter()
        .flat_map(|(_, bytes, _)| bytes.clone())
        .collect();
    // What follows the last is not answered.
    client.send([&all, PROBE.as_bytes()].concat());
    let methods: Vec<_> = requests.iter().map(|(method, ..)| *method).collect();
    let (answers, end) = client.answers(&methods);
    assert_eq!(end, End::Fin);
    let texts: Vec<_> = answers.iter().map(Answer::text).collect();
    assert_eq!(texts, ["one", "two", "", "four", "five", "six", "seven"]);
    for (n, (method, _, content)) in requests.iter().enumerate() {
        let heard = scene.heard();
        assert_eq!(
            (heard.method(), heard.target()),
            (*method, format!("/{}", n + 1).as_str())
        );
        assert_eq!(heard.content(), content.as_bytes());
        // One serves all, but for what comes after HEAD.
        assert_eq!(heard.connection, if n < 3 { 1 } else { 2 });
    }
    for n in 1..8 {
        scene.logged(&format!(" target=/{n} status=200 "));
    }
    scene.unheard();
}

#[test]
fn responses_05_the_next_request_starts_when_this_exchange_is_resolved() {
    let scene = Scene::new(2, "", "");
    // The first back-end would answer the second request before the first is done.
    let hint = sends("HTTP/1.1 103 A\r\n\r\n");
    for backend in 0..2 {
        scene.script_for(backend, "/1", vec![hint.clone(), Act::Body, Act::Ok("one")]);
        scene.script_for(backend, "/2", vec![Act::Ok("two")]);
    }
    let mut client = scene.connect();
    let first = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh";
    client.send(first);
    assert_eq!(client.answer("POST").expect("a hint").status, 103);
    scene.unheard();
    client.send("iGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    for text in ["one", "two"] {
        assert_eq!(client.answer("GET").expect("an answer").text(), text);
    }
    assert_eq!(
        (scene.heard().target(), scene.heard().target()),
        ("/1", "/2")
    );
}

#[test]
fn responses_05_an_error_in_the_pipeline_ends_it_in_its_turn() {
    let scene = Scene::plain();
    let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (bad, code, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "no-host"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            400,
            "bad-content-length",
        ),
        ("\0", 400, "not-http"),
        ("x", 0, ""),
    ] {
        let mut client = scene.connect();
        if code == 0 {
            // A head that never ends, and FIN: nothing more is answered.
            client.send(format!("{good}{good}{bad}"));
            client.half_close();
        } else {
            client.send(format!("{good}{good}{bad}{good}"));
        }
        let (answers, end) = client.answers(&[]);
        let mut expected = vec![200, 200];
        expected.extend((code != 0).then_some(code));
        assert_eq!((statuses(&answers), end), (expected, End::Fin), "{bad:?}");
        if code != 0 {
            assert_own(answers.last().expect("one"), code, reason, bad);
        }
        scene.heard();
        scene.heard();
        scene.unheard();
    }
}

/// A scene whose only back-end is there but says this.
fn says(acts: Vec<Act>, limits: &str) -> Scene {
    let scene = Scene::new(1, "", limits);
    scene.script(0, acts);
    scene
}

#[test]
fn responses_06_errors_of_our_own_carry_their_reason() {
    let dead = |backends: Vec<SocketAddr>, route| Scene::behind(backends, 0, route, "");
    let late = "response-ms = 200";
    let over = "HTTP/1.1 200 OK\r\nX: ".to_owned() + &"y".repeat(70_000);
    let cases = [
        (dead(vec![nobody()], "host = \"b\""), 404, "no-route", "destination_not_found"),
        (dead(vec![nobody(), nobody()], ""), 502, "none-reachable", "destination_unavailable"),
        (says(vec![Act::Reset], ""), 502, "backend-broke", "connection_terminated"),
        (says(vec![Act::Fin], ""), 502, "backend-broke", "connection_terminated"),
        (says(vec![Act::End], late), 504, "response-timeout", "http_response_timeout"),
        (says(vec![sends("SSH-2.0-x\r\n\r\n"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/2.0 200 OK\r\n\r\n"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 200 OK\n\nX\r\n\r\n"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 600 OK\r\n\r\n"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), Act::End], ""), 502, "bad-response", "http_protocol_error"),
        (says(vec![sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), Act::End], ""), 502, "response-transfer-coding", "http_response_transfer_coding"),
        (says(vec![sends("HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), Act::End], ""), 502, "unasked-upgrade", "http_upgrade_failed"),
        (says(vec![sends(over), Act::End], ""), 502, "response-head-too-long", "http_response_header_section_size"),
    ];
    for (scene, code, reason, error) in cases {
        let mut client = scene.connect();
        client.send(GET);
        let answer = client.answer("GET").expect("an answer");
        assert_own(&answer, code, reason, reason);
        let proxy_status = format!("underpass; error={error}; details=\"{reason}\"");
        assert_eq!(answer.field("Proxy-Status"), Some(proxy_status.as_str()));
        scene.logged(&format!(" status={code} reason={reason} "));
        // The request had ended: the connection goes on.
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer("HEAD").expect("an answer");
        assert_eq!((answer.status, answer.reason()), (code, Some(reason)));
    }
}
