// SPDX-License-Identifier: GPL-2.0
//! One client: its connection, and one request at a time on it. The request is prepared once.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::net::{connect, socket_with, AddressFamily, SocketFlags, SocketType};
use underpass_bench::content::Content;
use underpass_bench::poll::Interest;
use underpass_bench::Failure;

/// What all clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Upload bodies.
    Put,
    /// Download them.
    Get,
}

/// An answer that comes.
#[derive(Debug, Default)]
struct Answer {
    /// Its head, as far as it has come; empty behind it.
    head: Vec<u8>,
    /// Bytes of the body that are missing, once the head is known.
    left: Option<u64>,
    offset: u64,
    /// The body of a checked upload's answer.
    words: Vec<u8>,
}

impl Answer {
    /// The length of its head and of its body, if `data` makes the head complete. What comes behind a
    /// head in one piece is not copied: it is the more, the more a proxy delivers at once.
    fn head(&mut self, data: &[u8]) -> Result<Option<(usize, u64)>, Failure> {
        if self.head.is_empty() {
            if let Some(whole) = head(data)? {
                return Ok(Some(whole));
            }
        }
        self.head.extend_from_slice(data);
        head(&self.head)
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    work: Work,
    size: u64,
    seed: u64,
    check: bool,
    request: Vec<u8>,
    /// Of the request, and of its body, what is not sent.
    head_left: usize,
    body_left: u64,
    answer: Answer,
}

impl Client {
    /// Begins to connect. Bodies are those of `seed`; with `check` all bytes are compared.
    pub fn connect(
        to: SocketAddr,
        work: Work,
        size: u64,
        seed: u64,
        check: bool,
    ) -> Result<Self, Failure> {
        let checked = if check { "/check" } else { "" };
        let request = match work {
            Work::Put => format!(
                "PUT {checked}/{seed} HTTP/1.1\r\nHost: bench\r\nContent-Length: {size}\r\n\r\n"
            ),
            Work::Get => format!("GET /{size}/{seed} HTTP/1.1\r\nHost: bench\r\n\r\n"),
        };
        Ok(Self {
            stream: begin(to)?,
            work,
            size,
            seed,
            check,
            request: request.into_bytes(),
            head_left: 0,
            body_left: 0,
            answer: Answer::default(),
        })
    }

    /// Takes a new connection, which was only begun.
    pub fn reconnect(&mut self, to: SocketAddr) -> Result<(), Failure> {
        self.stream = begin(to)?;
        Ok(())
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What it waits for.
    pub fn interest(&self) -> Interest {
        if self.head_left > 0 || self.body_left > 0 {
            Interest::IN | Interest::OUT
        } else {
            Interest::IN
        }
    }

    /// The next request is to be sent; `turn` does it.
    pub fn prepare(&mut self) {
        self.head_left = self.request.len();
        self.body_left = if self.work == Work::Put { self.size } else { 0 };
        self.answer = Answer::default();
    }

    /// Sends what can be sent.
    pub fn send(&mut self, content: &Content) -> Result<(), Failure> {
        while self.head_left > 0 || self.body_left > 0 {
            let head = &self.request[self.request.len() - self.head_left..];
            let piece = content.piece(self.seed, self.size - self.body_left, self.body_left);
            let written = if head.is_empty() {
                self.stream.write(piece)
            } else if piece.is_empty() || self.work == Work::Get {
                self.stream.write(head)
            } else {
                self.stream
                    .write_vectored(&[IoSlice::new(head), IoSlice::new(piece)])
            };
            match written {
                Ok(n) => {
                    let of_head = n.min(self.head_left);
                    self.head_left -= of_head;
                    self.body_left -= (n - of_head) as u64;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Reads once. True if the answer is complete and good.
    pub fn receive(&mut self, buffer: &mut [u8], content: &Content) -> Result<bool, Failure> {
        let n = match self.stream.read(buffer) {
            Ok(0) => return Err("the connection was closed before the answer was complete".into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let mut data = &buffer[..n];
        if self.answer.left.is_none() {
            let known = self.answer.head.len();
            let Some((length, size)) = self.answer.head(data)? else {
                return Ok(false);
            };
            if self.work == Work::Get && size != self.size {
                return Err(format!("a body of {size} bytes, not of {}", self.size).into());
            }
            self.answer.left = Some(size);
            data = &data[length - known..];
        }
        let left = self.answer.left.unwrap_or(0);
        if data.len() as u64 > left {
            return Err(format!("{} bytes behind the answer", data.len() as u64 - left).into());
        }
        if self.check {
            self.look_at(data, content)?;
        }
        self.answer.offset += data.len() as u64;
        self.answer.left = Some(left - data.len() as u64);
        if left > data.len() as u64 {
            return Ok(false);
        }
        if self.head_left > 0 || self.body_left > 0 {
            return Err("an answer before the request was sent".into());
        }
        if self.check && self.work == Work::Put {
            let words = String::from_utf8_lossy(&self.answer.words);
            if words != format!("same {}\n", self.size) {
                return Err(format!(
                    "the back-end says of a body of {} bytes: {words}",
                    self.size
                )
                .into());
            }
        }
        Ok(true)
    }

    fn look_at(&mut self, data: &[u8], content: &Content) -> Result<(), Failure> {
        match self.work {
            Work::Put => self.answer.words.extend_from_slice(data),
            Work::Get => {
                if let Some(at) = content.difference(self.seed, self.answer.offset, data) {
                    return Err(format!("the body differs at {at}").into());
                }
            }
        }
        Ok(())
    }
}

/// A socket that does not block, whose connection was begun.
fn begin(to: SocketAddr) -> Result<TcpStream, Failure> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(e) => return Err(format!("{to}: {e}").into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The length of a head and of the body that it announces, if it is complete.
fn head(bytes: &[u8]) -> Result<Option<(usize, u64)>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(None);
    };
    if head.code != Some(200) {
        return Err(format!("the answer is {:?} {:?}", head.code, head.reason).into());
    }
    let size = head
        .headers
        .iter()
        .find(|f| f.name.eq_ignore_ascii_case("content-length"));
    let size = size.ok_or("an answer without Content-Length")?;
    Ok(Some((length, std::str::from_utf8(size.value)?.parse()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_known_however_it_is_cut() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsomemore";
        let length = whole.len() - b"somemore".len();
        for cut in 0..whole.len() {
            let (first, rest) = whole.split_at(cut);
            let mut answer = Answer::default();
            let mut found = answer.head(first).expect("a good head");
            assert_eq!(found.is_some(), cut >= length, "{cut}");
            if found.is_none() {
                found = answer.head(rest).expect("a good head");
            }
            assert_eq!(found, Some((length, 7)), "{cut}");
        }
    }
}
