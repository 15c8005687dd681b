// SPDX-License-Identifier: GPL-2.0
//! A rival that knows nothing of HTTP: `splice-relay LISTEN BACKEND` joins each client's connection
//! with one to the back-end, and moves bytes between them by splice(2), through a pipe of
//! 1 MiB for each direction. Says `listening` when it does. One process, one thread.
//!
//! It is what forwarding by splice costs at least; it is no proxy to be used.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{connect, socket_with, AddressFamily, SocketFlags, SocketType};
use rustix::pipe::{fcntl_setpipe_size, pipe_with, splice, PipeFlags, SpliceFlags};
use underpass_bench::poll::{Interest, Poll};
use underpass_bench::{Failure, BACKLOG};

const PIPE: usize = 1 << 20;
/// The listener's number. Pair N has the numbers 2N (client) and 2N + 1 (back-end).
const LISTENER: u64 = 0;

/// One direction: from a socket through the pipe to the other socket.
struct Lane {
    into: OwnedFd,
    out: OwnedFd,
    inside: usize,
    ended: bool,
}

impl Lane {
    fn new() -> Result<Self, Errno> {
        let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&into, PIPE)?;
        Ok(Self {
            into,
            out,
            inside: 0,
            ended: false,
        })
    }

    /// Moves what there is, until one side has to wait.
    fn go(&mut self, from: &TcpStream, to: &TcpStream) -> Result<(), Failure> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        loop {
            if self.inside == 0 {
                if self.ended {
                    return Ok(());
                }
                match splice(from, None, &self.into, None, PIPE, flags) {
                    Ok(0) => {
                        self.ended = true;
                        return Ok(to.shutdown(Shutdown::Write)?);
                    }
                    Ok(n) => self.inside = n,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(e) => return Err(e.into()),
                }
            }
            match splice(&self.out, None, to, None, self.inside, flags) {
                Ok(n) => self.inside -= n,
                Err(Errno::AGAIN) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// A client's connection and the back-end's.
struct Pair {
    sockets: [TcpStream; 2],
    /// The lane from each of them.
    lanes: [Lane; 2],
    waits_for: [Interest; 2],
}

impl Pair {
    fn interest(&self, side: usize) -> Interest {
        let mut interest = Interest::empty();
        if self.lanes[side].inside == 0 && !self.lanes[side].ended {
            interest |= Interest::IN;
        }
        if self.lanes[1 - side].inside > 0 {
            interest |= Interest::OUT;
        }
        interest
    }

    /// Moves what can be moved. False when both directions have ended.
    fn turn(&mut self, side: usize, ready: Interest) -> Result<bool, Failure> {
        let [client, back] = &self.sockets;
        let ends = [(client, back), (back, client)];
        if ready.intersects(Interest::IN | Interest::HUP | Interest::ERR) {
            self.lanes[side].go(ends[side].0, ends[side].1)?;
        }
        if ready.contains(Interest::OUT) {
            self.lanes[1 - side].go(ends[1 - side].0, ends[1 - side].1)?;
        }
        Ok(!self.lanes.iter().all(|lane| lane.ended))
    }
}

fn pair(client: TcpStream, backend: SocketAddr) -> Result<Pair, Failure> {
    client.set_nonblocking(true)?;
    client.set_nodelay(true)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let back = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&back, &backend) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(e) => return Err(format!("{backend}: {e}").into()),
    }
    let back = TcpStream::from(back);
    back.set_nodelay(true)?;
    // Not from the client before the back-end is there.
    let waits_for = [Interest::empty(), Interest::OUT];
    Ok(Pair {
        sockets: [client, back],
        lanes: [Lane::new()?, Lane::new()?],
        waits_for,
    })
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, backend] = &arguments[..] else {
        return Err("usage: splice-relay LISTEN BACKEND".into());
    };
    let backend: SocketAddr = backend.parse()?;
    let listener = TcpListener::bind(listen)?;
    // So many connect at once in `make bench-growth`.
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Interest::IN)?;
    println!("listening");
    let mut pairs: HashMap<u64, Pair> = HashMap::new();
    let mut last = 0;
    loop {
        for (number, ready) in poll.wait()? {
            if number == LISTENER {
                let (client, _) = listener.accept()?;
                last += 1;
                let pair = pair(client, backend)?;
                for (side, socket) in (0..).zip(&pair.sockets) {
                    poll.add(
                        socket,
                        2 * last + side,
                        pair.waits_for[usize::try_from(side)?],
                    )?;
                }
                pairs.insert(last, pair);
                continue;
            }
            let (id, side) = (number / 2, usize::try_from(number % 2)?);
            let Some(pair) = pairs.get_mut(&id) else {
                continue;
            };
            let goes_on = pair.turn(side, ready).unwrap_or_else(|failure| {
                // The next client shall have its turn.
                eprintln!("splice-relay: pair {id}: {failure}");
                false
            });
            if !goes_on {
                pairs.remove(&id);
                continue;
            }
            for (side, number) in [(0, 2 * id), (1, 2 * id + 1)] {
                let interest = pair.interest(side);
                if interest != pair.waits_for[side] {
                    poll.change(&pair.sockets[side], number, interest)?;
                    pair.waits_for[side] = interest;
                }
            }
        }
    }
}
