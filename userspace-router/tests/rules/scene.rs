// SPDX-License-Identifier: GPL-2.0
//! A router between one client at a time and back-ends that play scripts and write down
//! what they hear, byte for byte.
//!
//! Invariant: cases of one scene run one after the other; a case ends with its line of the
//! access log, so that everything the router does for it is done.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{channel, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex};

use crate::cases::PROBE;
use crate::support::{field, Router, PATIENCE};
use crate::wire::{Body, End, Peer};

/// One step of a back-end's script.
#[derive(Clone, Debug)]
pub enum Act {
    /// These bytes.
    Send(Vec<u8>),
    /// `100 Continue` if it is asked for.
    Accept,
    /// The same, and then the whole body.
    Body,
    /// These, and nothing else, where `100 Continue` is asked for.
    IfAsked(Vec<Act>),
    /// 200 and this content, which a HEAD gets without.
    Ok(&'static str),
    /// The whole body, without accepting it.
    Rest,
    /// So many bytes, after the head, or all up to a FIN before.
    Take(usize),
    /// Closes, which is a reset if bytes are left unread.
    Drop,
    /// FIN, and reading to the end.
    Fin,
    /// A reset.
    Reset,
    /// Reading to the end.
    End,
}

/// What a back-end heard of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Index of the back-end.
    pub backend: usize,
    /// Number of the connection to it, from 1.
    pub connection: u32,
    pub head: String,
    /// What `Act::Body` read.
    pub body: Option<Body>,
    /// What `Act::Take`, `Act::Fin` and `Act::End` read.
    pub bytes: Vec<u8>,
    /// How the connection ended, if it was read to its end.
    pub end: Option<End>,
}

impl Heard {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The content of the body that was read.
    pub fn content(&self) -> &[u8] {
        let body = self.body.as_ref().expect("a body was read");
        assert_eq!(body.cut, None, "a body cut short: {self:?}");
        &body.content
    }
}

type Cuts = Arc<Mutex<Vec<usize>>>;
type Scripts = Arc<Mutex<HashMap<String, Vec<Act>>>>;

/// A router and its back-ends.
pub struct Scene {
    pub router: Router,
    pub backends: Vec<SocketAddr>,
    scripts: Vec<Scripts>,
    cuts: Cuts,
    heard: Receiver<Heard>,
}

impl Scene {
    /// A router with one route to `backends` of them. `route` and `limits`: lines of TOML.
    pub fn new(backends: usize, route: &str, limits: &str) -> Self {
        Self::behind(Vec::new(), backends, route, limits)
    }

    /// The same, with others to be asked before them.
    pub fn behind(others: Vec<SocketAddr>, backends: usize, route: &str, limits: &str) -> Self {
        let (tell, heard) = channel();
        let mut addresses = others;
        let mut all = Vec::new();
        let cuts = Cuts::default();
        for index in 0..backends {
            let scripts = Scripts::default();
            addresses.push(serve(index, scripts.clone(), cuts.clone(), tell.clone()));
            all.push(scripts);
        }
        Self {
            router: Router::start(&addresses, route, limits),
            backends: addresses,
            scripts: all,
            cuts,
            heard,
        }
    }

    /// One back-end, everything by default.
    pub fn plain() -> Self {
        Self::new(1, "", "")
    }

    /// What this back-end does with requests from now on. Without, it takes them.
    pub fn script(&self, backend: usize, acts: Vec<Act>) {
        self.script_for(backend, "", acts);
    }

    /// The same, for requests of this target.
    pub fn script_for(&self, backend: usize, target: &str, acts: Vec<Act>) {
        let scripts = self.scripts.get(backend).expect("a back-end");
        scripts
            .lock()
            .expect("no panic")
            .insert(target.to_owned(), acts);
    }

    /// Where back-ends cut the first thing that they send for a request.
    pub fn cut(&self, places: &[usize]) {
        *self.cuts.lock().expect("no panic") = places.to_vec();
    }

    pub fn connect(&self) -> Peer {
        Peer::connect(self.router.address)
    }

    /// A client that has asked once, and the back-end's connection that served it, which is pooled now.
    pub fn pooled(&self) -> (Peer, u32) {
        let mut client = self.connect();
        client.send(PROBE);
        assert_eq!(client.answer("GET").expect("an answer").text(), "ok");
        let connection = self.heard().connection;
        self.logged(" target=/probe ");
        (client, connection)
    }

    /// What a back-end heard next.
    pub fn heard(&self) -> Heard {
        self.heard.recv_timeout(PATIENCE).expect("a back-end hears")
    }

    /// Asserts that no back-end heard anything.
    pub fn unheard(&self) {
        match self.heard.try_recv() {
            Err(TryRecvError::Empty) => {}
            other => panic!("a back-end heard {other:?}"),
        }
    }

    /// A line of the access log, which ends a case. It must say this.
    pub fn logged(&self, what: &str) -> String {
        let line = self.router.logged();
        assert!(line.contains(what), "not `{what}`: {line}");
        line
    }
}

/// What a back-end without a script does.
pub fn take() -> Vec<Act> {
    vec![Act::Body, Act::Ok("ok")]
}

/// A script of these steps, from its bytes to them.
pub fn sends(bytes: impl AsRef<[u8]>) -> Act {
    Act::Send(bytes.as_ref().to_vec())
}

/// A response with this content, as real ones are: with a Date, so that it may be passed on.
pub fn ok(content: &str) -> Vec<u8> {
    let length = content.len();
    format!("HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: {length}\r\n\r\n{content}").into_bytes()
}

fn serve(index: usize, scripts: Scripts, cuts: Cuts, tell: Sender<Heard>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for (stream, connection) in listener.incoming().map_while(Result::ok).zip(1..) {
            let (scripts, cuts, tell) = (scripts.clone(), cuts.clone(), tell.clone());
            std::thread::spawn(move || {
                let mut peer = Some(Peer::new(stream));
                while let Some(open) = peer.as_mut() {
                    let Ok(head) = open.head() else {
                        return;
                    };
                    let mut acts = {
                        let scripts = scripts.lock().expect("no panic");
                        let target = head.split(' ').nth(1).unwrap_or_default();
                        let found = scripts.get(target).or_else(|| scripts.get(""));
                        found.cloned().unwrap_or_else(take)
                    };
                    open.cuts.clone_from(&cuts.lock().expect("no panic"));
                    let mut heard = Heard {
                        backend: index,
                        connection,
                        head,
                        body: None,
                        bytes: Vec::new(),
                        end: None,
                    };
                    // After an answer, or such an end, the next request may go elsewhere. It comes behind what is told
                    // here, so that this is told before what is heard there.
                    let ends = matches!(acts.last(), Some(Act::Ok(_) | Act::Reset | Act::Drop));
                    let end = acts.split_off(acts.len() - usize::from(ends));
                    play(&mut peer, &acts, &mut heard);
                    // The test may be over.
                    let _over = tell.send(heard.clone());
                    play(&mut peer, &end, &mut heard);
                }
            });
        }
    });
    address
}

fn accept(peer: &mut Peer, heard: &Heard) {
    if heard.field("Expect").is_some() {
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    }
}

fn play(peer: &mut Option<Peer>, acts: &[Act], heard: &mut Heard) {
    for act in acts {
        if let Act::IfAsked(acts) = act {
            if heard.field("Expect").is_some() {
                return play(peer, acts, heard);
            }
            continue;
        }
        let Some(open) = peer.as_mut() else {
            return;
        };
        let end = match act {
            Act::Send(bytes) => {
                open.send(bytes);
                None
            }
            Act::IfAsked(_) => None,
            Act::Accept => {
                accept(open, heard);
                None
            }
            Act::Ok(content) => {
                let whole = ok(content);
                let head = whole.len() - content.len();
                let bodyless = heard.head.starts_with("HEAD ");
                open.send(
                    whole
                        .get(..if bodyless { head } else { whole.len() })
                        .expect("a part"),
                );
                None
            }
            Act::Body | Act::Rest => {
                if matches!(act, Act::Body) {
                    accept(open, heard);
                }
                let body = open.request_body(&heard.head);
                let cut = body.cut;
                heard.body = Some(body);
                cut
            }
            Act::Take(n) => {
                let (bytes, end) = open.exactly(*n);
                heard.bytes.extend(bytes);
                // A FIN ends one direction only.
                end.filter(|end| *end == End::Reset)
            }
            Act::Drop => {
                *peer = None;
                None
            }
            Act::Fin => {
                open.half_close();
                let (bytes, end) = open.rest();
                heard.bytes.extend(bytes);
                Some(end)
            }
            Act::End => {
                let (bytes, end) = open.rest();
                heard.bytes.extend(bytes);
                Some(end)
            }
            Act::Reset => {
                if let Some(open) = peer.take() {
                    open.reset();
                }
                None
            }
        };
        if end.is_some() {
            heard.end = end;
            *peer = None;
        }
    }
}
