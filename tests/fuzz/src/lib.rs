// SPDX-License-Identifier: GPL-2.0
//! What the project's parsers must hold for any input. Each target is a function of bytes
//! that panics where something does not hold; who finds the bytes is another matter:
//!
//! - `cargo test` runs each over the inputs that are kept: `corpus/TARGET` (small examples
//!   of what there is) and `found/TARGET` (what once failed; stays for ever).
//! - `make fuzz` runs libFuzzer, guided by coverage. Its engine comes with the crate
//!   `libfuzzer-sys` and is compiled by the build root's clang; the instrumentation is
//!   LLVM's, asked for with stable options of the stock rustc. So it takes no nightly
//!   compiler and no cargo-fuzz. `make test` does the same for a bounded number of inputs,
//!   from a fixed seed. See `run.sh`.
//!
//! Three implementations are compared with ours: a plain one of this project
//! (`rust/framing/tests/second`); httparse, for heads and chunk lines; and kawa, for heads
//! and whole chunked messages. kawa is the HTTP/1 parser of the Sōzu proxy: of its own
//! descent (hyper, actix and many others have httparse inside), kept up by those who run
//! it, strict, and fed like ours by bytes. Where two differ, the difference is written down
//! where it is met, as narrow as it is, with who is right by the RFC; see `peer`.
//!
//! It must not contain a rule of HTTP of its own, beyond what such a difference needs.

#![forbid(unsafe_code)]

mod chunked;
mod conversation;
mod head;
mod netlink;
mod peer;
mod proxy;
mod relay;
mod request;
mod response;
#[path = "../../../rust/framing/tests/second/mod.rs"]
mod second;

/// Holds for any input, or panics.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 8] = [
    ("chunked", chunked::check),
    ("conversation", conversation::check),
    ("head", head::check),
    ("netlink", netlink::check),
    ("proxy", proxy::check),
    ("relay", relay::check),
    ("request", request::check),
    ("response", response::check),
];

/// The target of this name.
///
/// # Errors
/// The names that there are.
pub fn target(name: &str) -> Result<Target, String> {
    TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, target)| *target)
        .ok_or_else(|| TARGETS.map(|(known, _)| known).join(" "))
}

/// Where to split an input in two: everywhere, or, where that would take too long, at so
/// many places that no part of it is left out by design.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    const MOST: usize = 512;
    (0..=len).step_by(len / MOST + 1)
}
