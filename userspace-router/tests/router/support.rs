// SPDX-License-Identifier: GPL-2.0
//! A router process, back-ends that do as a test says, and a client.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Nothing here takes that long, not even in an emulated guest; a hang becomes a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A running `underpass`.
pub struct Router {
    process: Child,
    pub address: SocketAddr,
    /// Where its metrics are, if it was told to have any.
    pub metrics: Option<SocketAddr>,
    config: PathBuf,
    log: Receiver<String>,
    errors: Receiver<String>,
    /// Where that comes from, its standard error.
    said: UnixStream,
}

/// One listener on IPv4.
pub const LISTENER: &str = "address = \"127.0.0.1:0\"";

impl Router {
    /// One route to these back-ends; `route` and `limits` are further lines of TOML.
    pub fn start(backends: &[SocketAddr], route: &str, limits: &str) -> Self {
        // What a test leaves unfinished shall not hold the next one up.
        Self::start_patiently(backends, route, &with(limits, "shutdown-ms", 100))
    }

    /// The same, with the usual time for what is unfinished when it ends.
    pub fn start_patiently(backends: &[SocketAddr], route: &str, limits: &str) -> Self {
        let pool = list("backends", backends);
        let tables = format!("[pool.p]\n{pool}\n[[route]]\npool = \"p\"\n{route}\n");
        Self::launch(LISTENER, &tables, &with(limits, "shutdown-ms", 30_000))
    }

    /// A pool `p` of these back-ends with further lines, and one route to it.
    pub fn with_pool(backends: &[SocketAddr], pool: &str, limits: &str) -> Self {
        let backends = list("backends", backends);
        let tables = format!("[[route]]\npool = \"p\"\n[pool.p]\n{backends}\n{pool}\n");
        Self::launch(LISTENER, &tables, limits)
    }

    /// Several routers in one process, with one route to these back-ends.
    pub fn in_threads(threads: usize, backends: &[SocketAddr], limits: &str) -> Self {
        let pool = list("backends", backends);
        let tables = format!("[pool.p]\n{pool}\n[[route]]\npool = \"p\"\n");
        let router = Self::launch_as(&format!("threads = {threads}"), LISTENER, &tables, limits);
        for _ in 1..threads {
            router.said("underpass: listening on ");
        }
        router
    }

    /// The lines of one listener, and of everything but it and `[limits]`.
    pub fn launch(listener: &str, tables: &str, limits: &str) -> Self {
        Self::launch_as("", listener, tables, limits)
    }

    /// The same, with lines for the head of the file.
    pub fn launch_as(first: &str, listener: &str, tables: &str, limits: &str) -> Self {
        Self::launch_to(Stdio::piped(), first, listener, tables, limits)
    }

    /// The same, with a standard output of its own: then nothing is seen of its log.
    pub fn launch_to(
        log: impl Into<Stdio>,
        first: &str,
        listener: &str,
        tables: &str,
        limits: &str,
    ) -> Self {
        let engine = engine();
        // On a busy machine a second is nothing: only tests about time have short limits.
        let limits = with(&with(limits, "ask-ms", 60_000), "connect-ms", 60_000);
        let limits = with(&limits, "asking-ms", 240_000);
        let limits = with(&limits, "shutdown-ms", 100);
        let text = format!(
            "engine = \"{engine}\"\n{first}\n[[listener]]\n{listener}\n{tables}\n[limits]\n{limits}\n"
        );
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("underpass-test-{}-{number}.toml", std::process::id());
        let config = std::env::temp_dir().join(name);
        std::fs::write(&config, text).expect("the configuration is written");
        let (said, speaks) = UnixStream::pair().expect("two sockets");
        let mut process = program()
            .arg("run")
            .arg(&config)
            .stdout(log)
            .stderr(OwnedFd::from(speaks))
            .spawn()
            .expect("the router starts");
        let errors = lines(said.try_clone().expect("a descriptor"), "router: ");
        let log = process.stdout.take();
        let log = log.map_or_else(|| channel().1, |pipe| lines(pipe, ""));
        let mut metrics = None;
        let address = loop {
            let line = errors.recv_timeout(PATIENCE).expect("the router listens");
            if let Some(address) = line.strip_prefix("underpass: listening on ") {
                break address.parse().expect("an address");
            }
            if let Some(rest) = line.strip_prefix("underpass: metrics at http://") {
                let address = rest.strip_suffix("/metrics").expect("a page");
                metrics = Some(address.parse().expect("an address"));
            }
        };
        Self {
            process,
            address,
            metrics,
            config,
            log,
            errors,
            said,
        }
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).expect("the router accepts"))
    }

    /// The next line of the access log.
    pub fn logged(&self) -> String {
        self.log.recv_timeout(PATIENCE).expect("a line of the log")
    }

    /// The next line of the access log, if it comes within that time.
    pub fn try_logged(&self, time: Duration) -> Option<String> {
        self.log.recv_timeout(time).ok()
    }

    /// Waits until the router has said this on standard error.
    pub fn said(&self, text: &str) {
        loop {
            let line = self.errors.recv_timeout(PATIENCE);
            if line.expect("a line on standard error").contains(text) {
                return;
            }
        }
    }

    /// From now on nobody reads what it says on standard error.
    pub fn is_not_listened_to(&self) {
        self.said.shutdown(Shutdown::Both).expect("it was open");
    }

    /// A request over a connection of its own: the answer's status and body.
    pub fn get(&self, target: &str, fields: &str) -> (u16, String) {
        self.connect().get(target, fields)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: a minimal system has no other.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{name} {}", self.process.id()))
            .status();
        assert!(status.expect("a shell runs").success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("the router ends")
    }
}

impl Drop for Router {
    /// By SIGTERM, after which nothing of it is left in the kernel.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.terminate();
        }
        // Its end of the pipe is closed when it ends.
        while self.log.recv_timeout(PATIENCE).is_ok() {}
        // It has ended already, unless it hangs.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
        let _gone = std::fs::remove_file(&self.config);
    }
}

/// The engine under test.
pub fn engine() -> String {
    std::env::var("UNDERPASS_ENGINE").unwrap_or_else(|_| "user".to_owned())
}

/// A TOML list of addresses.
pub fn list(key: &str, addresses: &[SocketAddr]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    format!("{key} = [{}]", quoted.join(", "))
}

/// Lines of TOML with a value for this key, unless they have one.
fn with(limits: &str, key: &str, value: u32) -> String {
    match limits.contains(key) {
        true => limits.to_owned(),
        false => format!("{key} = {value}\n{limits}"),
    }
}

/// Passes lines on, so that the process never blocks on its pipe.
fn lines(from: impl Read + Send + 'static, echo: &'static str) -> Receiver<String> {
    let (to, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if !echo.is_empty() {
                eprintln!("{echo}{line}");
            }
            // The test may be over and not care.
            let _over = to.send(line);
        }
    });
    receiver
}

/// The program under test.
pub fn program() -> Command {
    let built = || env!("CARGO_BIN_EXE_underpass").to_owned();
    Command::new(std::env::var("UNDERPASS_BIN").unwrap_or_else(|_| built()))
}

/// One end of a connection, with a buffer for what was read too far.
pub struct Client {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("bytes are sent");
    }

    /// False if the peer takes nothing any more.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// All bytes up to FIN or reset.
    pub fn try_rest(&mut self) -> Vec<u8> {
        while self.fill().is_ok_and(|read| read > 0) {}
        std::mem::take(&mut self.ahead)
    }

    /// A GET of host `a`, with further field lines: the answer's status and body.
    pub fn get(&mut self, target: &str, fields: &str) -> (u16, String) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        self.answer()
    }

    /// Status and body of an answer with Content-Length.
    pub fn answer(&mut self) -> (u16, String) {
        let head = self.head();
        let body = self.body(content_length(&head) as usize);
        (status(&head), String::from_utf8(body).expect("text"))
    }

    /// Start line and fields, or an empty text where the peer has closed.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..at + 4).collect();
                return String::from_utf8(head).expect("text");
            }
            if self.fill().expect("a head") == 0 {
                assert!(self.ahead.is_empty(), "FIN within a head");
                return String::new();
            }
        }
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut chunk = vec![0; 64 * 1024];
        // A socket with a timeout is not read again by the kernel after a signal (signal(7)).
        let read = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.ahead.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    /// Exactly so many bytes.
    pub fn body(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert_ne!(self.fill().expect("a body"), 0, "FIN within a body");
        }
        self.ahead.drain(..length).collect()
    }

    /// Reads exactly so many bytes and gives their digest.
    pub fn digest(&mut self, length: u64) -> String {
        let mut left = length;
        let mut sum = Sha256::new();
        while left > 0 {
            if self.ahead.is_empty() {
                assert_ne!(self.fill().expect("a body"), 0, "FIN within a body");
            }
            let most = self
                .ahead
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            sum.update(&self.ahead[..most]);
            self.ahead.drain(..most);
            left -= most as u64;
        }
        hex(sum)
    }

    /// A line without its CRLF.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.ahead.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..at + 2).collect();
                return String::from_utf8_lossy(&line[..at]).into_owned();
            }
            assert_ne!(self.fill().expect("a line"), 0, "FIN within a line");
        }
    }

    /// A chunked body's content, and its trailer section.
    pub fn chunked(&mut self) -> (Vec<u8>, String) {
        let mut content = Vec::new();
        loop {
            let line = self.line();
            let size = usize::from_str_radix(&line, 16).expect("a size and nothing else");
            if size == 0 {
                break;
            }
            content.append(&mut self.body(size));
            assert_eq!(self.line(), "");
        }
        let mut trailers = String::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (content, trailers);
            }
            trailers += &line;
            trailers.push('\n');
        }
    }

    /// All bytes up to FIN.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().expect("bytes or FIN") > 0 {}
        std::mem::take(&mut self.ahead)
    }

    /// True if the connection ends by reset, not by FIN.
    pub fn ends_by_reset(&mut self) -> bool {
        loop {
            match self.fill() {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return true,
                Err(error) => panic!("neither FIN nor reset: {error}"),
            }
        }
    }

    /// All bytes up to a reset; `None` if a FIN comes instead.
    pub fn until_reset(&mut self) -> Option<Vec<u8>> {
        self.ends_by_reset()
            .then(|| std::mem::take(&mut self.ahead))
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a FIN");
    }

    /// Closes with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("linger");
    }
}

/// A back-end: every connection is handed to `serve` in a thread of its own, with the
/// number of the connection, from 1.
pub fn backend(serve: impl Fn(Client, u32) + Send + Sync + 'static) -> SocketAddr {
    backend_at("127.0.0.1:0", serve)
}

/// A back-end that says when a request arrived, after `beginning`, and sends `ending` when it is told to.
pub fn patient(
    beginning: &'static str,
    ending: impl AsRef<[u8]> + Send + Sync + 'static,
) -> (SocketAddr, Receiver<()>, Sender<()>) {
    let (tell, told) = channel();
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let address = backend(move |mut peer, _| {
        peer.head();
        peer.send(beginning);
        tell.send(()).expect("the test waits");
        // Also when the test is over.
        let _either_way = gone.lock().expect("no panic").recv();
        peer.send(&ending);
    });
    (address, told, go)
}

/// The same, at an address of choice.
pub fn backend_at(
    address: &str,
    serve: impl Fn(Client, u32) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(address).expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (stream, number) in listener.incoming().map_while(Result::ok).zip(1..) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(Client::new(stream), number));
        }
    });
    address
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).expect("a port");
    let address = socket.local_addr().expect("an address");
    // It never listens, and keeps the port: else another test's listener may get it.
    std::mem::forget(socket);
    address.as_socket().expect("an IP address")
}

/// A back-end that takes everything, and answers each request with its body's digest.
pub fn taker() -> SocketAddr {
    backend(take)
}

/// A back-end that answers each request with this text.
pub fn named(name: &'static str) -> SocketAddr {
    backend(move |mut peer, _| {
        while !peer.head().is_empty() {
            peer.send(ok(name));
        }
    })
}

/// What a taker does.
pub fn take(mut peer: Client, _: u32) {
    loop {
        let head = peer.head();
        if head.is_empty() {
            return;
        }
        if head.contains("Expect: 100-continue") {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let digest = if field(&head, "Transfer-Encoding").is_some() {
            sha256(&peer.chunked().0)
        } else {
            peer.digest(content_length(&head))
        };
        peer.send(ok(&digest));
    }
}

/// A back-end that answers each request with these bytes.
pub fn answers(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    backend(move |mut peer, _| {
        while !peer.head().is_empty() {
            peer.send(&bytes);
        }
    })
}

/// A back-end that answers each request with the request's head.
pub fn mirror() -> SocketAddr {
    backend(|mut peer, _| loop {
        let head = peer.head();
        if head.is_empty() {
            return;
        }
        peer.send(ok(&head));
    })
}

/// A body in chunks of so many bytes.
pub fn in_chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// A back-end that declines everything with this status.
pub fn decliner(status: u16) -> SocketAddr {
    backend(move |mut peer, _| {
        if peer.head().is_empty() {
            return;
        }
        peer.send(format!(
            "HTTP/1.1 {status} No\r\nContent-Length: 3\r\n\r\nno\n"
        ));
        // Whether it is closed or reset is the router's choice.
        let _end = peer.fill();
    })
}

/// A response that the engine may pass on by itself.
pub fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn content_length(head: &str) -> u64 {
    field(head, "Content-Length").map_or(0, |value| value.parse().expect("a length"))
}

/// The value of a field.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

pub fn status(head: &str) -> u16 {
    let code = head.split(' ').nth(1).expect("a status");
    code.parse().expect("a number")
}

pub fn sha256(bytes: &[u8]) -> String {
    let mut sum = Sha256::new();
    sum.update(bytes);
    hex(sum)
}

fn hex(sum: Sha256) -> String {
    let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
    sum.finalize().iter().fold(String::new(), hex)
}

/// Bytes that repeat nowhere soon (xorshift), so that a shift would be seen.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
