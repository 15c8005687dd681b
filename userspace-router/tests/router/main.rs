// SPDX-License-Identifier: GPL-2.0
//! The program `underpass` between real clients and real back-ends, on loopback sockets.
//!
//! `UNDERPASS_ENGINE` chooses the engine (default `user`; `kernel` needs root and the
//! module), `UNDERPASS_BIN` the program. So the same tests hold for both engines.

mod balancing;
mod chunked;
mod cli;
mod duplex;
mod faults;
mod heads;
mod health;
mod metrics;
mod pools;
mod proxy;
mod relay;
mod responses;
mod rewrite;
mod routing;
mod stalls;
mod stopping;
mod support;
mod threads;
mod tunnels;
mod unix;
mod upload;
