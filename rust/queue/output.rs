// SPDX-License-Identifier: GPL-2.0
//! What is sent to a queue's peer: data of the router first, then the body that is moved in.
//!
//! Invariants: one writer at a time, so that bytes of two sources never mix; `data` waits
//! within `SEND_LIMIT`; a FIN goes out once, after all data.

#![forbid(unsafe_code)]

use super::pump::RETRY_MS;
use super::{Arming, Queue};
use crate::netlink::gen::SEND_LIMIT;
use crate::sys::clock;
use crate::sys::payer::Payer;
use crate::sys::send::SendError;
use crate::sys::sock::Sock;
use kernel::prelude::*;
use kernel::sync::Arc;

/// How far the waiting data got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Nothing waits.
    Empty,
    /// The peer does not take it now; `Wake::Write` will come.
    Blocked,
    /// No memory now and no event to come: try again later.
    Starved,
    /// The connection cannot send (an errno, positive).
    Broken(u32),
}

/// The sending half of a queue, under `Queue::out`.
pub struct Output {
    data: KVec<u8>,
    gone: usize,
    fin_wanted: bool,
    fin_sent: bool,
    broken: Option<u32>,
    closing: bool,
    /// The last body was moved in only in part, and the router has said nothing since.
    cut: bool,
    /// What may become of the next head that the peer sends; see `relay.rs`.
    armed: Option<Arming>,
    /// The queue whose body is moved in.
    pub writer: Option<Arc<Queue>>,
    /// Body bytes that the current or last forward put in.
    pub sent: u64,
    /// A head that the peer sent ahead is not told before the body that is moved in has ended.
    pub holds_head: bool,
    /// A send found no memory: `Wake::Write` says nothing until then (milliseconds).
    starved_until: u64,
}

impl Output {
    pub(super) fn init() -> impl Init<Self> {
        init!(Self {
            data: KVec::new(),
            gone: 0,
            fin_wanted: false,
            fin_sent: false,
            broken: None,
            closing: false,
            cut: false,
            armed: None,
            writer: None,
            sent: 0,
            holds_head: false,
            starved_until: 0,
        })
    }

    /// Bytes of data that wait.
    pub fn unsent(&self) -> u32 {
        u32::try_from(self.data.len().saturating_sub(self.gone)).unwrap_or(u32::MAX)
    }

    /// Why nothing new can be sent (an errno, positive).
    pub fn broken(&self) -> Option<u32> {
        let eof = (self.fin_wanted || self.closing).then_some(kernel::bindings::EPIPE);
        self.broken.or(eof)
    }

    /// The next head may be passed on.
    pub fn arm(&mut self, arming: Arming) {
        self.armed = Some(arming);
    }

    /// The next head goes up, unless this is armed again.
    pub fn disarm(&mut self) -> Option<Arming> {
        self.armed.take()
    }

    /// Whereto the next head may be passed on.
    pub fn armed_to(&self) -> Option<u32> {
        self.armed.as_ref().map(|arming| arming.to.id)
    }

    /// What waits still goes out, and nothing after it.
    pub fn close(&mut self) {
        self.closing = true;
        self.armed = None;
    }

    /// The body that was moved in ends here, before its end.
    pub fn cut_off(&mut self) {
        self.cut = true;
    }

    /// Whether the peer would take a part of a body for the whole, or what comes next for the rest.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Nothing can be sent from now on.
    pub fn set_broken(&mut self, errno: u32) {
        self.broken.get_or_insert(errno);
    }

    /// A send found no memory now. Where nothing of the socket's is on its way, TCP calls it writable at each
    /// such try: who listened to that would try without end.
    pub fn starve(&mut self) {
        self.starved_until = clock::now_ms().saturating_add(RETRY_MS);
    }

    /// Whether one did lately.
    pub fn is_starved(&self) -> bool {
        clock::now_ms() < self.starved_until
    }

    /// Whether `n` more bytes of data may wait.
    pub fn has_room(&self, n: usize) -> bool {
        (self.unsent() as usize).saturating_add(n) <= SEND_LIMIT as usize
    }

    /// Makes room for `n` more bytes, so that `push` cannot fail.
    fn reserve(&mut self, n: usize) -> Result {
        if self.gone > 0 {
            // What is out goes first: else this would grow with all that ever passed.
            let rest = self.data.get(self.gone..).unwrap_or(&[]);
            let mut data = KVec::with_capacity(rest.len().saturating_add(n), GFP_KERNEL_ACCOUNT)?;
            data.extend_from_slice(rest, GFP_KERNEL_ACCOUNT)?;
            self.data = data;
            self.gone = 0;
        }
        Ok(self.data.reserve(n, GFP_KERNEL_ACCOUNT)?)
    }

    /// Adds data, after `reserve`.
    fn push(&mut self, bytes: &[u8]) -> Result {
        Ok(self.data.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?)
    }

    /// Sends FIN once all data is out.
    pub fn want_fin(&mut self) {
        self.fin_wanted = true;
    }

    /// Sends `parts` (`PARTS_MAX` at the most) behind what waits; what the peer does not take yet
    /// waits, too. `more`: bytes of a body follow at once, in the same packets. ENOMEM: nothing
    /// changed.
    pub fn put(&mut self, sock: &Sock, parts: &[&[u8]], more: bool) -> Result<Flush> {
        let mut gone = 0;
        if self.unsent() == 0 && self.broken.is_none() {
            match sock.send(parts, more) {
                Ok(n) => gone = n,
                // `flush` asks to be told of room.
                Err(SendError::Blocked) => {}
                Err(SendError::Broken(errno)) => self.set_broken(errno),
            }
        }
        if let Err(error) = self.keep(sock, parts, gone) {
            if gone == 0 {
                return Err(error);
            }
            // The peer has the beginning, and will not get the rest.
            sock.abort();
            self.set_broken(kernel::bindings::ENOMEM);
        }
        self.cut = false;
        Ok(self.flush(sock))
    }

    /// Adds `parts` without their first `gone` bytes to what waits, all or nothing. Who pays for `sock` pays for it.
    fn keep(&mut self, sock: &Sock, parts: &[&[u8]], mut gone: usize) -> Result {
        let left = size(parts).saturating_sub(gone);
        if left > 0 {
            Payer::of(sock).pays(|| self.reserve(left))?;
            for part in parts {
                // Room was reserved.
                self.push(part.get(gone..).unwrap_or(&[]))?;
                gone = gone.saturating_sub(part.len());
            }
        }
        Ok(())
    }

    /// Sends what fits.
    pub fn flush(&mut self, sock: &Sock) -> Flush {
        if let Some(errno) = self.broken {
            return Flush::Broken(errno);
        }
        let mut tried = false;
        while let Some(rest) = self.data.get(self.gone..).filter(|r| !r.is_empty()) {
            match sock.send(&[rest], false) {
                Ok(n) => self.gone = self.gone.saturating_add(n),
                // Room may have come between the refusal and the wish to be told of it.
                Err(SendError::Blocked) if sock.want_write() => {
                    if tried {
                        self.starve();
                        return Flush::Starved;
                    }
                    tried = true;
                }
                Err(SendError::Blocked) => return Flush::Blocked,
                Err(SendError::Broken(errno)) => {
                    self.broken = Some(errno);
                    return Flush::Broken(errno);
                }
            }
        }
        if self.gone > 0 {
            self.data = KVec::new();
            self.gone = 0;
        }
        if self.fin_wanted && !self.fin_sent {
            self.fin_sent = true;
            sock.shutdown_send();
        }
        Flush::Empty
    }
}

/// Bytes of all `parts`.
pub fn size(parts: &[&[u8]]) -> usize {
    parts.iter().fold(0, |n, part| n.saturating_add(part.len()))
}
