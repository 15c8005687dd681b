// SPDX-License-Identifier: GPL-2.0
//! What can be wrong with bytes that should be a message, and with a message that should
//! become bytes. Each error names the message, the attribute and the value.

use std::fmt;

/// A number that stands for nothing in one of the spec's enums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownValue {
    /// The spec's name of the enum.
    pub what: &'static str,
    /// The number.
    pub value: u32,
}

impl fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is no {} that this version knows",
            self.value, self.what
        )
    }
}

impl std::error::Error for UnknownValue {}

/// Why bytes are no message of the family. Only the message concerned is lost: those
/// around it in the same datagram can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The spec's name of the command or event; empty if it did not get that far.
    pub message: &'static str,
    /// The spec's name of the attribute; empty if no single one is to blame.
    pub attribute: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a message, see [`DecodeError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// An attribute without which the message makes no sense is not there.
    Missing,
    /// The attribute has another length than its type: so many bytes.
    Length(usize),
    /// The attribute's number stands for nothing.
    Value(UnknownValue),
    /// The command number is not one that this side should receive.
    Command(u8),
    /// The netlink message type is neither the family's nor netlink's own.
    Type(u16),
    /// A header or attribute reaches over the end of what contains it.
    Cut,
    /// The kernel says that it lost messages (`NLMSG_OVERRUN`).
    Overrun,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("netlink message")?;
        if !self.message.is_empty() {
            write!(f, " `{}`", self.message)?;
        }
        if !self.attribute.is_empty() {
            write!(f, ", attribute `{}`", self.attribute)?;
        }
        match &self.problem {
            Problem::Missing => f.write_str(" is missing"),
            Problem::Length(n) => write!(f, " has {n} bytes, which its type does not allow"),
            Problem::Value(v) => write!(f, ": {v}"),
            Problem::Command(c) => write!(f, ": command {c} is not expected here"),
            Problem::Type(t) => write!(f, ": type {t} is not of the family `underpass`"),
            Problem::Cut => f.write_str(": cut off, or with a wrong length field"),
            Problem::Overrun => f.write_str(": messages were lost; dump to see what is there"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for netlink_packet_core::DecodeError {
    fn from(error: DecodeError) -> Self {
        error.to_string().into()
    }
}

/// Why a message cannot become bytes: an attribute's value does not fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// The spec's name of the command or event.
    pub message: &'static str,
    /// The spec's name of the attribute.
    pub attribute: &'static str,
    /// Bytes of the value.
    pub length: usize,
    /// Bytes that the attribute can hold.
    pub max: usize,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "netlink message `{}`, attribute `{}`: {} bytes are more than the {} that fit; \
             send them in parts",
            self.message, self.attribute, self.length, self.max
        )
    }
}

impl std::error::Error for EncodeError {}
