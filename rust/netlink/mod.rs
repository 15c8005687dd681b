// SPDX-License-Identifier: GPL-2.0
//! The netlink family: commands in, replies and events out.
//!
//! Invariants: numbers and policies come from `gen.rs`, which is generated from the spec. A
//! command is checked whole before anything changes, and each refusal has words. It must
//! not move bytes itself: it sets state and wakes the queue.

#![forbid(unsafe_code)]

mod body;
pub mod event;
mod forward;
#[rustfmt::skip]
pub mod gen;
mod listener;
mod queue;
mod relay;
mod reply;
mod router;
mod send;
mod stats;

use self::gen::{FAMILY_NAME, FAMILY_VERSION};
use crate::queue::{Engine, Router, ENGINE};
use crate::sys::genl::{Family, Refusal, Registration, Request};
use kernel::prelude::*;
use kernel::sync::Arc;

/// Refuses a command: errno, attribute, and words with values.
macro_rules! refuse {
    ($errno:expr, $attr:expr, $($words:tt)*) => {
        $crate::sys::genl::Refusal::new($errno, format_args!($($words)*)).at($attr)
    };
}
use refuse;

/// Registers the family. Operations stand in the order of their numbers.
pub fn register() -> Result<Registration> {
    Family::new()
        .add::<router::Attach>()?
        .add::<router::Detach>()?
        .add::<router::Takeover>()?
        .add::<router::Get>()?
        .add_list::<router::Get>()?
        .add::<listener::Add>()?
        .add::<listener::Del>()?
        .add::<listener::Get>()?
        .add_list::<listener::Get>()?
        .add::<queue::Add>()?
        .add::<queue::Del>()?
        .add::<queue::Abort>()?
        .add::<queue::Get>()?
        .add_list::<queue::Get>()?
        .add::<send::Send>()?
        .add::<forward::Forward>()?
        .add::<forward::Route>()?
        .add::<forward::Cancel>()?
        .add::<queue::Drain>()?
        .add::<stats::Get>()?
        .register(FAMILY_NAME, FAMILY_VERSION)
}

fn engine() -> Result<Arc<Engine>, Refusal> {
    ENGINE
        .get()
        .ok_or_else(|| Refusal::new(ENODEV, format_args!("the module is being unloaded")))
}

/// The router that the sender is.
fn sender(engine: &Engine, request: &Request<'_>) -> Result<Arc<Router>, Refusal> {
    let router = engine
        .router_of(request.net(), request.portid())
        .ok_or_else(|| {
            let words = format_args!("this socket is no router; send router-attach first");
            Refusal::new(EPERM, words)
        })?;
    router.heard();
    Ok(router)
}

/// Checks that the sender is `router` even now that what it adds can be found. One that took over
/// before would not hear of it; one that does from now on finds it.
fn check_still(request: &Request<'_>, router: &Router) -> Result<(), Refusal> {
    match router.port() == request.portid() {
        true => Ok(()),
        false => Err(taken_over(router)),
    }
}

fn taken_over(router: &Router) -> Refusal {
    Refusal::new(
        EPERM,
        format_args!("router {} was taken over meanwhile", router.id),
    )
}

/// Checks that the sender owns an object of `router`, called `what` and `id`.
fn check_owner(
    request: &Request<'_>,
    router: &Router,
    attr: u16,
    what: &str,
    id: u32,
) -> Result<(), Refusal> {
    if router.port() != request.portid() {
        return Err(refuse!(
            EPERM,
            attr,
            "{what} {id} belongs to another router"
        ));
    }
    router.heard();
    Ok(())
}

fn required(request: &Request<'_>, attr: u16, name: &str) -> Result<u32, Refusal> {
    request
        .u32(attr)
        .ok_or_else(|| Refusal::missing(attr, name))
}
