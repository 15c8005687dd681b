// SPDX-License-Identifier: GPL-2.0
//! HTTP/1 heads: checked, understood and rewritten. Bodies are never here.
//!
//! Invariants: framing is decided here, once (RFC 9112 section 6); what is not understood
//! is refused, not passed on. Field order and the case of names are kept.
//! It must not do I/O, and must not know about queues.

mod fields;
mod line;
mod lookup;
pub mod problem;
mod request;
mod response;
mod target;

pub use problem::Problem;
pub use request::{Hop, Request};
pub use response::{Length, Response};
pub use target::without_port;

/// Versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no interim responses, closes by default.
    Http10,
    /// HTTP/1.1.
    Http11,
}
