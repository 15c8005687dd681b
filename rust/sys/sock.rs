// SPDX-License-Identifier: GPL-2.0
//! A TCP socket that the module holds, and all it does with one.
//!
//! Invariants: a `Sock` owns either a reference of the file it was handed by, or the
//! kernel socket it accepted, and one reference of the module, since callbacks into it
//! may be installed. Each function takes and releases the socket lock itself, so two
//! are never held. No function waits for the network.

use super::gen;
use super::netns::NetId;
use super::pages::Pages;
use super::sieve::{actor, discard_actor, Run, Sieve, Taken, Window};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use kernel::bindings;
use kernel::ffi::c_int;
use kernel::prelude::*;

const EAGAIN_NR: c_int = -(bindings::EAGAIN as c_int);

/// What kind of socket somebody handed us.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its namespace.
    pub net: NetId,
    /// A TCP stream over IPv4 or IPv6.
    pub is_tcp: bool,
    /// It listens.
    pub listening: bool,
    /// A connection is up, or was half-closed by the peer.
    pub connected: bool,
    /// An upper layer protocol such as TLS sits on it.
    pub has_ulp: bool,
    /// Adopted already and not let go yet, or in a sockmap.
    pub taken: bool,
}

/// What can be read now.
#[derive(Clone, Copy)]
pub struct Readable {
    /// Bytes.
    pub bytes: u32,
    /// After those, the peer's FIN.
    pub fin: bool,
    /// The connection is closed, in whichever way.
    pub closed: bool,
    /// The peer sent urgent data, past which nothing can be read. HTTP has no use for it.
    pub urgent: bool,
}

impl Readable {
    /// Nothing is there, and nothing came to its end: only an event of the socket changes that.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && !self.fin && !self.closed && !self.urgent
    }
}

/// An IP address and port; `len` is 4 or 16, or 0 where there is none.
#[derive(Clone, Copy, Default)]
pub struct Addr {
    bytes: [u8; 16],
    len: usize,
    /// In host order.
    pub port: u16,
}

impl Addr {
    /// The address in network order.
    pub fn ip(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Why bytes were not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The peer's window or memory is full; `write_space` will come.
    Blocked,
    /// The connection broke (an errno, positive).
    Broken(u32),
}

/// Why a descriptor was not taken: an errno and words.
pub type FdError = (Error, &'static str);

/// Parts that go out in one send.
pub const PARTS_MAX: usize = 4;

/// A held TCP socket.
pub struct Sock {
    sock: NonNull<bindings::socket>,
    /// It was accepted here and has no file.
    accepted: bool,
}

// SAFETY: all uses of the socket take its lock, or read fields that never change.
unsafe impl Send for Sock {}
// SAFETY: as above.
unsafe impl Sync for Sock {}

impl Sock {
    /// The socket behind descriptor `fd` of the calling process.
    pub fn from_fd(fd: u32) -> Result<Self, FdError> {
        let mut err: c_int = 0;
        // SAFETY: `err` is valid; the caller is a task (a netlink command).
        let sock = unsafe { bindings::sockfd_lookup(fd as c_int, &mut err) };
        let Some(sock) = NonNull::new(sock) else {
            return Err(if err == ENOTSOCK.to_errno() {
                (ENOTSOCK, "the descriptor is not a socket")
            } else {
                (EBADF, "no such descriptor in the calling process")
            });
        };
        // SAFETY: the module is live while one of its commands runs.
        unsafe { gen::up_module_get() };
        Ok(Self {
            sock,
            accepted: false,
        })
    }

    /// The next connection of this listening socket, if one is there.
    pub fn accept(&self) -> Result<Option<Self>> {
        let mut new = ptr::null_mut();
        // SAFETY: `self` is a valid socket and `new` a valid place.
        let ret = unsafe { gen::up_accept(self.sock.as_ptr(), &mut new) };
        if ret == EAGAIN_NR {
            return Ok(None);
        }
        kernel::error::to_result(ret)?;
        let sock = NonNull::new(new).ok_or(EINVAL)?;
        // SAFETY: `self` holds a module reference, so the module is live.
        unsafe { gen::up_module_get() };
        let accepted = Self {
            sock,
            accepted: true,
        };
        // SAFETY: a valid TCP socket.
        unsafe { gen::up_sk_set_nodelay(accepted.sk()) };
        Ok(Some(accepted))
    }

    pub(super) fn sk(&self) -> *mut bindings::sock {
        // SAFETY: the socket is valid while held, and a TCP socket's `sk` stays the same
        // until its release.
        unsafe { (*self.sock.as_ptr()).sk }
    }

    /// Its kind, as of now.
    pub fn kind(&self) -> Kind {
        let mut raw = MaybeUninit::<gen::up_kind>::zeroed();
        // SAFETY: the socket is valid; the helper writes all fields of `raw`, for which
        // zero is a valid value too.
        let raw = unsafe {
            gen::up_sk_kind(self.sk(), raw.as_mut_ptr());
            raw.assume_init()
        };
        let family = u32::from(raw.family);
        let state = u32::from(raw.state);
        Kind {
            net: NetId::new(raw.net),
            is_tcp: (family == bindings::AF_INET || family == bindings::AF_INET6)
                && u32::from(raw.type_) == gen::UP_SOCK_STREAM
                && u32::from(raw.protocol) == bindings::IPPROTO_TCP,
            listening: state == gen::UP_TCP_LISTEN,
            connected: state == gen::UP_TCP_ESTABLISHED || state == gen::UP_TCP_CLOSE_WAIT,
            has_ulp: raw.has_ulp != 0,
            taken: raw.taken != 0,
        }
    }

    /// The local address.
    pub fn local(&self) -> Addr {
        // SAFETY: a valid socket and a place large enough for any address.
        self.address(|sock, addr| unsafe { bindings::kernel_getsockname(sock, addr) })
    }

    /// The peer's address.
    pub fn peer(&self) -> Addr {
        // SAFETY: as above.
        self.address(|sock, addr| unsafe { bindings::kernel_getpeername(sock, addr) })
    }

    fn address(
        &self,
        get: impl FnOnce(*mut bindings::socket, *mut bindings::sockaddr) -> c_int,
    ) -> Addr {
        // `sockaddr_storage` is 128 bytes; 8-aligned as it demands.
        let mut raw = [0u64; 16];
        let len = get(self.sock.as_ptr(), raw.as_mut_ptr().cast());
        let mut bytes = [0u8; 128];
        for (to, from) in bytes.chunks_exact_mut(8).zip(raw) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        let (Some(&f0), Some(&f1), Some(&p0), Some(&p1)) =
            (bytes.first(), bytes.get(1), bytes.get(2), bytes.get(3))
        else {
            return Addr::default();
        };
        let ip = match u32::from(u16::from_ne_bytes([f0, f1])) {
            _ if len <= 0 => None,
            bindings::AF_INET => bytes.get(4..8),
            bindings::AF_INET6 => bytes.get(8..24),
            _ => None,
        };
        let mut addr = Addr {
            port: u16::from_be_bytes([p0, p1]),
            ..Addr::default()
        };
        if let Some(ip) = ip {
            addr.len = ip.len();
            for (to, from) in addr.bytes.iter_mut().zip(ip) {
                *to = *from;
            }
        }
        addr
    }

    pub(super) fn raw_net(&self) -> *mut bindings::net {
        let mut raw = MaybeUninit::<gen::up_kind>::zeroed();
        // SAFETY: as in `kind`.
        unsafe {
            gen::up_sk_kind(self.sk(), raw.as_mut_ptr());
            raw.assume_init().net
        }
    }

    fn locked<R>(&self, f: impl FnOnce(*mut bindings::sock) -> R) -> R {
        let sk = self.sk();
        // SAFETY: a valid socket; callers run in process context and hold no socket lock: no
        // function of this type returns with one, and who is called under one only looks at bytes.
        unsafe { gen::up_lock_sock(sk) };
        let result = f(sk);
        // SAFETY: locked above.
        unsafe { gen::up_release_sock(sk) };
        result
    }

    /// What can be read now.
    pub fn readable(&self) -> Readable {
        // SAFETY: `locked` passes the socket locked.
        self.locked(|sk| unsafe { readable(sk) })
    }

    /// The pending error (an errno, positive), or zero.
    pub fn error(&self) -> u32 {
        // SAFETY: a valid socket; one word is read.
        unsafe { gen::up_sk_err(self.sk()) }
    }

    /// What can be read now; shows `f` the unread bytes of it from the one `ahead` of the first on,
    /// in pieces, until it returns false, unless urgent data is there. Nothing is taken. `f` runs under
    /// the socket's lock: it takes none, and asks no socket.
    pub fn look(&self, ahead: u32, mut f: impl FnMut(&[u8]) -> bool) -> Readable {
        let mut piece = [MaybeUninit::uninit(); 512];
        self.locked(|sk| {
            let mut show = |skb, mut offset: u32, mut left: u32| {
                while left > 0 {
                    let n = left.min(piece.len() as u32);
                    let mut window = Window::new(&mut piece);
                    // SAFETY: `walk` passes a valid range of a valid skb.
                    if unsafe { !window.fill(skb, offset, n) } || !f(window.filled()) {
                        return false;
                    }
                    offset = offset.saturating_add(n);
                    left = left.saturating_sub(n);
                }
                true
            };
            // SAFETY: `locked` passes the socket locked.
            unsafe {
                let readable = readable(sk);
                if !readable.urgent {
                    walk(sk, ahead, &mut show);
                }
                readable
            }
        })
    }

    /// Copies the unread bytes from the one `ahead` of the first on to `to`; says whether it is
    /// full, and so all of it was written.
    pub(super) fn copy_to(&self, ahead: u32, to: &mut [MaybeUninit<u8>]) -> bool {
        let mut window = Window::new(to);
        self.locked(|sk| {
            let fill = |skb, offset, left: u32| {
                let n = left.min(u32::try_from(window.room()).unwrap_or(u32::MAX));
                // SAFETY: `walk` passes a valid range of a valid skb.
                n > 0 && unsafe { window.fill(skb, offset, n) }
            };
            // SAFETY: `locked` passes the socket locked.
            unsafe { walk(sk, ahead, fill) };
        });
        window.room() == 0
    }

    /// `len` unread bytes from the one `ahead` of the first on. None: they are not there, cannot
    /// be read, or memory is short.
    pub fn copied(&self, ahead: u32, len: u32) -> Option<KVec<u8>> {
        let len = len as usize;
        let mut bytes = KVec::with_capacity(len, GFP_KERNEL).ok()?;
        let to = bytes.spare_capacity_mut().get_mut(..len)?;
        if !self.copy_to(ahead, to) {
            return None;
        }
        // SAFETY: the vector was empty, and `len` bytes were written.
        unsafe { bytes.inc_len(len) };
        Some(bytes)
    }

    /// Throws away up to `max` unread bytes; says how many, and what can be read then.
    pub fn discard(&self, max: u64) -> (u64, Readable) {
        let max = usize::try_from(max.min(c_int::MAX as u64)).unwrap_or(0);
        self.locked(|sk| {
            let n = match max {
                0 => 0,
                // SAFETY: valid and locked; the actor does not use its argument.
                _ => unsafe { gen::up_rx_read(sk, ptr::null_mut(), max, Some(discard_actor)) },
            };
            // SAFETY: `locked` passes the socket locked.
            (n.max(0) as u64, unsafe { readable(sk) })
        })
    }

    /// Takes up to `max` unread bytes as `sieve` tells: content into `pages`, or away. They
    /// stay in the receive queue, counted in `ahead`, until a step is full or `settle`.
    pub fn take<S: Sieve>(
        &self,
        ahead: &mut u32,
        sieve: &mut S,
        pages: Option<&mut Pages>,
        max: u64,
    ) -> Taken {
        let max = usize::try_from(max.min(c_int::MAX as u64)).unwrap_or(0);
        let mut run = Run {
            sieve,
            pages,
            stop: None,
        };
        // SAFETY: valid and locked; `run` is what the actor expects, and lives through the
        // call.
        let n = self.locked(|sk| unsafe {
            gen::up_rx_take(sk, ahead, (&raw mut run).cast(), max, Some(actor::<S>))
        });
        Taken {
            bytes: n.max(0) as u64,
            stop: run.stop,
        }
    }

    /// The `ahead` bytes that were taken leave the receive queue.
    pub fn settle(&self, ahead: &mut u32) {
        if *ahead > 0 {
            // SAFETY: valid and locked.
            self.locked(|sk| unsafe { gen::up_rx_done(sk, ahead) });
        }
    }

    /// Sends what fits of `parts`, the first `PARTS_MAX` of them; says how many bytes. `more`: the
    /// caller sends more at once, which is waited for (MSG_MORE).
    pub fn send(&self, parts: &[&[u8]], more: bool) -> Result<usize, SendError> {
        const NOTHING: bindings::kvec = bindings::kvec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let mut vecs = [NOTHING; PARTS_MAX];
        let (mut count, mut bytes) = (0usize, 0usize);
        for (vec, part) in vecs.iter_mut().zip(parts) {
            vec.iov_base = part.as_ptr().cast_mut().cast();
            vec.iov_len = part.len();
            bytes = bytes.saturating_add(part.len());
            count = count.saturating_add(1);
        }
        let mut msg = message();
        if more {
            msg.msg_flags |= gen::UP_MSG_MORE;
        }
        let vecs = vecs.as_mut_ptr();
        // SAFETY: the first `count` of `vecs` describe parts, which are only read, during this call.
        let n =
            unsafe { bindings::kernel_sendmsg(self.sock.as_ptr(), &mut msg, vecs, count, bytes) };
        sent(n)
    }

    /// Sends what fits of `pages` without copying, and drops it from there.
    pub fn send_pages(&self, pages: &mut Pages) -> Result<u64, SendError> {
        let pending = pages.pending();
        // SAFETY: the entries are valid pages that `pages` holds through the call; the
        // socket takes references of its own for what it keeps.
        let n = unsafe {
            gen::up_send_pages(
                self.sock.as_ptr(),
                pending.as_ptr(),
                pending.len() as u32,
                usize::try_from(pages.bytes()).unwrap_or(0),
            )
        };
        let n = sent(n)? as u64;
        pages.advance(n);
        Ok(n)
    }

    /// Asks for `write_space` once there is room; true if there is room now.
    pub fn want_write(&self) -> bool {
        // SAFETY: a valid socket with its `struct socket`, which `self` holds.
        unsafe { gen::up_sk_want_write(self.sk()) }
    }

    /// Sends FIN after what was sent.
    pub fn shutdown_send(&self) {
        self.shutdown(bindings::sock_shutdown_cmd_SHUT_WR);
    }

    /// Ends both directions in good order.
    pub fn shutdown(&self, how: bindings::sock_shutdown_cmd) {
        // The only error is that the connection is gone already.
        // SAFETY: a valid socket.
        unsafe { bindings::kernel_sock_shutdown(self.sock.as_ptr(), how) };
    }

    /// Ends both directions in good order.
    pub fn shutdown_both(&self) {
        self.shutdown(bindings::sock_shutdown_cmd_SHUT_RDWR);
    }

    /// Resets the connection.
    pub fn abort(&self) {
        // The only error is that the connection is gone already.
        // SAFETY: a valid TCP socket, whose lock this task does not hold.
        unsafe { gen::up_sk_abort(self.sk(), bindings::ECONNABORTED as c_int) };
    }
}

impl Drop for Sock {
    fn drop(&mut self) {
        if self.accepted {
            // SAFETY: accepted here, so owned; nothing uses it afterwards.
            unsafe { bindings::sock_release(self.sock.as_ptr()) };
        } else {
            // SAFETY: sockfd_lookup() took the reference of the file that is given back here.
            unsafe { bindings::fput((*self.sock.as_ptr()).file) };
        }
        // SAFETY: taken when `self` was made.
        unsafe { gen::up_module_put() };
    }
}

/// What can be read now.
///
/// # Safety
///
/// `sk` is a valid TCP socket that this task has locked.
unsafe fn readable(sk: *mut bindings::sock) -> Readable {
    let mut rx = MaybeUninit::<gen::up_rx>::zeroed();
    // SAFETY: as the caller promised; the helper writes all fields, for which zero is valid.
    let rx = unsafe {
        gen::up_rx_status(sk, rx.as_mut_ptr());
        rx.assume_init()
    };
    Readable {
        bytes: rx.inq,
        fin: rx.fin != 0,
        urgent: rx.urgent != 0,
        closed: u32::from(rx.state) == gen::UP_TCP_CLOSE,
    }
}

/// Calls `f` with the unread ranges of the receive queue, from the byte `ahead` of the first on, until
/// it returns false.
///
/// # Safety
///
/// As for `readable`.
unsafe fn walk(
    sk: *mut bindings::sock,
    ahead: u32,
    mut f: impl FnMut(*mut bindings::sk_buff, u32, u32) -> bool,
) {
    // SAFETY: the socket lock keeps the receive queue as it is.
    let mut skb = unsafe { gen::up_rx_first(sk) };
    while !skb.is_null() {
        // SAFETY: `skb` is in the receive queue, under the lock.
        let (offset, len) = unsafe { (gen::up_rx_offset(sk, skb, ahead), gen::up_skb_len(skb)) };
        // What lies before the wanted byte is skipped; what lies after it is whole, since the queue
        // has no gaps.
        let offset = u32::try_from(offset).unwrap_or(0);
        if offset < len && !f(skb, offset, len.wrapping_sub(offset)) {
            break;
        }
        // SAFETY: as above.
        skb = unsafe { gen::up_rx_next(sk, skb) };
    }
}

/// A message header without address or control data, that never waits nor signals.
fn message() -> bindings::msghdr {
    // SAFETY: `msghdr` is plain C data for which all zero is "nothing".
    let mut msg: bindings::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    msg.msg_flags = gen::UP_MSG_SEND;
    msg
}

fn sent(n: c_int) -> Result<usize, SendError> {
    match n {
        EAGAIN_NR => Err(SendError::Blocked),
        // Memory that is short now comes back like window that is short now.
        n if n == -(bindings::ENOBUFS as c_int) || n == -(bindings::ENOMEM as c_int) => {
            Err(SendError::Blocked)
        }
        n => usize::try_from(n).map_err(|_| SendError::Broken(n.unsigned_abs())),
    }
}
