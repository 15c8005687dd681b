// SPDX-License-Identifier: GPL-2.0
//! HTTP/1 heads: checked, parsed and rewritten. Bodies are never here.
//!
//! Invariants: framing is decided here, once (RFC 9112 section 6); what is not understood
//! is refused, not passed on. Field order and the case of names are kept.
//! It must not do I/O, and must not know about queues.

mod body;
pub mod date;
mod fields;
mod forwarded;
mod line;
mod lookup;
mod new_path;
pub mod problem;
#[cfg(test)]
mod relay_tests;
mod request;
mod response;
mod rewrite;
mod target;

pub use body::Length;
pub use fields::is_token;
pub use forwarded::{Forwarded, Network, Style};
pub use lookup::has_dot_segments;
pub use new_path::NewPath;
pub use problem::Problem;
pub use request::{is_method_in_disguise, Request, Room};
pub use response::Response;
pub use rewrite::{BadEdit, Edit, Hop, Host, Onward, Rewrite};
pub use target::{host as check_host, without_port};

/// Versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no interim responses, no chunks, closes by default.
    Http10,
    /// HTTP/1.1.
    Http11,
}
