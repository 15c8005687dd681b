// SPDX-License-Identifier: GPL-2.0
//! How long a body is, and what is done with it on its way: the spec's attributes
//! `framing` and `length` as one type, so that a length can neither be given needlessly nor
//! forgotten, and the other attributes of a body.

use crate::attr::{Put, Table};
use crate::error::DecodeError;
use crate::gen::{queue, FramingKind};

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// No body; the message ends with its head.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// All bytes up to the sender's FIN, which is carried over.
    UntilClose,
    /// No HTTP any more.
    Tunnel,
}

/// A body, and what a forward does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// How it comes.
    pub framing: Framing,
    /// How it leaves; as it comes where absent. `Chunked` and `UntilClose` can become
    /// each other.
    pub leaves: Option<FramingKind>,
    /// Names of trailer fields to pass on, in lower case, separated by commas; empty: none.
    /// At most [`TRAILERS_MAX`](crate::gen::TRAILERS_MAX) bytes.
    pub trailers: Vec<u8>,
    /// Milliseconds without a byte, after which the forward ends; without it, it waits.
    pub idle_ms: Option<u32>,
    /// The forward ends also when fewer bytes than this moved in `idle_ms`.
    pub idle_bytes: Option<u32>,
    /// What to remember of the exchange, with its front queue; as before where absent.
    pub note: Option<u64>,
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        Self {
            framing,
            leaves: None,
            trailers: Vec::new(),
            idle_ms: None,
            idle_bytes: None,
            note: None,
        }
    }
}

impl Body {
    pub(crate) fn put(&self, put: &mut Put<'_>) {
        self.framing.put(put);
        if let Some(leaves) = self.leaves {
            put.u32(queue::TO_FRAMING, leaves.into());
        }
        if !self.trailers.is_empty() {
            put.bytes(queue::TRAILERS, &self.trailers);
        }
        if let Some(ms) = self.idle_ms {
            put.u32(queue::IDLE_MS, ms);
        }
        if let Some(bytes) = self.idle_bytes {
            put.u32(queue::IDLE_BYTES, bytes);
        }
        if let Some(note) = self.note {
            put.uint(queue::NOTE, note);
        }
    }

    pub(crate) fn need(table: &Table<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            framing: Framing::need(table)?,
            leaves: table.number(queue::TO_FRAMING)?,
            trailers: table.bytes(queue::TRAILERS).unwrap_or_default().to_vec(),
            idle_ms: table.u32(queue::IDLE_MS)?,
            idle_bytes: table.u32(queue::IDLE_BYTES)?,
            note: table.uint(queue::NOTE)?,
        })
    }
}

impl Framing {
    /// The number on the wire, without the length.
    pub fn kind(self) -> FramingKind {
        match self {
            Self::None => FramingKind::None,
            Self::Length(_) => FramingKind::Length,
            Self::Chunked => FramingKind::Chunked,
            Self::UntilClose => FramingKind::UntilClose,
            Self::Tunnel => FramingKind::Tunnel,
        }
    }

    pub(crate) fn put(self, put: &mut Put<'_>) {
        put.u32(queue::FRAMING, self.kind().into());
        if let Self::Length(bytes) = self {
            put.uint(queue::LENGTH, bytes);
        }
    }

    pub(crate) fn need(table: &Table<'_>) -> Result<Self, DecodeError> {
        table.need(queue::FRAMING, Self::find(table)?)
    }

    pub(crate) fn find(table: &Table<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(match table.number(queue::FRAMING)? {
            None => None,
            Some(FramingKind::None) => Some(Self::None),
            Some(FramingKind::Length) => Some(Self::Length(table.need_uint(queue::LENGTH)?)),
            Some(FramingKind::Chunked) => Some(Self::Chunked),
            Some(FramingKind::UntilClose) => Some(Self::UntilClose),
            Some(FramingKind::Tunnel) => Some(Self::Tunnel),
        })
    }
}
