// SPDX-License-Identifier: GPL-2.0
//! Whose objects they are: takeover, grace, credit, overflow, namespaces, privilege.

use crate::client::{bytes, u32, Client, Failure, Message};
use crate::numbers::errno::{ENOENT, EPERM, ESTALE};
use crate::numbers::{cmd, framing, listener, queue, result, router, side, state};
use crate::scene::{forward, good, refused, until, Scene, GET};
use crate::sockets::{body, connect, end, fresh_namespace, read, reset, End};
use crate::tap::Tap;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Checks of this file.
pub const PLAN: u32 = 26;

/// Makes the program only try what nobody without privilege may do.
pub const UNPRIVILEGED: &str = "--unprivileged";

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    takeover(tap)?;
    in_flight(tap)?;
    abandoned(tap)?;
    credit(tap)?;
    overflow(tap)?;
    namespaces(tap)?;
    privilege(tap)?;
    let mut last = Client::new()?;
    until(&mut last, cmd::ROUTER_GET, <[Message]>::is_empty)?;
    let left = good(last.dump(cmd::QUEUE_GET)?)?;
    tap.equal("everything ends with its owners", left, vec![]);
    Ok(())
}

/// A new socket takes over router `id`.
fn take_over(id: u32) -> Result<(Client, Message), Failure> {
    let mut client = Client::new()?;
    let terms = [u32(router::ID, id), u32(router::GRACE, 0)];
    let reply = good(client.call(cmd::ROUTER_TAKEOVER, &terms)?)?.remove(0);
    Ok((client, reply))
}

fn takeover(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::with(&[])?;
    let (mut visitor, head) = scene.front(GET)?;
    let f = head.id();
    drop(scene.client);
    let mut observer = Client::new()?;
    let orphan = until(&mut observer, cmd::ROUTER_GET, |all| {
        all.iter()
            .any(|r| r.id() == scene.router && r.get(router::PORT) == Some(0))
    })?;
    let orphan = orphan.iter().find(|r| r.id() == scene.router);
    let left = orphan.map(|r| (r.get(router::QUEUES), r.get(router::LISTENERS)));
    tap.equal(
        "a router outlives its socket",
        left,
        Some((Some(1), Some(1))),
    );
    let late = connect(scene.address)?;
    until(&mut observer, cmd::QUEUE_GET, |all| {
        all.iter()
            .filter(|q| q.get(queue::ROUTER) == Some(scene.router.into()))
            .count()
            == 2
    })?;
    tap.ok("its listener goes on accepting", true, String::new);

    let (mut client, reply) = take_over(scene.router)?;
    let got = (
        reply.id(),
        reply.get(router::PORT),
        reply.get(router::QUEUES),
    );
    let expected = (scene.router, Some(u64::from(client.port()?)), Some(2));
    tap.equal("router-takeover: the new port", got, expected);
    let again = client.event(cmd::HEAD, f)?;
    let got = (&again.attrs[&queue::HEAD][..], again.get(queue::GENERATION));
    tap.equal("the head comes again, renewed", got, (GET, Some(2)));
    let old = forward(f, 1, None, framing::NONE, 0);
    refused(
        tap,
        &mut client,
        "an answer to the old one",
        ESTALE,
        (cmd::FORWARD, &old),
    )?;
    good(client.call(cmd::FORWARD, &forward(f, 2, None, framing::NONE, 0))?)?;
    visitor.write_all(GET)?;
    let next = client.event(cmd::HEAD, f)?.get(queue::GENERATION);
    tap.equal("and the connection goes on", next, Some(3));

    let (mut third, reply) = take_over(scene.router)?;
    let told = client.event(cmd::OUSTED, scene.router)?;
    tap.equal(
        "ousted: who has it now",
        told.get(router::PORT),
        reply.get(router::PORT),
    );
    let last = third.event(cmd::HEAD, f)?.get(queue::GENERATION);
    tap.equal("and that one gets the head", last, Some(4));
    let late_word = forward(f, 4, None, framing::NONE, 0);
    refused(
        tap,
        &mut client,
        "a command of the former owner",
        EPERM,
        (cmd::FORWARD, &late_word),
    )?;
    drop((late, third));
    Ok(())
}

fn in_flight(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::with(&[])?;
    let sent = body(100_000);
    let (mut visitor, mut server, f, _) = scene.moving(100_000)?;
    visitor.write_all(&sent[..10])?;
    read(&mut server, 10)?;
    drop(scene.client);
    visitor.write_all(&sent[10..])?;
    let arrived = read(&mut server, 99_990)?;
    tap.ok(
        "a body in flight outlives its router",
        arrived == sent[10..],
        || "other bytes".into(),
    );
    let (mut client, _) = take_over(scene.router)?;
    let done = client.event(cmd::DONE, f)?;
    let got = (done.get(queue::RESULT), done.get(queue::TAKEN));
    tap.equal(
        "its end is told to the next",
        got,
        (Some(result::COMPLETE), Some(100_000)),
    );
    Ok(())
}

fn abandoned(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (mut visitor, _) = scene.front(GET)?;
    let router = scene.router;
    drop(scene.client);
    let got = match end(&mut visitor)? {
        End::Fin(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        End::Reset => "reset".into(),
    };
    tap.ok(
        "after the grace time a waiting client gets 503",
        got.starts_with("HTTP/1.1 503 "),
        || got,
    );
    drop(visitor);
    let mut observer = Client::new()?;
    for dump in [cmd::QUEUE_GET, cmd::LISTENER_GET] {
        until(&mut observer, dump, |all| {
            let owner = if dump == cmd::QUEUE_GET {
                queue::ROUTER
            } else {
                listener::ROUTER
            };
            all.iter().all(|o| o.get(owner) != Some(router.into()))
        })?;
    }
    until(&mut observer, cmd::ROUTER_GET, |all| {
        all.iter().all(|r| r.id() != router)
    })?;
    tap.ok("and nothing is left", true, String::new);
    Ok(())
}

fn credit(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::with(&[u32(router::CREDIT, 1), u32(router::GRACE, 0)])?;
    let (first, head) = scene.front(GET)?;
    let mut second = connect(scene.address)?;
    second.write_all(GET)?;
    let router = scene.router;
    scene.until(cmd::QUEUE_GET, |all| {
        let mine = all
            .iter()
            .filter(|q| q.get(queue::ROUTER) == Some(router.into()));
        mine.filter(|q| q.get(queue::STATE) == Some(state::READY))
            .count()
            == 2
    })?;
    let info = scene.until(cmd::ROUTER_GET, |all| {
        all.iter()
            .any(|r| r.id() == router && r.get(router::WAITING) == Some(1))
    })?;
    let mine = info.iter().find(|r| r.id() == router);
    let out = mine.and_then(|r| r.get(router::HEADS_OUT));
    let got = (out, scene.client.events_waiting(|e| e.number == cmd::HEAD));
    tap.equal("above its credit a head waits", got, (Some(1), 0));
    let (mut server, b) = scene.back()?;
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let answers = scene.client.event(cmd::HEAD, b)?.id();
    tap.equal(
        "that of a back-end, which may free it, does not",
        answers,
        b,
    );

    // Whoever comes meanwhile goes to the end of the line.
    let (mut came, mut answered) = (vec![port(&second)?], Vec::new());
    let (mut line, mut up) = (vec![second], head.id());
    for newcomer in [true, true, true, false] {
        if newcomer {
            let mut next = connect(scene.address)?;
            next.write_all(GET)?;
            came.push(port(&next)?);
            line.push(next);
            waiting(&mut scene, 2)?;
        }
        scene.call(cmd::FORWARD, &forward(up, 1, None, framing::NONE, 0))?;
        let next = scene.client.event_where(|e| e.number == cmd::HEAD)?;
        up = next.id();
        answered.extend(next.get(queue::PEER_PORT));
    }
    tap.equal("an answer lets the next one up, in order", answered, came);
    waiting(&mut scene, 0)?;
    tap.ok("and then nobody waits", true, String::new);
    drop(first);
    Ok(())
}

fn port(stream: &TcpStream) -> Result<u64, Failure> {
    Ok(stream.local_addr()?.port().into())
}

/// Until so many queues of the router wait.
fn waiting(scene: &mut Scene, many: u64) -> Result<(), Failure> {
    let router = scene.router;
    scene.until(cmd::ROUTER_GET, |all| {
        all.iter()
            .any(|r| r.id() == router && r.get(router::WAITING) == Some(many))
    })?;
    Ok(())
}

/// A router that does not read: what its socket cannot hold comes later.
fn overflow(tap: &mut Tap) -> Result<(), Failure> {
    const CLIENTS: usize = 40;
    let mut scene = Scene::new()?;
    let mut observer = Client::new()?;
    let (_mover, server, f, b) = scene.moving(6)?;
    scene.client.shrink()?;
    let mut visitors = Vec::new();
    for _ in 0..CLIENTS {
        let mut visitor = connect(scene.address)?;
        visitor.write_all(GET)?;
        visitors.push(visitor);
    }
    let router = scene.router;
    let full = until(&mut observer, cmd::ROUTER_GET, |all| {
        all.iter().any(|r| {
            let told = r.get(router::HEADS_OUT).unwrap_or(0) + r.get(router::WAITING).unwrap_or(0);
            r.id() == router && told == CLIENTS as u64
        })
    })?;
    let me = full.iter().find(|r| r.id() == router);
    let me = me.ok_or("the router is not in the dump")?;
    let numbers = [router::WAITING, router::OVERFLOWS].map(|n| me.get(n).unwrap_or(0));
    tap.ok(
        "a full socket keeps events waiting",
        numbers.iter().all(|n| *n > 0),
        || format!("waiting, overflows: {numbers:?}"),
    );
    reset(server)?;
    let parked = until(&mut observer, cmd::QUEUE_GET, |all| {
        all.iter()
            .any(|q| q.id() == f && q.get(queue::STATE) == Some(state::PARKED))
    })?;
    let to = |all: &[Message]| all.iter().find(|q| q.id() == f)?.get(queue::TO);
    tap.equal(
        "a parked queue whose done waits has its target",
        to(&parked),
        Some(b.into()),
    );
    let mut told = BTreeSet::new();
    while told.len() < CLIENTS {
        told.insert(scene.client.event_where(|e| e.number == cmd::HEAD)?.id());
    }
    tap.ok("every one of them comes in the end", true, String::new);
    scene.client.event(cmd::DONE, f)?;
    let parked = good(observer.dump(cmd::QUEUE_GET)?)?;
    tap.equal("and then it has none", to(&parked), None);
    Ok(())
}

fn namespaces(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (_visitor, head) = scene.front(GET)?;
    let id = head.id();
    let seen = std::thread::spawn(move || {
        let look = || -> Result<_, Failure> {
            fresh_namespace()?;
            let mut other = Client::new()?;
            let dumps = [cmd::ROUTER_GET, cmd::LISTENER_GET, cmd::QUEUE_GET];
            let mut found = 0;
            for dump in dumps {
                found += good(other.dump(dump)?)?.len();
            }
            let abort = other.call(cmd::QUEUE_ABORT, &[u32(queue::ID, id)])?;
            Ok((found, abort.map_err(|r| r.errno)))
        };
        look().map_err(|e| e.to_string())
    });
    let (found, abort) = seen.join().map_err(|_| "the thread panicked")??;
    tap.equal("another namespace shows nothing of this one", found, 0);
    tap.equal("nor can it touch anything", abort, Err(ENOENT));
    Ok(())
}

fn privilege(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let (_visitor, head) = scene.front(GET)?;
    let before = scene.queue(head.id())?;
    // Neither root nor with its capabilities, and in the same namespace.
    let output = Command::new("/proc/self/exe")
        .args([UNPRIVILEGED, &head.id().to_string()])
        .uid(65_534)
        .gid(65_534)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    tap.ok(
        "without privilege everything is EPERM",
        output.status.success(),
        || text,
    );
    tap.equal("and without effect", scene.queue(head.id())?, before);
    Ok(())
}

/// What the program does with [`UNPRIVILEGED`]: fails if anything is not refused.
pub fn unprivileged(id: &str) -> Result<ExitCode, Failure> {
    let id = id.parse()?;
    let mut client = Client::new()?;
    let mut allowed = false;
    let everything = [
        u32(queue::ID, id),
        u32(queue::GENERATION, 1),
        u32(queue::FRAMING, framing::NONE as u32),
        u32(queue::SIDE, side::BACK as u32),
        bytes(queue::DATA, b"x"),
    ];
    for number in cmd::ROUTER_ATTACH..=cmd::STATS_GET {
        let answer = client.call(number, &everything)?.map_err(|r| r.errno);
        if answer != Err(EPERM) {
            allowed = true;
            println!("command {number}: {answer:?}");
        }
    }
    for number in [cmd::ROUTER_GET, cmd::LISTENER_GET, cmd::QUEUE_GET] {
        let answer = client.dump(number)?.map_err(|r| r.errno);
        if answer != Err(EPERM) {
            allowed = true;
            println!("dump {number}: {answer:?}");
        }
    }
    Ok(ExitCode::from(u8::from(allowed)))
}
