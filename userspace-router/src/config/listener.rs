// SPDX-License-Identifier: GPL-2.0
//! `[[listener]]`: where clients connect.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::limits::Limits;
use super::place::Fault;
use super::value::{number, DAY};
use crate::address::meets;

/// Connections at once where the file says nothing.
const CONNECTIONS: u64 = 65_536;

/// Where clients connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address to listen on; port 0 is any free one.
    pub address: SocketAddr,
    /// Clients are proxies that begin each connection with a PROXY protocol header. One
    /// without it is reset.
    pub proxy_protocol: bool,
    /// Connections at once; more wait to be accepted.
    pub connections: u32,
    /// How long a client has for the head of its first request.
    pub head: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ListenerTable {
    address: Spanned<String>,
    #[serde(default)]
    proxy_protocol: bool,
    connections: Option<Spanned<i64>>,
    head_ms: Option<Spanned<i64>>,
}

/// Checks one table.
pub(super) fn listener(table: &ListenerTable, limits: &Limits) -> Result<Listener, Fault> {
    let head = limits.head.as_millis() as u64;
    Ok(Listener {
        address: address(&table.address)?,
        proxy_protocol: table.proxy_protocol,
        // The cast loses nothing: the range ends far below 2^32.
        connections: number(table.connections.as_ref(), CONNECTIONS, 1..=10_000_000)? as u32,
        head: number(table.head_ms.as_ref(), head, 1..=DAY).map(Duration::from_millis)?,
    })
}

/// Why a router cannot listen at both, if so. Where addresses are `shared` it can at one and at all.
pub(super) fn clash(address: SocketAddr, other: SocketAddr, shared: bool) -> Option<String> {
    if address.port() == 0 {
        return None;
    }
    if address == other {
        return Some(format!("`{address}` is listed twice"));
    }
    // One address on two links is two.
    let all = meets(address, other) && address.ip() != other.ip();
    (all && !shared).then(|| {
        format!(
            "`{address}` cannot be used together with the listener `{other}` with the engine \"user\" and one thread: \
             remove one of them, or list single addresses"
        )
    })
}

/// An address to listen on.
pub(super) fn address(value: &Spanned<String>) -> Result<SocketAddr, Fault> {
    let text = value.get_ref();
    let fault = |text| Fault::at(value.span(), text);
    let address: SocketAddr = text.parse().map_err(|_| {
        fault(format!(
            "`{text}` must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })?;
    // A socket for IPv6 alone, as each here is, cannot have it.
    let plain = address.ip().to_canonical();
    match plain == address.ip() {
        true => Ok(address),
        false => Err(fault(format!(
            "`{text}` is an IPv4 address: write {plain}:{}",
            address.port()
        ))),
    }
}
