// SPDX-License-Identifier: GPL-2.0
//! What a router makes of what another one left: all kinds of it at once, which no peers on real
//! sockets bring about at will.

use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use underpass_proto::{Framing, Head, QueueInfo, State};

use super::*;
use crate::config::Config;
use crate::engine::{samples, Left, Listen, Socket};
use crate::exchange::note::Note;
use crate::route::Table;

/// Takes commands, tells nothing.
struct Silent(UnboundedSender<Command>);

impl Engine for Silent {
    fn listen(&mut self, _: TcpListener, _: Listen, _: Token) {}
    fn adopt(&mut self, _: Socket, _: Side, _: u32, _: Token) {}
    fn submit(&mut self, command: Command, _: Token) {
        self.0.send(command).expect("the test listens");
    }
    fn shutdown(&mut self) {}
    async fn wait(&mut self, _: &mut Vec<Incoming>) -> Result<(), EngineError> {
        std::future::pending().await
    }
}

const CONFIG: &str = "engine = \"kernel\"\n[[listener]]\naddress = \"127.0.0.1:80\"\n\
    [pool.p]\nbackends = [\"127.0.0.1:1\"]\n[[route]]\npool = \"p\"\n";

fn config(text: &str) -> Config {
    Config::parse("t", text).expect("a configuration")
}

fn router() -> (Router<Silent>, UnboundedReceiver<Command>) {
    router_of(CONFIG)
}

fn router_of(text: &str) -> (Router<Silent>, UnboundedReceiver<Command>) {
    let config = config(text);
    let (to, commands) = unbounded_channel();
    let policy = Arc::new(Table::new(config.routes, &config.pools));
    let router = Router::new(Silent(to), policy, config.limits, AccessLog::off());
    (router, commands)
}

fn queue(id: u32, side: Side, state: State) -> QueueInfo {
    let address = |port| Some(([127, 0, 0, 1], port).into());
    QueueInfo {
        peer: address(1000 + id as u16),
        local: address(80),
        ..samples::queue(id, side, state)
    }
}

fn front(id: u32, state: State, note: Option<Note>) -> QueueInfo {
    QueueInfo {
        note: note.map_or(0, Note::bits),
        ..queue(id, Side::Front, state)
    }
}

/// Asked the back-end of this queue, with the rules of the configuration.
fn asked(back: u32) -> Note {
    let mark = config(CONFIG).routes[0].terms.rewrite.mark();
    Note {
        back,
        mark,
        ..Note::default()
    }
}

/// What the router did about these queues, one word each.
fn done(queues: Vec<QueueInfo>) -> Vec<String> {
    let (mut router, mut commands) = router();
    let left = Left {
        listeners: Vec::new(),
        queues,
    };
    router.resume(&left, &[], Instant::now());
    let mut words = Vec::new();
    while let Ok(command) = commands.try_recv() {
        words.push(match command {
            Command::QueueAbort { id } => format!("abort {id}"),
            Command::QueueDel { id } => format!("del {id}"),
            Command::Drain { id, .. } => format!("drain {id}"),
            Command::Send { id, data, .. } => {
                format!("send {id} {}", String::from_utf8_lossy(&data[9..12]))
            }
            other => other.name().to_owned(),
        });
    }
    for (id, front) in &router.fronts {
        words.push(match &front.exchange {
            None => format!("idle {id}"),
            Some(exchange) => format!("exchange {id} with {:?}", exchange.back()),
        });
    }
    words.sort();
    words
}

#[test]
fn clients_whom_nobody_serves() {
    let answered = Note {
        answered: true,
        ..asked(9)
    };
    assert_eq!(
        done(vec![
            front(1, State::Collecting, Some(answered)),
            front(2, State::Ready, None),
            front(3, State::Collecting, Some(Note::LAST)),
            // Its own head, which was answered without its body.
            front(4, State::Ready, Some(Note::LAST)),
            front(5, State::Draining, None),
            front(6, State::Parked, None),
            QueueInfo {
                generation: 0,
                ..front(7, State::Collecting, None)
            },
        ]),
        ["abort 6", "drain 3", "drain 4", "idle 1", "idle 2"]
    );
}

#[test]
fn who_serves_whom() {
    let moves = |to| QueueInfo {
        to: Some(to),
        framing: Some(Framing::Length(5)),
        ..queue(0, Side::Back, State::Moving)
    };
    let answered = Note {
        answered: true,
        ..asked(23)
    };
    assert_eq!(
        done(vec![
            // By its note; and another back-end that nobody names.
            front(1, State::Collecting, Some(asked(21))),
            queue(21, Side::Back, State::Collecting),
            queue(29, Side::Back, State::Collecting),
            // By the body that moves, where the note was never written.
            QueueInfo {
                id: 2,
                side: Side::Front,
                ..moves(22)
            },
            queue(22, Side::Back, State::Ready),
            // Answered, and the response moves.
            front(3, State::Ready, Some(answered)),
            QueueInfo { id: 23, ..moves(3) },
            // Its response may be passed on.
            front(4, State::Collecting, None),
            QueueInfo {
                relay_to: Some(4),
                ..queue(24, Side::Back, State::Collecting)
            },
            // The back-end's queue serves a client who is gone.
            QueueInfo { id: 25, ..moves(5) },
        ]),
        [
            "abort 25",
            "abort 29",
            "exchange 1 with Some(21)",
            "exchange 2 with Some(22)",
            "exchange 3 with Some(23)",
            "exchange 4 with Some(24)",
        ]
    );
}

#[test]
fn a_back_end_that_is_not_there_any_more_is_502() {
    let words = done(vec![front(1, State::Collecting, Some(asked(21)))]);
    assert_eq!(words, ["idle 1", "send 1 502"]);
}

#[test]
fn a_used_connection_behind_a_proxy_is_closed_and_a_first_head_is_not() {
    let behind = |queue: QueueInfo| QueueInfo {
        listener: Some(50),
        ..queue
    };
    let answered = Note {
        answered: true,
        ..asked(9)
    };
    // Its listener is gone, or its header said that nobody is behind it.
    let direct = Note {
        direct: true,
        ..answered
    };
    assert_eq!(
        done(vec![
            behind(front(1, State::Ready, None)),
            behind(front(2, State::Ready, Some(answered))),
            behind(front(3, State::Collecting, Some(answered))),
            behind(front(4, State::Ready, Some(direct))),
            behind(front(5, State::Collecting, Some(direct))),
        ]),
        ["del 2", "del 3", "idle 1", "idle 4", "idle 5"]
    );
}

fn head(id: u32, side: Side, generation: u32, text: &str) -> Event {
    Event::Head(Head {
        id,
        generation,
        side,
        listener: Some(50).filter(|_| side == Side::Front),
        head: text.as_bytes().to_vec(),
        over_limit: false,
        sent: 0,
        peer: None,
        local: None,
    })
}

/// It came after the takeover and before the dump, so that it was not renewed.
#[tokio::test]
async fn only_the_first_head_of_a_connection_behind_a_proxy_says_whose_it_is() {
    for (generation, next) in [(1, 2), (2, 3)] {
        let (mut router, mut commands) = router();
        router.listeners.insert(50, true);
        let first = QueueInfo {
            generation,
            listener: Some(50),
            ..front(1, State::Ready, None)
        };
        let left = Left {
            listeners: Vec::new(),
            queues: vec![first],
        };
        let now = Instant::now();
        router.resume(&left, &[], now);
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let told = format!("PROXY TCP4 10.0.0.9 10.0.0.1 5000 80\r\n{get}");
        router.event(head(1, Side::Front, generation, &told), now);
        router.event(head(1, Side::Front, next, get), now);
        let done = commands.try_recv();
        assert!(done.is_err(), "{done:?}");
        let front = router.fronts.get(&1).expect("it is served");
        assert_eq!(
            front.ends.map(|ends| ends.client),
            Some(([10, 0, 0, 9], 5000).into())
        );
    }
}

/// The answer to what the former router was not asked here must not reach this one's.
#[test]
fn a_response_is_read_as_its_request_wants_it() {
    let note = Note {
        of_head: true,
        close: true,
        ..asked(21)
    };
    let (mut router, mut commands) = router();
    let left = Left {
        listeners: Vec::new(),
        queues: vec![
            front(1, State::Collecting, Some(note)),
            queue(21, Side::Back, State::Ready),
        ],
    };
    let now = Instant::now();
    router.resume(&left, &[], now);
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    router.event(head(21, Side::Back, 3, response), now);
    let route = commands.try_recv();
    let Ok(Command::Route { to, body, data, .. }) = route else {
        panic!("{route:?}");
    };
    let text = String::from_utf8_lossy(&data).into_owned();
    assert_eq!((to, body.framing), (1, Framing::None), "{text}");
    assert!(text.contains("Connection: close\r\n"), "{text}");
    let note = body.note.and_then(Note::of);
    assert!(note.is_some_and(|note| note.answered && note.close));
    assert!(router.fronts.is_empty() && router.pool.is_empty());
}

#[tokio::test]
async fn nobody_is_cut_off_by_the_limits_of_another_route() {
    let left = Left {
        listeners: vec![],
        queues: vec![
            front(1, State::Collecting, Some(asked(21))),
            queue(21, Side::Back, State::Collecting),
        ],
    };
    // The longest is one route's own, or that of all, which the other route has.
    for (own, all) in [(600, 60), (5, 600)] {
        let routes = format!(
            "[[route]]\npool = \"p\"\npath = \"/own\"\n[route.limits]\nresponse-ms = {own}000\n\
             [limits]\nresponse-ms = {all}000\n"
        );
        let (mut router, _commands) = router_of(&format!("{CONFIG}{routes}"));
        let now = Instant::now();
        router.resume(&left, &[], now);
        let waits = router.deadline().map(|at| at - now);
        assert_eq!(waits, Some(Duration::from_secs(600)), "{own} {all}");
    }
}

#[tokio::test]
async fn of_one_that_was_taken_over_no_status_is_a_decline() {
    let declines = "path = \"/objects\"\ndecline = [404]\nall-declined = \"503\"\n";
    let (mut router, mut commands) = router_of(&format!("{CONFIG}{declines}"));
    let left = Left {
        listeners: vec![],
        queues: vec![
            front(1, State::Collecting, Some(asked(21))),
            queue(21, Side::Back, State::Ready),
        ],
    };
    let now = Instant::now();
    router.resume(&left, &[], now);
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    router.event(head(21, Side::Back, 3, answer), now);
    let mut sent = String::new();
    while let Ok(command) = commands.try_recv() {
        if let Command::Send { data, .. } | Command::Route { data, .. } = command {
            sent += &String::from_utf8_lossy(&data);
        }
    }
    assert!(sent.starts_with("HTTP/1.1 404 "), "{sent}");
}

#[tokio::test]
async fn clients_of_a_listener_that_ends_are_still_read_as_it_had_them() {
    let (mut router, mut commands) = router();
    let wanted = crate::config::Listener {
        address: ([127, 0, 0, 1], 80).into(),
        proxy_protocol: true,
        connections: 1_000,
        head: Duration::from_secs(60),
    };
    let ends = underpass_proto::ListenerInfo {
        id: 50,
        router: 1,
        head_limit: 32_768,
        accepted: 1,
        local: Some(wanted.address),
        proxy_protocol: true,
        head_ms: 60_000,
        connections: 2_000,
        open: 1,
    };
    let unheard = QueueInfo {
        generation: 0,
        listener: Some(50),
        ..front(1, State::Collecting, None)
    };
    let left = Left {
        listeners: vec![ends],
        queues: vec![unheard],
    };
    let now = Instant::now();
    let (missing, _) = router.resume(&left, &[wanted], now);
    assert_eq!(missing.len(), 1);
    let told = "PROXY TCP4 10.0.0.9 10.0.0.1 5000 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    router.event(head(1, Side::Front, 1, told), now);
    while let Ok(command) = commands.try_recv() {
        assert!(
            !matches!(command, Command::Send { .. }),
            "refused: {command:?}"
        );
    }
}

/// Refuses all that ends a connection before it says that it listens.
struct Everyday(std::collections::VecDeque<Incoming>);

impl Engine for Everyday {
    fn listen(&mut self, _: TcpListener, _: Listen, token: Token) {
        self.0.push_back(Incoming::Added { token, id: 7 });
    }
    fn adopt(&mut self, _: Socket, _: Side, _: u32, _: Token) {}
    fn submit(&mut self, command: Command, token: Token) {
        let refusal = Refused {
            command: command.name(),
            errno: 32,
            text: String::new(),
        };
        self.0.push_back(Incoming::Refused { token, refusal });
    }
    fn shutdown(&mut self) {}
    async fn wait(&mut self, out: &mut Vec<Incoming>) -> Result<(), EngineError> {
        out.extend(self.0.drain(..));
        Ok(())
    }
}

#[tokio::test]
async fn a_client_that_left_meanwhile_is_no_reason_not_to_listen() {
    let config = config(CONFIG);
    let policy = Arc::new(Table::new(config.routes, &config.pools));
    let engine = Everyday(Default::default());
    let mut router = Router::new(engine, policy, config.limits, AccessLog::off());
    // Its back-end is gone, so it is to hear of that.
    let left = Left {
        listeners: vec![],
        queues: vec![front(1, State::Collecting, Some(asked(21)))],
    };
    router.resume(&left, &[], Instant::now());
    let listening = Listening {
        socket: TcpListener::bind("127.0.0.1:0").expect("a port"),
        proxy_protocol: false,
        connections: 1,
        head: Duration::from_secs(1),
    };
    router.listen(vec![listening]).await.expect("it listens");
}
