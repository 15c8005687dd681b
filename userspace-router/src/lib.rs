// SPDX-License-Identifier: GPL-2.0
//! The Underpass router: sees the heads of HTTP messages, and commands where bodies go.
//!
//! From a request to its file: `router` connects all of these; `engine` moves bodies (the
//! kernel module, or this process); `proxy_protocol` reads and writes whose connection it is;
//! `http` checks and rewrites heads; `config` is the file that an administrator writes;
//! `route` decides who is asked, and `health` who is well; `address` is where a back-end is;
//! `pool` counts connections to back-ends and keeps idle ones; `exchange` is what happens
//! between a request's head and its end, without I/O; `access` writes the log, `metrics` counts,
//! and `say` says what else there is to say.
#![forbid(unsafe_code)]

pub mod access;
pub mod address;
pub mod config;
pub mod engine;
pub mod exchange;
pub mod health;
pub mod http;
pub mod metrics;
pub mod pool;
pub mod proxy_protocol;
pub mod route;
pub mod router;
pub mod say;
