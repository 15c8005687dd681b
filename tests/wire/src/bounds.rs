// SPDX-License-Identifier: GPL-2.0
//! How many objects there may be: of a router, and of a network namespace.

use crate::client::{u32, Client, Failure};
use crate::numbers::errno::{ENOSPC, ERANGE};
use crate::numbers::{cmd, listener, queue, router, side, stats};
use crate::refusals::all;
use crate::scene::{good, refused, until, Scene, GET};
use crate::sockets::{connect, listening, pair, V4};
use crate::tap::Tap;
use std::io::Write;
use std::os::fd::AsRawFd;

/// Checks of this file.
pub const PLAN: u32 = 19;

/// Routers of a namespace at once.
const ROUTERS: usize = 256;
/// Listeners of a namespace at once.
const LISTENERS: usize = 1024;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    terms(tap)?;
    queues(tap)?;
    room_for_back_ends(tap)?;
    routers(tap)?;
    listeners(tap)
}

fn terms(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let most = scene.info()?.get(router::QUEUES_MAX);
    tap.equal("router-attach: queues-max, default", most, Some(1 << 17));
    let case = |name, most| {
        (
            name,
            ERANGE,
            cmd::ROUTER_ATTACH,
            vec![u32(router::QUEUES_MAX, most)],
        )
    };
    let cases = [("queues-max 0", 0), ("queues-max too large", (1 << 20) + 1)];
    let cases = cases.map(|(name, most)| case(name, most));
    all(tap, &mut scene, cases.into())
}

fn queues(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::with(&[u32(router::QUEUES_MAX, 2), u32(router::GRACE, 0)])?;
    let most = scene.info()?.get(router::QUEUES_MAX);
    tap.equal("router-attach: queues-max, as given", most, Some(2));
    let (_first, head) = scene.front(GET)?;
    let (_second, _) = scene.front(GET)?;
    let mut third = connect(scene.address)?;
    third.write_all(GET)?;
    let (near, _far) = pair(V4)?;
    let add = [
        u32(queue::FD, near.as_raw_fd() as u32),
        u32(queue::SIDE, side::BACK as u32),
    ];
    let name = "queue-add: more than queues-max";
    scene.refused(tap, name, ENOSPC, cmd::QUEUE_ADD, &add)?;
    let at = scene.about(cmd::LISTENER_GET, scene.listener)?.remove(0);
    let got = (
        at.get(listener::ACCEPTED),
        scene.info()?.get(router::QUEUES),
        scene.stats()?[&stats::REFUSED],
    );
    let waits = "a connection more is not accepted, and not lost";
    tap.equal(waits, got, (Some(2), Some(2), 0));
    scene.call(cmd::QUEUE_ABORT, &[u32(queue::ID, head.id())])?;
    let port = u64::from(third.local_addr()?.port());
    let next = scene
        .client
        .event_where(|e| e.number == cmd::HEAD && e.get(queue::PEER_PORT) == Some(port))?;
    tap.ok("it is, once there is room", next.id() != head.id(), || {
        format!("{next:?}")
    });
    scene.refused(
        tap,
        "and then it is full again",
        ENOSPC,
        cmd::QUEUE_ADD,
        &add,
    )?;

    let router = scene.router;
    let mut heir = Client::new()?;
    let more = [u32(router::ID, router), u32(router::QUEUES_MAX, 3)];
    let reply = good(heir.call(cmd::ROUTER_TAKEOVER, &more)?)?.remove(0);
    let most = reply.get(router::QUEUES_MAX);
    tap.equal("router-takeover: queues-max, as given", most, Some(3));
    let added = good(heir.call(cmd::QUEUE_ADD, &add)?)?.len();
    tap.equal("queue-add: there is room again", added, 1);
    good(heir.call(cmd::ROUTER_DETACH, &[u32(router::GRACE, 0)])?)?;
    Ok(())
}

fn room_for_back_ends(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::with(&[u32(router::QUEUES_MAX, 8), u32(router::GRACE, 0)])?;
    let mut clients = Vec::new();
    for _ in 0..7 {
        clients.push(scene.front(GET)?);
    }
    let waits = connect(scene.address)?;
    let mut backs = Vec::new();
    backs.push(scene.back()?);
    let at = scene.about(cmd::LISTENER_GET, scene.listener)?.remove(0);
    let got = (
        at.get(listener::ACCEPTED),
        scene.info()?.get(router::QUEUES),
    );
    let name = "clients leave an eighth of the queues for back-ends";
    tap.equal(name, got, (Some(7), Some(8)));
    let left = clients.remove(0).1.id();
    scene.call(cmd::QUEUE_ABORT, &[u32(queue::ID, left)])?;
    backs.push(scene.back()?);
    let queues = scene.info()?.get(router::QUEUES);
    let name = "who waits takes no place that a back-end needs";
    tap.equal(name, queues, Some(8));
    drop((waits, backs));
    Ok(())
}

fn routers(tap: &mut Tap) -> Result<(), Failure> {
    let scene = Scene::new()?;
    let mut others = Vec::new();
    for _ in 1..ROUTERS {
        let mut client = Client::new()?;
        good(client.call(cmd::ROUTER_ATTACH, &[])?)?;
        others.push(client);
    }
    tap.equal("256 routers", others.len(), ROUTERS - 1);
    let mut late = Client::new()?;
    let attach = (cmd::ROUTER_ATTACH, &[][..]);
    refused(tap, &mut late, "not one more", ENOSPC, attach)?;
    drop(others.pop());
    until(&mut late, cmd::ROUTER_GET, |all| all.len() < ROUTERS)?;
    let attached = good(late.call(cmd::ROUTER_ATTACH, &[])?)?.len();
    tap.equal("one more when another has gone", attached, 1);
    drop(scene);
    Ok(())
}

fn listeners(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    for _ in 1..LISTENERS {
        // Its descriptor is closed at once, so no limit of these counts it.
        scene.listen(&[])?;
    }
    let many = scene.info()?.get(router::LISTENERS);
    tap.equal("1024 listeners", many, Some(LISTENERS as u64));
    let socket = listening(V4)?;
    let add = [u32(listener::FD, socket.as_raw_fd() as u32)];
    let name = "listener-add: not one more";
    scene.refused(tap, name, ENOSPC, cmd::LISTENER_ADD, &add)?;
    scene.call(cmd::LISTENER_DEL, &[u32(listener::ID, scene.listener)])?;
    let added = scene.call(cmd::LISTENER_ADD, &add)?.len();
    tap.equal("one more when another has gone", added, 1);
    let mut observer = Client::new()?;
    drop(scene);
    until(&mut observer, cmd::LISTENER_GET, |all| all.is_empty())?;
    tap.ok("all of them go with their router", true, String::new);
    Ok(())
}
