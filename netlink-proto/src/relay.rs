// SPDX-License-Identifier: GPL-2.0
//! What a `route` says about the response: that it may be passed on without being shown.

use crate::attr::{Put, Table};
use crate::error::DecodeError;
use crate::gen::queue;
use std::sync::Arc;

/// The next head of the target may go to the source, if it is a final response of which there
/// is no doubt; see `docs/netlink.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relay {
    /// Field lines behind those of the response, each with its CRLF. At most
    /// [`RELAY_MAX`](crate::gen::RELAY_MAX) bytes. Shared, as they are the same for many requests.
    pub lines: Arc<[u8]>,
    /// The request is HEAD.
    pub of_head: bool,
    /// Milliseconds that the response's body may stand still; without it, for ever.
    pub idle_ms: Option<u32>,
    /// Bytes of it that have to move in that time; without it, one.
    pub idle_bytes: Option<u32>,
}

impl Relay {
    pub(crate) fn put(&self, put: &mut Put<'_>) {
        put.bytes(queue::RELAY, &self.lines);
        if self.of_head {
            put.flag(queue::RELAY_HEAD);
        }
        if let Some(ms) = self.idle_ms {
            put.u32(queue::RELAY_IDLE_MS, ms);
        }
        if let Some(bytes) = self.idle_bytes {
            put.u32(queue::RELAY_IDLE_BYTES, bytes);
        }
    }

    pub(crate) fn find(table: &Table<'_>) -> Result<Option<Self>, DecodeError> {
        let Some(lines) = table.bytes(queue::RELAY) else {
            return Ok(None);
        };
        Ok(Some(Self {
            lines: lines.into(),
            of_head: table.flag(queue::RELAY_HEAD),
            idle_ms: table.u32(queue::RELAY_IDLE_MS)?,
            idle_bytes: table.u32(queue::RELAY_IDLE_BYTES)?,
        }))
    }
}
