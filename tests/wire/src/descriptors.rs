// SPDX-License-Identifier: GPL-2.0
//! Descriptors that cannot become a listener or a queue: refused, and without effect.

use crate::client::{u32, Failure};
use crate::numbers::errno::*;
use crate::numbers::{cmd, listener, queue};
use crate::refusals::all;
use crate::scene::Scene;
use crate::sockets::{fresh_namespace, listening, pair, V4};
use crate::tap::Tap;
use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// Checks of this file.
pub const PLAN: u32 = 16;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let scene = &mut Scene::new()?;
    let listen = |fd: RawFd| vec![u32(listener::FD, fd as u32)];
    let add = |fd: RawFd| vec![u32(queue::FD, fd as u32), u32(queue::SIDE, 2)];
    let file = File::open("/proc/self/exe")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let (unix, _peer) = UnixStream::pair()?;
    let fresh = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    let listens = listening(V4)?;
    let (near, _far) = pair(V4)?;
    let bad = 1_000_000;
    // Made in another thread, which alone moves to the other namespace.
    let (far_listener, (far_near, _far_far)) = std::thread::spawn(|| {
        fresh_namespace().map_err(|e| e.to_string())?;
        let made = listening(V4).and_then(|l| Ok((l, pair(V4)?)));
        made.map_err(|e| e.to_string())
    })
    .join()
    .map_err(|_| "the thread panicked")??;
    let cases = vec![
        (
            "listener-add: no such fd",
            EBADF,
            cmd::LISTENER_ADD,
            listen(bad),
        ),
        (
            "listener-add: a file",
            ENOTSOCK,
            cmd::LISTENER_ADD,
            listen(file.as_raw_fd()),
        ),
        (
            "listener-add: UDP",
            EPROTONOSUPPORT,
            cmd::LISTENER_ADD,
            listen(udp.as_raw_fd()),
        ),
        (
            "listener-add: a Unix socket",
            EPROTONOSUPPORT,
            cmd::LISTENER_ADD,
            listen(unix.as_raw_fd()),
        ),
        (
            "listener-add: not listening",
            EINVAL,
            cmd::LISTENER_ADD,
            listen(fresh.as_raw_fd()),
        ),
        (
            "listener-add: connected",
            EINVAL,
            cmd::LISTENER_ADD,
            listen(near.as_raw_fd()),
        ),
        (
            "listener-add: another namespace",
            EXDEV,
            cmd::LISTENER_ADD,
            listen(far_listener.as_raw_fd()),
        ),
        ("queue-add: no such fd", EBADF, cmd::QUEUE_ADD, add(bad)),
        (
            "queue-add: a file",
            ENOTSOCK,
            cmd::QUEUE_ADD,
            add(file.as_raw_fd()),
        ),
        (
            "queue-add: UDP",
            EPROTONOSUPPORT,
            cmd::QUEUE_ADD,
            add(udp.as_raw_fd()),
        ),
        (
            "queue-add: a Unix socket",
            EPROTONOSUPPORT,
            cmd::QUEUE_ADD,
            add(unix.as_raw_fd()),
        ),
        (
            "queue-add: not connected",
            ENOTCONN,
            cmd::QUEUE_ADD,
            add(fresh.as_raw_fd()),
        ),
        (
            "queue-add: listening",
            ENOTCONN,
            cmd::QUEUE_ADD,
            add(listens.as_raw_fd()),
        ),
        (
            "queue-add: another namespace",
            EXDEV,
            cmd::QUEUE_ADD,
            add(far_near.as_raw_fd()),
        ),
    ];
    all(tap, scene, cases)?;
    scene.call(cmd::LISTENER_ADD, &listen(listens.as_raw_fd()))?;
    scene.call(cmd::QUEUE_ADD, &add(near.as_raw_fd()))?;
    let twice = vec![
        (
            "listener-add: adopted already",
            EBUSY,
            cmd::LISTENER_ADD,
            listen(listens.as_raw_fd()),
        ),
        (
            "queue-add: adopted already",
            EBUSY,
            cmd::QUEUE_ADD,
            add(near.as_raw_fd()),
        ),
    ];
    all(tap, scene, twice)
}
