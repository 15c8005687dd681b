// SPDX-License-Identifier: GPL-2.0
//! `[pool.NAME]`: back-ends that can stand in for each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;
use crate::address::Address;

/// Pools by name, while routes are resolved.
pub(super) type Pools = BTreeMap<String, Arc<[Address]>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PoolTable {
    backends: Spanned<Vec<Spanned<String>>>,
}

/// Checks one table.
pub(super) fn backends(pool: &PoolTable) -> Result<Arc<[Address]>, Fault> {
    let list = &pool.backends;
    if list.get_ref().is_empty() {
        return Err(Fault::at(list.span(), "a pool needs at least one back-end"));
    }
    list.get_ref().iter().map(backend).collect()
}

fn backend(value: &Spanned<String>) -> Result<Address, Fault> {
    value.get_ref().parse().map_err(|_| {
        let text = format!(
            "`{}` must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080, \
             or a Unix socket, such as unix:/run/app.sock",
            value.get_ref()
        );
        Fault::at(value.span(), text)
    })
}
