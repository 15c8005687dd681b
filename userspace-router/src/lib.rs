// SPDX-License-Identifier: GPL-2.0
//! The Underpass router: sees the heads of HTTP messages, and commands where bodies go.
#![forbid(unsafe_code)]
