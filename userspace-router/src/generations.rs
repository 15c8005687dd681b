// SPDX-License-Identifier: GPL-2.0
//! The generations of routers of a process: SIGHUP begins the next one, with the current configuration.
//!
//! Invariants: the next one takes everything over from the one before, which then ends, just as if another
//! process were started by `run --takeover`. One that cannot begin leaves the one before as it was. A
//! process ends with the last of its generations.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use underpass::config::{Config, EngineKind};
use underpass::engine::kernel::Replaced;
use underpass::metrics::{self, Metrics};
use underpass::say;

use crate::listening::{bind, probe};
use crate::ready;
use crate::run::{prepare, runtime, start, End, Told};
use crate::signals::Signals;

/// Where metrics are served.
#[derive(Clone)]
struct Page {
    /// As the configuration says.
    address: SocketAddr,
    #[expect(dead_code, reason = "ends with the last one who has it")]
    task: Arc<Task>,
}

/// A task that ends with this.
struct Task(JoinHandle<io::Result<()>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All generations of this process.
struct Generations {
    tell: UnboundedSender<(u32, Told)>,
    told: UnboundedReceiver<(u32, Told)>,
    /// The youngest one.
    youngest: u32,
    /// Routers of that which do not listen yet.
    starting: usize,
    /// And those which do: as the module numbers them, and the netlink ports of their sockets.
    routers: Vec<(u32, u32)>,
    /// Routers of all generations that have not ended.
    running: usize,
    metrics: Arc<Metrics>,
    page: Option<Page>,
}

/// A configuration, or why there is none.
type Loaded = Result<Config, String>;

/// Serves until a signal, or another process, ends it. `load` reads the configuration.
///
/// # Errors
/// If it cannot begin, or not go on.
pub fn run<L>(load: L, takeover: bool) -> Result<End, String>
where
    L: Fn() -> Loaded + Clone + Send + 'static,
{
    runtime()?.block_on(async {
        let unheard = |error| format!("no signal handler: {error}");
        let mut hang_ups = signal(SignalKind::hangup()).map_err(unheard)?;
        let config = load()?;
        let engine = config.engine;
        if engine == EngineKind::User {
            if takeover {
                let text = "--takeover: with the engine `user` nothing outlives its process";
                return Err(text.to_owned());
            }
            say!("engine user: bodies pass through user space");
        }
        let signals = Signals::new(engine == EngineKind::Kernel).map_err(unheard)?;
        let replaced = match takeover {
            true => Replaced::Anybody,
            false => Replaced::Nobody,
        };
        let mut generations = Generations::new();
        generations.begin(config, &replaced, &signals).await?;
        let mut all: Option<End> = None;
        let mut loading = None;
        while generations.running > 0 {
            tokio::select! {
                // One after the other: of two that begin at once the older one could be the last to take over.
                Some(()) = hang_ups.recv(), if generations.starting == 0 && loading.is_none() => {
                    loading = Some(aside(load.clone()));
                }
                config = loaded(&mut loading) => {
                    generations.next(engine, config, &signals).await?;
                }
                Some((generation, told)) = generations.told.recv() => match told {
                    Told::Listens(router) => {
                        generations.listens(generation, router);
                        if generations.starting == 0 {
                            ready::tell();
                        }
                    }
                    Told::Ended(end) => {
                        let end = end?;
                        generations.running -= 1;
                        all = Some(all.map_or(end, |all| all.and(end)));
                    }
                },
            }
        }
        // Each of them said how it ended, and there was one at least.
        Ok(all.unwrap_or(End::Ousted))
    })
}

/// Loads in a thread of its own: a resolver may take long, and nobody here waits for it, SIGTERM neither.
fn aside(load: impl FnOnce() -> Loaded + Send + 'static) -> oneshot::Receiver<Loaded> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("configuration".to_owned());
    // Without a thread, nobody will tell.
    let _detached = thread.spawn(move || tell.send(load()));
    told
}

/// What is being loaded, when it is; never if nothing is.
async fn loaded(loading: &mut Option<oneshot::Receiver<Loaded>>) -> Loaded {
    let Some(told) = loading else {
        return std::future::pending().await;
    };
    let loaded = told.await;
    *loading = None;
    loaded.unwrap_or_else(|_| Err("no thread to read the configuration".to_owned()))
}

impl Generations {
    fn new() -> Self {
        let (tell, told) = unbounded_channel();
        Self {
            tell,
            told,
            youngest: 0,
            starting: 0,
            routers: Vec::new(),
            running: 0,
            metrics: Arc::default(),
            page: None,
        }
    }

    /// Begins one. What it has to take, it takes afterwards.
    async fn begin(
        &mut self,
        config: Config,
        replaced: &Replaced,
        signals: &Signals,
    ) -> Result<(), String> {
        let page = self.page(&config, replaced)?;
        let starts = prepare(config, replaced, signals).await?;
        self.page = page;
        self.youngest += 1;
        self.starting = starts.len();
        self.running += starts.len();
        self.routers.clear();
        start(starts, &self.metrics, self.youngest, &self.tell)
    }

    /// Metrics as `config` wants them, beside what is there.
    fn page(&self, config: &Config, replaced: &Replaced) -> Result<Option<Page>, String> {
        let Some(address) = config.metrics else {
            return Ok(None);
        };
        if let Some(page) = self.page.as_ref().filter(|page| page.address == address) {
            return Ok(Some(page.clone()));
        }
        if !matches!(replaced, Replaced::Anybody) {
            // Only who is taken over may still be there. Of a stranger's page there would be a part.
            probe(address).map_err(|error| format!("metrics: {error}"))?;
        }
        let listener = bind(address, true).map_err(|error| format!("metrics: {error}"))?;
        if let Ok(address) = listener.local_addr() {
            say!("metrics at http://{address}/metrics");
        }
        let serve = metrics::serve(listener, self.metrics.clone(), config.engine);
        let task = Arc::new(Task(tokio::spawn(serve)));
        Ok(Some(Page { address, task }))
    }

    /// Begins the next one, or says why not.
    async fn next(
        &mut self,
        engine: EngineKind,
        config: Loaded,
        signals: &Signals,
    ) -> Result<(), String> {
        let before = self.youngest;
        let begun = match config.and_then(|config| may_follow(engine, config)) {
            _ if signals.is_stopping() => Err("it is stopping".to_owned()),
            Ok(config) => {
                let replaced = Replaced::These(self.routers.clone());
                self.begin(config, &replaced, signals).await
            }
            Err(why) => Err(why),
        };
        match begun {
            Err(why) if self.youngest == before => {
                say!("SIGHUP changes nothing: {why}");
                Ok(())
            }
            // Whoever fails now may have taken something already.
            begun => begun,
        }
    }

    /// A router listens, or will never.
    fn listens(&mut self, generation: u32, router: Option<(u32, u32)>) {
        if generation == self.youngest {
            self.starting -= 1;
            self.routers.extend(router);
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
            Err("the engine would change: restart it instead".to_owned())
        }
        (EngineKind::Kernel, EngineKind::Kernel) => Ok(config),
    }
}
