// SPDX-License-Identifier: GPL-2.0
//! Gives libFuzzer the target that the environment names: `FUZZ_TARGET`. One program for
//! all, because instrumenting and linking it takes longer than a short run.
#![no_main]

use std::sync::OnceLock;
use underpass_fuzz::{target, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|known| panic!("FUZZ_TARGET is {name:?}; known: {known}"))
    });
    chosen(input);
});
