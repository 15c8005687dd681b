// SPDX-License-Identifier: GPL-2.0
//! How bodies come and leave: chunks, tunnels, time limits, quiet targets, PROXY headers. By
//! their numbers on the wire; what becomes of every byte is in `tests/chunked.py` and
//! `tests/tunnels.py`.

use crate::client::{bytes, u32, Attr, Failure, Message};
use crate::numbers::errno::*;
use crate::numbers::{cmd, framing, listener, queue, reason, result, state};
use crate::refusals::{all, Case};
use crate::scene::{forward, Scene, GET};
use crate::sockets::{end, fin, read, End};
use crate::tap::Tap;
use std::io::Write;

/// Checks of this file.
pub const PLAN: u32 = 52;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    chunked(tap, &mut scene)?;
    malformed(tap, &mut scene)?;
    tunnel(tap, &mut scene)?;
    stalls(tap, &mut scene)?;
    quiet(tap, &mut scene)?;
    proxied(tap, &mut scene)?;
    refusals(tap, &mut scene)
}

fn route(from: u32, to: u32, kind: u64, more: &[Attr]) -> Vec<Attr> {
    let mut attrs = forward(from, 1, Some(to), kind, 5);
    attrs.push(bytes(queue::DATA, b"x"));
    attrs.extend_from_slice(more);
    attrs
}

fn ending(done: &Message) -> (Option<u64>, Option<u64>, Option<u64>) {
    let get = |n| done.get(n);
    (get(queue::RESULT), get(queue::ERROR), get(queue::TAKEN))
}

fn chunked(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    let terms = [
        bytes(queue::TRAILERS, b"a,b-c"),
        u32(queue::IDLE_MS, 60_000),
        u32(queue::IDLE_BYTES, 3),
    ];
    scene.call(cmd::ROUTE, &route(f, b, framing::CHUNKED, &terms))?;
    let moving = scene.queue(f)?;
    let numbers = [
        queue::STATE,
        queue::FRAMING,
        queue::TO_FRAMING,
        queue::IDLE_MS,
        queue::IDLE_BYTES,
        queue::LENGTH,
        queue::TRAILERS,
    ];
    let expected = [
        Some(state::MOVING),
        Some(framing::CHUNKED),
        Some(framing::CHUNKED),
        Some(60_000),
        Some(3),
        None,
        None,
    ];
    tap.equal(
        "queue-get: how it moves",
        numbers.map(|n| moving.get(n)),
        expected,
    );
    let sent = b"003;e\r\nabc\r\n1\r\nd\r\n0\r\nX: 1\r\nB-C: 2\r\n\r\n";
    client.write_all(sent)?;
    let got = read(&mut server, 1 + 9 + 3 + 8 + 2)?;
    let expected = b"x4\r\nabcd\r\n0\r\nB-C: 2\r\n\r\n";
    tap.equal(
        "chunked: one new chunk, and a trailer",
        &got[..],
        &expected[..],
    );
    let done = scene.client.event(cmd::DONE, f)?;
    let expected = (Some(result::COMPLETE), Some(0), Some(sent.len() as u64));
    tap.equal("done: counts what framed it", ending(&done), expected);
    let sent = scene.queue(b)?.get(queue::SENT);
    tap.equal("and sent what frames it", sent, Some(22));
    let over = scene.queue(f)?;
    let numbers = [queue::FRAMING, queue::TO_FRAMING, queue::IDLE_BYTES];
    tap.equal(
        "queue-get: nothing moves any more",
        numbers.map(|n| over.get(n)),
        [None; 3],
    );

    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    let to = [u32(queue::TO_FRAMING, framing::UNTIL_CLOSE as u32)];
    scene.call(cmd::ROUTE, &route(f, b, framing::CHUNKED, &to))?;
    client.write_all(b"2\r\nab\r\n0\r\n\r\n")?;
    let got = end(&mut server)?;
    tap.equal(
        "chunked to until-close: a FIN",
        got,
        End::Fin(b"xab".to_vec()),
    );

    let (client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    let to = [u32(queue::TO_FRAMING, framing::CHUNKED as u32)];
    scene.call(cmd::ROUTE, &route(f, b, framing::UNTIL_CLOSE, &to))?;
    let moving = scene.queue(f)?;
    let got = (moving.get(queue::FRAMING), moving.get(queue::TO_FRAMING));
    let expected = (Some(framing::UNTIL_CLOSE), Some(framing::CHUNKED));
    tap.equal("queue-get: until-close to chunked", got, expected);
    fin(&client)?;
    let got = read(&mut server, 6)?;
    tap.equal(
        "until-close to chunked: an end",
        &got[..],
        &b"x0\r\n\r\n"[..],
    );
    Ok(())
}

fn malformed(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    scene.call(cmd::ROUTE, &route(f, b, framing::CHUNKED, &[]))?;
    client.write_all(b"nonsense")?;
    let done = scene.client.event(cmd::DONE, f)?;
    let expected = (Some(result::MALFORMED), Some(0), Some(0));
    tap.equal("done: malformed", ending(&done), expected);
    let closed = scene.client.event(cmd::CLOSED, f)?.get(queue::REASON);
    tap.equal("closed: malformed", closed, Some(reason::MALFORMED));
    tap.equal("its target is reset", end(&mut server)?, End::Reset);
    let ended = scene.queue(f)?;
    let got = [queue::STATE, queue::RESULT, queue::REASON].map(|n| ended.get(n));
    let expected = [state::ENDED, result::MALFORMED, reason::MALFORMED].map(Some);
    tap.equal("queue-get: malformed", got, expected);
    scene.send(f, b"no")?;
    scene.about(cmd::DRAIN, f)?;
    let got = end(&mut client)?;
    tap.equal("it can still send", got, End::Fin(b"no".to_vec()));
    Ok(())
}

fn tunnel(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    scene.call(cmd::ROUTE, &route(f, b, framing::TUNNEL, &[]))?;
    server.write_all(GET)?;
    scene.client.event(cmd::HEAD, b)?;
    scene.call(cmd::ROUTE, &route(b, f, framing::TUNNEL, &[]))?;
    client.write_all(b"ab")?;
    server.write_all(b"cde")?;
    tap.equal(
        "tunnel: to the server",
        read(&mut server, 3)?,
        b"xab".to_vec(),
    );
    tap.equal(
        "tunnel: to the client",
        read(&mut client, 4)?,
        b"xcde".to_vec(),
    );
    fin(&client)?;
    let got = end(&mut server)?;
    tap.equal("tunnel: a half-close", got, End::Fin(vec![]));
    let done = scene.client.event(cmd::DONE, f)?;
    let expected = (Some(result::COMPLETE), Some(0), Some(2));
    tap.equal("done: a tunnel", ending(&done), expected);
    let closed = scene.client.event(cmd::CLOSED, f)?.get(queue::REASON);
    tap.equal("closed: a tunnel", closed, Some(reason::BODY_END));
    server.write_all(b"f")?;
    tap.equal(
        "the other way goes on",
        read(&mut client, 1)?,
        b"f".to_vec(),
    );
    Ok(())
}

fn stalls(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let limit = [u32(queue::IDLE_MS, 1)];
    let (_client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    scene.call(cmd::ROUTE, &route(f, b, framing::LENGTH, &limit))?;
    let done = scene.client.event(cmd::DONE, f)?;
    let expected = (Some(result::SOURCE_STALLED), Some(0), Some(0));
    tap.equal("done: the source stalled", ending(&done), expected);
    tap.equal("and its target is reset", end(&mut server)?, End::Reset);
    let parked = scene.queue(f)?.get(queue::STATE);
    tap.equal("and it is parked", parked, Some(state::PARKED));

    let (client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    let pace = [u32(queue::IDLE_MS, 1_000), u32(queue::IDLE_BYTES, 1 << 20)];
    scene.call(cmd::ROUTE, &route(f, b, framing::UNTIL_CLOSE, &pace))?;
    let mut writer = client.try_clone()?;
    // Until the connection ends: it never stands still.
    let writer = std::thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    let done = scene.client.event(cmd::DONE, f)?;
    let how = done.get(queue::RESULT);
    tap.equal("done: the source is slow", how, Some(result::SOURCE_SLOW));
    tap.equal("and its target is reset", end(&mut server)?, End::Reset);
    let shown = scene.queue(f)?.get(queue::RESULT);
    tap.equal("queue-get: as well", shown, Some(result::SOURCE_SLOW));
    scene.about(cmd::QUEUE_ABORT, f)?;
    writer.join().map_err(|_| "the writer panicked")?;

    let (client, head) = scene.front(GET)?;
    let f = head.id();
    let (_server, b) = scene.back()?;
    scene.call(cmd::ROUTE, &route(f, b, framing::UNTIL_CLOSE, &limit))?;
    let mut writer = client.try_clone()?;
    // Until the connection ends.
    let writer = std::thread::spawn(move || while writer.write_all(&[0; 65_536]).is_ok() {});
    let done = scene.client.event(cmd::DONE, f)?;
    // With a limit this short it may be either, by who is slower.
    let ended = done.get(queue::RESULT);
    tap.ok(
        "done: a stall",
        ended == Some(result::TARGET_STALLED) || ended == Some(result::SOURCE_STALLED),
        || format!("{done:?}"),
    );
    scene.about(cmd::QUEUE_ABORT, f)?;
    writer.join().map_err(|_| "the writer panicked")?;
    Ok(())
}

fn quiet(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_client, head) = scene.front(GET)?;
    let f = head.id();
    let (mut server, b) = scene.back()?;
    let flag = bytes(queue::IF_QUIET, &[]);
    server.write_all(GET)?;
    scene.client.event(cmd::HEAD, b)?;
    let send = |id| vec![u32(queue::ID, id), bytes(queue::DATA, b"x"), flag.clone()];
    let quiet = [flag.clone()];
    let cases = vec![
        (
            "route: the target is not quiet",
            ENOTEMPTY,
            cmd::ROUTE,
            route(f, b, framing::NONE, &quiet),
        ),
        (
            "send: the queue is not quiet",
            ENOTEMPTY,
            cmd::SEND,
            send(b),
        ),
        (
            "forward knows no if-quiet",
            EINVAL,
            cmd::FORWARD,
            [forward(f, 1, Some(b), framing::NONE, 0), quiet.to_vec()].concat(),
        ),
    ];
    all(tap, scene, cases)?;
    let (mut server, b) = scene.back()?;
    scene.call(cmd::SEND, &send(b))?;
    scene.call(cmd::ROUTE, &route(f, b, framing::NONE, &quiet))?;
    let got = read(&mut server, 2)?;
    tap.equal("to a quiet one both go", got, b"xx".to_vec());
    Ok(())
}

fn proxied(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let plain = scene.about(cmd::LISTENER_GET, scene.listener)?.remove(0);
    let shown = plain.attrs.contains_key(&listener::PROXY_PROTOCOL);
    tap.equal("listener-get: without proxy-protocol", shown, false);
    let normal = scene.address;
    let (at, address) = scene.listen(&[bytes(listener::PROXY_PROTOCOL, &[])])?;
    let shown = scene.about(cmd::LISTENER_GET, at)?.remove(0);
    let shown = shown.attrs.get(&listener::PROXY_PROTOCOL).cloned();
    tap.equal("listener-get: with it", shown, Some(vec![]));
    scene.address = address;
    let sent = [b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x02\n\n", GET].concat();
    let (_client, head) = scene.front(&sent)?;
    tap.equal("head: with its header", &head.attrs[&queue::HEAD], &sent);
    scene.address = normal;
    Ok(())
}

fn refusals(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (_client, head) = scene.front(GET)?;
    let f = head.id();
    let (_server, b) = scene.back()?;
    let to = |kind: u64| u32(queue::TO_FRAMING, kind as u32);
    let names = |list: &[u8]| bytes(queue::TRAILERS, list);
    let case = |name, errno, kind, more: &[Attr]| -> Case {
        (name, errno, cmd::ROUTE, route(f, b, kind, more))
    };
    use framing::{CHUNKED, LENGTH, NONE, TUNNEL, UNTIL_CLOSE};
    let cases = vec![
        case("length to chunked", EINVAL, LENGTH, &[to(CHUNKED)]),
        case("chunked to length", EINVAL, CHUNKED, &[to(LENGTH)]),
        case("none to chunked", EINVAL, NONE, &[to(CHUNKED)]),
        case("tunnel to chunked", EINVAL, TUNNEL, &[to(CHUNKED)]),
        case("until-close to tunnel", EINVAL, UNTIL_CLOSE, &[to(TUNNEL)]),
        case("to-framing 5", ERANGE, CHUNKED, &[to(5)]),
        case("idle-ms 0", ERANGE, LENGTH, &[u32(queue::IDLE_MS, 0)]),
        case(
            "idle-ms too large",
            ERANGE,
            LENGTH,
            &[u32(queue::IDLE_MS, 86_400_001)],
        ),
        case("idle-bytes 0", ERANGE, LENGTH, &[u32(queue::IDLE_BYTES, 0)]),
        case(
            "idle-bytes without idle-ms",
            EINVAL,
            LENGTH,
            &[u32(queue::IDLE_BYTES, 1)],
        ),
        case(
            "idle-bytes of a tunnel",
            EINVAL,
            TUNNEL,
            &[u32(queue::IDLE_MS, 1), u32(queue::IDLE_BYTES, 1)],
        ),
        case("trailers of a length", EINVAL, LENGTH, &[names(b"a")]),
        case(
            "trailers of what leaves until-close",
            EINVAL,
            CHUNKED,
            &[to(UNTIL_CLOSE), names(b"a")],
        ),
        case("trailers: upper case", EINVAL, CHUNKED, &[names(b"a,B")]),
        case("trailers: no name", EINVAL, CHUNKED, &[names(b"a,,b")]),
        case("trailers: a space", EINVAL, CHUNKED, &[names(b"a, b")]),
        case(
            "trailers: a field that frames",
            EINVAL,
            CHUNKED,
            &[names(b"a,content-length")],
        ),
        case(
            "trailers too long",
            ERANGE,
            CHUNKED,
            &[names(&[b'a'; 1025])],
        ),
        case(
            "if-quiet with a value",
            ERANGE,
            NONE,
            &[bytes(queue::IF_QUIET, &[1])],
        ),
    ];
    all(tap, scene, cases)
}
