// SPDX-License-Identifier: GPL-2.0
//! One connection: what was received and not used yet, and what waits to be sent.
//!
//! Invariants: `input` holds at most the head limit or `CHUNK`, `output` at most
//! `SEND_LIMIT` bytes; body bytes count as taken when the target's socket took them, not
//! when they were read. It must not know about other queues.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use underpass_framing::{Receiver, Side, State};
use underpass_proto::gen::SEND_LIMIT;

/// Bytes that are read at once while a body moves.
const CHUNK: usize = 64 * 1024;

pub const EPIPE: i32 = 32;
pub const ENOBUFS: i32 = 105;
pub const ECONNRESET: u32 = 104;

/// How a queue is being closed.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    /// It is not.
    No,
    /// What waits is sent, then the socket is closed.
    Flush,
    /// The same, then FIN, then reading until FIN or these limits.
    Drain { bytes: u64, until: Instant },
}

#[derive(Debug)]
pub struct Queue {
    /// None once it was reset.
    pub stream: Option<Arc<TcpStream>>,
    /// Wakes the queue's task.
    pub wake: Arc<Notify>,
    pub receiver: Receiver,
    pub head_limit: usize,
    pub listener: Option<u32>,
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    input: Vec<u8>,
    /// How much of `input` is used up.
    used: usize,
    /// FIN or an error was read.
    pub at_end: bool,
    /// The connection broke with this errno.
    pub broken: Option<u32>,
    output: Vec<u8>,
    flushed: usize,
    /// FIN follows the output.
    pub fin_after: bool,
    pub fin_sent: bool,
    /// Nothing can be sent any more.
    pub write_broken: bool,
    /// Number of the head that was answered last.
    pub answered: u32,
    /// Where a body from here goes.
    pub target: Option<u32>,
    /// From where a body moves into here.
    pub source: Option<u32>,
    /// Body bytes put into here by the last forward.
    pub sent: u64,
    /// `closed` was told.
    pub told_end: bool,
    pub closing: Closing,
}

impl Queue {
    pub fn new(stream: TcpStream, side: Side, head_limit: u32, listener: Option<u32>) -> Self {
        Self {
            peer: stream.peer_addr().ok(),
            local: stream.local_addr().ok(),
            stream: Some(Arc::new(stream)),
            wake: Arc::new(Notify::new()),
            receiver: Receiver::new(side, head_limit),
            head_limit: head_limit as usize,
            listener,
            input: Vec::new(),
            used: 0,
            at_end: false,
            broken: None,
            output: Vec::new(),
            flushed: 0,
            fin_after: false,
            fin_sent: false,
            write_broken: false,
            answered: 0,
            target: None,
            source: None,
            sent: 0,
            told_end: false,
            closing: Closing::No,
        }
    }

    /// Bytes received and not used.
    pub fn pending(&self) -> &[u8] {
        self.input.get(self.used..).unwrap_or_default()
    }

    pub fn consume(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.input.len());
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
    }

    /// Looks for the end of a head in what is pending. True once there is one.
    pub fn scan(&mut self) -> bool {
        let from = self.used + self.receiver.scanned() as usize;
        self.receiver
            .scan(self.input.get(from..).unwrap_or_default())
    }

    /// Reads once, `limit` pending bytes at the most. False if there is nothing.
    pub fn fill(&mut self, limit: usize) -> bool {
        let (Some(stream), false) = (&self.stream, self.at_end) else {
            return false;
        };
        let have = self.input.len() - self.used;
        let room = limit.saturating_sub(have).min(CHUNK);
        if room == 0 {
            return false;
        }
        self.input.drain(..self.used);
        self.used = 0;
        self.input.resize(have + room, 0);
        let outcome = match self.input.get_mut(have..) {
            Some(space) => stream.try_read(space),
            None => Ok(0),
        };
        let read = *outcome.as_ref().unwrap_or(&0);
        self.input.truncate(have + read);
        match outcome {
            Ok(0) => self.at_end = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => self.break_with(&error),
        }
        true
    }

    /// Puts body bytes of a source into the socket. `None` if it takes none now.
    pub fn put(&mut self, bytes: &[u8]) -> Option<Result<usize, u32>> {
        let Some(stream) = self.stream.as_ref().filter(|_| !self.write_broken) else {
            return Some(Err(self.broken.unwrap_or(ECONNRESET)));
        };
        match stream.try_write(bytes) {
            Ok(put) => {
                self.sent += put as u64;
                Some(Ok(put))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                self.write_failed(&error);
                Some(Err(self.broken.unwrap_or(ECONNRESET)))
            }
        }
    }

    /// Queues bytes to be sent.
    pub fn send(&mut self, data: &[u8]) -> Result<(), (i32, &'static str)> {
        self.can_send(data.len())?;
        self.output.drain(..self.flushed);
        self.flushed = 0;
        self.output.extend_from_slice(data);
        Ok(())
    }

    /// Whether `send` would take so many bytes.
    pub fn can_send(&self, bytes: usize) -> Result<(), (i32, &'static str)> {
        if self.fin_after || self.write_broken || self.stream.is_none() {
            return Err((EPIPE, "the connection can send no more"));
        }
        if self.unsent() + bytes > SEND_LIMIT as usize {
            return Err((ENOBUFS, "the peer has not read what was sent before"));
        }
        Ok(())
    }

    pub fn unsent(&self) -> usize {
        self.output.len() - self.flushed
    }

    /// Sends what waits, and the FIN behind it. True if nothing is left to do.
    pub fn flush(&mut self) -> bool {
        let Some(stream) = self.stream.clone() else {
            return true;
        };
        while self.unsent() > 0 && !self.write_broken {
            match stream.try_write(self.output.get(self.flushed..).unwrap_or_default()) {
                Ok(sent) => self.flushed += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => self.write_failed(&error),
            }
        }
        self.output.clear();
        self.flushed = 0;
        if self.fin_after && !self.fin_sent {
            self.fin_sent = true;
            // It fails only where the connection is gone already, which reading will tell.
            let _gone = SockRef::from(&*stream).shutdown(std::net::Shutdown::Write);
        }
        true
    }

    /// Asks the socket whether its connection broke while nobody reads from it.
    pub fn notice_error(&mut self) {
        let Some(stream) = self.stream.clone() else {
            return;
        };
        let pending = stream.try_io(Interest::ERROR, || {
            match SockRef::from(&*stream).take_error()? {
                Some(error) => Ok(error),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        if let Ok(error) = pending {
            self.write_failed(&error);
        }
    }

    /// The connection resets when its last user lets go of it.
    pub fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            // It fails only where the connection is gone already.
            let _gone = SockRef::from(&*stream).set_linger(Some(std::time::Duration::ZERO));
        }
        self.at_end = true;
        self.write_broken = true;
        self.broken.get_or_insert(ECONNRESET);
        self.input.clear();
        self.used = 0;
        self.output.clear();
        self.flushed = 0;
        self.wake.notify_one();
    }

    fn break_with(&mut self, error: &io::Error) {
        self.at_end = true;
        self.write_failed(error);
    }

    /// What was received before stays readable.
    fn write_failed(&mut self, error: &io::Error) {
        self.write_broken = true;
        let errno = error.raw_os_error().map_or(ECONNRESET, i32::unsigned_abs);
        self.broken.get_or_insert(errno);
    }

    /// True while nobody reads from the socket, so that only an error says that it broke.
    pub fn is_waiting(&self) -> bool {
        matches!(
            self.receiver.state(),
            State::Ready { .. } | State::Parked(_) | State::Ended(_)
        )
    }
}
