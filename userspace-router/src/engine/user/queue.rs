// SPDX-License-Identifier: GPL-2.0
//! One connection: what was received and not used yet, and what waits to be sent.
//!
//! Invariants: `output` holds at most `SEND_LIMIT` bytes; a body moves from here exactly
//! while there is a `moving`. It must not know about other queues.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use underpass_framing::{Malformed, Next, Receiver, Side, State, HEAD_LATE};
use underpass_proto::gen::SEND_LIMIT;

use super::input::Input;
use super::moving::Move;
use super::relay::{Arming, Passing};
use super::stream::Stream;

pub const EPIPE: i32 = 32;
pub const ENOBUFS: i32 = 105;
pub const ECONNABORTED: u32 = 103;
pub const ECONNRESET: u32 = 104;

/// Bytes and time of a drain that nobody asked for.
pub const FAREWELL: (u64, Duration) = (1 << 20, Duration::from_secs(5));

/// How a queue is being closed.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    /// It is not.
    No,
    /// What waits is sent, until then at the latest, then the socket is closed.
    Flush { until: Instant },
    /// The same, then FIN, then reading until FIN or these limits.
    Drain { bytes: u64, until: Instant },
}

#[derive(Debug)]
pub struct Queue {
    /// None once it was reset.
    pub stream: Option<Arc<Stream>>,
    /// Wakes the queue's task.
    pub wake: Arc<Notify>,
    pub receiver: Receiver,
    pub head_limit: usize,
    pub listener: Option<u32>,
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    /// Until when its first head has to be there.
    pub head_due: Option<Instant>,
    input: Input,
    /// FIN or an error was read.
    pub at_end: bool,
    /// All that the peer sent was read, and its FIN, whatever became of the connection afterwards.
    pub fin_read: bool,
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
    /// The body that moves from here.
    pub moving: Option<Move>,
    /// When its last byte moved, or it began to; also of the last one that moved.
    pub moved_at: Instant,
    /// What may become of the next head.
    pub armed: Option<Arming>,
    /// What moves was passed on without the router.
    pub passing: Option<Passing>,
    /// From where a body moves into here.
    pub source: Option<u32>,
    /// A head that the client sent ahead is told when that has ended.
    pub holds_head: bool,
    /// Body bytes put into here by the last forward.
    pub sent: u64,
    /// `closed` was told.
    pub told_end: bool,
    pub closing: Closing,
}

impl Queue {
    pub fn new(stream: Stream, receiver: Receiver, head_limit: u32, listener: Option<u32>) -> Self {
        let (peer, local) = stream.addresses();
        Self {
            peer,
            local,
            stream: Some(Arc::new(stream)),
            wake: Arc::new(Notify::new()),
            receiver,
            head_limit: head_limit as usize,
            listener,
            head_due: None,
            input: Input::default(),
            at_end: false,
            fin_read: false,
            broken: None,
            output: Vec::new(),
            flushed: 0,
            fin_after: false,
            fin_sent: false,
            write_broken: false,
            answered: 0,
            moving: None,
            moved_at: Instant::now(),
            armed: None,
            passing: None,
            source: None,
            holds_head: false,
            sent: 0,
            told_end: false,
            closing: Closing::No,
        }
    }

    /// Bytes received and not used.
    pub fn pending(&self) -> &[u8] {
        self.input.pending()
    }

    pub fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
    }

    /// Looks for the end of a head in what is pending. True once there is one.
    pub fn scan(&mut self) -> bool {
        let from = self.receiver.scanned() as usize;
        let bytes = self.input.pending().get(from..).unwrap_or_default();
        self.receiver.scan(bytes)
    }

    /// Until when it may be without a first head; of no meaning once there was one.
    pub fn waits_until(&self) -> Option<Instant> {
        let waits = matches!(self.receiver.state(), State::Collecting(_));
        self.head_due
            .filter(|_| waits && self.receiver.generation() == 0)
    }

    /// Begins to end the connection if its first head did not come in time; says whether.
    pub fn end_if_late(&mut self) -> bool {
        let now = Instant::now();
        if self.waits_until().is_none_or(|due| now < due) {
            return false;
        }
        self.closing = if self.receiver.scanned() == 0 {
            Closing::Flush { until: now }
        } else {
            // What cannot be sent is of no use to anybody.
            let _ = self.send(HEAD_LATE);
            self.fin_after = true;
            let (bytes, time) = FAREWELL;
            let until = now + time;
            Closing::Drain { bytes, until }
        };
        true
    }

    /// Takes what is pending of the body that moves.
    pub fn take(&mut self) -> Result<(), Malformed> {
        match &mut self.moving {
            Some(moving) => moving.take(&mut self.input, &mut self.receiver),
            None => Ok(()),
        }
    }

    /// After the last byte: true if a FIN ends the body, and something has to be sent for it.
    pub fn end_by_fin(&mut self) -> bool {
        let whole = self.fin_read && self.receiver.fin_completes();
        whole && self.moving.as_mut().is_some_and(Move::end)
    }

    /// Where the body that moves goes.
    pub fn target(&self) -> Option<u32> {
        self.moving.as_ref().and_then(|moving| moving.target)
    }

    /// Reads once, `limit` pending bytes at the most. False if there is nothing.
    pub fn fill(&mut self, limit: usize) -> bool {
        let (Some(stream), false) = (&self.stream, self.at_end) else {
            return false;
        };
        match self.input.fill(stream, limit) {
            None => return false,
            Some(Ok(0)) => {
                self.at_end = true;
                // Reading ends like this, too, where a write was told of a reset before: of one
                // behind a FIN by EPIPE, of others by ECONNRESET (Linux, `tcp_reset`).
                let errno = self.broken.unwrap_or_default();
                self.fin_read = errno == 0 || errno == EPIPE.unsigned_abs();
            }
            Some(Ok(_)) => {}
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Some(Err(error)) => self.break_with(&error),
        }
        true
    }

    /// True if nothing was received that was not answered: no byte, and no end.
    pub fn is_quiet(&mut self) -> bool {
        let collects = matches!(self.receiver.state(), State::Collecting(_));
        let Some(stream) = self.stream.as_ref().filter(|_| collects && !self.at_end) else {
            return false;
        };
        match stream.peek() {
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.pending().is_empty(),
            Err(error) => {
                // It is told once only.
                self.break_with(&error);
                false
            }
        }
    }

    /// Whether the next turn of its move has content to send, or has it already.
    pub fn has_more(&self) -> bool {
        let content =
            matches!(self.receiver.next(), Next::Content(_)) && !self.pending().is_empty();
        let staged = |moving: &Move| !moving.staging.is_empty();
        content || self.moving.as_ref().is_some_and(staged)
    }

    /// True if a body may follow what the router sent, all of which is in the socket; else the
    /// errno for which nothing ever will. `more`: it follows at once.
    pub fn ready(&mut self, more: bool) -> Result<bool, u32> {
        let flushed = self.flush_before(more);
        match self.write_broken {
            true => Err(self.broken.unwrap_or(ECONNRESET)),
            false => Ok(flushed),
        }
    }

    /// Puts body bytes of a source into the socket. `None` if it takes none now.
    pub fn put(&mut self, bytes: &[u8]) -> Option<Result<usize, u32>> {
        let Some(stream) = self.stream.as_ref().filter(|_| !self.write_broken) else {
            return Some(Err(self.broken.unwrap_or(ECONNRESET)));
        };
        match stream.try_write(bytes, false) {
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

    /// Whether a client has not read answers that are behind the last head. Then the next head waits: its
    /// answer would find no room, or pass those.
    pub fn keeps_answers_waiting(&self) -> bool {
        self.receiver.side() == Side::Front && self.unsent() > 0 && !self.write_broken
    }

    /// Sends what waits, and the FIN behind it. True if nothing is left to do.
    pub fn flush(&mut self) -> bool {
        self.flush_before(false)
    }

    fn flush_before(&mut self, more: bool) -> bool {
        let Some(stream) = self.stream.clone() else {
            return true;
        };
        while self.unsent() > 0 && !self.write_broken {
            let rest = self.output.get(self.flushed..).unwrap_or_default();
            match stream.try_write(rest, more) {
                Ok(sent) => self.flushed += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => self.write_failed(&error),
            }
        }
        if self.flushed > 0 {
            // An idle connection holds no memory.
            self.output = Vec::new();
            self.flushed = 0;
        }
        if self.fin_after && !self.fin_sent {
            self.fin_sent = true;
            stream.send_fin();
        }
        true
    }

    /// Asks the socket whether its connection broke while nobody reads from it.
    pub fn notice_error(&mut self) {
        let error = self.stream.as_ref().and_then(|stream| stream.take_error());
        if let Some(error) = error {
            self.write_failed(&error);
        }
    }

    /// The target of the body that moves takes nothing now. A client whose connection broke meanwhile is not
    /// waited for: nobody is there for the response, and a body that lacks something will never be whole. True
    /// if it does. (What a back-end sent before it broke still goes to its client, as slow as that is.)
    pub fn breaks_behind_target(&mut self) -> bool {
        if !self.watches_for_error() {
            return false;
        }
        self.notice_error();
        let Some(stream) = self.stream.as_ref().filter(|_| self.broken.is_some()) else {
            return false;
        };
        let unread = (self.pending().len() as u64).saturating_add(stream.unread());
        self.receiver
            .lacks(u32::try_from(unread).unwrap_or(u32::MAX))
    }

    /// The connection resets when its last user lets go of it.
    pub fn reset(&mut self) {
        self.armed = None;
        if let Some(stream) = self.stream.take() {
            stream.reset_at_close();
        }
        self.at_end = true;
        self.fin_read = false;
        self.write_broken = true;
        self.broken.get_or_insert(ECONNRESET);
        self.input.clear();
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

    /// True while nobody reads from the socket, so that only an error says that it broke, and it has not.
    pub fn watches_for_error(&self) -> bool {
        let watches = match self.receiver.state() {
            State::Collecting(_) => false,
            State::Moving { .. } => self.receiver.side() == Side::Front,
            State::Ready { .. } | State::Parked(_) | State::Ended(_) => true,
        };
        watches && self.broken.is_none()
    }
}
