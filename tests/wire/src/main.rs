// SPDX-License-Identifier: GPL-2.0
//! Speaks the netlink family to the running kernel: every command, event and refusal.
//!
//! Built on the crate `neli` and on numbers copied from the UAPI header, so that a
//! mistake which the project's own crate and module share is seen here. Root, in a
//! guest with the module loaded. TAP on stdout.

#![forbid(unsafe_code)]

mod arrivals;
mod attributes;
mod bounds;
mod client;
mod coding;
mod descriptors;
mod endings;
mod exchange;
mod numbers;
mod objects;
mod owners;
mod passing;
mod refusals;
mod scene;
mod sockets;
mod tap;
mod unhurried;

use std::process::ExitCode;

const PLAN: u32 = objects::PLAN
    + exchange::PLAN
    + passing::PLAN
    + endings::PLAN
    + coding::PLAN
    + arrivals::PLAN
    + attributes::PLAN
    + descriptors::PLAN
    + refusals::PLAN
    + owners::PLAN
    + bounds::PLAN
    + unhurried::PLAN;

fn checks(tap: &mut tap::Tap) -> Result<(), client::Failure> {
    sockets::fresh_namespace()?;
    objects::run(tap)?;
    exchange::run(tap)?;
    passing::run(tap)?;
    endings::run(tap)?;
    coding::run(tap)?;
    arrivals::run(tap)?;
    attributes::run(tap)?;
    descriptors::run(tap)?;
    refusals::run(tap)?;
    owners::run(tap)?;
    bounds::run(tap)?;
    unhurried::run(tap)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, id] = &arguments[..] {
        if first == owners::UNPRIVILEGED {
            return owners::unprivileged(id).unwrap_or_else(|failure| {
                println!("{failure}");
                ExitCode::FAILURE
            });
        }
    }
    if !arguments.is_empty() {
        eprintln!("usage: underpass-wire (no arguments; got {arguments:?})");
        return ExitCode::FAILURE;
    }
    let mut tap = tap::Tap::new(PLAN);
    if let Err(failure) = checks(&mut tap) {
        println!("Bail out! {failure}");
        return ExitCode::FAILURE;
    }
    tap.exit_code()
}
