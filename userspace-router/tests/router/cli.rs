// SPDX-License-Identifier: GPL-2.0
//! The command line: what it says, and its exit codes.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{engine, list, named, program, Client, Router, LISTENER, PATIENCE};

/// Exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = program().args(arguments).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Runs `command` with a file of this content.
pub fn with_file(name: &str, content: &str, command: &str) -> (Option<i32>, String, String) {
    in_file(name, content, |path| run(&[command, path]))
}

fn in_file<T>(name: &str, content: &str, run: impl FnOnce(&str) -> T) -> T {
    let name = format!("underpass-cli-{}-{name}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).expect("the file is written");
    let outcome = run(path.to_str().expect("text"));
    std::fs::remove_file(&path).expect("the file is removed");
    outcome
}

#[test]
fn usage() {
    let (code, said, _) = run(&["--help"]);
    assert!(
        code == Some(0) && said.contains("underpass check FILE"),
        "{said}"
    );
    let (code, said, _) = run(&["--version"]);
    assert!(code == Some(0) && said.starts_with("underpass "), "{said}");
    for wrong in [
        &[][..],
        &["run"],
        &["check", "a", "b"],
        &["walk", "a"],
        // Neither is a file.
        &["check", "--help"],
        &["run", "--takeover"],
        &["run", "--takeover", "-v"],
    ] {
        let (code, said, complained) = run(wrong);
        assert!(
            code == Some(2) && said.is_empty() && complained.contains("usage:"),
            "{wrong:?}"
        );
    }
}

/// Such as a unit's ExecStartPre on a full disk: what it says is lost, what it found is not.
#[test]
fn who_cannot_write_is_right_all_the_same() {
    let code = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).stdout(full()).stderr(full());
        command.status().expect("it runs").code()
    };
    let example = include_str!("../../underpass.toml");
    let good = in_file("unseen", example, |path| code(&["check", path]));
    assert_eq!(good, Some(0));
    assert_eq!(code(&["check", "/nonexistent"]), Some(1));
    for (word, wanted) in [("--help", 0), ("--version", 0), ("walk", 2)] {
        assert_eq!(code(&[word]), Some(wanted), "{word}");
    }
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let example = include_str!("../../underpass.toml");
    let (code, said, _) = with_file("good", example, "check");
    assert!(
        code == Some(0) && said.contains(": good: engine kernel, 1 listeners, 1 routes"),
        "{said}"
    );
    let bad = example.replace("drain-ms = 5000", "drain-ms = \"long\"");
    for command in ["check", "run"] {
        let (code, said, complained) = with_file(command, &bad, command);
        assert!(code == Some(1) && said.is_empty(), "{said}");
        let line = bad.lines().position(|line| line.starts_with("drain-ms"));
        let place = format!(
            ".toml:{}: drain-ms: invalid type",
            line.expect("it is there") + 1
        );
        assert!(complained.contains(&place), "{complained}");
    }
    let (code, _, complained) = run(&["check", "/nonexistent/underpass.toml"]);
    assert!(
        code == Some(1) && complained.contains("/nonexistent/underpass.toml: cannot be read"),
        "{complained}"
    );
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let example = include_str!("../../underpass.toml")
        .replace("0.0.0.0:8080", &address)
        .replace("\"kernel\"", "\"user\"");
    let (code, _, complained) = with_file("in-use", &example, "run");
    assert_eq!(code, Some(1));
    assert!(
        complained.contains(&format!(
            "cannot listen on {address}: Address already in use"
        )),
        "{complained}"
    );
}

/// Writes to it fail, as to a full disk.
fn full() -> File {
    let full = File::options().write(true).open("/dev/full");
    full.expect("Linux has it")
}

fn tables() -> String {
    let pool = list("backends", &[named("n")]);
    format!("[pool.p]\n{pool}\n[[route]]\npool = \"p\"\n")
}

#[test]
fn without_an_access_log_nothing_is_written() {
    for (first, lines) in [("access-log = false", 0), ("", 1)] {
        let mut router = Router::launch_as(first, LISTENER, &tables(), "");
        assert_eq!(router.get("/", ""), (200, "n".to_owned()));
        router.terminate();
        router.wait();
        let written = std::iter::from_fn(|| router.try_logged(PATIENCE));
        assert_eq!(written.count(), lines, "{first}");
    }
}

#[test]
fn where_the_access_log_cannot_be_written_it_goes_on_and_counts() {
    let mut router = Router::launch_to(full(), "", LISTENER, &tables(), "");
    for _ in 0..3 {
        assert_eq!(router.get("/", ""), (200, "n".to_owned()));
    }
    router.said("access log: could not be written: No space left on device");
    router.terminate();
    assert!(router.wait().success());
    router.said("access log: 3 lines were lost, as they could not be written");
}

/// A router whose standard error is full, and that nobody reads, serves; what it could not say is counted.
#[test]
fn a_reader_who_stops_reading_its_errors_does_not_stop_it() {
    let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
    theirs.set_nonblocking(true).expect("a mode");
    let mut filled = 0;
    while let Ok(count) = (&theirs).write(&[b'x'; 1]) {
        filled += count;
    }
    theirs.set_nonblocking(false).expect("a mode");
    let address = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("an address")
    };
    let text = format!(
        "engine = \"{}\"\n[[listener]]\naddress = \"{address}\"\n{}",
        engine(),
        tables()
    );
    in_file("unread", &text, |path| {
        let mut process = program()
            .args(["run", path])
            .stdout(Stdio::null())
            .stderr(OwnedFd::from(theirs))
            .spawn()
            .expect("it starts");
        let began = Instant::now();
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(Client::new(stream).get("/", ""), (200, "n".to_owned()));
        ours.read_exact(&mut vec![0; filled])
            .expect("what is there");
        let kill = format!("kill -TERM {}", process.id());
        let killed = Command::new("sh").arg("-c").arg(kill).status();
        assert!(killed.expect("a shell runs").success());
        assert!(process.wait().expect("it ends").success());
        let mut said = String::new();
        ours.read_to_string(&mut said).expect("text");
        let first = said.lines().next().expect("a line");
        assert!(
            first.ends_with(" lines were lost here, because nobody read them"),
            "{said}"
        );
        assert!(
            said.contains("stopping: nothing more is accepted"),
            "{said}"
        );
    });
}
