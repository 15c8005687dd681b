// SPDX-License-Identifier: GPL-2.0
//! Nothing is left behind: thousands of exchanges on real sockets, with every ending that
//! there is, after which all tables are empty.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::*;
use crate::config::Config;
use crate::engine::user::UserEngine;
use crate::route::{Attempt, Outcome, Plan, Table};

/// What a back-end is told to do by the target, and what a client does then.
const ENDINGS: [&str; 10] = [
    "/fine", "/reset", "/cut", "/closed", "/decline", "/early", "/silent", "/asked", "/none",
    "/a b",
];
const CLIENTS: usize = 8;
const ROUNDS: usize = 40;

/// Counts what the policy is told, on top of the configuration's.
struct Counting {
    table: Table,
    asked: AtomicUsize,
    ended: AtomicUsize,
}

impl Policy for Counting {
    fn plan(
        &self,
        request: &crate::http::Request,
        client: SocketAddr,
        now: Instant,
    ) -> Result<Plan, crate::http::Problem> {
        self.table.plan(request, client, now)
    }

    fn asked(&self, attempt: &Attempt) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.table.asked(attempt);
    }

    fn ended(&self, attempt: &Attempt, outcome: Outcome, now: Instant) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.table.ended(attempt, outcome, now);
    }
}

fn head(stream: &mut impl Read) -> Option<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => read.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(read).ok()
}

/// Errors are the peer's, who may do anything here.
fn say(mut stream: &TcpStream, text: &str) {
    let _gone = stream.write_all(text.as_bytes());
}

fn reset(stream: TcpStream) {
    let _gone = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

fn serve(mut stream: TcpStream) {
    while let Some(head) = head(&mut stream) {
        // A PROXY protocol line may stand in front of a connection's first head.
        let request = match head.split_once("\r\n") {
            Some((line, rest)) if line.starts_with("PROXY ") => rest,
            _ => &head,
        };
        let target = request.split(' ').nth(1).unwrap_or_default();
        match target {
            "/reset" => return reset(stream),
            "/cut" => return say(&stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"),
            "/closed" => return say(&stream, "HTTP/1.1 200 OK\r\n\r\nclosed"),
            "/decline" => say(&stream, "HTTP/1.1 421 No\r\nContent-Length: 0\r\n\r\n"),
            "/early" => say(&stream, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"),
            "/silent" => {}
            _ => {
                if head.contains("Expect") {
                    say(&stream, "HTTP/1.1 100 Continue\r\n\r\n");
                    let mut body = [0; 5];
                    if stream.read_exact(&mut body).is_err() {
                        return;
                    }
                }
                say(&stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
            }
        }
    }
}

fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// One exchange or several, with one of the ways that a client may leave.
fn client(router: SocketAddr, ending: &str, way: usize) {
    let mut stream = TcpStream::connect(router).expect("the router accepts");
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).expect("a timeout");
    let get = format!("GET {ending} HTTP/1.1\r\nHost: a\r\n\r\n");
    let put = format!("PUT {ending} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    match way {
        0 => say(&stream, &get),
        1 => say(&stream, &format!("{put}hello")),
        2 => say(&stream, &format!("{get}{put}hello{get}")),
        3 => say(&stream, &format!("{put}he")),
        _ => {
            say(&stream, &get);
            return reset(stream);
        }
    }
    let _gone = stream.shutdown(Shutdown::Write);
    let mut all = Vec::new();
    let _whatever = stream.read_to_end(&mut all);
}

fn is_empty(router: &Router<UserEngine>) -> bool {
    router.fronts.is_empty()
        && router.timers.is_empty()
        && router.due.is_empty()
        && router.adopting.is_empty()
        && router.pool.is_empty()
}

#[test]
fn nothing_is_left_after_thousands_of_exchanges() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (first, second) = (backend(), backend());
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let text = format!(
        "engine = \"user\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [pool.plain]\nbackends = [\"{first}\", \"{nobody}\", \"{second}\"]\n\
         [pool.narrow]\nbackends = [\"{second}\", \"{first}\"]\nconnections = 2\nwaiting = 3\n\
         waiting-ms = 20\nbalance = \"least-outstanding\"\nproxy-protocol = \"v1\"\n\
         [pool.narrow.eject]\nfailures = 1\nms = 5\n\
         [[route]]\npool = \"plain\"\n\
         [[route]]\npool = \"narrow\"\nmethods = [\"PUT\"]\n\
         [limits]\nask-ms = 20\nresponse-ms = 20\nidle-ms = 10\ndrain-ms = 20\nidle-connections = 2\n"
    );
    let config = Config::parse("f.toml", &text).expect("a configuration");
    let policy = Arc::new(Counting {
        table: Table::new(config.routes, &config.pools),
        asked: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
    });
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let router = runtime.block_on(async {
        let log = AccessLog::new(std::io::sink()).unwrap();
        let engine = UserEngine::default();
        let mut router = Router::new(engine, policy.clone(), config.limits, log);
        let listening = Listening {
            socket,
            proxy_protocol: false,
            connections: 100,
            head: Duration::from_secs(60),
        };
        router.listen(vec![listening]).await.expect("it listens");
        let (done, clients) = oneshot::channel();
        std::thread::spawn(move || {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    std::thread::spawn(move || {
                        for round in 0..ROUNDS {
                            for (at, ending) in ENDINGS.iter().enumerate() {
                                client(address, ending, (number + round + at) % 5);
                            }
                        }
                    })
                })
                .collect();
            for client in clients {
                client.join().expect("no panic");
            }
            done.send(()).expect("the router runs");
        });
        tokio::select! {
            ended = router.run(std::future::pending()) => panic!("{ended:?}"),
            ended = clients => ended.expect("the clients end"),
        }
        // By itself, not because it stops; what is on its way has to arrive, idle
        // connections of back-ends have to grow old.
        let patience = Instant::now() + Duration::from_secs(30);
        while Instant::now() < patience && !is_empty(&router) {
            let a_moment = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                ended = router.run(std::future::pending()) => panic!("{ended:?}"),
                () = a_moment => {}
            }
        }
        router
    });
    assert!(
        is_empty(&router),
        "left: {:?} {:?} {:?}",
        router.fronts,
        router.timers,
        router.pool
    );
    let (asked, ended) = (&policy.asked, &policy.ended);
    assert_eq!(asked.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
    assert!(asked.load(Ordering::Relaxed) > CLIENTS * ROUNDS * ENDINGS.len() / 2);
}
