// SPDX-License-Identifier: GPL-2.0
//! The kernel module `underpass`: init, and exit in the reverse order.
//!
//! Everything a queue needs exists before the family is registered, which is the only way in;
//! at exit the family goes first. A socket holds the module, so at exit there is no queue left.

// `pub` tells readers what a folder offers; one object file exports nothing anyway.
#![allow(unreachable_pub)]

use kernel::prelude::*;
use kernel::sync::Arc;

// Compiled as a crate too, whose users need all of it.
#[allow(dead_code, unused_imports)]
mod framing;
mod netlink;
mod queue;
mod sys;

use queue::{Engine, ENGINE};
use sys::genl::Registration;
use sys::netns::Watch;
use sys::owner::Notifier;

module! {
    type: Underpass,
    name: "underpass",
    authors: ["The Underpass authors"],
    description: "Forwards the bodies of HTTP messages between TCP sockets, as a router in user space commands",
    license: "GPL",
    // Whoever asks for the family, as the router does, has the module loaded.
    alias: ["net-pf-16-proto-16-family-underpass"],
    params: {
        user_namespaces: bool {
            default: true,
            description: "Accept routers with CAP_NET_ADMIN in the user namespace that owns their network namespace (default); 0: only with CAP_NET_ADMIN in the initial one",
        },
    },
}

/// Fields are dropped from the first to the last.
struct Underpass {
    _family: Registration,
    _owners: Notifier,
    _namespaces: Watch,
    _engine: Stop,
}

/// Stops the engine last of all.
struct Stop(Arc<Engine>);

impl kernel::Module for Underpass {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        sys::hook::init()?;
        let engine = Engine::new()?;
        ENGINE.set(engine.clone());
        // Stops it again if one of the next fails.
        let stop = Stop(engine);
        let namespaces = Watch::register::<Engine>()?;
        let owners = Notifier::register::<Engine>()?;
        let family = netlink::register(module_parameters::user_namespaces.value())?;
        Ok(Self {
            _family: family,
            _owners: owners,
            _namespaces: namespaces,
            _engine: stop,
        })
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        ENGINE.clear();
        Engine::stop(&self.0);
    }
}
