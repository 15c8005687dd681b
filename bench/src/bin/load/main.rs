// SPDX-License-Identifier: GPL-2.0
//! The load generator of every rival: `load KEY=VALUE...`.
//!
//!     to=ADDRESS:PORT  where to
//!     work=put|get     upload or download
//!     size=BYTES       of each body
//!     connections=N    at once, each with one request at a time
//!     fresh=yes        each request on a new connection; otherwise all on the first N
//!     requests=N       make a span
//!     warm-up=N        requests before the first span
//!     spans=N          are measured, one after the other
//!     pause=MICROSECONDS  before each request; for one connection
//!     do=measure       prints a line of JSON for each span: what it cost the whole machine, of one CPU
//!     do=time          the same, and only how long it took
//!     do=check         compares all bytes, at both ends, and measures nothing
//!     do=latency       prints one line: how long each of the requests took, sorted
//!     do=forever       goes on until it is killed; says `begun` after the warm-up
//!     do=hold          one request on each connection, some at a time; says `begun`, and holds them open until it is killed
//!
//! One process, one thread. Whatever is not a complete, good answer ends it with words and exit code 1.
#![forbid(unsafe_code)]

mod client;
mod meter;
mod options;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use client::Client;
use meter::{Cost, Meter};
use options::{Options, Task};
use underpass_bench::content::Content;
use underpass_bench::poll::{Interest, Poll};
use underpass_bench::{Failure, CHUNK};

/// So many clients connect at once where all are to be held: fewer than any listener's backlog.
const AT_ONCE: u64 = 64;

/// All clients, and what they share.
struct Load {
    options: Options,
    content: Content,
    poll: Poll,
    buffer: Vec<u8>,
    clients: Vec<Client>,
    began: Vec<Instant>,
    /// Nanoseconds of each request of the last span, if they are wanted.
    took: Vec<u64>,
}

impl Load {
    fn new(options: Options) -> Result<Self, Failure> {
        Ok(Self {
            options,
            content: Content::new(),
            poll: Poll::new()?,
            buffer: vec![0; CHUNK],
            clients: Vec::new(),
            began: Vec::new(),
            took: Vec::new(),
        })
    }

    /// Begins to connect so many more clients.
    fn connect(&mut self, count: u64) -> Result<(), Failure> {
        let Options { to, work, size, .. } = self.options;
        let check = self.options.task == Task::Check;
        for _ in 0..count {
            let number = self.clients.len() as u64;
            let client = Client::connect(to, work, size, number, check)?;
            self.poll.add(client.stream(), number, client.interest())?;
            self.clients.push(client);
            self.began.push(Instant::now());
        }
        Ok(())
    }

    /// Makes one request on each of that many new connections.
    fn open(&mut self, count: u64) -> Result<(), Failure> {
        let mut to_open = count;
        while to_open > 0 {
            let batch = to_open.min(AT_ONCE);
            let first = self.clients.len();
            self.connect(batch)?;
            for number in first..self.clients.len() {
                self.begin(number)?;
            }
            let mut to_end = batch;
            while to_end > 0 {
                to_end -= self.turns()?;
            }
            to_open -= batch;
        }
        Ok(())
    }

    /// Waits, and goes on with whoever is ready. Returns how many requests have ended; nobody begins another.
    fn turns(&mut self) -> Result<u64, Failure> {
        let mut ended = 0;
        for (number, ready) in self.poll.wait()? {
            ended += u64::from(self.turn(usize::try_from(number)?, ready)?);
        }
        Ok(ended)
    }

    /// Makes that many requests, as many at once as there are clients.
    fn requests(&mut self, count: u64) -> Result<(), Failure> {
        let mut to_begin = count;
        let mut to_end = count;
        for number in 0..self.clients.len() {
            if to_begin > 0 {
                to_begin -= 1;
                self.begin(number)?;
            }
        }
        while to_end > 0 {
            for (number, ready) in self.poll.wait()? {
                let number = usize::try_from(number)?;
                if self.turn(number, ready)? {
                    to_end -= 1;
                    if to_begin > 0 {
                        to_begin -= 1;
                        self.begin(number)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins a client's next request.
    fn begin(&mut self, number: usize) -> Result<(), Failure> {
        let client = &mut self.clients[number];
        if !self.options.pause.is_zero() {
            std::thread::sleep(self.options.pause);
        }
        if self.options.task == Task::Latency {
            self.began[number] = Instant::now();
        }
        client.prepare();
        if self.options.fresh {
            // Sent as soon as it is connected.
            client.reconnect(self.options.to)?;
            return Ok(self
                .poll
                .add(client.stream(), number as u64, client.interest())?);
        }
        client.send(&self.content)?;
        if client.interest().contains(Interest::OUT) {
            self.poll
                .change(client.stream(), number as u64, client.interest())?;
        }
        Ok(())
    }

    /// A client's connection is ready for something. True if its request has come to its end.
    fn turn(&mut self, number: usize, ready: Interest) -> Result<bool, Failure> {
        let client = &mut self.clients[number];
        let waited_for = client.interest();
        if ready.contains(Interest::OUT) {
            client.send(&self.content)?;
        }
        let mut ended = false;
        if ready.intersects(Interest::IN | Interest::HUP | Interest::ERR) {
            ended = client.receive(&mut self.buffer, &self.content)?;
        }
        if client.interest() != waited_for {
            self.poll
                .change(client.stream(), number as u64, client.interest())?;
        }
        if ended && self.options.task == Task::Latency {
            self.took
                .push(u64::try_from(self.began[number].elapsed().as_nanos())?);
        }
        Ok(ended)
    }
}

fn run() -> Result<(), Failure> {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    let Options {
        task,
        connections,
        warm_up,
        spans,
        requests,
        ..
    } = options;
    let mut load = Load::new(options)?;
    if task != Task::Hold {
        load.connect(connections)?;
    }
    // Before the warm-up, because starting it is work, too.
    let meter = if task == Task::Measure {
        Some(Meter::start()?)
    } else {
        None
    };
    load.requests(warm_up)?;
    match task {
        Task::Check => load.requests(requests)?,
        Task::Measure | Task::Time => {
            for _ in 0..spans {
                let work = || load.requests(requests);
                let Cost { elapsed, busy } = match &meter {
                    Some(meter) => meter.measure(work)?,
                    None => meter::time(work)?,
                };
                println!(r#"{{"requests": {requests}, "elapsed": {elapsed}, "busy": {busy}}}"#);
            }
        }
        Task::Latency => {
            load.took.clear();
            load.requests(requests)?;
            load.took.sort_unstable();
            println!(r#"{{"latency": {:?}}}"#, load.took);
        }
        Task::Forever => {
            println!("begun");
            std::io::stdout().flush()?;
            loop {
                load.requests(requests)?;
            }
        }
        Task::Hold => {
            load.open(connections)?;
            println!("begun");
            std::io::stdout().flush()?;
            loop {
                // Nothing is to come. That one was closed is an error.
                load.turns()?;
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}
