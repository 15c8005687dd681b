// SPDX-License-Identifier: GPL-2.0
//! The rules of docs/rules.md, each with its tests: raw bytes in, and what every peer gets.
//!
//! A test's name begins with the rule's id; `ids` holds names and page against each other.
//! As in `tests/router`, UNDERPASS_ENGINE chooses the engine, UNDERPASS_BIN the program.

mod accept;
mod cases;
mod cut;
mod framing_body;
mod framing_head;
mod framing_response;
mod heads;
mod ids;
mod left;
mod responses;
mod rewriting;
mod scene;
mod segments;
mod sockets;
#[allow(dead_code, reason = "shared with tests/router, which uses the rest")]
#[path = "../router/support.rs"]
mod support;
mod tunnels;
mod wire;
