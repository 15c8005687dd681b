// SPDX-License-Identifier: GPL-2.0
//! One generation: the routers of a configuration, each in a thread.
//!
//! Each router has its own thread, runtime, engine, listening sockets and connections to back-ends,
//! and nothing of it goes through another one: the kernel distributes the clients
//! (SO_REUSEPORT). They share what is known about back-ends: whose turn it is, and who is healthy.
//!
//! Invariants: they end together; one that fails ends the process. With the engine `kernel`, everything that may
//! fail is done before a router is replaced, as far as possible. All former routers that listened at one of our
//! addresses are taken over: so there are at least as many routers as there were. In whichever way a process
//! ends, what it has is left to the next one, as if it had been killed.

use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime;
use tokio::sync::mpsc::UnboundedSender;
use underpass::access::AccessLog;
use underpass::address::meets;
use underpass::config::{Config, EngineKind, Listener};
use underpass::engine::kernel::{Former, KernelEngine, Replaced, Terms};
use underpass::engine::user::UserEngine;
use underpass::engine::{Engine, EngineError, Left};
use underpass::health::check::Checks;
use underpass::metrics::{Counter, Metrics};
use underpass::route::Table;
use underpass::router::{Listening, Router};
use underpass::say;

use crate::listening::{open, probe};
use crate::signals::Signals;

/// How a router, or all of them, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a signal.
    Stopped {
        /// Exchanges that did not end in time.
        cut_off: usize,
    },
    /// By a signal, and the next one goes on.
    LeftBehind,
    /// Another process is this router now: nothing is wrong.
    Ousted,
}

impl End {
    /// Of two routers of one process, which hear of the same signals.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Stopped { cut_off: a }, Self::Stopped { cut_off: b }) => {
                Self::Stopped { cut_off: a + b }
            }
            (Self::Ousted, end) | (end, _) => end,
        }
    }
}

/// What one router begins with.
pub struct Start {
    /// Whom it follows.
    former: Option<Former>,
    config: Config,
    policy: Arc<Table>,
    /// Where it counts what it does, if anybody wants to know.
    counter: Option<Counter>,
    /// It has back-ends checked, for all of them.
    checks: bool,
    /// Sockets that listen already, in place of those that a former router has.
    opened: Vec<(Listener, Listening)>,
    signals: Signals,
}

/// A runtime of one thread.
pub fn runtime() -> Result<runtime::Runtime, String> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}

/// What a router's thread tells.
pub enum Told {
    /// It listens, as this router of the module, by the socket with this netlink port; or it ends without, and
    /// nothing is wrong.
    Listens(Option<(u32, u32)>),
    /// How it ended. The last word.
    Ended(Result<End, String>),
}

/// Opens and asks for what the routers of `config` need, and takes nothing from anybody yet. They replace routers
/// that have a process if these are `replaced`.
///
/// # Errors
/// If they cannot begin. Then nothing has changed.
pub async fn prepare(
    config: Config,
    replaced: &Replaced,
    signals: &Signals,
) -> Result<Vec<Start>, String> {
    let mut addresses: Vec<_> = config.listeners.iter().map(|l| l.address).collect();
    let formers = match config.engine {
        EngineKind::Kernel => KernelEngine::look(&addresses, replaced)
            .await
            .map_err(cannot_begin)?,
        EngineKind::User => Vec::new(),
    };
    for address in &addresses {
        let held = |former: &Former| former.addresses.iter().any(|held| meets(*held, *address));
        if !formers.iter().any(held) {
            // A stranger who shares it would get a part of the clients.
            probe(*address)?;
        }
    }
    let mut formers = formers.into_iter();
    let routers = formers.len().max(config.threads as usize);
    let config = config.part(routers as u32);
    let policy = Arc::new(Table::new(config.routes.clone(), &config.pools));
    let beside = config.engine.shares_addresses(config.threads);
    let mut starts = Vec::with_capacity(routers);
    for _ in 0..routers {
        let former = formers.next();
        let held = former.as_ref().map_or(&[][..], |f| &f.addresses);
        let mut config = config.clone();
        for (listener, address) in config.listeners.iter_mut().zip(&addresses) {
            listener.address = *address;
        }
        // Whoever is to be replaced goes on where an address cannot be had.
        let opened = open(&config.listeners, held, beside)?;
        settle(&mut addresses, &opened);
        starts.push(Start {
            former,
            config,
            policy: policy.clone(),
            counter: None,
            checks: starts.is_empty(),
            opened,
            signals: signals.clone(),
        });
    }
    Ok(starts)
}

/// Why there is no engine `kernel`.
fn cannot_begin(error: EngineError) -> String {
    match error {
        EngineError::NoModule(why) => {
            format!("{why}, or choose engine = \"user\" in the configuration")
        }
        other => other.to_string(),
    }
}

/// Starts what was prepared, to be counted in `metrics`. What each of them says goes to `tell`, with the number of its generation.
///
/// # Errors
/// Without memory for a thread.
pub fn start(
    starts: Vec<Start>,
    metrics: &Metrics,
    generation: u32,
    tell: &UnboundedSender<(u32, Told)>,
) -> Result<(), String> {
    for mut start in starts {
        if start.config.metrics.is_some() {
            metrics.watch(start.policy.clone());
            start.counter = Some(metrics.counter());
        }
        thread(start, generation, tell.clone())?;
    }
    Ok(())
}

/// Where any free port was wanted, the next routers listen at the one that was found.
fn settle(addresses: &mut [SocketAddr], opened: &[(Listener, Listening)]) {
    for (listener, listening) in opened {
        let found = addresses.iter_mut().find(|a| **a == listener.address);
        if let (Some(address), Ok(local)) = (found, listening.socket.local_addr()) {
            *address = local;
        }
    }
}

/// A router in a thread of its own, with a runtime of its own.
fn thread(start: Start, generation: u32, tell: UnboundedSender<(u32, Told)>) -> Result<(), String> {
    let body = move || {
        // Nobody hears it if the process ends already.
        let tell = |told| drop(tell.send((generation, told)));
        let mut silent = true;
        let mut listens = |router| {
            if std::mem::take(&mut silent) {
                tell(Told::Listens(router));
            }
        };
        let end = guarded(|| runtime()?.block_on(begin(start, &mut listens)));
        if end.is_ok() {
            listens(None);
        }
        tell(Told::Ended(end));
    };
    std::thread::Builder::new()
        .name("router".to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| format!("no thread: {error}"))
}

async fn begin(
    mut start: Start,
    listens: &mut impl FnMut(Option<(u32, u32)>),
) -> Result<End, String> {
    if start.config.engine == EngineKind::User {
        return serve(UserEngine::default(), None, start, || listens(None)).await;
    }
    let terms = Terms {
        grace: Some(start.config.limits.grace.as_millis() as u32),
        queues: Some(start.config.limits.queues),
    };
    match KernelEngine::begin(start.former.take(), terms).await {
        Ok((engine, left)) => {
            let router = engine.router();
            serve(engine, left, start, || listens(Some(router))).await
        }
        // The one before was told to stop, too, and is gone.
        Err(_) if start.signals.is_stopping() => Ok(End::Stopped { cut_off: 0 }),
        Err(error) => ended(error),
    }
}

/// Runs `router`. That it panics is a failure like any other: its clients must not wait for one that
/// is gone.
fn guarded(router: impl FnOnce() -> Result<End, String>) -> Result<End, String> {
    // Nothing of it is used afterwards.
    catch_unwind(AssertUnwindSafe(router))
        .unwrap_or_else(|_| Err("a router has panicked, as it says above".to_owned()))
}

/// One router, until it ends.
async fn serve(
    engine: impl Engine,
    left: Option<Left>,
    start: Start,
    listens: impl FnOnce(),
) -> Result<End, String> {
    let Start {
        former: _,
        config,
        policy,
        counter,
        checks,
        opened,
        signals,
    } = start;
    let beside = config.engine.shares_addresses(config.threads);
    let _checks = checks.then(|| Checks::of(&policy));
    let log = match config.access_log {
        true => AccessLog::on_stdout()
            .map_err(|error| format!("no thread for the access log: {error}"))?,
        false => AccessLog::off(),
    };
    let mut router = Router::new(engine, policy, config.limits, log);
    if let Some(counter) = counter {
        router.count_in(counter);
    }
    let mut missing = config.listeners.clone();
    if let Some(left) = left {
        let resumed;
        (missing, resumed) = router.resume(&left, &config.listeners, Instant::now());
        say!("{resumed}");
        for listener in config.listeners.iter().filter(|l| !missing.contains(l)) {
            say!("listening on {}", listener.address);
        }
    }
    // Those of which the terms changed could not be opened before the former listeners ended.
    let reopened: Vec<_> = opened
        .iter()
        .map(|(listener, _)| listener.address)
        .collect();
    let late = open(&missing, &reopened, beside)?;
    let all = opened.into_iter().chain(late);
    let sockets: Vec<_> = all.map(|(_, listening)| listening).collect();
    let address = |listening: &Listening| listening.socket.local_addr();
    let addresses: Vec<_> = sockets.iter().map(address).collect();
    if let Err(error) = router.listen(sockets).await {
        return ended(error);
    }
    for address in addresses.into_iter().flatten() {
        say!("listening on {address}");
    }
    listens();
    let cut_off = tokio::select! {
        biased;
        outcome = router.run(signals.stop()) => match outcome {
            Ok(cut_off) => cut_off,
            Err(error) => {
                drop(router);
                return ended(error);
            }
        },
        () = signals.stop_at_once() => router.cut_off(Instant::now()),
        () = signals.hand_over() => {
            drop(router);
            return Ok(End::LeftBehind);
        }
    };
    drop(router);
    Ok(End::Stopped { cut_off })
}

/// What the engine's end means: that all belongs to another one is no failure.
fn ended(error: EngineError) -> Result<End, String> {
    match error {
        EngineError::Ousted { .. } => {
            say!("{error}, and all that it had: this one ends");
            Ok(End::Ousted)
        }
        EngineError::Failed(why) | EngineError::NoModule(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_that_panics_has_failed() {
        let end = guarded(|| panic!("on purpose"));
        let text = "a router has panicked, as it says above";
        assert_eq!(end, Err(text.to_owned()));
        assert_eq!(guarded(|| Ok(End::Ousted)), Ok(End::Ousted));
    }

    #[test]
    fn who_has_no_module_may_do_without() {
        let advice = "engine = \"user\"";
        let why = || "it is not there".to_owned();
        assert!(cannot_begin(EngineError::NoModule(why())).contains(advice));
        assert!(!cannot_begin(EngineError::Failed(why())).contains(advice));
    }

    #[test]
    fn what_all_routers_cut_off_is_added_up() {
        let stopped = |cut_off| End::Stopped { cut_off };
        assert_eq!(stopped(1).and(stopped(2)), stopped(3));
        // Those who were taken over had nothing to stop any more.
        assert_eq!(End::Ousted.and(stopped(2)), stopped(2));
        assert_eq!(stopped(2).and(End::Ousted), stopped(2));
        assert_eq!(End::Ousted.and(End::LeftBehind), End::LeftBehind);
    }
}
