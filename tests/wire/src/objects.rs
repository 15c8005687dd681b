// SPDX-License-Identifier: GPL-2.0
//! Routers, listeners and queues: how they come, what they show, how they go.

use crate::client::{u32, Client, Failure, Message};
use crate::numbers::{cmd, listener, queue, router, side, state, stats};
use crate::scene::{good, until};
use crate::sockets::{connect, end, listening, pair, End, V4, V6};
use crate::tap::Tap;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

/// Checks of this file. They need a namespace in which nothing happened yet.
pub const PLAN: u32 = 26;

fn address(message: &Message, ip: u16, port: u16) -> Option<SocketAddr> {
    let bytes = message.attrs.get(&ip)?;
    let ip: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(&bytes[..]).ok()?.into(),
        _ => <[u8; 16]>::try_from(&bytes[..]).ok()?.into(),
    };
    Some(SocketAddr::new(ip, message.get(port)? as u16))
}

fn ids(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(Message::id).collect()
}

/// What objects show, whichever command was answered with them.
fn shown(messages: &[Message]) -> Vec<BTreeMap<u16, Vec<u8>>> {
    messages.iter().map(|m| m.attrs.clone()).collect()
}

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut client = Client::new()?;
    routers(tap, &mut client)?;
    let listener = listeners(tap, &mut client)?;
    queues(tap, &mut client, listener)
}

fn routers(tap: &mut Tap, client: &mut Client) -> Result<(), Failure> {
    tap.equal(
        "no routers at first",
        good(client.dump(cmd::ROUTER_GET)?)?,
        vec![],
    );
    let zero = good(client.call(cmd::STATS_GET, &[])?)?.remove(0);
    let counters: Vec<_> = (stats::ACCEPTED..=stats::QUEUES)
        .map(|n| zero.get(n))
        .collect();
    tap.equal(
        "all counters are there, and zero",
        counters,
        vec![Some(0); 10],
    );

    let terms = [u32(router::CREDIT, 7), u32(router::GRACE, 0)];
    let mine = good(client.call(cmd::ROUTER_ATTACH, &terms)?)?.remove(0);
    let agreed = (mine.get(router::CREDIT), mine.get(router::GRACE));
    tap.equal(
        "router-attach: credit and grace",
        agreed,
        (Some(7), Some(0)),
    );
    tap.ok("router-attach: an id", mine.id() > 0, || {
        format!("{mine:?}")
    });
    let port = u64::from(client.port()?);
    tap.equal(
        "router-attach: the socket's port",
        mine.get(router::PORT),
        Some(port),
    );
    tap.equal(
        "router-attach: protocol 1",
        mine.get(router::PROTOCOL),
        Some(1),
    );
    let counts = [
        router::HEADS_OUT,
        router::WAITING,
        router::OVERFLOWS,
        router::QUEUES,
        router::LISTENERS,
    ];
    let got = counts.map(|n| mine.get(n));
    tap.equal("router-attach: nothing of its own yet", got, [Some(0); 5]);
    let one = good(client.call(cmd::ROUTER_GET, &[u32(router::ID, mine.id())])?)?;
    tap.equal("router-get", shown(&one), vec![mine.attrs.clone()]);
    tap.equal(
        "router-get, dump",
        good(client.dump(cmd::ROUTER_GET)?)?,
        one,
    );

    let mut other = Client::new()?;
    let theirs = good(other.call(cmd::ROUTER_ATTACH, &[])?)?.remove(0);
    let agreed = (theirs.get(router::CREDIT), theirs.get(router::GRACE));
    tap.equal(
        "router-attach: defaults",
        agreed,
        (Some(1024), Some(30_000)),
    );
    let detach = [u32(router::GRACE, 0)];
    let answer = good(other.call(cmd::ROUTER_DETACH, &detach)?)?;
    tap.equal("router-detach", answer, vec![]);
    let alone = |all: &[Message]| ids(all) == [mine.id()];
    until(client, cmd::ROUTER_GET, alone)?;
    good(other.call(cmd::ROUTER_ATTACH, &[])?)?;
    drop(other);
    until(client, cmd::ROUTER_GET, alone)?;
    tap.ok("a closed socket is no router", true, String::new);
    Ok(())
}

fn listeners(tap: &mut Tap, client: &mut Client) -> Result<(u32, SocketAddr), Failure> {
    let port = u64::from(client.port()?);
    let routers = good(client.dump(cmd::ROUTER_GET)?)?;
    let me = routers.iter().find(|r| r.get(router::PORT) == Some(port));
    let me = me.ok_or("this socket is no router")?.id();

    let socket = listening(V4)?;
    let local = socket.local_addr()?;
    let fd = u32(listener::FD, socket.as_raw_fd() as u32);
    let first = good(client.call(cmd::LISTENER_ADD, &[fd])?)?.remove(0);
    drop(socket);
    let got = (
        first.get(listener::ROUTER),
        first.get(listener::HEAD_LIMIT),
        first.get(listener::ACCEPTED),
    );
    let expected = (Some(u64::from(me)), Some(32_768), Some(0));
    tap.equal("listener-add: owner, limit, count", got, expected);
    let got = address(&first, listener::ADDRESS, listener::PORT);
    tap.equal("listener-add: address", got, Some(local));

    let socket = listening(V6)?;
    let attrs = [
        u32(listener::FD, socket.as_raw_fd() as u32),
        u32(listener::HEAD_LIMIT, 4096),
    ];
    let second = good(client.call(cmd::LISTENER_ADD, &attrs)?)?.remove(0);
    let got = (
        address(&second, listener::ADDRESS, listener::PORT),
        second.get(listener::HEAD_LIMIT),
    );
    tap.equal(
        "listener-add: IPv6, and a limit",
        got,
        (Some(socket.local_addr()?), Some(4096)),
    );
    let by_id = good(client.call(cmd::LISTENER_GET, &[u32(listener::ID, second.id())])?)?;
    tap.equal("listener-get", shown(&by_id), vec![second.attrs.clone()]);
    let all = good(client.dump(cmd::LISTENER_GET)?)?;
    tap.equal(
        "listener-get, dump",
        shown(&all),
        vec![first.attrs.clone(), second.attrs.clone()],
    );
    good(client.call(cmd::LISTENER_DEL, &[u32(listener::ID, second.id())])?)?;
    let all = good(client.dump(cmd::LISTENER_GET)?)?;
    tap.equal("listener-del", ids(&all), vec![first.id()]);
    Ok((first.id(), local))
}

fn queues(
    tap: &mut Tap,
    client: &mut Client,
    (listener, at): (u32, SocketAddr),
) -> Result<(), Failure> {
    let visitor = connect(at)?;
    let front = until(client, cmd::QUEUE_GET, |all| all.len() == 1)?.remove(0);
    let got = [
        queue::SIDE,
        queue::LISTENER,
        queue::STATE,
        queue::GENERATION,
    ]
    .map(|n| front.get(n));
    let expected = [side::FRONT, u64::from(listener), state::COLLECTING, 0].map(Some);
    tap.equal("a connection becomes a front queue", got, expected);
    let got = (
        address(&front, queue::PEER_ADDRESS, queue::PEER_PORT),
        address(&front, queue::LOCAL_ADDRESS, queue::LOCAL_PORT),
    );
    tap.equal(
        "its addresses",
        got,
        (Some(visitor.local_addr()?), Some(at)),
    );

    let mut made = Vec::new();
    for ip in [V4, V6] {
        let (near, far) = pair(ip)?;
        let attrs = [
            u32(queue::FD, near.as_raw_fd() as u32),
            u32(queue::SIDE, side::BACK as u32),
            u32(queue::HEAD_LIMIT, 64),
        ];
        let back = good(client.call(cmd::QUEUE_ADD, &attrs)?)?.remove(0);
        let got = [
            queue::SIDE,
            queue::LISTENER,
            queue::STATE,
            queue::HEAD_LIMIT,
        ];
        let got = got.map(|n| back.get(n));
        let addresses = (
            address(&back, queue::PEER_ADDRESS, queue::PEER_PORT),
            address(&back, queue::LOCAL_ADDRESS, queue::LOCAL_PORT),
        );
        let expected = [Some(side::BACK), None, Some(state::COLLECTING), Some(64)];
        let real = (Some(far.local_addr()?), Some(far.peer_addr()?));
        let name = format!("queue-add: a back queue, {ip}");
        tap.equal(&name, (got, addresses), (expected, real));
        made.push((far, back));
    }
    let one = good(client.call(cmd::QUEUE_GET, &[u32(queue::ID, made[0].1.id())])?)?;
    tap.equal("queue-get", shown(&one), vec![made[0].1.attrs.clone()]);

    let counted = good(client.call(cmd::STATS_GET, &[])?)?.remove(0);
    let got = [stats::ACCEPTED, stats::ADDED, stats::QUEUES].map(|n| counted.get(n));
    tap.equal("stats-get counts them", got, [1, 2, 3].map(Some));

    drop(visitor);
    until(client, cmd::QUEUE_GET, |all| all.len() == 2)?;
    let events = client.events_waiting(|_| true);
    tap.equal(
        "a client that leaves before its first head vanishes",
        events,
        0,
    );

    let mut ends = Vec::new();
    for (far, back) in &mut made {
        good(client.call(cmd::QUEUE_ABORT, &[u32(queue::ID, back.id())])?)?;
        ends.push(end(far)?);
    }
    tap.equal("queue-abort resets", ends, vec![End::Reset, End::Reset]);
    Ok(())
}
