// SPDX-License-Identifier: GPL-2.0
//! One connection of the back-end: requests come in, one after the other, and answers go out.
//!
//! It reads, or it has something to write, never both: who sends the next request before
//! this one's answer is out waits.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use underpass_bench::content::Content;
use underpass_bench::poll::Interest;
use underpass_bench::Failure;

/// What the caller shall do with the connection.
#[derive(Debug)]
pub enum Next {
    /// Wait for what `interest` says.
    Wait,
    /// The client has closed it.
    Close,
}

/// A body that comes in.
#[derive(Debug, Default)]
struct Incoming {
    seed: u64,
    offset: u64,
    left: u64,
    check: bool,
    difference: Option<u64>,
}

/// A body that goes out.
#[derive(Debug, Default)]
struct Outgoing {
    seed: u64,
    offset: u64,
    left: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Non-blocking.
    pub stream: TcpStream,
    /// The beginning of a head whose end has not come.
    head: Vec<u8>,
    incoming: Option<Incoming>,
    /// What is still to be written: this, and then the body.
    answer: Vec<u8>,
    outgoing: Outgoing,
}

impl Connection {
    /// A connection on which nothing was said yet.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            head: Vec::new(),
            incoming: None,
            answer: Vec::new(),
            outgoing: Outgoing::default(),
        }
    }

    /// What it waits for.
    pub fn interest(&self) -> Interest {
        if self.writes() {
            Interest::OUT
        } else {
            Interest::IN
        }
    }

    fn writes(&self) -> bool {
        !self.answer.is_empty() || self.outgoing.left > 0
    }

    /// Goes on, after it was found ready.
    pub fn turn(
        &mut self,
        ready: Interest,
        buffer: &mut [u8],
        content: &Content,
    ) -> Result<Next, Failure> {
        if self.writes() {
            self.write(content)?;
            return Ok(Next::Wait);
        }
        if !ready.intersects(Interest::IN | Interest::HUP | Interest::ERR) {
            return Ok(Next::Wait);
        }
        let n = match self.stream.read(buffer) {
            Ok(0) if self.incoming.is_none() && self.head.is_empty() => return Ok(Next::Close),
            Ok(0) => return Err("the client closed it within a request".into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Next::Wait),
            // A proxy may end an idle connection in this way.
            Err(e) if e.kind() == ErrorKind::ConnectionReset && self.incoming.is_none() => {
                return Ok(Next::Close)
            }
            Err(e) => return Err(e.into()),
        };
        let mut data = &buffer[..n];
        while !data.is_empty() {
            data = match self.incoming {
                Some(_) => self.body(data, content),
                None => self.request(data)?,
            };
        }
        self.write(content)?;
        Ok(Next::Wait)
    }

    /// Takes the bytes of a body, and returns those behind it.
    fn body<'a>(&mut self, data: &'a [u8], content: &Content) -> &'a [u8] {
        let Some(incoming) = &mut self.incoming else {
            return data;
        };
        let (mine, rest) = data.split_at(
            data.len()
                .min(usize::try_from(incoming.left).unwrap_or(usize::MAX)),
        );
        if incoming.check && incoming.difference.is_none() {
            incoming.difference = content.difference(incoming.seed, incoming.offset, mine);
        }
        incoming.offset += mine.len() as u64;
        incoming.left -= mine.len() as u64;
        if incoming.left == 0 {
            let words = match (incoming.check, incoming.difference) {
                (false, _) => "taken\n".to_owned(),
                (true, None) => format!("same {}\n", incoming.offset),
                (true, Some(at)) => format!("differs at {at}\n"),
            };
            self.incoming = None;
            self.respond(words.len() as u64);
            self.answer.extend_from_slice(words.as_bytes());
        }
        rest
    }

    /// Takes the bytes of a head, and returns those behind it.
    fn request<'a>(&mut self, data: &'a [u8]) -> Result<&'a [u8], Failure> {
        if self.writes() {
            return Err("a request before the last one's answer was out".into());
        }
        if !self.head.is_empty() {
            // Rare: a head in two pieces.
            let before = self.head.len();
            let mut whole = std::mem::take(&mut self.head);
            whole.extend_from_slice(data);
            return Ok(match self.parse(&whole)? {
                Some(length) => &data[length - before..],
                None => {
                    self.head = whole;
                    &[]
                }
            });
        }
        Ok(match self.parse(data)? {
            Some(length) => &data[length..],
            None => {
                self.head.extend_from_slice(data);
                &[]
            }
        })
    }

    /// Does what a head asks for; returns its length, or nothing if it is not complete.
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(length) = head.parse(bytes)? else {
            return Ok(None);
        };
        let mut body = None;
        let mut expects = false;
        for field in head.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                body = Some(std::str::from_utf8(field.value)?.parse()?);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err("a chunked body; the benchmark sends none".into());
            } else if field.name.eq_ignore_ascii_case("expect") {
                expects = true;
            }
        }
        let target = head.path.unwrap_or_default();
        let parts: Vec<&str> = target.split('/').skip(1).collect();
        match (head.method, &parts[..], body) {
            (Some("PUT"), [check @ .., seed], Some(left)) if left > 0 => {
                let check = !check.is_empty();
                let seed = seed.parse()?;
                self.incoming = Some(Incoming {
                    seed,
                    offset: 0,
                    left,
                    check,
                    difference: None,
                });
                if expects {
                    self.answer
                        .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
            }
            (Some("GET"), [size, seed], None | Some(0)) => {
                let left = size.parse()?;
                self.respond(left);
                self.outgoing = Outgoing {
                    seed: seed.parse()?,
                    offset: 0,
                    left,
                };
            }
            _ => {
                return Err(format!(
                    "a request that the benchmark does not know: {:?} {target}",
                    head.method
                )
                .into())
            }
        }
        Ok(Some(length))
    }

    fn respond(&mut self, length: u64) {
        // A Date, as of every server with a clock (RFC 9110 section 6.6.1); which one is the same.
        let head = format!(
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.answer.extend_from_slice(head.as_bytes());
    }

    /// Writes as much as there is, or as the socket takes.
    fn write(&mut self, content: &Content) -> Result<(), Failure> {
        while self.writes() {
            let Outgoing { seed, offset, left } = self.outgoing;
            let piece = content.piece(seed, offset, left);
            let written = if self.answer.is_empty() {
                self.stream.write(piece)
            } else if left <= 4096 {
                // One write for a small answer.
                self.answer.extend_from_slice(piece);
                self.outgoing.left = 0;
                self.stream.write(&self.answer)
            } else {
                self.stream.write_vectored(&[
                    std::io::IoSlice::new(&self.answer),
                    std::io::IoSlice::new(piece),
                ])
            };
            let n = match written {
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let of_answer = n.min(self.answer.len());
            self.answer.drain(..of_answer);
            self.outgoing.offset += (n - of_answer) as u64;
            self.outgoing.left -= (n - of_answer) as u64;
        }
        Ok(())
    }
}
