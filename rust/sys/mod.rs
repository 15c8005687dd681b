// SPDX-License-Identifier: GPL-2.0
//! The only folder with `unsafe`: safe types over sockets, generic netlink and work items.
//!
//! Invariants: nothing here knows what a queue, a head or a router is. A socket lock is
//! taken and released within one function of `Sock`, so no caller can hold two.
//! It must not call back into the rest of the module with a socket lock held, except for
//! `Endpoint::wake`, which never waits.

#![allow(unsafe_code)]

pub mod clock;
#[rustfmt::skip]
mod gen;
pub mod genl;
pub mod global;
pub mod hook;
pub mod message;
pub mod netns;
pub mod owner;
pub mod pages;
pub mod payer;
pub mod receive;
mod request;
pub mod send;
pub mod sieve;
pub mod sock;
pub mod worker;
pub mod workqueue;
