// SPDX-License-Identifier: GPL-2.0
//! The program `underpass`.
#![forbid(unsafe_code)]

fn main() {}
