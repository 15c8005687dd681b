// SPDX-License-Identifier: GPL-2.0
//! A TCP socket that the module holds: where it comes from, what it is, how it ends. Receiving
//! is in `receive.rs`, sending in `send.rs`.
//!
//! Invariants: a `Sock` owns either a reference to the file it was handed over by, or the
//! kernel socket it accepted, and one reference to the module, since callbacks into it
//! may be installed. Each function takes and releases the socket lock itself, so two
//! are never held. No function waits for the network.

use super::gen;
use super::netns::NetId;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use kernel::bindings;
use kernel::ffi::c_int;
use kernel::prelude::*;

pub(super) const EAGAIN_NR: c_int = -(bindings::EAGAIN as c_int);

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

/// An IP address and port; `len` is 4 or 16, or 0 where there is none.
#[derive(Clone, Copy, Default)]
pub struct Addr {
    bytes: [u8; 16],
    len: usize,
    /// In host order.
    pub port: u16,
    /// The interface that a link-local address is of, or 0.
    pub scope_id: u32,
}

impl Addr {
    /// The address in network order.
    pub fn ip(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Why a descriptor was not taken: an errno and words.
pub type FdError = (Error, &'static str);

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
        // Its unloading waits for commands that run (genl_unregister_family()), but looks at references only before.
        // SAFETY: the module's memory is there while one of its commands runs.
        if unsafe { !gen::up_module_try_get() } {
            // SAFETY: sockfd_lookup() took the reference of the file that is given back here.
            unsafe { bindings::fput((*sock.as_ptr()).file) };
            return Err((ENODEV, "the module is being unloaded"));
        }
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

    /// How many connections may wait to be accepted (`listen(2)`). One more than that may.
    pub fn backlog(&self) -> u32 {
        // SAFETY: a valid TCP socket.
        unsafe { gen::up_sk_backlog(self.sk()) }
    }

    pub(super) fn raw(&self) -> *mut bindings::socket {
        self.sock.as_ptr()
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
        // As far as an address of IPv6 goes.
        let mut bytes = [0u8; 32];
        for (to, from) in bytes.chunks_exact_mut(8).zip(raw) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        let (Some(&f0), Some(&f1), Some(&p0), Some(&p1)) =
            (bytes.first(), bytes.get(1), bytes.get(2), bytes.get(3))
        else {
            return Addr::default();
        };
        let (ip, scope) = match u32::from(u16::from_ne_bytes([f0, f1])) {
            _ if len <= 0 => (None, None),
            bindings::AF_INET => (bytes.get(4..8), None),
            bindings::AF_INET6 => (bytes.get(8..24), bytes.get(24..28)),
            _ => (None, None),
        };
        let scope = scope.and_then(|scope| scope.try_into().ok());
        let mut addr = Addr {
            port: u16::from_be_bytes([p0, p1]),
            scope_id: scope.map_or(0, u32::from_ne_bytes),
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

    /// Calls `f` with the socket locked.
    pub(super) fn locked<R>(&self, f: impl FnOnce(*mut bindings::sock) -> R) -> R {
        let sk = self.sk();
        // SAFETY: a valid socket; callers run in process context and hold no socket lock: no
        // function of this type returns with one, and who is called under one only looks at bytes.
        unsafe { gen::up_lock_sock(sk) };
        let result = f(sk);
        // SAFETY: locked above.
        unsafe { gen::up_release_sock(sk) };
        result
    }

    /// The pending error (an errno, positive), or zero.
    pub fn error(&self) -> u32 {
        // SAFETY: a valid socket; one word is read.
        unsafe { gen::up_sk_err(self.sk()) }
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
            // Inherited of its listener, if that was not adopted first.
            // SAFETY: a valid socket, locked.
            self.locked(|sk| unsafe { gen::up_sk_no_options(sk) });
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
