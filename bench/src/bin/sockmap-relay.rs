// SPDX-License-Identifier: GPL-2.0
//! A rival that knows nothing of HTTP: `sockmap-relay LISTEN BACKEND PROGRAM` joins each client's
//! connection with one to the back-end in a BPF map of sockets. From then on the kernel moves
//! the bytes, by PROGRAM (sockmap.bpf.c, compiled). Says `listening` when it does.
//!
//! Bytes that came before a socket was in the map are moved here. Between that and the
//! map's first bytes there is a moment in which the order could be lost; a relay to be used
//! would have to close it. The benchmark's check of all bytes would show it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use aya::maps::{MapData, SockHash};
use aya::programs::SkSkb;
use aya::Ebpf;
use underpass_bench::poll::{Interest, Poll};
use underpass_bench::{Failure, CHUNK};

/// The listener's number. Both sockets of pair N have the number N.
const LISTENER: u64 = 0;

/// As in sockmap.bpf.c: the remote port in network byte order, and the local one.
type End = [u32; 2];

fn end(socket: &TcpStream) -> Result<End, Failure> {
    let remote = u32::from(socket.peer_addr()?.port());
    Ok([remote.to_be(), u32::from(socket.local_addr()?.port())])
}

/// Moves what has come.
fn early(mut from: &TcpStream, mut to: &TcpStream, buffer: &mut [u8]) -> Result<(), Failure> {
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Connects to the back-end, and leaves both sockets to the kernel.
fn join(
    client: TcpStream,
    backend: &str,
    peers: &mut SockHash<MapData, End>,
    buffer: &mut [u8],
) -> Result<[TcpStream; 2], Failure> {
    client.set_nonblocking(true)?;
    client.set_nodelay(true)?;
    let back = TcpStream::connect(backend)?;
    back.set_nodelay(true)?;
    // A socket whose bytes come in must find its peer, or they are lost: the back-end says
    // nothing before it was asked, so nothing is passed on before both are there.
    peers.insert(end(&client)?, back.as_raw_fd(), 0)?;
    peers.insert(end(&back)?, client.as_raw_fd(), 0)?;
    early(&client, &back, buffer)?;
    Ok([client, back])
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, backend, program] = &arguments[..] else {
        return Err("usage: sockmap-relay LISTEN BACKEND PROGRAM".into());
    };
    let mut bpf = Ebpf::load_file(program)?;
    let peers = bpf
        .take_map("PEERS")
        .ok_or("the program has no map PEERS")?;
    let mut peers: SockHash<MapData, End> = SockHash::try_from(peers)?;
    let verdict: &mut SkSkb = bpf
        .program_mut("verdict")
        .ok_or("no function 'verdict'")?
        .try_into()?;
    verdict.load()?;
    verdict.attach(&peers.fd().try_clone()?)?;

    let listener = TcpListener::bind(listen)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Interest::IN)?;
    println!("listening");
    let mut buffer = vec![0; CHUNK];
    let mut pairs: HashMap<u64, [TcpStream; 2]> = HashMap::new();
    let mut last = LISTENER;
    loop {
        for (number, _) in poll.wait()? {
            if number != LISTENER {
                // One of them was closed; then so is the other. They leave the map by that.
                pairs.remove(&number);
                continue;
            }
            let (client, _) = listener.accept()?;
            let pair = match join(client, backend, &mut peers, &mut buffer) {
                Ok(pair) => pair,
                Err(failure) => {
                    // The next client shall have its turn.
                    eprintln!("sockmap-relay: {failure}");
                    continue;
                }
            };
            last += 1;
            for socket in &pair {
                poll.add(socket, last, Interest::RDHUP)?;
            }
            pairs.insert(last, pair);
        }
    }
}
