// SPDX-License-Identifier: GPL-2.0
//! What an exchange leaves behind: one line of the access log.
//!
//! Invariant: one line, `key=value` between single spaces, no value with a space in it.
//! Targets were checked to be visible ASCII before they come here.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::address::Address;
use crate::http::Request;

/// How asking one back-end ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Being asked.
    Asked,
    /// It took the request: by 100, by a response, or because it was not asked first.
    Accepted,
    /// It declined with this status.
    Declined(u16),
    /// No connection.
    Down,
    /// The connection took too long.
    ConnectTimeout,
    /// It has as many connections as it may have, or there is no descriptor or port for more.
    Full,
    /// The engine refused a command for want of memory.
    Refused,
    /// No verdict in time.
    Silent,
    /// The connection broke before a verdict or a response.
    Broke,
    /// The idle connection had ended, or had said something; nothing was sent.
    Stale,
    /// It knows no Expect, and is asked again without.
    NoExpect,
}

impl Verdict {
    /// Kebab-case name, without the status of a decline.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Accepted => "accepted",
            Self::Declined(_) => "declined",
            Self::Down => "down",
            Self::ConnectTimeout => "connect-timeout",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Broke => "broke",
            Self::Stale => "stale",
            Self::NoExpect => "no-expect",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Declined(status) => write!(f, "-{status}"),
            _ => Ok(()),
        }
    }
}

/// The figures of one exchange.
#[derive(Clone, Debug)]
pub struct Record {
    /// The client.
    pub client: SocketAddr,
    /// Back-ends in the order they were asked.
    pub asked: Vec<(Address, Verdict)>,
    /// Status that the client got; 0 if none.
    pub status: u16,
    /// Name of the problem, if there was one.
    pub reason: &'static str,
    /// Body bytes taken from the client.
    pub up: u64,
    /// Body bytes taken from the back-end.
    pub down: u64,
    /// From the request's head to the decision who takes the body.
    pub accepted_after: Option<Duration>,
    /// From the request's head to the response's head.
    pub head_after: Option<Duration>,
    /// From the request's head to the end.
    pub total: Duration,
}

impl Record {
    /// An empty one.
    pub fn new(client: SocketAddr) -> Self {
        Self {
            client,
            asked: Vec::new(),
            status: 0,
            reason: "",
            up: 0,
            down: 0,
            accepted_after: None,
            head_after: None,
            total: Duration::ZERO,
        }
    }

    /// Notes the verdict of the back-end asked last.
    pub fn verdict(&mut self, verdict: Verdict) {
        if let Some((_, last)) = self.asked.last_mut() {
            *last = verdict;
        }
    }
}

struct Ms(Option<Duration>);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Some(time) => {
                let tenths = (time.as_micros() + 50) / 100;
                write!(f, "{}.{}", tenths / 10, tenths % 10)
            }
            None => f.write_str("-"),
        }
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() {
        "-"
    } else {
        text
    }
}

/// A record as a line, with what the client asked for: method, path and query, and host. Of a head that could not be parsed there is no request.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The figures.
    pub record: &'a Record,
    /// The request.
    pub request: Option<&'a Request>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { record, request } = *self;
        write!(
            f,
            "client={} method={} host={} target={} status={} reason={} asked=",
            record.client,
            or_dash(request.map_or("", Request::method)),
            or_dash(request.map_or("", Request::host)),
            or_dash(request.map_or("", Request::path)),
            record.status,
            or_dash(record.reason)
        )?;
        for (nth, (backend, verdict)) in record.asked.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma}{backend}={verdict}")?;
        }
        if record.asked.is_empty() {
            f.write_str("-")?;
        }
        write!(
            f,
            " up={} down={} accepted-ms={} head-ms={} total-ms={}",
            record.up,
            record.down,
            Ms(record.accepted_after),
            Ms(record.head_after),
            Ms(Some(record.total))
        )
    }
}
