// SPDX-License-Identifier: GPL-2.0
//! Makes a cargo crate of the module's pure core, all of which is in `mod.rs`.

#![no_std]
#![forbid(unsafe_code)]

#[path = "mod.rs"]
mod framing;

pub use framing::*;
