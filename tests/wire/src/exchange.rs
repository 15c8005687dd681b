// SPDX-License-Identifier: GPL-2.0
//! Bodies that go where they should: the exchange that `docs/netlink.md` shows, and the
//! other ways to answer a head.

use crate::client::{bytes, u32, Failure};
use crate::numbers::{cmd, framing, queue, result, router, side, state, stats};
use crate::scene::{forward, good, Scene, GET};
use crate::sockets::{body, end, fin, read, End};
use crate::tap::Tap;
use std::io::Write;
use std::net::TcpStream;

/// Checks of this file.
pub const PLAN: u32 = 36;

const POST: &[u8] = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
const BODY: usize = 100_000;

/// Runs them.
pub fn run(tap: &mut Tap) -> Result<(), Failure> {
    let mut scene = Scene::new()?;
    let before = scene.stats()?;
    let (front, back) = upload(tap, &mut scene)?;
    response(tap, &mut scene, front, back)?;
    let after = scene.stats()?;
    let counted = [
        stats::ACCEPTED,
        stats::ADDED,
        stats::HEADS,
        stats::FORWARDS,
        stats::FRONT_TO_BACK,
        stats::BACK_TO_FRONT,
        stats::DISCARDED,
        stats::OVERFLOWS,
        stats::REFUSED,
    ];
    let got = counted.map(|n| after[&n] - before[&n]);
    let expected = [1, 1, 6, 4, BODY as u64, 10 + 7, 5000, 0, 0];
    tap.equal("stats-get counts all of it", got, expected);
    declined(tap, &mut scene)?;
    cancelled(tap, &mut scene)?;
    large(tap, &mut scene)?;
    batch(tap, &mut scene)
}

/// A client's connection and its queue.
type Front = (TcpStream, u32);
/// A back-end's.
type Back = (TcpStream, u32);

/// Steps 1 to 8 and 12, with the next request in the same segments.
fn upload(tap: &mut Tap, scene: &mut Scene) -> Result<(Front, Back), Failure> {
    let sent = body(BODY);
    let (client, head) = scene.front(POST)?;
    let f = head.id();
    let mut writer = client.try_clone()?;
    let rest = [&sent[..], GET].concat();
    let writer = std::thread::spawn(move || writer.write_all(&rest));

    tap.equal("head: its bytes", &head.attrs[&queue::HEAD][..], POST);
    let numbers = [
        queue::GENERATION,
        queue::SIDE,
        queue::LISTENER,
        queue::OVER_LIMIT,
        queue::SENT,
    ];
    let expected = [
        Some(1),
        Some(side::FRONT),
        Some(scene.listener.into()),
        None,
        Some(0),
    ];
    tap.equal(
        "head: generation, side, listener",
        numbers.map(|n| head.get(n)),
        expected,
    );
    let got = (
        head.attrs[&queue::PEER_ADDRESS].clone(),
        head.get(queue::LOCAL_PORT),
    );
    let expected = (vec![127, 0, 0, 1], Some(u64::from(scene.address.port())));
    tap.equal("head: addresses", got, expected);
    let waits = scene.queue(f)?;
    tap.equal(
        "the queue is ready",
        waits.get(queue::STATE),
        Some(state::READY),
    );
    let info = scene.info()?;
    tap.equal("one head is out", info.get(router::HEADS_OUT), Some(1));

    let (mut server, b) = scene.back()?;
    scene.send(b, b"POST /b HTTP/1.1\r\n\r\n")?;
    let got = read(&mut server, 20)?;
    tap.equal(
        "send: its bytes arrive",
        &got[..],
        b"POST /b HTTP/1.1\r\n\r\n",
    );
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    server.write_all(interim)?;
    let accepted = scene.client.event(cmd::HEAD, b)?;
    let got = (&accepted.attrs[&queue::HEAD][..], accepted.get(queue::SIDE));
    tap.equal("head: a back-end's", got, (&interim[..], Some(side::BACK)));
    scene.call(cmd::FORWARD, &forward(b, 1, None, framing::NONE, 0))?;
    let dropped = scene.queue(b)?.get(queue::STATE);
    tap.equal(
        "forward, none: drops a head",
        dropped,
        Some(state::COLLECTING),
    );

    scene.call(
        cmd::FORWARD,
        &forward(f, 1, Some(b), framing::LENGTH, BODY as u64),
    )?;
    let arrived = read(&mut server, BODY)?;
    tap.ok("forward, length: the body arrives", arrived == sent, || {
        "other bytes".into()
    });
    let done = scene.client.event(cmd::DONE, f)?;
    let numbers = [
        queue::GENERATION,
        queue::TO,
        queue::RESULT,
        queue::ERROR,
        queue::TAKEN,
    ];
    let expected = [1, u64::from(b), result::COMPLETE, 0, BODY as u64].map(Some);
    tap.equal("done: complete", numbers.map(|n| done.get(n)), expected);
    let next = scene.client.event(cmd::HEAD, f)?;
    let got = (&next.attrs[&queue::HEAD][..], next.get(queue::GENERATION));
    tap.equal(
        "head: the next request, from behind the body",
        got,
        (GET, Some(2)),
    );
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(((client, f), (server, b)))
}

/// Steps 9 to 11, and what a connection does after.
fn response(
    tap: &mut Tap,
    scene: &mut Scene,
    (mut client, f): Front,
    (mut server, b): Back,
) -> Result<(), Failure> {
    server.write_all(&[OK, b"0123456789"].concat())?;
    let head = scene.client.event(cmd::HEAD, b)?;
    let got = (head.get(queue::GENERATION), head.get(queue::SENT));
    tap.equal(
        "head: counts what was sent",
        got,
        (Some(2), Some(BODY as u64)),
    );
    let mut route = forward(b, 2, Some(f), framing::LENGTH, 10);
    route.push(bytes(queue::DATA, b"HTTP/1.1 200 Fine\r\n\r\n"));
    scene.call(cmd::ROUTE, &route)?;
    let got = read(&mut client, 31)?;
    tap.equal(
        "route: data, then body",
        &got[..],
        b"HTTP/1.1 200 Fine\r\n\r\n0123456789",
    );
    let done = scene.client.event(cmd::DONE, b)?;
    let got = (done.get(queue::RESULT), done.get(queue::TAKEN));
    tap.equal(
        "done: of a response",
        got,
        (Some(result::COMPLETE), Some(10)),
    );

    client.write_all(&body(5000))?;
    scene.call(cmd::FORWARD, &forward(f, 2, None, framing::LENGTH, 5000))?;
    let done = scene.client.event(cmd::DONE, f)?;
    let got = [queue::TO, queue::RESULT, queue::TAKEN].map(|n| done.get(n));
    let expected = [None, Some(result::COMPLETE), Some(5000)];
    tap.equal("forward without target: discards", got, expected);

    client.write_all(GET)?;
    let head = scene.client.event(cmd::HEAD, f)?;
    let mut route = forward(f, 3, Some(b), framing::NONE, 0);
    route.push(bytes(queue::DATA, b"GET /b HTTP/1.1\r\n\r\n"));
    scene.call(cmd::ROUTE, &route)?;
    let got = (read(&mut server, 19)?, head.get(queue::GENERATION));
    tap.equal(
        "route, none: data only",
        got,
        (b"GET /b HTTP/1.1\r\n\r\n".to_vec(), Some(3)),
    );

    server.write_all(b"HTTP/1.0 200 OK\r\n\r\nto the ")?;
    scene.client.event(cmd::HEAD, b)?;
    let mut route = forward(b, 3, Some(f), framing::UNTIL_CLOSE, 0);
    route.push(bytes(queue::DATA, b"HTTP/1.0 200 OK\r\n\r\n"));
    scene.call(cmd::ROUTE, &route)?;
    let got = read(&mut client, 26)?;
    tap.equal("route, until-close: begins", &got[19..], b"to the ");
    fin(&server)?;
    let got = end(&mut client)?;
    tap.equal(
        "until-close: the FIN is carried over",
        got,
        End::Fin(vec![]),
    );
    let done = scene.client.event(cmd::DONE, b)?;
    let got = (done.get(queue::RESULT), done.get(queue::TAKEN));
    tap.equal(
        "done: of an until-close body",
        got,
        (Some(result::COMPLETE), Some(7)),
    );
    let closed = scene.client.event(cmd::CLOSED, b)?;
    let got = [queue::REASON, queue::SIDE, queue::GENERATION].map(|n| closed.get(n));
    let expected = [crate::numbers::reason::BODY_END, side::BACK, 3].map(Some);
    tap.equal("closed: body-end", got, expected);
    let ended = scene.queue(b)?;
    let got = [queue::STATE, queue::RX_BYTES, queue::TX_BYTES].map(|n| ended.get(n));
    let expected = [state::ENDED, 10 + 7, BODY as u64].map(Some);
    tap.equal("the queue stays, ended, with its counts", got, expected);
    scene.about(cmd::QUEUE_DEL, b)?;
    scene.about(cmd::QUEUE_ABORT, f)?;
    Ok(())
}

/// A back-end declines, and the next one gets the whole body.
fn declined(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, head) = scene.front(POST)?;
    let f = head.id();
    let (mut first, b1) = scene.back()?;
    scene.send(b1, POST)?;
    first.write_all(b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n")?;
    scene.client.event(cmd::HEAD, b1)?;
    scene.about(cmd::QUEUE_ABORT, b1)?;
    read(&mut first, POST.len())?;
    tap.equal(
        "a back-end that declined is reset",
        end(&mut first)?,
        End::Reset,
    );
    let (mut second, b2) = scene.back()?;
    scene.call(cmd::FORWARD, &forward(f, 1, Some(b2), framing::LENGTH, 6))?;
    client.write_all(b"abcdef")?;
    tap.equal(
        "the next one gets the body",
        read(&mut second, 6)?,
        b"abcdef".to_vec(),
    );
    scene.client.event(cmd::DONE, f)?;
    Ok(())
}

/// Parked bodies: one of which nothing was taken, and one of which something was.
fn cancelled(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut client, _server, f, _) = scene.moving(6)?;
    let about = [u32(queue::ID, f), u32(queue::GENERATION, 1)];
    let moving = scene.queue(f)?;
    let got = [queue::STATE, queue::FRAMING, queue::LENGTH].map(|n| moving.get(n));
    let expected = [state::MOVING, framing::LENGTH, 6].map(Some);
    tap.equal("a queue shows what moves", got, expected);
    let reply = scene.call(cmd::CANCEL, &about)?.remove(0);
    let got = [queue::STATE, queue::RESULT, queue::TAKEN, queue::GENERATION];
    let got = got.map(|n| reply.get(n));
    let expected = [state::PARKED, result::CANCELLED, 0, 1].map(Some);
    tap.equal("cancel: parked, nothing taken", got, expected);
    let (mut second, b2) = scene.back()?;
    let again = forward(f, 1, Some(b2), framing::LENGTH, 6);
    scene.call(cmd::FORWARD, &again)?;
    client.write_all(b"abcdef")?;
    let got = read(&mut second, 6)?;
    tap.equal("a parked body goes to another target", &got[..], b"abcdef");
    let done = scene.client.event(cmd::DONE, f)?.get(queue::RESULT);
    tap.equal("and completes there", done, Some(result::COMPLETE));

    let (mut client, mut server, f2, _) = scene.moving(10)?;
    client.write_all(b"01234")?;
    read(&mut server, 5)?;
    let about = [u32(queue::ID, f2), u32(queue::GENERATION, 1)];
    let reply = scene.call(cmd::CANCEL, &about)?.remove(0);
    let got = [queue::STATE, queue::TAKEN].map(|n| reply.get(n));
    tap.equal(
        "cancel: parked, something taken",
        got,
        [state::PARKED, 5].map(Some),
    );
    let events = scene.client.events_waiting(|e| e.id() == f2);
    tap.equal("cancel: its reply tells, no event does", events, 0);
    client.write_all(b"56789")?;
    scene.call(cmd::FORWARD, &forward(f2, 1, None, framing::LENGTH, 10))?;
    let done = scene.client.event(cmd::DONE, f2)?.get(queue::RESULT);
    let rx = scene.queue(f2)?.get(queue::RX_BYTES);
    tap.equal(
        "its rest is discarded",
        (done, rx),
        (Some(result::COMPLETE), Some(10)),
    );
    Ok(())
}

/// More than fits any buffer, into a back-end that reads late.
fn large(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    const LENGTH: usize = 8 << 20;
    let (client, mut server, f, _) = scene.moving(LENGTH as u64)?;
    let sent = body(LENGTH);
    let copy = sent.clone();
    let writer = std::thread::spawn(move || (&client).write_all(&copy).map(|()| client));
    let arrived = read(&mut server, LENGTH)?;
    tap.ok("8 MiB arrive as they were sent", arrived == sent, || {
        "other bytes".into()
    });
    let done = scene.client.event(cmd::DONE, f)?.get(queue::TAKEN);
    tap.equal("done: 8 MiB", done, Some(LENGTH as u64));
    drop(writer.join().map_err(|_| "the writer panicked")??);

    let data = body(65_000);
    let (mut server, b) = scene.back()?;
    scene.send(b, &data)?;
    let arrived = read(&mut server, data.len())?;
    tap.ok("the largest send arrives whole", arrived == data, || {
        "other bytes".into()
    });
    Ok(())
}

/// Several commands in one datagram; the second is refused, the third is done.
fn batch(tap: &mut Tap, scene: &mut Scene) -> Result<(), Failure> {
    let (mut server, b) = scene.back()?;
    let send = |data: &[u8], id| vec![u32(queue::ID, id), bytes(queue::DATA, data)];
    let commands = [
        (cmd::SEND, send(b"ab", b)),
        (cmd::SEND, send(b"lost", 0)),
        (cmd::SEND, send(b"cd", b)),
    ];
    let mut answers = scene.client.call_all(&commands)?;
    let second = answers.remove(1).map_err(|r| r.errno);
    tap.equal(
        "a refusal in a batch",
        second,
        Err(crate::numbers::errno::ENOENT),
    );
    for answer in answers {
        good(answer)?;
    }
    tap.equal(
        "the others are done, in order",
        read(&mut server, 4)?,
        b"abcd".to_vec(),
    );
    Ok(())
}
