// SPDX-License-Identifier: GPL-2.0
//! The kernel's own view of the router's sockets: what has arrived there, and what is gone.
//!
//! It is for waiting until something is so; no test's verdict depends on it.

use std::time::Instant;

use crate::support::PATIENCE;

/// One line of /proc/net/tcp.
struct Socket {
    remote: u16,
    /// 1: established.
    state: u8,
}

fn all() -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
    table
        .lines()
        .skip(1)
        .map(|line| parse(line).expect("a line"))
        .collect()
}

fn parse(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(2);
    let (_, port) = words.next()?.split_once(':')?;
    Some(Socket {
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
