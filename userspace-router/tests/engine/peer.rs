// SPDX-License-Identifier: GPL-2.0
//! The other end of a queue, which checks what it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Nothing here takes that long, not even in an emulated guest; a hang becomes a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a connection, with a buffer for what was read too far.
pub struct Peer<S = TcpStream> {
    pub stream: S,
    ahead: Vec<u8>,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a FIN");
    }

    /// Closes with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("linger");
    }

    /// What came until a reset, which must be the end.
    pub fn until_reset(mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(0) => panic!("FIN instead of a reset"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return self.ahead,
                Err(error) => panic!("neither bytes nor a reset: {error}"),
            }
        }
    }

    /// Sends from another thread, so that nobody waits for who waits for him.
    pub fn send_aside(&self, bytes: Vec<u8>, then_fin: bool) {
        let mut stream = self.stream.try_clone().expect("another handle");
        std::thread::spawn(move || {
            stream.write_all(&bytes).expect("bytes are sent");
            if then_fin {
                stream.shutdown(Shutdown::Write).expect("a FIN");
            }
        });
    }
}

impl Peer<UnixStream> {
    pub fn over_unix(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a FIN");
    }
}

impl<S: Read + Write> Peer<S> {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("bytes are sent");
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut space = [0; 16 * 1024];
        let read = self.stream.read(&mut space)?;
        self.ahead.extend_from_slice(&space[..read]);
        Ok(read)
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert_ne!(self.fill().expect("bytes"), 0, "FIN within a body");
        }
        self.ahead.drain(..length).collect()
    }

    /// These bytes must come next.
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let got = self.take(bytes.len());
        assert_eq!(got, bytes, "{:?}", String::from_utf8_lossy(&got));
    }

    /// All bytes up to FIN.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().expect("bytes or FIN") > 0 {}
        std::mem::take(&mut self.ahead)
    }

    fn line(&mut self) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let mut line: Vec<u8> = self.ahead.drain(..at + 2).collect();
                line.truncate(at);
                return line;
            }
            assert_ne!(self.fill().expect("a line"), 0, "FIN within a line");
        }
    }

    /// A chunked body to its end, taken apart strictly: content, and lines of trailers.
    pub fn chunked(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut content = Vec::new();
        loop {
            let line = String::from_utf8(self.line()).expect("a chunk's line is text");
            let size = usize::from_str_radix(&line, 16);
            match size.unwrap_or_else(|error| panic!("chunk size {line:?}: {error}")) {
                0 => break,
                size => content.extend(self.take(size)),
            }
            self.expect("\r\n");
        }
        let mut trailers = Vec::new();
        loop {
            let line = String::from_utf8(self.line()).expect("a trailer is text");
            if line.is_empty() {
                return (content, trailers);
            }
            trailers.push(line);
        }
    }
}

/// Looks into the receive buffer of a queue's socket.
pub struct Watch(TcpStream);

impl Watch {
    pub fn new(stream: &TcpStream) -> Self {
        Self(stream.try_clone().expect("another handle"))
    }

    fn until(&self, what: &str, is_so: impl Fn(u64) -> bool) {
        let began = Instant::now();
        while !is_so(rustix::io::ioctl_fionread(&self.0).expect("a number")) {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::yield_now();
        }
    }

    /// Returns when the engine has taken all that was sent.
    pub fn until_empty(&self) {
        self.until("bytes stay in the socket", |bytes| bytes == 0);
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
    Sha256::digest(bytes).iter().fold(String::new(), hex)
}

/// Bytes that repeat nowhere soon (xorshift), so that a shift would be seen.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Puts content into chunks of these sizes, in turn.
pub fn in_chunks(content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() * 2);
    let mut rest = content;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
        rest = after;
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}
