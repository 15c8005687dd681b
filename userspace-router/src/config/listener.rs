// SPDX-License-Identifier: GPL-2.0
//! `[[listener]]`: where clients connect.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ListenerTable {
    address: Spanned<String>,
}

/// Checks one table.
pub(super) fn listener(table: &ListenerTable) -> Result<SocketAddr, Fault> {
    address(&table.address)
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
