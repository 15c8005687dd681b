// SPDX-License-Identifier: GPL-2.0
//! The page `/metrics`, for Prometheus: what the routers of this process count, and, where it has the
//! engine `kernel`, what the module does.
//!
//! It is served beside the routers' threads, by one task, and closes each connection behind its answer.
//! Invariant: whoever connects costs a connection and 8 KiB for 5 s at the most, and `CLIENTS_MAX` can at once.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Metrics;
use crate::config::EngineKind;
use crate::engine::kernel::KernelEngine;

/// Connections at once; more wait to be accepted.
const CLIENTS_MAX: usize = 16;
/// Bytes of the longest request.
const HEAD_MAX: usize = 8 << 10;
/// How long one has for its request, and to read the page.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait where there is no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves for ever.
///
/// # Errors
/// If the runtime does not take the socket.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    engine: EngineKind,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return Ok(());
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            // Whoever is too slow gets nothing.
            let _too_late = timeout(PATIENCE, answer(stream, &metrics, engine)).await;
            drop(place);
        });
    }
}

async fn answer(
    mut stream: TcpStream,
    metrics: &Metrics,
    engine: EngineKind,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = (HEAD_MAX - head.len()) as u64;
        if (&mut stream).take(left).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match head.strip_prefix(b"GET /metrics") {
        Some([b' ' | b'?', ..]) => ("200 OK", page(metrics, engine).await),
        _ => (
            "404 Not Found",
            "GET /metrics is all there is.\n".to_owned(),
        ),
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

async fn page(metrics: &Metrics, engine: EngineKind) -> String {
    let text = metrics.text();
    if engine == EngineKind::User {
        return text;
    }
    match KernelEngine::stats().await {
        Ok(module) => text + &module,
        Err(error) => format!("{text}# the module does not tell: {error}\n"),
    }
}
