// SPDX-License-Identifier: GPL-2.0
//! The program `underpass`: reads its arguments, and runs the router that they describe.
#![forbid(unsafe_code)]

mod signals;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use signals::Signals;
use tokio::runtime;
use underpass::access::AccessLog;
use underpass::config::{Config, EngineKind, Listener};
use underpass::engine::kernel::{KernelEngine, Terms};
use underpass::engine::user::UserEngine;
use underpass::engine::{Engine, EngineError, Left};
use underpass::health::check::Checks;
use underpass::route::Table;
use underpass::router::{Listening, Router};

const HELP: &str = "\
underpass: an HTTP/1.1 router whose message bodies are forwarded by the kernel

usage: underpass run [--takeover] FILE
                               run with this configuration, until SIGTERM or SIGINT
       underpass check FILE    say whether it is good, and what it asks for
       underpass --help
       underpass --version

FILE is TOML; userspace-router/underpass.toml shows every key with its default.
The access log goes to standard output, everything else to standard error.
SIGTERM: nothing more is accepted, and what runs may finish within `shutdown-ms`. A second
one ends at once. SIGUSR2 (engine `kernel`): ends at once, and leaves everything to the next one.
That goes on with what a router left who is gone and listened at one of the same addresses; with
--takeover also if its process is there, which then ends by itself: so an upgrade drops nothing.
Exit status: 0 all well, 1 it cannot run, 2 wrong usage, 3 exchanges were cut off.
";

/// Exit status of a router that was told to stop and did not wait for all exchanges.
const CUT_OFF: u8 = 3;
/// Pending connections that a listening socket holds.
const BACKLOG: i32 = 4096;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_str()).collect();
    match words.as_slice() {
        [Some("run"), Some("--takeover"), _] => report(run(&PathBuf::from(&arguments[2]), true)),
        [Some("run"), _] => report(run(&PathBuf::from(&arguments[1]), false)),
        [Some("check"), _] => report(check(&PathBuf::from(&arguments[1]))),
        [Some("--help" | "-h")] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        [Some("--version" | "-V")] => {
            println!("underpass {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

fn report(outcome: Result<ExitCode, String>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(text) => {
            eprintln!("underpass: {text}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> Result<ExitCode, String> {
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let engine = match config.engine {
        EngineKind::Kernel => "kernel",
        EngineKind::User => "user",
    };
    println!(
        "{}: good: engine {engine}, {} listeners, {} routes",
        file.display(),
        config.listeners.len(),
        config.routes.len()
    );
    Ok(ExitCode::SUCCESS)
}

fn run(file: &Path, takeover: bool) -> Result<ExitCode, String> {
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let mut builder = match config.engine {
        EngineKind::Kernel => runtime::Builder::new_current_thread(),
        EngineKind::User => runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        match config.engine {
            EngineKind::Kernel => {
                let signals = Signals::new(true).map_err(no_signals)?;
                let failed = |error: EngineError| error.to_string();
                let addresses: Vec<_> = config.listeners.iter().map(|l| l.address).collect();
                let looked = KernelEngine::look(&addresses, takeover).await;
                let (mut engine, former) = looked.map_err(failed)?;
                let held = former.as_ref().map_or(&[][..], |f| &f.addresses);
                // Whoever is to be replaced goes on where an address cannot be had.
                let opened = open(&config.listeners, held)?;
                let terms = Terms {
                    grace: Some(config.limits.grace.as_millis() as u32),
                    queues: Some(config.limits.queues),
                };
                let left = engine.begin(former, terms).await.map_err(failed)?;
                serve(engine, left, opened, config, signals).await
            }
            EngineKind::User if takeover => {
                Err("--takeover: with the engine `user` nothing outlives its process".to_owned())
            }
            EngineKind::User => {
                eprintln!("underpass: engine user: bodies pass through user space");
                let signals = Signals::new(false).map_err(no_signals)?;
                let opened = open(&config.listeners, &[])?;
                serve(UserEngine::default(), None, opened, config, signals).await
            }
        }
    })
}

fn no_signals(error: std::io::Error) -> String {
    format!("no signal handler: {error}")
}

async fn serve(
    engine: impl Engine,
    left: Option<Left>,
    opened: Vec<(Listener, Listening)>,
    config: Config,
    signals: Signals,
) -> Result<ExitCode, String> {
    let policy = Arc::new(Table::new(config.routes, &config.pools));
    let _checks = Checks::of(&policy);
    let log = match config.access_log {
        true => AccessLog::new(std::io::stdout()),
        false => AccessLog::off(),
    };
    let mut router = Router::new(engine, policy, config.limits, log);
    let mut missing = config.listeners.clone();
    if let Some(left) = left {
        let resumed;
        (missing, resumed) = router.resume(&left, &config.listeners, Instant::now());
        eprintln!("underpass: {resumed}");
        for listener in config.listeners.iter().filter(|l| !missing.contains(l)) {
            eprintln!("underpass: listening on {}", listener.address);
        }
    }
    // Those of which the terms changed could not be opened before the former listeners ended.
    let reopened: Vec<_> = opened
        .iter()
        .map(|(listener, _)| listener.address)
        .collect();
    let late = open(&missing, &reopened)?;
    let all = opened.into_iter().chain(late);
    let sockets: Vec<_> = all.map(|(_, listening)| listening).collect();
    let address = |listening: &Listening| listening.socket.local_addr();
    let addresses: Vec<_> = sockets.iter().map(address).collect();
    if let Err(error) = router.listen(sockets).await {
        return ended(error);
    }
    for address in addresses.into_iter().flatten() {
        eprintln!("underpass: listening on {address}");
    }
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
            eprintln!("underpass: everything is left to the next router");
            return Ok(ExitCode::SUCCESS);
        }
    };
    drop(router);
    eprintln!("underpass: stopped: {cut_off} exchanges were cut off");
    Ok(match cut_off {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(CUT_OFF),
    })
}

/// What the engine's end means for the process: that all belongs to another one is no failure.
fn ended(error: EngineError) -> Result<ExitCode, String> {
    match error {
        EngineError::Ousted { .. } => {
            eprintln!("underpass: {error}, and all that it had: this one ends");
            Ok(ExitCode::SUCCESS)
        }
        EngineError::Failed(why) => Err(why),
    }
}

/// Listening sockets for those of `wanted` whose addresses are not `held`.
fn open(wanted: &[Listener], held: &[SocketAddr]) -> Result<Vec<(Listener, Listening)>, String> {
    let missing = wanted.iter().filter(|l| !held.contains(&l.address));
    let open = |listener: &Listener| {
        let listening = Listening {
            socket: bind(listener.address)?,
            proxy_protocol: listener.proxy_protocol,
            connections: listener.connections,
            head: listener.head,
        };
        Ok((*listener, listening))
    };
    missing.map(open).collect()
}

fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let open = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // Else [::]:80 and 0.0.0.0:80 could not stand side by side.
            socket.set_only_v6(true)?;
        }
        // Accepted connections inherit it: small answers must not wait for acknowledgements.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok::<TcpListener, std::io::Error>(socket.into())
    };
    open().map_err(|error| format!("cannot listen on {address}: {error}"))
}
