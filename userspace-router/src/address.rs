// SPDX-License-Identifier: GPL-2.0
//! Where a back-end is reached: an IP address with a port, or a Unix socket; and which listening
//! addresses conflict.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Where a back-end is reached. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix stream socket's path; only the engine `user` carries these.
    Unix(Arc<str>),
}

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAddress;

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("neither an IP address with a port nor unix:/absolute/path")
    }
}

impl std::error::Error for NoAddress {}

/// Bytes of the longest path: `sun_path` with its final zero (unix(7)).
const PATH_MAX: usize = 107;

impl FromStr for Address {
    type Err = NoAddress;

    /// `127.0.0.1:80`, `[::1]:80`, or `unix:/absolute/path`.
    fn from_str(text: &str) -> Result<Self, NoAddress> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') && path.len() <= PATH_MAX && is_plain(path) => {
                Ok(Self::Unix(path.into()))
            }
            Some(_) => Err(NoAddress),
            None => text.parse().map(Self::Tcp).map_err(|_| NoAddress),
        }
    }
}

/// Visible ASCII: addresses stand in lines of the access log.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// As Host and the like name it: without the interface of a link-local address, which says nothing elsewhere, and
/// which a proxy must remove (RFC 6874 section 4).
pub fn authority(address: SocketAddr) -> String {
    SocketAddr::new(address.ip(), address.port()).to_string()
}

/// Whether nobody else could listen at one of them while somebody does at the other.
pub fn meets(a: SocketAddr, b: SocketAddr) -> bool {
    let all = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (all || a.ip() == b.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_nobody_elses_business() {
        for (text, named) in [
            ("[fe80::1%3]:80", "[fe80::1]:80"),
            ("[::1]:80", "[::1]:80"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(authority(text.parse().expect("an address")), named);
        }
    }

    #[test]
    fn forms() {
        for text in ["127.0.0.1:80", "[::1]:80", "unix:/run/a.sock"] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for text in [
            "",
            "a:80",
            "127.0.0.1",
            "unix:a",
            "unix:",
            "unix:/a b",
            &long,
        ] {
            assert_eq!(text.parse::<Address>(), Err(NoAddress), "{text}");
        }
    }
}
