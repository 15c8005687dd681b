// SPDX-License-Identifier: GPL-2.0
//! How long a body is: the spec's attributes `framing` and `length` as one type, so that
//! a length cannot be given without need, or forgotten.

use crate::attr::{Put, Table, Value};
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

    pub(crate) fn put(self, put: Put<'_>) {
        put(queue::FRAMING, Value::U32(self.kind().into()));
        if let Self::Length(bytes) = self {
            put(queue::LENGTH, Value::Uint(bytes));
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
