// SPDX-License-Identifier: GPL-2.0
//! Orders of events that no peer on a real socket brings about at will, which is why the engine
//! here is a script.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use underpass_proto::gen::Reason;
use underpass_proto::{Closed, Done, ForwardResult, Head};

use super::*;
use crate::config::Config;
use crate::engine::{Listen, Socket};
use crate::route::Table;

const FRONT: u32 = 10;
const BACK: u32 = 20;
const EPIPE: i32 = 32;
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A client with a request, and what a back-end says to it.
struct Script {
    request: String,
    inbox: VecDeque<Incoming>,
    commands: UnboundedSender<Command>,
    /// As soon as it is connected.
    unasked: Vec<Incoming>,
    /// To what the router sends it.
    asked: fn(Token) -> Vec<Incoming>,
    /// It never waits.
    restless: bool,
    /// Has no room for connections to back-ends (an errno).
    full: Option<i32>,
}

fn head(id: u32, side: Side, text: &str) -> Incoming {
    Incoming::Event(Event::Head(Head {
        id,
        generation: 1,
        side,
        listener: None,
        head: text.as_bytes().to_vec(),
        over_limit: false,
        sent: 0,
        peer: None,
        local: None,
    }))
}

impl Engine for Script {
    fn listen(&mut self, _: TcpListener, _: Listen, token: Token) {
        self.inbox.push_back(Incoming::Added { token, id: 1 });
        let request = head(FRONT, Side::Front, &self.request);
        self.inbox.push_back(request);
    }

    fn adopt(&mut self, _: Socket, _: Side, _: u32, token: Token) {
        if let Some(errno) = self.full {
            let refusal = Refused {
                command: "queue-add",
                errno,
                text: "there are as many as there may be".to_owned(),
            };
            return self.inbox.push_back(Incoming::Refused { token, refusal });
        }
        self.inbox.push_back(Incoming::Added { token, id: BACK });
        self.inbox.extend(self.unasked.drain(..));
    }

    fn submit(&mut self, command: Command, token: Token) {
        if matches!(command, Command::Route { to: BACK, .. }) {
            self.inbox.extend((self.asked)(token));
        }
        self.commands.send(command).expect("the test listens");
    }

    fn shutdown(&mut self) {}

    async fn wait(&mut self, out: &mut Vec<Incoming>) -> Result<(), EngineError> {
        if self.inbox.is_empty() && !self.restless {
            std::future::pending::<()>().await;
        }
        out.extend(self.inbox.drain(..));
        Ok(())
    }
}

/// A router that listens, on a script whose first event is the client's `request`, and its commands.
async fn router(
    request: &str,
    unasked: Vec<Incoming>,
    asked: fn(Token) -> Vec<Incoming>,
) -> (Router<Script>, UnboundedReceiver<Command>, TcpListener) {
    router_of_pool("", request, unasked, asked).await
}

async fn router_of_pool(
    pool: &str,
    request: &str,
    unasked: Vec<Incoming>,
    asked: fn(Token) -> Vec<Incoming>,
) -> (Router<Script>, UnboundedReceiver<Command>, TcpListener) {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = backend.local_addr().expect("an address");
    let text = format!(
        "engine = \"user\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[pool.p]\nbackends = [\"{address}\"]\n{pool}\n\
         [[route]]\npool = \"p\"\n"
    );
    let config = Config::parse("f.toml", &text).expect("a configuration");
    let policy = Arc::new(Table::new(config.routes, &config.pools));
    let (commands, submitted) = unbounded_channel();
    let script = Script {
        request: request.to_owned(),
        inbox: VecDeque::new(),
        commands,
        unasked,
        asked,
        restless: false,
        full: None,
    };
    let log = AccessLog::new(std::io::sink()).unwrap();
    let mut router = Router::new(script, policy, config.limits, log);
    let listening = Listening {
        socket: TcpListener::bind("127.0.0.1:0").expect("a port"),
        proxy_protocol: false,
        connections: 100,
        head: Duration::from_secs(60),
    };
    router.listen(vec![listening]).await.expect("it listens");
    (router, submitted, backend)
}

#[tokio::test]
async fn a_client_whose_request_stays_behind_is_closed() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let unasked = vec![head(BACK, Side::Back, response)];
    let (mut router, mut submitted, _backend) = router(REQUEST, unasked, |token| {
        let refusal = Refused {
            command: "route",
            errno: EPIPE,
            text: "it was reset".to_owned(),
        };
        vec![Incoming::Refused { token, refusal }]
    })
    .await;
    let mut seen = Vec::new();
    let closed = async {
        while let Some(command) = submitted.recv().await {
            seen.push(command.clone());
            if command == (Command::QueueDel { id: FRONT }) {
                return;
            }
        }
    };
    tokio::select! {
        ended = router.run(std::future::pending()) => panic!("{ended:?}"),
        () = closed => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => {}
    }
    let answered = |command: &Command| matches!(command, Command::Route { to: FRONT, .. });
    assert!(seen.iter().any(answered), "{seen:?}");
    assert_eq!(
        seen.last(),
        Some(&Command::QueueDel { id: FRONT }),
        "{seen:?}"
    );
}

/// The client of `request` gets a response that the router is not shown, and is gone by itself. The router
/// when it has heard of both, and what it commanded.
async fn served(request: &str) -> (Router<Script>, Vec<Command>) {
    let (mut router, mut submitted, _backend) = router(request, Vec::new(), |_| {
        let done = Event::Done(Done {
            id: BACK,
            generation: 1,
            to: Some(FRONT),
            result: ForwardResult::Complete,
            error: 0,
            taken: 0,
            status: Some(200),
        });
        let closed = Event::Closed(Closed {
            id: FRONT,
            generation: 1,
            side: Side::Front,
            reason: Reason::Fin,
            error: 0,
            taken: 0,
            sent: 0,
            gone: true,
        });
        vec![Incoming::Event(done), Incoming::Event(closed)]
    })
    .await;
    let mut seen = Vec::new();
    let patience = Instant::now() + Duration::from_secs(30);
    while !router.fronts.is_empty() && Instant::now() < patience {
        let a_moment = tokio::time::sleep(Duration::from_millis(10));
        tokio::select! {
            ended = router.run(std::future::pending()) => panic!("{ended:?}"),
            () = a_moment => {}
        }
        while let Ok(command) = submitted.try_recv() {
            seen.push(command);
        }
    }
    (router, seen)
}

#[tokio::test]
async fn a_client_that_is_gone_by_itself_is_forgotten_without_a_word() {
    let (router, seen) = served(REQUEST).await;
    assert!(router.fronts.is_empty() && router.timers.is_empty());
    let asked = |command: &Command| {
        matches!(
            command,
            Command::Route {
                to: BACK,
                relay: Some(_),
                ..
            }
        )
    };
    assert!(seen.len() == 1 && seen.iter().all(asked), "{seen:?}");
}

#[tokio::test]
async fn room_is_kept_of_usual_heads_only() {
    for (bytes, kept) in [(SPARE_HEAD, 1), (SPARE_HEAD + 1, 0)] {
        let begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        let field = "x".repeat(bytes - begin.len() - 4);
        let (router, _) = served(&format!("{begin}{field}\r\n\r\n")).await;
        assert!(router.fronts.is_empty());
        assert_eq!(router.spare.len(), kept, "of a head of {bytes} bytes");
    }
}

#[tokio::test]
async fn events_without_end_leave_the_runtime_its_turn() {
    let (mut router, _submitted, _backend) = router(REQUEST, Vec::new(), |_| Vec::new()).await;
    router.engine.restless = true;
    let other = tokio::spawn(async {});
    tokio::select! {
        outcome = router.run(std::future::pending()) => panic!("it ended: {outcome:?}"),
        outcome = other => outcome.expect("the other task runs"),
    }
}

#[tokio::test]
async fn queues_that_ran_out_are_503() {
    const ENOSPC: i32 = 28;
    let (mut router, mut submitted, _backend) = router(REQUEST, Vec::new(), |_| Vec::new()).await;
    router.engine.full = Some(ENOSPC);
    let answer = async {
        loop {
            match submitted.recv().await.expect("the router is there") {
                Command::Send {
                    id: FRONT, data, ..
                }
                | Command::Route {
                    to: FRONT, data, ..
                } => return String::from_utf8(data).expect("text"),
                _ => {}
            }
        }
    };
    let text = tokio::select! {
        ended = router.run(std::future::pending()) => panic!("{ended:?}"),
        text = answer => text,
    };
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
}

/// Or memory that was short could let one of them through alone.
#[tokio::test]
async fn a_proxy_header_and_the_request_behind_it_are_one_command() {
    let pool = "proxy-protocol = \"v1\"";
    let (mut router, mut submitted, _backend) =
        router_of_pool(pool, REQUEST, Vec::new(), |_| Vec::new()).await;
    let first = tokio::select! {
        ended = router.run(std::future::pending()) => panic!("{ended:?}"),
        first = submitted.recv() => first.expect("a command"),
    };
    let Command::Route { to: BACK, data, .. } = first else {
        panic!("{first:?}");
    };
    let text = String::from_utf8(data).expect("text");
    let begin = "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n";
    assert!(text.starts_with(begin), "{text}");
}
