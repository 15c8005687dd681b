// SPDX-License-Identifier: GPL-2.0
//! What the crate does, written a second time: as plain as possible, over whole bytes, from
//! the RFCs and from `docs/netlink.md`, not from the crate's files.
//!
//! Where a head ends is in `head`, what a chunked body holds in `chunked`; `feed` drives the
//! crate itself. The property tests compare the two, and so does the fuzzing in `tests/fuzz`,
//! which compiles this folder too; no user of it needs all.
#![allow(dead_code)]

pub mod chunked;
pub mod feed;
pub mod head;
