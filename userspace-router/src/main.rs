// SPDX-License-Identifier: GPL-2.0
//! The program `underpass`: reads its arguments, and does what they say.
#![forbid(unsafe_code)]

mod generations;
mod listening;
mod ready;
mod run;
mod signals;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use generations::run;
use run::{runtime, End};
use underpass::config::{Config, EngineKind};
use underpass::engine::kernel::KernelEngine;
use underpass::say;

const HELP: &str = "\
underpass: an HTTP/1.1 reverse proxy whose message bodies are forwarded by the kernel

usage: underpass run [--takeover] FILE
                               run with this configuration, until SIGTERM or SIGINT
       underpass check FILE    check a configuration, and print what it sets up
       underpass stats         print the module's counters, of all routers in this network
                               namespace, in the text format of Prometheus
       underpass --help
       underpass --version

FILE is TOML; the example, userspace-router/underpass.toml, shows every key with its default. `make install` copies
it to /etc/underpass.toml. The access log goes to standard output, everything else to standard error.

SIGTERM or SIGINT: accepts nothing more; exchanges may finish within `shutdown-ms`. A second one ends at once.
SIGHUP (engine `kernel`): reads FILE again and continues with it; if it cannot, continues as before.
SIGUSR2 (engine `kernel`): ends at once, and leaves everything to the next router.
That router continues what a former one left that listened at one of its addresses and has ended; with
--takeover also if the former one still runs, which then ends by itself: so an upgrade drops nothing.

Exit status: 0 success, 1 it cannot run, 2 wrong usage, 3 exchanges were cut off.
";

const VERSION: &str = concat!("underpass ", env!("CARGO_PKG_VERSION"), "\n");

/// Exit status of a router that was told to stop and did not wait for all exchanges.
const CUT_OFF: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_str()).collect();
    // What begins like an option is a mistake, and no file: that would be ./-name.
    let is_file = |last: &&OsString| !last.as_encoded_bytes().starts_with(b"-");
    let file = arguments.last().filter(is_file).map(Path::new);
    match (words.as_slice(), file) {
        ([Some("run"), Some("--takeover"), _], Some(file)) => report(serve(file, true)),
        ([Some("run"), _], Some(file)) => report(serve(file, false)),
        ([Some("check"), _], Some(file)) => report(check(file)),
        ([Some("stats")], _) => report(stats()),
        ([Some("--help" | "-h")], _) => {
            tell(std::io::stdout(), HELP);
            ExitCode::SUCCESS
        }
        ([Some("--version" | "-V")], _) => {
            tell(std::io::stdout(), VERSION);
            ExitCode::SUCCESS
        }
        _ => {
            tell(std::io::stderr(), HELP);
            ExitCode::from(2)
        }
    }
}

/// Writes `text`, and goes on if it cannot: `print!` would panic, and a good file not pass its check.
fn tell(mut to: impl Write, text: &str) {
    let _unread = to.write_all(text.as_bytes());
}

fn report(outcome: Result<ExitCode, String>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(text) => {
            say!("{text}");
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
    let text = format!(
        "{}: good: engine {engine}, {} listeners, {} routes\n",
        file.display(),
        config.listeners.len(),
        config.routes.len()
    );
    tell(std::io::stdout(), &text);
    Ok(ExitCode::SUCCESS)
}

fn stats() -> Result<ExitCode, String> {
    let text = runtime()?
        .block_on(KernelEngine::stats())
        .map_err(|error| error.to_string())?;
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| format!("standard output: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn serve(file: &Path, takeover: bool) -> Result<ExitCode, String> {
    let file = file.to_owned();
    let load = move || Config::load(&file).map_err(|error| error.to_string());
    let cut_off = match run(load, takeover)? {
        End::Stopped { cut_off } => {
            say!("stopped: {cut_off} exchanges were cut off");
            cut_off
        }
        End::LeftBehind => {
            say!("everything is left to the next router");
            0
        }
        // It was said by whom.
        End::Ousted => 0,
    };
    Ok(match cut_off {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(CUT_OFF),
    })
}
