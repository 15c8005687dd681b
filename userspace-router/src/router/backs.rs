// SPDX-License-Identifier: GPL-2.0
//! The router's side towards back-ends: brings connections to exchanges, and takes them back.

use std::time::Instant;

use underpass_proto::{Command, Side};

use super::token::Kind;
use super::Router;
use crate::address::Address;
use crate::engine::{Engine, Socket};
use crate::exchange::Verdict;
use crate::pool::{Answer, Asker, Freed, Grant};
use crate::proxy_protocol;

/// How an attempt to connect ended.
pub(super) struct Connected {
    grant: Grant,
    outcome: Result<Socket, Verdict>,
}

impl<E: Engine> Router<E> {
    /// True if the exchange still waits for this.
    pub(super) fn is_current(&mut self, asker: Asker) -> bool {
        self.exchange(asker.front)
            .is_some_and(|exchange| exchange.serial() == asker.serial)
    }

    /// Brings a connection to an exchange, at once or later.
    pub(super) fn reach(&mut self, id: u32, backend: Address, fresh: bool, now: Instant) {
        let Some(front) = self.fronts.get_mut(&id) else {
            return;
        };
        let Some(exchange) = &mut front.exchange else {
            return;
        };
        let asker = Asker {
            front: id,
            serial: exchange.serial(),
        };
        let link = front.link.clone().unwrap_or_default();
        match self.pool.ask(&backend, &link, asker, fresh, now) {
            Answer::Idle(queue) => {
                front.told.is_reused();
                exchange.connected(queue, true, Vec::new(), now);
            }
            Answer::Connect(evicted) => {
                if let Some(id) = evicted {
                    self.end(Command::QueueDel { id });
                }
                self.connect(Grant {
                    asker,
                    backend,
                    link,
                });
            }
            Answer::Wait => {}
            Answer::Full => exchange.connect_failed(Verdict::Full, now),
        }
    }

    fn connect(&self, grant: Grant) {
        let (answer, limit) = (self.connect.clone(), self.limits.connect);
        tokio::spawn(async move {
            let outcome = match tokio::time::timeout(limit, open(&grant.backend)).await {
                Ok(socket) => socket.map_err(|error| verdict(error.raw_os_error())),
                Err(_) => Err(Verdict::ConnectTimeout),
            };
            // The router is gone only when the process ends.
            let _gone = answer.send(Connected { grant, outcome });
        });
    }

    pub(super) fn connect_ended(&mut self, connected: Connected, now: Instant) {
        let Connected { grant, outcome } = connected;
        match outcome {
            Ok(socket) if self.is_current(grant.asker) => {
                let Asker { front, serial } = grant.asker;
                let token = Kind::Adopt.token(front, serial);
                self.adopting.insert(token, grant);
                let limit = self.limits.head_bytes;
                self.engine.adopt(socket, Side::Back, limit, token);
            }
            // Nobody waits for it any more.
            Ok(_) => self.unmade(&grant.backend),
            Err(verdict) => self.not_connected(grant, verdict, now),
        }
    }

    /// There is no connection. Its place may go to somebody else.
    pub(super) fn not_connected(&mut self, grant: Grant, verdict: Verdict, now: Instant) {
        self.unmade(&grant.backend);
        if self.is_current(grant.asker) {
            self.with_exchange(grant.asker.front, now, |exchange| {
                exchange.connect_failed(verdict, now);
            });
        }
    }

    /// The engine has the connection.
    pub(super) fn adopted(&mut self, grant: Grant, queue: u32, now: Instant) {
        let Grant {
            asker,
            backend,
            link,
        } = grant;
        if !self.is_current(asker) {
            self.end(Command::QueueAbort { id: queue });
            return self.unmade(&backend);
        }
        let ends = self.fronts.get(&asker.front).and_then(|front| front.ends);
        let header = link.proxy_protocol;
        let prelude = header.map(|version| proxy_protocol::render(version, ends));
        self.pool.made(queue, backend, link, asker.front);
        self.with_exchange(asker.front, now, |exchange| {
            exchange.connected(queue, false, prelude.unwrap_or_default(), now);
        });
    }

    /// A connection has served an exchange.
    pub(super) fn release(&mut self, queue: u32, now: Instant) {
        if self.stop_by.is_some() {
            return self.close_back(queue);
        }
        match self.pool.free(queue, now) {
            Freed::Kept => {}
            Freed::Surplus => self.close_back(queue),
            Freed::Next(asker) => {
                let Some(front) = self.fronts.get_mut(&asker.front) else {
                    return self.close_back(queue);
                };
                let serial = asker.serial;
                let Some(exchange) = front.exchange.as_mut().filter(|e| e.serial() == serial)
                else {
                    return self.close_back(queue);
                };
                front.told.is_reused();
                exchange.connected(queue, true, Vec::new(), now);
                // Not at once: whoever released it is in the middle of its own actions.
                self.due.push(asker.front);
            }
        }
    }

    /// Closes a connection that owes nobody anything.
    pub(super) fn close_back(&mut self, id: u32) {
        self.end(Command::QueueDel { id });
        self.back_gone(id);
    }

    /// A queue was ended. If it was a back-end's, its place may go to somebody else.
    pub(super) fn back_gone(&mut self, queue: u32) {
        let grant = self.pool.gone(queue);
        self.granted(grant);
    }

    fn unmade(&mut self, backend: &Address) {
        let grant = self.pool.unmade(backend);
        self.granted(grant);
    }

    fn granted(&mut self, mut grant: Option<Grant>) {
        while let Some(granted) = grant {
            if self.is_current(granted.asker) {
                return self.connect(granted);
            }
            grant = self.pool.unmade(&granted.backend);
        }
    }
}

/// Errnos (EAGAIN, ENOMEM, ENFILE, EMFILE, ENOSPC, EADDRNOTAVAIL, ENOBUFS) of connections that were
/// not made because this side, or a Unix socket's queue, has no room for more.
const NO_ROOM: [i32; 7] = [11, 12, 23, 24, 28, 99, 105];

/// What is wrong here does not speak against the back-end.
pub(super) fn verdict(errno: Option<i32>) -> Verdict {
    match errno {
        Some(errno) if NO_ROOM.contains(&errno) => Verdict::Full,
        _ => Verdict::Down,
    }
}

/// A connection that does not hold small messages back.
async fn open(backend: &Address) -> std::io::Result<Socket> {
    match backend {
        Address::Tcp(address) => {
            let socket = tokio::net::TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Socket::Tcp(socket.into_std()?))
        }
        Address::Unix(path) => {
            let socket = tokio::net::UnixStream::connect(&**path).await?;
            Ok(Socket::Unix(socket.into_std()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_no_fault_of_the_back_end() {
        for (errno, expected) in [
            (24, Verdict::Full),
            (99, Verdict::Full),
            (111, Verdict::Down),
            (113, Verdict::Down),
        ] {
            assert_eq!(verdict(Some(errno)), expected, "{errno}");
        }
    }
}
