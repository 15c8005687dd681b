// SPDX-License-Identifier: GPL-2.0
//! The configuration file: TOML in, checked values out.
//!
//! Invariant: a `Config` that exists is whole: every pool that a route names is there, every
//! number is within its limits. Every error names file, line and key. Each kind of table
//! has its file: what it is, how TOML has it, and its checks.
//! It must not open sockets, but for the resolver's where a back-end has a name.

#[cfg(test)]
mod example_tests;
mod file;
mod heads;
mod health;
mod limits;
mod listener;
mod names;
mod part;
mod place;
mod pool;
mod route;
mod terms;
#[cfg(test)]
mod tests;
mod value;

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::Arc;

pub use health::{Check, Eject};
pub use limits::Limits;
pub use listener::Listener;
pub use pool::{Balance, HashBy, Link, Member, Pool};
pub use route::{Header, Host, Matches, Path, Route};
pub use terms::{AllDeclined, Mode, OnSilence, Terms};

/// Who moves the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The kernel module.
    Kernel,
    /// This process.
    User,
}

impl EngineKind {
    /// Whether others may listen beside a router at its addresses: its successor, or other threads.
    pub fn shares_addresses(self, threads: u32) -> bool {
        self == Self::Kernel || threads > 1
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who moves the bodies.
    pub engine: EngineKind,
    /// Each exchange is written down, on standard output.
    pub access_log: bool,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Routers beside each other, each in a thread of its own.
    pub threads: u32,
    /// Addresses to listen on.
    pub listeners: Vec<Listener>,
    /// Pools that routes name by index.
    pub pools: Vec<Arc<Pool>>,
    /// Routes; the first that matches is taken, the most specific stands first.
    pub routes: Vec<Route>,
    /// Limits of everything.
    pub limits: Limits,
}

/// Why a configuration cannot be used: file, line, key, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a file, as `parse` does.
    pub fn load(path: &FilePath) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("{name}: cannot be read: {error}")))?;
        Self::parse(&name, &text)
    }

    /// Checks a text; `name` stands for it in errors. Names of back-ends are looked up, which may take
    /// seconds.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        file::check(text, &names::system)
            .map_err(|fault| ConfigError(place::describe(name, text, &fault)))
    }
}
