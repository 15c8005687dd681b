// SPDX-License-Identifier: GPL-2.0
//! Messages from the kernel: decoding any bytes does not panic, and ends.

use underpass_proto::{family, messages};

/// The id of the family in this and in the kept inputs.
const FAMILY: u16 = 0x1d;
/// A netlink header: no message is shorter.
const SHORTEST: usize = 16;

/// The input is a datagram.
pub fn check(input: &[u8]) {
    let mut left = input.len() / SHORTEST + 1;
    for message in messages(input, FAMILY) {
        left = left.checked_sub(1).expect("more messages than fit");
        // What is logged.
        match message {
            Ok(message) => drop(format!("{message:?}")),
            Err(error) => drop(format!("{error} {error:?}")),
        }
    }
    if let Err(error) = family::answer(input) {
        drop(error.to_string());
    }
}
