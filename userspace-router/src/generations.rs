// SPDX-License-Identifier: GPL-2.0
//! The generations of routers of a process: SIGHUP begins the next one, by the configuration as it is now.
//!
//! Invariants: the next one takes everything over from the one before, which then ends, as another
//! process would that is started by `run --takeover`. One that cannot begin leaves the one before as it was. A
//! process ends with the last of its generations.

use tokio::signal::unix::{signal, SignalKind};
use tokio::task::JoinSet;
use underpass::config::{Config, EngineKind};

use crate::run::{prepare, runtime, start, End};
use crate::signals::Signals;

/// Serves until a signal, or another process, ends it. `load` reads the configuration.
///
/// # Errors
/// If it cannot begin, or not go on.
pub fn run(load: impl Fn() -> Result<Config, String>, takeover: bool) -> Result<End, String> {
    let config = load()?;
    if config.engine == EngineKind::User {
        if takeover {
            let text = "--takeover: with the engine `user` nothing outlives its process";
            return Err(text.to_owned());
        }
        eprintln!("underpass: engine user: bodies pass through user space");
    }
    runtime()?.block_on(run_all(config, takeover, load))
}

async fn run_all(
    config: Config,
    takeover: bool,
    load: impl Fn() -> Result<Config, String>,
) -> Result<End, String> {
    let engine = config.engine;
    let unheard = |error| format!("no signal handler: {error}");
    let mut hang_ups = signal(SignalKind::hangup()).map_err(unheard)?;
    let signals = Signals::new(engine == EngineKind::Kernel).map_err(unheard)?;
    let mut generations = JoinSet::new();
    generations.spawn(start(prepare(config, takeover, &signals).await?)?);
    let mut all: Option<End> = None;
    loop {
        tokio::select! {
            // One after the other: of two that begin at once the older one could be the last to take over.
            Some(()) = hang_ups.recv(), if generations.len() == 1 => {
                let next = async {
                    if signals.is_stopping() {
                        return Err("it is stopping".to_owned());
                    }
                    let config = may_follow(engine, load()?)?;
                    prepare(config, true, &signals).await
                };
                match next.await {
                    // Whoever fails now has taken something already.
                    Ok(starts) => drop(generations.spawn(start(starts)?)),
                    Err(why) => eprintln!("underpass: SIGHUP changes nothing: {why}"),
                }
            }
            ended = generations.join_next() => {
                let Some(ended) = ended else {
                    return Ok(all.unwrap_or(End::Ousted));
                };
                let end = ended.map_err(|error| format!("a generation of routers: {error}"))??;
                all = Some(all.map_or(end, |all| all.and(end)));
            }
        }
    }
}

/// What can be changed while clients are there.
fn may_follow(engine: EngineKind, config: Config) -> Result<Config, String> {
    match (engine, config.engine) {
        (EngineKind::User, _) => {
            Err("with the engine `user` clients would be lost: restart it instead".to_owned())
        }
        (EngineKind::Kernel, EngineKind::User) => {
            Err("the engine is another one: restart it instead".to_owned())
        }
        (EngineKind::Kernel, EngineKind::Kernel) => Ok(config),
    }
}
