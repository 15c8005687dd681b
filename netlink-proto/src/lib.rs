// SPDX-License-Identifier: GPL-2.0
//! The messages of the generic netlink family `underpass`, both ways.
//!
//! Encodes a [`Command`] to bytes, and decodes what the kernel sends: an [`Event`], a
//! [`Reply`], an acknowledgement, a [`Refusal`]. Numbers come from the family's spec
//! (`underpass.yaml`, by `gen.py`); this crate gives them types and checks.
//!
//! It opens no socket and keeps no state: the owner of the socket appends commands to a
//! buffer with [`Command::append`], sends it as one datagram, and hands each datagram
//! received to [`messages`]. For text in refusals the socket needs the options
//! `NETLINK_EXT_ACK` and `NETLINK_CAP_ACK`; its family id is found with [`family`].
//!
//! Decoding never panics, whatever the bytes. Attributes that this version does not know
//! are ignored; a missing one is an error where the message makes no sense without it.
//! Bytes and milliseconds are the only units.

#![forbid(unsafe_code)]

mod attr;
mod command;
mod datagram;
mod error;
mod event;
pub mod family;
mod framing;
pub mod gen;
mod refusal;
mod relay;
mod reply;
mod wire;

pub use command::Command;
pub use datagram::{messages, Content, Incoming, Messages};
pub use error::{DecodeError, EncodeError, Problem, UnknownValue};
pub use event::{Closed, Done, Event, Head, Relayed};
pub use framing::{Body, Framing};
pub use gen::{ForwardResult, FramingKind, Reason, Side, State};
pub use refusal::Refusal;
pub use relay::Relay;
pub use reply::{ListenerInfo, QueueInfo, Reply, RouterInfo, Stats};
