// SPDX-License-Identifier: GPL-2.0
//! The netlink socket: opened, bound, and connected to the kernel.
//!
//! Connected, so that messages of other processes are not received. It must not know what the
//! datagrams say, except for the one query for the family's number.

use std::io;

use netlink_sys::{protocols::NETLINK_GENERIC, Socket, SocketAddr};
use rustix::net::sockopt;
use tokio::io::unix::AsyncFd;
use underpass_proto::family::{self, FamilyError};
use underpass_proto::Refusal;

use super::ENOENT;
use crate::engine::EngineError;

/// Bytes of events that may wait for this process.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Bytes of the longest datagram of commands, with room: a longer one would be refused as a whole.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes of the longest datagram: a head's event, or a page of a dump.
const DATAGRAM_MAX: usize = 128 * 1024;
/// `recv` tells a datagram's own length, also if it was cut.
const MSG_TRUNC: i32 = 0x20;

/// What one attempt to read gave.
pub enum Read {
    /// A datagram of so many bytes, in `datagram`.
    Datagram,
    /// Messages were lost.
    Overflow,
    /// Nothing waits.
    Nothing,
}

/// The socket and the datagram read last.
pub struct Channel {
    fd: AsyncFd<Socket>,
    pub family: u16,
    /// Its netlink port.
    pub port: u32,
    pub datagram: Vec<u8>,
}

impl Channel {
    /// Opens the socket and finds the family.
    pub async fn open() -> Result<Self, EngineError> {
        let mut channel = Self::of_no_family().map_err(failed)?;
        channel.send(&family::request(1)).map_err(failed)?;
        loop {
            match channel.read().map_err(failed)? {
                Read::Datagram => break,
                Read::Overflow => {}
                Read::Nothing => channel.readable().await?,
            }
        }
        channel.family = family::answer(&channel.datagram).map_err(unknown)?;
        Ok(channel)
    }

    /// Opens the socket.
    fn of_no_family() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        enlarge(&socket)?;
        Ok(Self {
            fd: watch(socket)?,
            family: 0,
            port,
            datagram: Vec::with_capacity(DATAGRAM_MAX),
        })
    }

    /// Of a family that nobody has: the kernel refuses all that is asked.
    #[cfg(test)]
    pub fn of_nobody() -> io::Result<Self> {
        let channel = Self::of_no_family()?;
        Ok(Self {
            family: u16::MAX,
            ..channel
        })
    }

    /// Sends to this netlink port from now on; 0 is the kernel.
    #[cfg(test)]
    pub fn lead(&self, port: u32) -> io::Result<()> {
        self.fd.get_ref().connect(&SocketAddr::new(port, 0))
    }

    /// Sends commands; the kernel has done them when this returns.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.fd.get_ref().send(datagram, 0).map(|_| ())
    }

    /// Reads a datagram if there is one.
    pub fn read(&mut self) -> io::Result<Read> {
        self.datagram.clear();
        match self.fd.get_ref().recv(&mut self.datagram, MSG_TRUNC) {
            Ok(length) if length > self.datagram.len() => Ok(Read::Overflow),
            Ok(_) => Ok(Read::Datagram),
            Err(error) if error.raw_os_error() == Some(super::ENOBUFS) => Ok(Read::Overflow),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Waits until `read` is worth another try. Call it after `Read::Nothing` only.
    pub async fn readable(&self) -> Result<(), EngineError> {
        let mut guard = self.fd.readable().await.map_err(failed)?;
        guard.clear_ready();
        Ok(())
    }
}

/// What is to be done about a family that is not there, or not this one.
fn unknown(error: FamilyError) -> EngineError {
    match error {
        FamilyError::Refused(Refusal { errno: ENOENT, .. }) => EngineError::NoModule(format!(
            "{error}: `modprobe underpass`, or `insmod underpass.ko` if it is not installed"
        )),
        // As long as it is loaded, `modprobe` does nothing.
        FamilyError::Version(_) => EngineError::Failed(format!(
            "{error}: unload the old one first: stop its routers, wait until /sys/module/underpass/refcnt is 0, and \
             `rmmod underpass`"
        )),
        _ => EngineError::Failed(error.to_string()),
    }
}

fn failed(error: io::Error) -> EngineError {
    EngineError::Failed(format!("netlink socket: {error}"))
}

/// Lets the runtime watch the socket, which has one descriptor from its birth to its drop.
#[expect(
    deprecated,
    reason = "the successor is an unsafe fn, which has no place in this crate"
)]
fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::new(socket)
}

/// Beyond the system's limit where that is allowed, up to it elsewhere.
fn enlarge(socket: &Socket) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(socket, SEND_BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32) -> FamilyError {
        FamilyError::Refused(Refusal {
            errno,
            text: String::new(),
            offset: None,
            missing: None,
        })
    }

    #[test]
    fn advice_fits_what_is_wrong() {
        let load = "`modprobe underpass`";
        let absent = unknown(refused(ENOENT));
        assert!(matches!(&absent, EngineError::NoModule(text) if text.contains(load)));
        for (error, ends) in [
            (FamilyError::Version(2), "`rmmod underpass`"),
            (FamilyError::NoAnswer, "of the netlink family `underpass`"),
            (refused(super::super::EPERM), "load the module underpass"),
        ] {
            let other = unknown(error);
            assert!(matches!(other, EngineError::Failed(_)));
            let text = other.to_string();
            assert!(text.ends_with(ends) && !text.contains(load), "{text}");
        }
    }
}
