// SPDX-License-Identifier: GPL-2.0
//! Opens the listening sockets of a configuration.

use std::net::{SocketAddr, TcpListener};

use underpass::config::Listener;
use underpass::router::Listening;

/// Pending connections that a listening socket holds.
const BACKLOG: i32 = 4096;

/// Listening sockets for those of `wanted` whose addresses are not `held`. `beside`: others of the same
/// user may listen at the same addresses, if they say so too; each gets its part of the connections.
///
/// # Errors
/// If an address cannot be had.
pub fn open(
    wanted: &[Listener],
    held: &[SocketAddr],
    beside: bool,
) -> Result<Vec<(Listener, Listening)>, String> {
    let missing = wanted.iter().filter(|l| !held.contains(&l.address));
    let open = |listener: &Listener| {
        let listening = Listening {
            socket: bind(listener.address, beside)?,
            proxy_protocol: listener.proxy_protocol,
            connections: listener.connections,
            head: listener.head,
        };
        Ok((*listener, listening))
    };
    missing.map(open).collect()
}

/// Whether nobody at all listens at an address, not even one who would share it.
///
/// # Errors
/// If it cannot be had.
pub fn probe(address: SocketAddr) -> Result<(), String> {
    bound(address, false)
        .map(drop)
        .map_err(|error| cannot(address, &error))
}

/// A listening socket. `beside`: as for `open`.
///
/// # Errors
/// If the address cannot be had.
pub fn bind(address: SocketAddr, beside: bool) -> Result<TcpListener, String> {
    let open = || {
        let socket = bound(address, beside)?;
        // Accepted connections inherit it: small answers must not wait for acknowledgements.
        socket.set_tcp_nodelay(true)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok::<TcpListener, std::io::Error>(socket.into())
    };
    open().map_err(|error| cannot(address, &error))
}

fn bound(address: SocketAddr, beside: bool) -> Result<socket2::Socket, std::io::Error> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(beside)?;
    if address.is_ipv6() {
        // Else [::]:80 and 0.0.0.0:80 could not stand side by side.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn cannot(address: SocketAddr, error: &std::io::Error) -> String {
    format!("cannot listen on {address}: {error}")
}
