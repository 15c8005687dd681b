// SPDX-License-Identifier: GPL-2.0
//! The configuration file: TOML in, checked values out.
//!
//! Invariant: a `Config` that exists is whole: every pool that a route names is there, every
//! number is within its limits. Every error names file, line and key.
//! It must not open sockets.

mod file;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;

/// Who moves the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The kernel module.
    Kernel,
    /// This process.
    User,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who moves the bodies.
    pub engine: EngineKind,
    /// Addresses to listen on.
    pub listeners: Vec<SocketAddr>,
    /// Routes; the first that matches is taken, the most specific stands first.
    pub routes: Vec<Route>,
    /// Limits of everything.
    pub limits: Limits,
}

/// Where requests of a host and path go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Host in lower case without port; `None` for all.
    pub host: Option<String>,
    /// Beginning of the path, whole segments.
    pub path: String,
    /// Back-ends in order.
    pub backends: Arc<[Address]>,
    /// How they are asked.
    pub terms: Arc<Terms>,
}

/// How the back-ends of a route are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether the body waits for an answer.
    pub mode: Mode,
    /// Status codes that decline a request before its body.
    pub decline: Vec<u16>,
    /// What silence means.
    pub on_silence: OnSilence,
    /// What the client gets when all declined.
    pub all_declined: AllDeclined,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            mode: Mode::Ask,
            decline: vec![421],
            on_silence: OnSilence::Decline,
            all_declined: AllDeclined::Relay,
        }
    }
}

/// When the body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Once the back-end has said 100.
    Ask,
    /// With the head.
    Optimistic,
}

/// What it means that a back-end does not answer in time whether it takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSilence {
    /// It declines.
    Decline,
    /// It is an old server that waits for the body.
    Forward,
}

/// What a client gets when all back-ends declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllDeclined {
    /// The last one's answer.
    Relay,
    /// 503.
    Unavailable,
}

/// Limits; see `underpass.toml` for what each is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head.
    pub head_bytes: u32,
    /// Bytes of a target.
    pub target_bytes: usize,
    /// Idle connections kept per back-end.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How long a connect may take.
    pub connect: Duration,
    /// How long a back-end may take to accept or decline.
    pub ask: Duration,
    /// Back-ends asked for one request.
    pub attempts: usize,
    /// How long a back-end may take to answer once it has the whole request.
    pub response: Duration,
    /// Bytes read and thrown away before a connection is closed.
    pub drain_bytes: u64,
    /// How long that may take.
    pub drain: Duration,
    /// How long exchanges may go on after SIGTERM.
    pub shutdown: Duration,
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
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("{name}: cannot be read: {error}")))?;
        Self::parse(&name, &text)
    }

    /// Checks a text; `name` stands for it in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        file::check(text).map_err(|fault| ConfigError(place::describe(name, text, &fault)))
    }
}

/// Pools by name, while routes are resolved.
type Pools = BTreeMap<String, Arc<[Address]>>;
