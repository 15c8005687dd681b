// SPDX-License-Identifier: GPL-2.0
//! Several routers in one process.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::support::{
    backend, engine, list, ok, program, status, Client, Router, LISTENER, PATIENCE,
};

const COUNT: usize = 3;
/// Enough that each router gets one of them, but for once in ten thousand million times.
const CLIENTS: usize = 60;

/// How often each router's thread waited for something so far.
fn waits(router: &Router) -> Vec<u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", router.pid())).expect("a process");
    let texts = tasks.filter_map(|task| {
        let task = task.expect("a task").path();
        let name = fs::read_to_string(task.join("comm")).expect("a name");
        (name.trim() == "router")
            .then(|| fs::read_to_string(task.join("status")).expect("a status"))
    });
    let number = |text: String| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        value.expect("a counter").trim().parse().expect("a number")
    };
    texts.map(number).collect()
}

#[test]
fn each_has_its_part_of_the_clients() {
    let backend = backend(|mut peer, _| {
        while !peer.head().is_empty() {
            peer.send(ok("yes"));
        }
    });
    let router = Router::in_threads(COUNT, &[backend], "");
    // A thread has its maker's name until it gives itself its own.
    let began = Instant::now();
    let before = loop {
        let before = waits(&router);
        if before.len() == COUNT {
            break before;
        }
        assert!(began.elapsed() < PATIENCE, "{} routers", before.len());
        std::thread::yield_now();
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| router.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/", ""), (200, "yes".to_owned()));
    }
    let after = waits(&router);
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before < after),
        "one had nothing to do: {before:?}, {after:?}"
    );
    for _ in 0..CLIENTS {
        let line = router.logged();
        assert!(line.contains(" status=200 reason=- "), "{line}");
    }
}

#[test]
fn what_all_of_them_cut_off_is_told_as_one() {
    const BEGINNING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe beginning";
    let backend = backend(|mut peer, _| {
        peer.head();
        peer.send(BEGINNING);
        // Until the router ends it.
        let _either_way = peer.try_rest();
    });
    let mut router = Router::in_threads(COUNT, &[backend], "shutdown-ms = 100");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| router.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.body(13), b"the beginning");
    }
    router.terminate();
    assert_eq!(router.wait().code(), Some(3));
    router.said(&format!("stopped: {CLIENTS} exchanges were cut off"));
    for client in &mut clients {
        assert!(client.ends_by_reset(), "it looks whole");
    }
}

#[test]
fn an_address_that_a_stranger_would_share_is_not_taken() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("an option");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    socket.listen(1).expect("it listens");
    let stranger = TcpListener::from(socket);
    let address = stranger.local_addr().expect("an address");
    let listener = LISTENER.replace("127.0.0.1:0", &address.to_string());
    let (engine, pool) = (engine(), list("backends", &[address]));
    let text = format!(
        "engine = \"{engine}\"\nthreads = {COUNT}\n[[listener]]\n{listener}\n\
         [pool.p]\n{pool}\n[[route]]\npool = \"p\"\n"
    );
    let name = format!("underpass-stranger-{}.toml", std::process::id());
    let config = std::env::temp_dir().join(name);
    fs::write(&config, text).expect("the configuration is written");
    let mut router = program();
    router.arg("run").arg(&config).stderr(Stdio::piped());
    let mut router = router.spawn().expect("it starts");
    let began = Instant::now();
    while matches!(router.try_wait(), Ok(None)) && began.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    // It has ended, unless it should not have begun.
    let _ended = router.kill();
    let ended = router.wait_with_output().expect("it ends");
    fs::remove_file(&config).expect("it is there");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
}
