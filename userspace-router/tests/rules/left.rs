// SPDX-License-Identifier: GPL-2.0
//! What a router has left behind: its queues in the kernel, or its sockets with the engine `user`.
//!
//! A queue whose connection was reset is in no table of sockets, hence the module's own count.

use std::time::Instant;

use netlink_sys::{protocols::NETLINK_GENERIC, Socket, SocketAddr};
use underpass_proto::{family, messages, Command, Content, Reply};

use crate::support::{engine, Router, PATIENCE};

/// A router, and what it holds before anybody connects.
pub struct Left {
    pid: u32,
    before: usize,
}

impl Left {
    pub fn of(router: &Router) -> Self {
        let pid = router.pid();
        Self {
            pid,
            before: held(pid),
        }
    }

    /// Waits until no more than so many connections are left.
    pub fn until_at_most(&self, most: usize, case: &str) {
        let began = Instant::now();
        loop {
            let left = held(self.pid).saturating_sub(self.before);
            if left <= most {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{case}: {left} are left");
            std::thread::yield_now();
        }
    }
}

fn held(pid: u32) -> usize {
    match engine().as_str() {
        "kernel" => queues(pid),
        _ => descriptors(pid),
    }
}

fn descriptors(pid: u32) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("procfs");
    folder.count()
}

/// The count of the router that this process is.
fn queues(pid: u32) -> usize {
    let mut socket = Socket::new(NETLINK_GENERIC).expect("a netlink socket");
    socket.bind_auto().expect("a port");
    let kernel = SocketAddr::new(0, 0);
    let ask = |bytes: &[u8]| {
        socket.send_to(bytes, &kernel, 0).expect("a question");
        socket.recv_from_full().expect("an answer").0
    };
    let number = family::answer(&ask(&family::request(1))).expect("the family");
    let mut question = Vec::new();
    Command::RouterDump
        .append(number, 2, false, &mut question)
        .expect("a question");
    let mut found = None;
    let mut page = ask(&question);
    loop {
        for message in messages(&page, number) {
            match message.expect("a message").content {
                // The first netlink socket of a process has its number.
                Content::Reply(Reply::Router(router)) if router.port == pid => {
                    found = Some(router.queues as usize);
                }
                Content::Reply(_) => {}
                Content::DumpEnd => return found.expect("the router is attached"),
                other => panic!("{other:?}"),
            }
        }
        page = socket.recv_from_full().expect("an answer").0;
    }
}
