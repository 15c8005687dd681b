// SPDX-License-Identifier: GPL-2.0
//! A router with a listener: what most checks begin with.

use crate::client::{bytes, u32, u64, Attr, Client, Failure, Message, Refusal};
use crate::numbers::{cmd, framing, listener, queue, router, side, stats};
use crate::sockets::{connect, listening, pair, V4};
use crate::tap::Tap;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

/// A request without body.
pub const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

/// See the file's head.
pub struct Scene {
    /// The router's socket.
    pub client: Client,
    /// The router's id.
    pub router: u32,
    /// The listener's id.
    pub listener: u32,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The content of an answer that must not be a refusal.
pub fn good(answer: Result<Vec<Message>, Refusal>) -> Result<Vec<Message>, Failure> {
    answer.map_err(|r| format!("refused with errno {}: {}", r.errno, r.text).into())
}

/// Attributes of a forward.
pub fn forward(id: u32, generation: u32, to: Option<u32>, kind: u64, length: u64) -> Vec<Attr> {
    let mut attrs = vec![
        u32(queue::ID, id),
        u32(queue::GENERATION, generation),
        u32(queue::FRAMING, kind as u32),
    ];
    attrs.extend(to.map(|to| u32(queue::TO, to)));
    if kind == framing::LENGTH {
        attrs.push(u64(queue::LENGTH, length));
    }
    attrs
}

impl Scene {
    /// A router with these attributes and its listener, alone in its namespace: what others
    /// left is waited for, because it would go at any moment.
    pub fn with(attrs: &[Attr]) -> Result<Self, Failure> {
        let mut client = Client::new()?;
        until(&mut client, cmd::ROUTER_GET, <[Message]>::is_empty)?;
        let router = good(client.call(cmd::ROUTER_ATTACH, attrs)?)?[0].id();
        let mut scene = Self {
            client,
            router,
            listener: 0,
            address: SocketAddr::new(V4, 0),
        };
        (scene.listener, scene.address) = scene.listen(&[])?;
        Ok(scene)
    }

    /// A router with the defaults and its listener. What it leaves ends with it.
    pub fn new() -> Result<Self, Failure> {
        Self::with(&[u32(router::GRACE, 0)])
    }

    /// Another listener.
    pub fn listen(&mut self, attrs: &[Attr]) -> Result<(u32, SocketAddr), Failure> {
        let socket = listening(V4)?;
        let mut all = vec![u32(listener::FD, socket.as_raw_fd() as u32)];
        all.extend_from_slice(attrs);
        let id = self.call(cmd::LISTENER_ADD, &all)?[0].id();
        Ok((id, socket.local_addr()?))
    }

    /// A command that must not be refused.
    pub fn call(&mut self, number: u8, attrs: &[Attr]) -> Result<Vec<Message>, Failure> {
        let answer = self.client.call(number, attrs)?;
        good(answer).map_err(|e| format!("command {number}: {e}").into())
    }

    /// A command about one object.
    pub fn about(&mut self, number: u8, id: u32) -> Result<Vec<Message>, Failure> {
        self.call(number, &[u32(queue::ID, id)])
    }

    /// A queue, as the kernel shows it.
    pub fn queue(&mut self, id: u32) -> Result<Message, Failure> {
        Ok(self.about(cmd::QUEUE_GET, id)?.remove(0))
    }

    /// This router, as the kernel shows it.
    pub fn info(&mut self) -> Result<Message, Failure> {
        Ok(self.about(cmd::ROUTER_GET, self.router)?.remove(0))
    }

    /// A client whose head is up: its connection, and the event.
    pub fn front(&mut self, sends: &[u8]) -> Result<(TcpStream, Message), Failure> {
        let mut stream = connect(self.address)?;
        stream.write_all(sends)?;
        let port = u64::from(stream.local_addr()?.port());
        let head = self
            .client
            .event_where(|e| e.number == cmd::HEAD && e.get(queue::PEER_PORT) == Some(port))?;
        Ok((stream, head))
    }

    /// A back-end: its connection, and the queue.
    pub fn back(&mut self) -> Result<(TcpStream, u32), Failure> {
        let (near, far) = pair(V4)?;
        let attrs = [
            u32(queue::FD, near.as_raw_fd() as u32),
            u32(queue::SIDE, side::BACK as u32),
        ];
        let id = self.call(cmd::QUEUE_ADD, &attrs)?[0].id();
        Ok((far, id))
    }

    /// A body of `length` moves from a front to a back queue: the client, the back-end, and
    /// both ids. None of it was sent yet.
    pub fn moving(&mut self, length: u64) -> Result<(TcpStream, TcpStream, u32, u32), Failure> {
        let (client, head) = self.front(GET)?;
        let (server, to) = self.back()?;
        let from = head.id();
        let attrs = forward(from, 1, Some(to), framing::LENGTH, length);
        self.call(cmd::FORWARD, &attrs)?;
        Ok((client, server, from, to))
    }

    /// As [`refused`], of a command of this router.
    pub fn refused(
        &mut self,
        tap: &mut Tap,
        name: &str,
        errno: i32,
        number: u8,
        attrs: &[Attr],
    ) -> Result<(), Failure> {
        refused(tap, &mut self.client, name, errno, (number, attrs))
    }

    /// Sends bytes to the peer of a queue.
    pub fn send(&mut self, id: u32, data: &[u8]) -> Result<(), Failure> {
        self.call(cmd::SEND, &[u32(queue::ID, id), bytes(queue::DATA, data)])?;
        Ok(())
    }

    /// Asks until `wanted` holds of the objects that a dump shows. The watchdog ends what never comes.
    pub fn until(
        &mut self,
        number: u8,
        wanted: impl Fn(&[Message]) -> bool,
    ) -> Result<Vec<Message>, Failure> {
        until(&mut self.client, number, wanted)
    }

    /// The counters of the namespace by attribute.
    pub fn stats(&mut self) -> Result<BTreeMap<u16, u64>, Failure> {
        let message = self.call(cmd::STATS_GET, &[])?.remove(0);
        let numbers = stats::ACCEPTED..=stats::LATE;
        Ok(numbers
            .map(|n| (n, message.get(n).unwrap_or(u64::MAX)))
            .collect())
    }
}

/// Bytes of a text that the kernel has cut (NETLINK_MAX_FMTMSG_LEN, with its NUL).
const TEXT_MAX: usize = 79;

/// A check that a command is refused with `errno` and a whole text, and that nothing changed.
pub fn refused(
    tap: &mut Tap,
    client: &mut Client,
    name: &str,
    errno: i32,
    (number, attrs): (u8, &[Attr]),
) -> Result<(), Failure> {
    let before = everything(client)?;
    let answer = client.call(number, attrs)?;
    let after = everything(client)?;
    match answer {
        Ok(reply) => tap.ok(name, false, || format!("not refused: {reply:?}")),
        Err(r) if r.errno != errno => tap.equal(name, r.errno, errno),
        Err(r) if r.text.is_empty() => tap.ok(name, false, || "refused without a text".into()),
        Err(r) if r.text.len() >= TEXT_MAX => tap.ok(name, false, || format!("cut: {}", r.text)),
        Err(_) => tap.equal(name, after, before),
    }
    Ok(())
}

/// As [`Scene::until`], for any socket.
pub fn until(
    client: &mut Client,
    number: u8,
    wanted: impl Fn(&[Message]) -> bool,
) -> Result<Vec<Message>, Failure> {
    loop {
        let found = good(client.dump(number)?)?;
        if wanted(&found) {
            return Ok(found);
        }
    }
}

/// All objects and counters that the namespace has.
pub fn everything(client: &mut Client) -> Result<Vec<Message>, Failure> {
    let mut all = good(client.dump(cmd::ROUTER_GET)?)?;
    all.extend(good(client.dump(cmd::LISTENER_GET)?)?);
    all.extend(good(client.dump(cmd::QUEUE_GET)?)?);
    all.extend(good(client.call(cmd::STATS_GET, &[])?)?);
    Ok(all)
}
