// SPDX-License-Identifier: GPL-2.0
//! The kernel's own view of the router's sockets: what has arrived there, and what is gone.
//!
//! It is for waiting until something is so; no test's verdict depends on it.

use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Instant;

use netlink_sys::{protocols::NETLINK_SOCK_DIAG, Socket};

use crate::support::PATIENCE;

/// How often it is looked whether bytes were read.
const ROUNDS: usize = 30;

/// One line of /proc/net/tcp.
struct Line {
    remote: u16,
    /// 1: established.
    state: u8,
}

fn all() -> Vec<Line> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
    table
        .lines()
        .skip(1)
        .map(|line| parse(line).expect("a line"))
        .collect()
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split_whitespace().skip(2);
    let (_, port) = words.next()?.split_once(':')?;
    Some(Line {
        remote: u16::from_str_radix(port, 16).ok()?,
        state: u8::from_str_radix(words.next()?, 16).ok()?,
    })
}

/// Waits until no connection to this port is established any more.
pub fn until_none_to(port: u16) {
    let began = Instant::now();
    while all()
        .iter()
        .any(|socket| socket.remote == port && socket.state == 1)
    {
        assert!(
            began.elapsed() < PATIENCE,
            "a connection to {port} lives on"
        );
        std::thread::yield_now();
    }
}

/// Gives the other end the time to read what was sent, so that it sees it as a segment of
/// its own. It may have reasons to leave it in its socket, so this does not insist. The
/// module looks at each segment as it arrives, which over loopback is while it is sent.
pub fn give_time_to_read(stream: &TcpStream) {
    if std::env::var_os("UNDERPASS_ENGINE").is_some_and(|engine| engine == "kernel") {
        return;
    }
    let ends = (stream.peer_addr(), stream.local_addr());
    let (Ok(SocketAddr::V4(theirs)), Ok(SocketAddr::V4(ours))) = ends else {
        return;
    };
    let diagnosis = Socket::new(NETLINK_SOCK_DIAG).expect("a netlink socket");
    let question = ask_about(theirs, ours);
    let kernel = netlink_sys::SocketAddr::new(0, 0);
    for _ in 0..ROUNDS {
        diagnosis
            .send_to(&question, &kernel, 0)
            .expect("a question");
        let (answer, _) = diagnosis.recv_from_full().expect("an answer");
        // `idiag_rqueue`, behind both heads; an error, which is shorter, says that it is gone.
        if answer.get(72..76).is_none_or(|unread| unread == [0; 4]) {
            return;
        }
        std::thread::yield_now();
    }
}

/// A netlink message with a `struct inet_diag_req_v2` about this one connection.
fn ask_about(local: SocketAddrV4, remote: SocketAddrV4) -> Vec<u8> {
    const LENGTH: u32 = 72;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const REQUEST: u16 = 1;
    let mut out = Vec::new();
    out.extend(LENGTH.to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    // AF_INET, IPPROTO_TCP, nothing further, all states.
    out.extend([2, 6, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    out.extend(local.port().to_be_bytes());
    out.extend(remote.port().to_be_bytes());
    for end in [local, remote] {
        out.extend(end.ip().octets());
        out.extend([0; 12]);
    }
    // Any interface, no cookie.
    out.extend([0; 4]);
    out.extend([0xff; 8]);
    out
}
