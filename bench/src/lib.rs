// SPDX-License-Identifier: GPL-2.0
//! What the programs of the benchmark share: the bytes that bodies are made of, and waiting
//! for sockets. Everything here runs at both ends of every rival, so it must be cheap.
#![forbid(unsafe_code)]

pub mod content;
pub mod poll;

/// What one call reads or writes at most.
pub const CHUNK: usize = 256 << 10;

/// Connections that may wait to be accepted.
pub const BACKLOG: i32 = 4096;

/// What a program that cannot go on says.
pub type Failure = Box<dyn std::error::Error>;
