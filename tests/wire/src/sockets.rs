// SPDX-License-Identifier: GPL-2.0
//! Sockets of this process, and the network namespace that they live in.

use crate::client::Failure;
use nix::sched::{unshare, CloneFlags};
use socket2::SockRef;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// Puts this thread, and what it starts, in a network namespace with nothing in it but a
/// loopback device.
pub fn fresh_namespace() -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()?;
    if !status.success() {
        return Err("`ip link set lo up` failed".into());
    }
    Ok(())
}

/// A listening socket on any port.
pub fn listening(ip: IpAddr) -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind(SocketAddr::new(ip, 0))?)
}

/// The IPv4 loopback address.
pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The IPv6 loopback address.
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Both ends of a connection.
pub fn pair(ip: IpAddr) -> Result<(TcpStream, TcpStream), Failure> {
    let listener = listening(ip)?;
    let near = connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    limit(&far)?;
    Ok((near, far))
}

/// A connection to `address`.
pub fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address)?;
    limit(&stream)?;
    Ok(stream)
}

/// Nothing waits for ever: a read that gets nothing is an error that names its check.
fn limit(stream: &TcpStream) -> Result<(), Failure> {
    Ok(stream.set_read_timeout(Some(Duration::from_secs(30)))?)
}

/// Closes a connection with a reset.
pub fn reset(stream: TcpStream) -> Result<(), Failure> {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(())
}

/// Sends FIN and goes on reading.
pub fn fin(stream: &TcpStream) -> Result<(), Failure> {
    Ok(stream.shutdown(Shutdown::Write)?)
}

/// Exactly so many bytes.
pub fn read(stream: &mut TcpStream, length: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// How a connection ended, and what came before.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// FIN.
    Fin(Vec<u8>),
    /// Reset; what came before may be lost.
    Reset,
}

/// Reads to the end.
pub fn end(stream: &mut TcpStream) -> Result<End, Failure> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => Ok(End::Fin(bytes)),
        Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(End::Reset),
        Err(e) => Err(e.into()),
    }
}

/// Bytes of a body, no two places alike within 64 KiB.
pub fn body(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8)) as u8).collect()
}
