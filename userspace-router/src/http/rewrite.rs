// SPDX-License-Identifier: GPL-2.0
//! Outgoing heads: written for the next hop, as the route wants them.
//!
//! Invariants: the order of fields and the case of their names are kept, and what is added
//! comes after them; no rule of a route can touch what frames or routes a message, which
//! `Edit` refuses; fields of this hop (Connection, TE, Upgrade, Expect) are only ever ours.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::body::Length;
use super::fields::{self, Line};
use super::forwarded::{Forwarded, Style};
use super::{date, line, NewPath, Request, Response, Version};
use crate::address::{authority, Address};

/// How heads of a route are rewritten, and what is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// This hop's name in Via (RFC 9110 section 7.6.3).
    pub via: String,
    /// What back-ends are told about the client.
    pub forwarded: Forwarded,
    /// What becomes of Host.
    pub host: Host,
    /// What becomes of the path that the route matched; `None`: nothing.
    pub path: Option<NewPath>,
    /// Protocols that may be switched to, in lower case.
    pub upgrade: Vec<String>,
    /// Trailer fields that are passed on, in lower case, separated by single commas.
    pub trailers: String,
    /// For requests.
    pub request: Edit,
    /// For final responses of back-ends.
    pub response: Edit,
    behind: Behind,
}

/// What `Rewrite::behind_response` and `Rewrite::mark` give, put together when it is asked for first: it
/// is the same for all requests of a route. A copy, which may be changed, begins without.
#[derive(Debug, Default)]
struct Behind(OnceLock<Option<Arc<[u8]>>>, OnceLock<u32>);

impl Clone for Behind {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Behind {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Behind {}

impl Default for Rewrite {
    fn default() -> Self {
        Self {
            via: "underpass".to_owned(),
            forwarded: Forwarded {
                style: Style::XForwarded,
                trust: Vec::new(),
            },
            host: Host::Client,
            path: None,
            upgrade: vec!["websocket".to_owned()],
            trailers: String::new(),
            request: Edit::default(),
            response: Edit::default(),
            behind: Behind::default(),
        }
    }
}

/// The Host that back-ends get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// The client's.
    Client,
    /// The back-end's address.
    Backend,
    /// Always this one.
    Fixed(String),
}

/// Fields taken out, then fields put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    remove: Vec<String>,
    /// Whole lines.
    add: Vec<u8>,
}

/// Fields that frame, route or belong to one connection: not for a route to edit.
const NOT_EDITABLE: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "proxy-status",
];

/// Why a rule of a route is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadEdit {
    /// A name is no token.
    Name,
    /// A value has a control character, or begins or ends with a space.
    Value,
    /// The field frames or routes the message, or belongs to one connection.
    NotEditable,
}

impl Edit {
    /// Takes out every field of this name that a peer sent.
    ///
    /// # Errors
    /// If it may not be.
    pub fn remove(&mut self, name: &str) -> Result<(), BadEdit> {
        check(name)?;
        self.remove.push(name.to_ascii_lowercase());
        Ok(())
    }

    /// Puts a field in.
    ///
    /// # Errors
    /// If it may not be.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), BadEdit> {
        check(name)?;
        let plain = |b: u8| b == b'\t' || (b >= b' ' && b != 0x7f);
        if value.trim() != value || !value.bytes().all(plain) {
            return Err(BadEdit::Value);
        }
        fields::put(&mut self.add, name, value.as_bytes());
        Ok(())
    }

    /// Bytes that it adds to a head.
    pub fn added(&self) -> usize {
        self.add.len()
    }

    /// True if it adds a field of this name.
    fn adds(&self, name: &str) -> bool {
        let mut lines = self.add.split(|&b| b == b'\n');
        lines.any(|line| {
            let added = line.split(|&b| b == b':').next().unwrap_or_default();
            fields::is_alike(added, name.as_bytes())
        })
    }

    fn removes(&self, line: &Line) -> bool {
        self.remove.iter().any(|name| line.is(name))
    }

    /// The same, also of names that a back-end may take for one of these.
    fn removes_alike(&self, line: &Line) -> bool {
        let alike = |name: &String| fields::is_alike(line.name, name.as_bytes());
        self.remove.iter().any(alike)
    }
}

fn check(name: &str) -> Result<(), BadEdit> {
    if !fields::is_token(name.as_bytes()) {
        return Err(BadEdit::Name);
    }
    // Names that are alike are removed as well.
    let is = |known: &&str| fields::is_alike(name.as_bytes(), known.as_bytes());
    match NOT_EDITABLE.iter().any(is) {
        true => Err(BadEdit::NotEditable),
        false => Ok(()),
    }
}

/// Between whom a request passes.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The address that the client connected to: the Host of a request without one.
    pub local: SocketAddr,
    /// The back-end that gets it.
    pub backend: &'a Address,
}

impl Rewrite {
    /// The protocols that this request may switch to here.
    pub fn upgrades<'r>(&'r self, request: &'r Request) -> impl Iterator<Item = &'r str> {
        let allowed = |offer: &&String| self.upgrade.iter().any(|p| p.eq_ignore_ascii_case(offer));
        request.upgrade.iter().filter(allowed).map(String::as_str)
    }

    /// How often a request came through here, as far as Via tells.
    pub fn times_seen(&self, request: &Request) -> usize {
        let is_here = |element: &&[u8]| {
            let mut words = element.split(|b| b.is_ascii_whitespace());
            words
                .nth(1)
                .is_some_and(|name| name.eq_ignore_ascii_case(self.via.as_bytes()))
        };
        let passed = request.kept.values("via").flat_map(line::list);
        passed.filter(is_here).count()
    }

    /// The names of a Trailer field that are passed on.
    fn trailer(&self, value: &[u8]) -> Vec<u8> {
        let allowed = |name: &&[u8]| {
            let mut names = self.trailers.split(',');
            names.any(|other| other.as_bytes().eq_ignore_ascii_case(name))
        };
        let names: Vec<_> = line::list(value).filter(allowed).collect();
        names.join(&b", "[..])
    }

    /// The lines that a final response of HTTP/1.1 gets behind its own; `None` if it loses some.
    /// Nothing must be changed after the first call.
    pub fn behind_response(&self) -> Option<Arc<[u8]>> {
        let lines = || {
            if !self.response.remove.is_empty() {
                return None;
            }
            let mut lines = Vec::new();
            self.put_via(&mut lines, Version::Http11);
            lines.extend_from_slice(&self.response.add);
            Some(lines.into())
        };
        self.behind.0.get_or_init(lines).clone()
    }

    /// Names the rules for responses: two routes, also of two versions of a configuration, have the
    /// same number if they have the same rules (and hardly ever else). 23 bits. Nothing must be
    /// changed after the first call.
    pub fn mark(&self) -> u32 {
        *self.behind.1.get_or_init(|| {
            let removed = self.response.remove.join(",");
            let rules: [&[u8]; 5] = [
                self.via.as_bytes(),
                removed.as_bytes(),
                &self.response.add,
                self.trailers.as_bytes(),
                &[],
            ];
            // FNV-1a, with an end that no text has between the parts: the same for all times.
            let mut sum = 0x811c_9dc5_u32;
            for byte in rules.join(&0xff_u8) {
                sum = (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
            (sum ^ (sum >> 23)) & 0x7f_ffff
        })
    }

    fn put_via(&self, out: &mut Vec<u8>, version: Version) {
        out.extend_from_slice(match version {
            Version::Http10 => b"Via: 1.0 ",
            Version::Http11 => b"Via: 1.1 ",
        });
        out.extend_from_slice(self.via.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

impl Request {
    /// The head for a back-end; with `ask`, it has to say whether it takes the body.
    pub fn render(&self, hop: &Hop, rewrite: &Rewrite, ask: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.kept.size() + self.path().len() + 320);
        let [begin, rest] = match &rewrite.path {
            Some(path) => path.parts(self.path()),
            None => ["", self.path()],
        };
        for part in [self.method(), " ", begin, rest] {
            out.extend_from_slice(part.as_bytes());
        }
        // Always 1.1: whatever the client speaks, this hop speaks 1.1.
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let host: Cow<str> = match &rewrite.host {
            Host::Client if self.host().is_empty() => authority(hop.local).into(),
            Host::Client => self.host().into(),
            Host::Fixed(host) => host.as_str().into(),
            Host::Backend => match hop.backend {
                Address::Tcp(address) => authority(*address).into(),
                // A path is no host.
                Address::Unix(_) => "localhost".into(),
            },
        };
        let mut has_host = false;
        for line in self.kept.iter() {
            if line.is("host") {
                has_host = true;
                fields::put(&mut out, line.name, host.as_bytes());
            } else if line.is("trailer") {
                let names = rewrite.trailer(line.value);
                if self.length == Length::Chunked && !names.is_empty() {
                    fields::put(&mut out, line.name, &names);
                }
            } else if let (Some(hops), true) = (self.max_forwards, line.is("max-forwards")) {
                let left = hops.saturating_sub(1).to_string();
                fields::put(&mut out, line.name, left.as_bytes());
            } else if rewrite.forwarded.passes(&line, hop.client)
                && !rewrite.request.removes_alike(&line)
            {
                out.extend_from_slice(line.bytes);
            }
        }
        if !has_host {
            fields::put(&mut out, "Host", host.as_bytes());
        }
        let (kept, client) = (&self.kept, hop.client);
        let said = |name: &str| rewrite.request.adds(name);
        rewrite
            .forwarded
            .write(&mut out, kept, self.host(), client, said);
        rewrite.put_via(&mut out, self.version);
        self.hop_by_hop(&mut out, rewrite);
        if ask {
            fields::put(&mut out, "Expect", b"100-continue");
        }
        out.extend_from_slice(&rewrite.request.add);
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Upgrade and TE have to be named in Connection (RFC 9110 sections 7.8 and 10.1.4).
    fn hop_by_hop(&self, out: &mut Vec<u8>, rewrite: &Rewrite) {
        let protocols: Vec<_> = rewrite.upgrades(self).collect();
        let te = self.te_trailers && !rewrite.trailers.is_empty();
        let options: Option<&[u8]> = match (te, protocols.is_empty()) {
            (true, true) => Some(b"TE"),
            (true, false) => Some(b"upgrade, TE"),
            (false, false) => Some(b"upgrade"),
            (false, true) => None,
        };
        if let Some(options) = options {
            fields::put(out, "Connection", options);
        }
        if !protocols.is_empty() {
            fields::put(out, "Upgrade", protocols.join(", ").as_bytes());
        }
        if te {
            fields::put(out, "TE", b"trailers");
        }
    }

    /// The head as TRACE shows it: without what a script must not learn (RFC 9110 section
    /// 9.3.8).
    pub fn reflected(&self) -> Vec<u8> {
        const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method(), self.path()).into_bytes();
        for line in self.kept.iter() {
            if !line.is_one_of(&SECRET) {
                out.extend_from_slice(line.bytes);
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// To whom a response goes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Onward {
    /// What the client speaks.
    pub version: Version,
    /// The connection ends after it.
    pub close: bool,
    /// How the body leaves.
    pub leaves: Length,
    /// When it came: the Date of a response without one (RFC 9110 section 6.6.1).
    pub time: SystemTime,
}

impl Response {
    /// The head for a client.
    pub fn render(&self, onward: Onward, rewrite: &Rewrite) -> Vec<u8> {
        let Onward {
            version,
            close,
            leaves,
            time,
        } = onward;
        let mut out = Vec::with_capacity(self.kept.size() + self.phrase.len() + 160);
        out.extend_from_slice(format!("HTTP/1.1 {} ", self.status).as_bytes());
        out.extend_from_slice(&self.phrase);
        out.extend_from_slice(b"\r\n");
        let may_code = match leaves {
            Length::Chunked => true,
            // To HEAD: what would be, had there been a body.
            Length::None => version == Version::Http11,
            Length::Exact(_) | Length::UntilClose => false,
        };
        let (mut coded, mut dated) = (false, false);
        for line in self.kept.iter() {
            if line.is("transfer-encoding") {
                if may_code {
                    coded = true;
                    out.extend_from_slice(line.bytes);
                }
            } else if line.is("trailer") {
                let names = rewrite.trailer(line.value);
                if leaves == Length::Chunked && !names.is_empty() {
                    fields::put(&mut out, line.name, &names);
                }
            } else if !rewrite.response.removes(&line) {
                dated |= line.is("date");
                out.extend_from_slice(line.bytes);
            }
        }
        if leaves == Length::Chunked && !coded {
            fields::put(&mut out, "Transfer-Encoding", b"chunked");
        }
        if !self.is_interim() {
            if !dated {
                fields::put(&mut out, "Date", date::imf(time).as_bytes());
            }
            rewrite.put_via(&mut out, self.version);
            self.connection(&mut out, version, close);
            out.extend_from_slice(&rewrite.response.add);
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn connection(&self, out: &mut Vec<u8>, version: Version, close: bool) {
        let options: Option<&[u8]> = match (self.upgrade.is_empty(), close) {
            (false, _) if self.status == 101 => Some(b"upgrade"),
            (false, false) => Some(b"upgrade"),
            (false, true) => Some(b"upgrade, close"),
            (true, true) => Some(b"close"),
            (true, false) if version == Version::Http10 => Some(b"keep-alive"),
            (true, false) => None,
        };
        if let Some(options) = options {
            fields::put(out, "Connection", options);
        }
        if !self.upgrade.is_empty() {
            fields::put(out, "Upgrade", self.upgrade.join(", ").as_bytes());
        }
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
