// SPDX-License-Identifier: GPL-2.0
//! The cargo face of the module's pure core; see `mod.rs`, which is all of it.

#![no_std]
#![forbid(unsafe_code)]

#[path = "mod.rs"]
mod framing;

pub use framing::*;
