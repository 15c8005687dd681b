// SPDX-License-Identifier: GPL-2.0
//! SIGTERM: what runs may finish until its time is up, and what was cut off is said. SIGHUP ends nothing.

use std::net::TcpStream;
use std::time::Duration;

use crate::support::{backend, engine, named, ok, patient, status, Router, PATIENCE};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn sigterm_lets_exchanges_finish() {
    let (backend, told, go) = patient("", ok("late"));
    let mut router = Router::start_patiently(&[backend], "", "");
    let mut idle = router.connect();
    let mut busy = router.connect();
    busy.send(GET);
    told.recv_timeout(PATIENCE).expect("the request arrives");
    router.terminate();
    // It no longer accepts once it has begun to stop.
    while TcpStream::connect(router.address).is_ok() {
        std::thread::yield_now();
    }
    go.send(()).expect("the back-end waits");
    assert_eq!(status(&busy.head()), 200);
    assert_eq!(busy.body(4), b"late");
    assert!(router.wait().success());
    router.said("stopped: 0 exchanges were cut off");
    // One that never said anything is closed with the router.
    let _either_way = idle.ends_by_reset();
}

#[test]
fn what_is_not_over_in_time_is_cut_off_and_told() {
    // Its end is that of the connection: nothing but a reset says that it is not whole.
    let (backend, told, _go) = patient(
        "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: close\r\n\r\nthe beginning",
        ok("late"),
    );
    let mut router = Router::start(&[backend], "", "shutdown-ms = 100");
    let mut busy = router.connect();
    busy.send("GET /long HTTP/1.0\r\nHost: h\r\n\r\n");
    told.recv_timeout(PATIENCE).expect("the request arrives");
    assert_eq!(status(&busy.head()), 200);
    assert_eq!(busy.body(13), b"the beginning");
    router.terminate();
    assert!(busy.ends_by_reset(), "it looks whole");
    assert_eq!(router.wait().code(), Some(3));
    router.said("stopped: 1 exchanges were cut off");
    let line = router.logged();
    assert!(
        line.contains(" target=/long status=200 reason=stopped "),
        "{line}"
    );
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let (backend, told, _go) = patient("", ok("late"));
    let mut router = Router::start_patiently(&[backend], "", "shutdown-ms = 86400000");
    let mut busy = router.connect();
    busy.send(GET);
    told.recv_timeout(PATIENCE).expect("the request arrives");
    router.terminate();
    router.said("stopping: nothing more is accepted");
    router.terminate();
    assert_eq!(router.wait().code(), Some(3));
    router.said("stopped: 1 exchanges were cut off");
    assert!(router.logged().contains(" status=0 reason=stopped "));
    assert!(busy.ends_by_reset(), "it looks like an end");
}

#[test]
fn sighup_loses_nobody() {
    let backend = backend(|mut peer, _| peer.send(ok("still here")));
    let mut router = Router::start(&[backend], "", "");
    let mut client = router.connect();
    client.send(GET);
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(10), b"still here");
    router.signal("HUP");
    // With the engine `kernel` it is another generation's now; tests/reload.py has more of this.
    router.said(match engine().as_str() {
        "user" => "SIGHUP changes nothing: with the engine `user` clients would be lost",
        _ => "took this router over, and all that it had",
    });
    client.send(GET);
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.body(10), b"still here");
    router.terminate();
    assert!(router.wait().success());
}

#[test]
fn the_last_answer_is_out_before_it_ends() {
    // One without a body, of a back-end and of its own: nothing is left to wait for but the answer itself.
    let (empty, told, go) = patient("", "HTTP/1.1 204 No Content\r\n\r\n");
    let mut router = Router::start_patiently(&[empty], "", "");
    let mut busy = router.connect();
    busy.send(GET);
    told.recv_timeout(PATIENCE).expect("the request arrives");
    router.terminate();
    while TcpStream::connect(router.address).is_ok() {
        std::thread::yield_now();
    }
    go.send(()).expect("the back-end waits");
    assert_eq!(status(&busy.head()), 204);
    drop(busy);
    assert!(router.wait().success());

    let (silent, told, _go) = patient("", ok("late"));
    let mut router = Router::start_patiently(&[silent], "", "response-ms = 1000");
    let mut busy = router.connect();
    busy.send(GET);
    told.recv_timeout(PATIENCE).expect("the request arrives");
    router.terminate();
    assert_eq!(status(&busy.head()), 504);
    drop(busy);
    assert!(router.wait().success());
}

#[test]
fn who_asked_ahead_gets_all_answers_that_were_given() {
    let filler = "x".repeat(4_000);
    let request = format!("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX: {filler}\r\n\r\n");
    let mut router = Router::start_patiently(&[named("n")], "trace = true", "");
    let mut quiet = router.connect();
    let mut client = router.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32_768).expect("a size");
    let mut answers = 0;
    // Until its answers fill all buffers, so that the next request is not looked at; or this takes so long.
    client.send(&request);
    while router.try_logged(Duration::from_secs(1)).is_some() {
        answers += 1;
        client.send(&request);
    }
    router.terminate();
    while TcpStream::connect(router.address).is_ok() {
        std::thread::yield_now();
    }
    if engine() == "user" {
        // It lives until these are read, and answers meanwhile. (What the module holds needs no router to live.)
        quiet.send(GET);
        assert_eq!(status(&quiet.head()), 503);
        while !router.logged().contains(" status=503 ") {
            answers += 1;
        }
    }
    let text = String::from_utf8(client.rest()).expect("text");
    assert!(text.ends_with("\r\n\r\n"), "the last one is cut");
    drop(client);
    assert!(router.wait().success());
    // Those that were late after all.
    while router.try_logged(PATIENCE).is_some() {
        answers += 1;
    }
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), answers);
}
