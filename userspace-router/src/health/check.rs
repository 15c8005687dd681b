// SPDX-License-Identifier: GPL-2.0
//! Active checks: asks each back-end periodically whether it is healthy.
//!
//! Invariants: one task for each back-end, one connection at a time, over which nothing is read
//! beyond a limit of bytes and time. What follows from a check is not decided here.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::address::{authority, Address};
use crate::config::{Check, Link, Pool};
use crate::proxy_protocol;
use crate::route::Table;

/// Bytes of a response that are read at the most.
const READ_MAX: usize = 8 * 1024;

/// The checks of a table. Dropping it ends them.
#[derive(Debug)]
pub struct Checks(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

impl Checks {
    /// Begins; needs a tokio runtime around it.
    pub fn of(table: &Arc<Table>) -> Self {
        let mut tasks = JoinSet::new();
        for (index, pool) in table.pools().enumerate() {
            let Some(rules) = &pool.check else {
                continue;
            };
            for member in &pool.members {
                let backend = member.address.clone();
                tasks.spawn(watch(
                    table.clone(),
                    index,
                    pool.clone(),
                    backend,
                    rules.clone(),
                ));
            }
        }
        Self(tasks)
    }
}

async fn watch(table: Arc<Table>, index: usize, pool: Arc<Pool>, backend: Address, rules: Check) {
    // Spread, so that neither all back-ends nor all routers are asked at once.
    let mut next = Instant::now() + rules.interval.mul_f64(random());
    loop {
        tokio::time::sleep_until(next).await;
        next = Instant::now() + rules.interval.mul_f64(0.9 + 0.2 * random());
        let outcome =
            match tokio::time::timeout(rules.timeout, ask(&backend, &rules, &pool.link)).await {
                Ok(None) => continue,
                Ok(Some(outcome)) => outcome,
                Err(_) => Err(format!("no answer within {}", Ms(rules.timeout))),
            };
        table.checked(index, &backend, outcome);
    }
}

struct Ms(Duration);

impl std::fmt::Display for Ms {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} ms", self.0.as_millis())
    }
}

/// Between 0 and 1; good enough to spread.
fn random() -> f64 {
    f64::from(RandomState::new().hash_one(()) as u32) / f64::from(u32::MAX)
}

/// Errnos (ENOMEM, ENFILE, EMFILE, ENOBUFS) of connections for which this side has no room. Not all that
/// `backs.rs` forgives: EADDRNOTAVAIL is also that of a family which this host lacks, for ever, and EAGAIN that of a
/// Unix socket whose back-end accepts nobody.
const NO_ROOM: [i32; 4] = [12, 23, 24, 105];

/// What a back-end says. None: it could not be asked, which does not speak against it.
async fn ask(backend: &Address, rules: &Check, link: &Link) -> Option<Result<(), String>> {
    let unconnected = |error: std::io::Error| {
        let here = error.raw_os_error().is_some_and(|e| NO_ROOM.contains(&e));
        (!here).then(|| Err(error.to_string()))
    };
    match backend {
        Address::Tcp(address) => match TcpStream::connect(address).await {
            Ok(stream) => Some(ask_over(stream, backend, rules, link).await),
            Err(error) => unconnected(error),
        },
        Address::Unix(path) => match UnixStream::connect(&**path).await {
            Ok(stream) => Some(ask_over(stream, backend, rules, link).await),
            Err(error) => unconnected(error),
        },
    }
}

async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    backend: &Address,
    rules: &Check,
    link: &Link,
) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let host = match (&rules.host, backend) {
        (Some(host), _) => host.clone(),
        (None, Address::Tcp(address)) => authority(*address),
        (None, Address::Unix(_)) => "localhost".to_owned(),
    };
    let mut request = match link.proxy_protocol {
        Some(version) => proxy_protocol::render(version, None),
        None => Vec::new(),
    };
    request.extend_from_slice(
        format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: underpass-check\r\n\
             Connection: close\r\n\r\n",
            rules.path
        )
        .as_bytes(),
    );
    stream.write_all(&request).await.map_err(failed)?;
    let mut read = Vec::new();
    loop {
        if let Some(status) = status(&read)? {
            let good = match rules.status.as_slice() {
                [] => (200..400).contains(&status),
                wanted => wanted.contains(&status),
            };
            return good.then_some(()).ok_or_else(|| format!("status {status}"));
        }
        let room = READ_MAX.saturating_sub(read.len());
        let mut chunk = [0; 1024];
        let space = chunk.get_mut(..room.min(1024)).unwrap_or_default();
        match stream.read(space).await.map_err(failed)? {
            0 if room == 0 => return Err(format!("no status within {READ_MAX} bytes")),
            0 => return Err("the connection ended before a status".to_owned()),
            count => read.extend_from_slice(space.get(..count).unwrap_or_default()),
        }
    }
}

/// The status of the final response that begins in here, if it does already.
fn status(read: &[u8]) -> Result<Option<u16>, String> {
    let mut rest = read;
    loop {
        let Some(end) = rest.iter().position(|&b| b == b'\n') else {
            return Ok(None);
        };
        let line = rest.get(..end).unwrap_or_default();
        let status = match line.split_first_chunk::<9>() {
            Some((b"HTTP/1.0 " | b"HTTP/1.1 ", after)) => after.get(..3).and_then(number),
            _ => None,
        };
        match status {
            Some(100..200) => {}
            Some(status) => return Ok(Some(status)),
            None => return Err("its answer is no HTTP/1 response".to_owned()),
        }
        // An interim one: the next begins behind its empty line.
        let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") else {
            return Ok(None);
        };
        rest = rest.get(end + 4..).unwrap_or_default();
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain);
    text.and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_back_end_is_named_without_the_interface_that_leads_to_it() {
        let rules = Check {
            path: "/".to_owned(),
            host: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            status: Vec::new(),
            rise: 1,
            fall: 1,
        };
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        let backend = "[fe80::1%3]:80".parse().unwrap();
        let outcome = ask_over(ours, &backend, &rules, &Link::default()).await;
        assert_eq!(outcome, Ok(()));
        let mut asked = String::new();
        theirs.read_to_string(&mut asked).await.unwrap();
        assert!(asked.contains("\r\nHost: [fe80::1]:80\r\n"), "{asked}");
    }

    #[test]
    fn the_status_of_the_final_response() {
        for (read, expected) in [
            ("", Ok(None)),
            ("HTTP/1.1 200 OK", Ok(None)),
            ("HTTP/1.1 200 OK\r\n", Ok(Some(200))),
            ("HTTP/1.0 503\r\n", Ok(Some(503))),
            ("HTTP/1.1 103 Early\r\nA: b\r\n", Ok(None)),
            (
                "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 204 No\r\n",
                Ok(Some(204)),
            ),
            ("HTTP/1.1 2x0 OK\r\n", Err(())),
            ("HTTP/2 200\r\n", Err(())),
            ("\n", Err(())),
            ("SSH-2.0-OpenSSH\r\n", Err(())),
        ] {
            assert_eq!(status(read.as_bytes()).map_err(drop), expected, "{read:?}");
        }
    }
}
