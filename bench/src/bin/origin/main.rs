// SPDX-License-Identifier: GPL-2.0
//! The back-end of every rival: `origin ADDRESS`. Says `listening` when it does.
//!
//!     PUT /SEED          takes the body, and answers 200 when it is in
//!     PUT /check/SEED    the same, and tells whether the body is that of this seed
//!     GET /SIZE/SEED     answers with the body of that seed and size
//!
//! `Expect: 100-continue` is answered at once. One process, one thread. It must not spend
//! more on one rival than on another: it looks at nothing but the method, the target, the
//! length and the expectation. A connection that says something else is closed, loudly.
#![forbid(unsafe_code)]

mod connection;

use std::collections::HashMap;
use std::net::TcpListener;

use connection::{Connection, Next};
use underpass_bench::content::Content;
use underpass_bench::poll::{Interest, Poll};
use underpass_bench::{Failure, BACKLOG, CHUNK};

/// The listener's number; connections count from 1.
const LISTENER: u64 = 0;

fn main() -> Result<(), Failure> {
    let address = std::env::args().nth(1).ok_or("usage: origin ADDRESS")?;
    let listener = TcpListener::bind(address)?;
    // So many connect at once in `make bench-growth`.
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Interest::IN)?;
    println!("listening");

    let content = Content::new();
    let mut buffer = vec![0; CHUNK];
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut last = LISTENER;
    loop {
        for (number, ready) in poll.wait()? {
            if number == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                last += 1;
                poll.add(&stream, last, Interest::IN)?;
                connections.insert(last, Connection::new(stream));
                continue;
            }
            let Some(connection) = connections.get_mut(&number) else {
                continue;
            };
            let before = connection.interest();
            match connection.turn(ready, &mut buffer, &content) {
                Ok(Next::Wait) if connection.interest() != before => {
                    poll.change(&connection.stream, number, connection.interest())?;
                }
                Ok(Next::Wait) => {}
                Ok(Next::Close) => {
                    connections.remove(&number);
                }
                Err(failure) => {
                    eprintln!("origin: connection {number}: {failure}");
                    connections.remove(&number);
                }
            }
        }
    }
}
