// SPDX-License-Identifier: GPL-2.0
//! Field lines that are added to passed-on responses. A router names the same ones with nearly
//! every request: these are checked and copied once.
//!
//! Invariants: `Lines` are whole field lines; of each router only the last ones are kept.

#![forbid(unsafe_code)]

use crate::framing::is_field_lines;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};

/// Field lines, or none.
pub struct Lines(KVec<u8>);

impl Lines {
    /// As they stand on the wire.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// Those that a router named last.
#[pin_data]
pub struct LastLines {
    #[pin]
    last: Mutex<Option<Arc<Lines>>>,
}

impl LastLines {
    /// None were named.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            last <- new_mutex!(None, "underpass_lines"),
        })
    }

    /// What is `given`, as lines. None: it is something else. ENOMEM.
    pub fn name(&self, given: &[u8]) -> Result<Option<Arc<Lines>>> {
        let mut last = self.last.lock();
        if let Some(lines) = last.as_ref().filter(|lines| lines.as_slice() == given) {
            return Ok(Some(lines.clone()));
        }
        if !is_field_lines(given) {
            return Ok(None);
        }
        let mut copied = KVec::with_capacity(given.len(), GFP_KERNEL)?;
        copied.extend_from_slice(given, GFP_KERNEL)?;
        let lines = Arc::new(Lines(copied), GFP_KERNEL)?;
        *last = Some(lines.clone());
        Ok(Some(lines))
    }
}
