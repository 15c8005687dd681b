// SPDX-License-Identifier: GPL-2.0
//! Where messages begin and end, as pure state machines.
//!
//! This folder is compiled twice: into the kernel module (`pub mod framing`) and as a
//! cargo crate (`lib.rs`), whose users are the tests and the router's `user` engine. So
//! both engines agree by construction on every byte.
//!
//! Invariants: `core` only, no allocation, no unsafe, no panic; input in any
//! segmentation gives the same result; a verdict, once given, stays.
//! It must not read sockets, know about locks, or parse a field of a head, except
//! `response`, which knows when the router need not parse one.

#![forbid(unsafe_code)]

mod body;
mod chunked;
mod head;
mod pace;
mod prelude;
mod receiver;
mod response;
mod text;
mod trailer;

pub use self::body::{Body, Framing, Next};
pub use self::chunked::{ChunkLine, Chunked, Malformed, CRLF, LAST_CHUNK, TRAILERS_MAX};
pub use self::head::{HeadScan, Scan, HEAD_LATE};
pub use self::pace::Pace;
pub use self::receiver::{Answer, Broken, Ending, Fin, Reason, Receiver, Refusal, Side, State};
pub use self::response::{is_field_lines, relay, Relayed, RELAYED_MAX};
pub use self::text::{is_token, plain_text};
pub use self::trailer::{may_be_trailer, Trailers};
