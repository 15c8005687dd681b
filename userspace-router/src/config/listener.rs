// SPDX-License-Identifier: GPL-2.0
//! `[[listener]]`: where clients connect.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;

/// Where clients connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address to listen on; port 0 is any free one.
    pub address: SocketAddr,
    /// Clients are proxies that begin each connection with a PROXY protocol header. One
    /// without it is reset.
    pub proxy_protocol: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ListenerTable {
    address: Spanned<String>,
    #[serde(default)]
    proxy_protocol: bool,
}

/// Checks one table.
pub(super) fn listener(table: &ListenerTable) -> Result<Listener, Fault> {
    Ok(Listener {
        address: address(&table.address)?,
        proxy_protocol: table.proxy_protocol,
    })
}

fn address(value: &Spanned<String>) -> Result<SocketAddr, Fault> {
    value.get_ref().parse().map_err(|_| {
        let text = format!(
            "`{}` must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080",
            value.get_ref()
        );
        Fault::at(value.span(), text)
    })
}
