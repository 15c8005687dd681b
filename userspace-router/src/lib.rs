// SPDX-License-Identifier: GPL-2.0
//! The Underpass router: sees the heads of HTTP messages, and commands where bodies go.
//!
//! What is in which file: `router` connects all of these; `engine` moves bodies (the
//! kernel module, or this process); `proxy_protocol` reads and writes PROXY headers;
//! `http` checks and rewrites heads; `config` is the file that an administrator writes;
//! `route` decides who is asked, and `health` who is healthy; `address` is where a back-end is;
//! `pool` counts connections to back-ends and keeps idle ones; `exchange` is what happens
//! between a request's head and its end, without I/O; `access` writes the access log, `metrics`
//! counts, and `say` writes all other messages.
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
