// SPDX-License-Identifier: GPL-2.0
//! A connected socket: TCP or Unix, as one type.
//!
//! It only passes calls on. What differs is the end: a Unix stream cannot be reset, so that
//! its peer sees an orderly end where a TCP peer sees a reset.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use bytes::BufMut;
use rustix::io::ioctl_fionread;
use rustix::net::{send, SendFlags};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::engine::Socket;

#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Fails where the socket is not connected, or the runtime cannot watch it.
    pub fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => {
                socket.peer_addr()?;
                socket.set_nonblocking(true)?;
                TcpStream::from_std(socket).map(Self::Tcp)
            }
            Socket::Unix(socket) => {
                socket.peer_addr()?;
                socket.set_nonblocking(true)?;
                UnixStream::from_std(socket).map(Self::Unix)
            }
        }
    }

    /// Peer and own end; a Unix socket has no such addresses.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        match self {
            Self::Tcp(socket) => (socket.peer_addr().ok(), socket.local_addr().ok()),
            Self::Unix(_) => (None, None),
        }
    }

    /// Reads once, to the end of `space`.
    pub fn try_read(&self, space: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read_buf(space),
            Self::Unix(socket) => socket.try_read_buf(space),
        }
    }

    /// Whether there is a byte, or the end: asks the system, not the runtime, which may not
    /// have heard of it yet.
    pub fn peek(&self) -> io::Result<usize> {
        self.socket().peek(&mut [MaybeUninit::uninit()])
    }

    /// Bytes that are there to be read, also of a connection that broke. Zero if nobody can say.
    pub fn unread(&self) -> u64 {
        match self {
            Self::Tcp(socket) => ioctl_fionread(socket),
            Self::Unix(socket) => ioctl_fionread(socket),
        }
        .unwrap_or_default()
    }

    /// `more` bytes follow at once, for which TCP waits with a packet that is not full.
    pub fn try_write(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) if more => socket.try_io(Interest::WRITABLE, || {
                Ok(send(socket, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
            }),
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
        }
    }

    /// Waits until one of these is worth a try.
    pub async fn ready(&self, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.ready(interest).await,
            Self::Unix(socket) => socket.ready(interest).await,
        }
        .map(|_| ())
    }

    /// The error that broke the connection, if there is one that nobody was told.
    pub fn take_error(&self) -> Option<io::Error> {
        let ask = || match self.socket().take_error()? {
            Some(error) => Ok(error),
            None => Err(io::ErrorKind::WouldBlock.into()),
        };
        match self {
            Self::Tcp(socket) => socket.try_io(Interest::ERROR, ask),
            Self::Unix(socket) => socket.try_io(Interest::ERROR, ask),
        }
        .ok()
    }

    pub fn send_fin(&self) {
        // It fails only where the connection is gone already, which reading will tell.
        let _gone = self.socket().shutdown(Shutdown::Write);
    }

    /// From now on, closing it resets the connection.
    pub fn reset_at_close(&self) {
        if let Self::Tcp(_) = self {
            // It fails only where the connection is gone already.
            let _gone = self.socket().set_linger(Some(Duration::ZERO));
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Unix(socket) => SockRef::from(socket),
        }
    }
}
