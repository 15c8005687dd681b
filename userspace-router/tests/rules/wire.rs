// SPDX-License-Identifier: GPL-2.0
//! One end of a connection, and the messages on it, taken apart by a second reading of
//! RFC 9112 that shares nothing with the router's.
//!
//! Invariant: whatever the peer does becomes a value; nothing here decides what is right.
//! But for one thing: what the router writes must be strict, so a bare LF, or a chunk that
//! is not plain hex digits, panics.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::sockets;
use crate::support::{field, PATIENCE};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

/// A body, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub content: Vec<u8>,
    /// Whole lines.
    pub trailers: String,
    /// How the connection ended within it. `None`: it is whole.
    pub cut: Option<End>,
}

/// A response as a client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Body,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The lines of the head but for the router's Date, which changes.
    pub fn lines(&self) -> Vec<&str> {
        let lines = self.head.lines();
        lines.filter(|line| !line.starts_with("Date: ")).collect()
    }

    /// The content as text.
    pub fn text(&self) -> String {
        self.body.content.escape_ascii().to_string()
    }

    /// The reason that `Proxy-Status` names, if the router answered by itself.
    pub fn reason(&self) -> Option<&str> {
        let value = self.field("Proxy-Status")?;
        let details = value.split("details=\"").nth(1)?;
        details.split('"').next()
    }
}

/// One end of a connection.
pub struct Peer {
    pub stream: TcpStream,
    /// Where the next `send` is cut into segments, in rising order.
    pub cuts: Vec<usize>,
    read: Vec<u8>,
    at: usize,
    end: Option<End>,
    /// Writing met the reset, which is told once only: reading meets an end like FIN.
    was_reset: bool,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            cuts: Vec::new(),
            read: Vec::new(),
            at: 0,
            end: None,
            was_reset: false,
        }
    }

    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("the router accepts"))
    }

    /// Sends all, unless the other end has ended: then reading tells how.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ended = self.try_send(bytes);
    }

    /// False if the other end has ended.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let mut rest = bytes.as_ref();
        let mut sent = 0;
        for cut in std::mem::take(&mut self.cuts) {
            let Some((now, later)) = rest.split_at_checked(cut - sent) else {
                break;
            };
            if !self.write(now) {
                return false;
            }
            sockets::give_time_to_read(&self.stream);
            (rest, sent) = (later, cut);
        }
        self.write(rest)
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_end(error.kind()) => {
                self.was_reset = true;
                false
            }
            Err(error) => panic!("nobody reads: {error}"),
        }
    }

    pub fn half_close(&self) {
        // It may have been reset meanwhile.
        let _ended = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("linger");
    }

    fn fill(&mut self) -> Result<(), End> {
        if let Some(end) = self.end {
            return Err(end);
        }
        let mut chunk = [0; 16 * 1024];
        let end = match self.stream.read(&mut chunk) {
            Ok(0) if self.was_reset => End::Reset,
            Ok(0) => End::Fin,
            Ok(n) => {
                self.read
                    .extend_from_slice(chunk.get(..n).expect("what was read"));
                return Ok(());
            }
            Err(error) if is_end(error.kind()) => End::Reset,
            Err(error) => panic!(
                "silence after {:?}: {error}",
                self.ahead().escape_ascii().to_string()
            ),
        };
        self.end = Some(end);
        Err(end)
    }

    fn ahead(&self) -> &[u8] {
        self.read.get(self.at..).unwrap_or_default()
    }

    fn use_up(&mut self, n: usize) -> Vec<u8> {
        let bytes = self
            .ahead()
            .get(..n)
            .expect("bytes that are there")
            .to_vec();
        self.at += n;
        bytes
    }

    /// All that comes up to and with `mark`.
    fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        loop {
            let found = self.ahead().windows(mark.len()).position(|w| w == mark);
            match found {
                Some(at) => return Ok(self.use_up(at + mark.len())),
                None => self.fill()?,
            }
        }
    }

    /// A head with its empty line. The end, if it came first: `None` behind nothing.
    pub fn head(&mut self) -> Result<String, (End, Vec<u8>)> {
        match self.until(b"\r\n\r\n") {
            Ok(head) => {
                let text = String::from_utf8(head).expect("text");
                let without = text.replace("\r\n", "");
                assert!(!without.contains(['\r', '\n']), "bare CR or LF: {text:?}");
                Ok(text)
            }
            Err(end) => {
                let n = self.ahead().len();
                Err((end, self.use_up(n)))
            }
        }
    }

    /// So many bytes, or as many as came before the end.
    pub fn exactly(&mut self, n: usize) -> (Vec<u8>, Option<End>) {
        while self.ahead().len() < n {
            if let Err(end) = self.fill() {
                let got = self.ahead().len();
                return (self.use_up(got), Some(end));
            }
        }
        (self.use_up(n), None)
    }

    /// All bytes up to the end.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill() {
                let n = self.ahead().len();
                return (self.use_up(n), end);
            }
        }
    }

    /// A body of so many bytes.
    pub fn length(&mut self, n: usize) -> Body {
        let (content, cut) = self.exactly(n);
        Body {
            content,
            cut,
            ..Body::default()
        }
    }

    /// A chunked body.
    pub fn chunked(&mut self) -> Body {
        let mut body = Body::default();
        body.cut = self.chunks(&mut body).err();
        body
    }

    fn chunks(&mut self, body: &mut Body) -> Result<(), End> {
        loop {
            let line = self.until(b"\r\n")?;
            let line = String::from_utf8(line).expect("text");
            let digits = line.trim_end_matches("\r\n");
            let plain = digits.bytes().all(|b| b.is_ascii_hexdigit()) && digits.len() <= 16;
            assert!(
                plain && !digits.is_empty(),
                "a chunk line of ours: {line:?}"
            );
            let size = usize::from_str_radix(digits, 16).expect("a size");
            if size == 0 {
                break;
            }
            let (bytes, cut) = self.exactly(size);
            body.content.extend_from_slice(&bytes);
            cut.map_or(Ok(()), Err)?;
            let (end, cut) = self.exactly(2);
            cut.map_or(Ok(()), Err)?;
            assert_eq!(end, b"\r\n", "behind a chunk of ours");
        }
        loop {
            let line = self.until(b"\r\n")?;
            if line == b"\r\n" {
                return Ok(());
            }
            body.trailers
                .push_str(std::str::from_utf8(&line).expect("text"));
        }
    }

    /// The body of a request with this head.
    pub fn request_body(&mut self, head: &str) -> Body {
        match (
            field(head, "Transfer-Encoding"),
            field(head, "Content-Length"),
        ) {
            (Some("chunked"), None) => self.chunked(),
            (None, Some(n)) => self.length(n.parse().expect("a length")),
            (None, None) => Body::default(),
            both => panic!("framed by {both:?}: {head}"),
        }
    }

    /// The next response to a request of this method, final or not. `Err`: there is none.
    pub fn answer(&mut self, method: &str) -> Result<Answer, End> {
        let head = match self.head() {
            Ok(head) => head,
            Err((end, got)) => {
                // A reset throws away what was not read yet: any part may be left.
                let clean = got.is_empty() || end == End::Reset;
                assert!(
                    clean,
                    "FIN within a head: {:?}",
                    got.escape_ascii().to_string()
                );
                return Err(end);
            }
        };
        let status = crate::support::status(&head);
        let coding = field(&head, "Transfer-Encoding");
        let length = field(&head, "Content-Length");
        let bodyless = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
        let body = match (coding, length) {
            _ if bodyless || (method == "CONNECT" && status < 300) => Body::default(),
            (Some("chunked"), None) => self.chunked(),
            (None, Some(n)) => self.length(n.parse().expect("a length")),
            (None, None) => {
                let (content, end) = self.rest();
                Body {
                    content,
                    cut: (end == End::Reset).then_some(end),
                    ..Body::default()
                }
            }
            both => panic!("framed by {both:?}: {head}"),
        };
        Ok(Answer { status, head, body })
    }

    /// The next final response; those before it are dropped.
    pub fn last_answer(&mut self, method: &str) -> Result<Answer, End> {
        loop {
            let answer = self.answer(method)?;
            if answer.status >= 200 || answer.status == 101 {
                return Ok(answer);
            }
        }
    }

    /// All answers there are to requests of these methods, and how the connection ended.
    pub fn answers(&mut self, methods: &[&str]) -> (Vec<Answer>, End) {
        let mut all = Vec::new();
        let mut methods = methods.iter();
        let mut method = methods.next().copied().unwrap_or("GET");
        loop {
            match self.answer(method) {
                Ok(answer) => {
                    if answer.status >= 200 {
                        method = methods.next().copied().unwrap_or("GET");
                    }
                    all.push(answer);
                }
                Err(end) => return (all, end),
            }
        }
    }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
