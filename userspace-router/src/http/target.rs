// SPDX-License-Identifier: GPL-2.0
//! The request target and the Host field (RFC 9112 sections 3.2 and 9110 section 7.2).
//!
//! Invariant: what comes out is origin-form, `*`, or with CONNECT an authority, and a host
//! that is safe to send on.

use std::borrow::Cow;

use super::problem::{self, Problem};

/// A checked target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'t> {
    /// Path and query as sent on, `*`, or the authority of a CONNECT.
    pub path: Cow<'t, str>,
    /// Host and port that the target names; they replace the Host field.
    pub authority: Option<&'t str>,
}

impl<'t> Target<'t> {
    /// Takes the target of a request of this method apart.
    pub fn parse(method: &str, target: &'t str) -> Result<Self, Problem> {
        if !target
            .bytes()
            .all(|b| (0x21..0x7f).contains(&b) && b != b'#')
        {
            return Err(problem::BAD_TARGET);
        }
        if method == "CONNECT" {
            let port = host(target).ok().and_then(|()| port(target));
            // An empty port is no port (RFC 9110 section 9.3.6).
            port.filter(|port| !port.is_empty())
                .ok_or(problem::BAD_AUTHORITY)?;
            return Ok(Self {
                path: target.into(),
                authority: Some(target),
            });
        }
        if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
            return Ok(Self {
                path: target.into(),
                authority: None,
            });
        }
        let rest = match target.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("http://") => target.get(7..),
            _ => None,
        }
        .ok_or(problem::BAD_TARGET)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        host(authority)?;
        let path = match path.as_bytes().first() {
            // RFC 9112 section 3.2.4: OPTIONS of a whole server.
            None if method == "OPTIONS" => "*".into(),
            None => "/".into(),
            Some(b'?') => format!("/{path}").into(),
            Some(_) => path.into(),
        };
        Ok(Self {
            path,
            authority: Some(authority),
        })
    }
}

/// The longest host: a name of 255 bytes, and a port.
const HOST_MAX: usize = 261;

/// Checks `host [ ":" port ]`. User information is refused: it is a disguise.
pub fn host(value: &str) -> Result<(), Problem> {
    if value.len() > HOST_MAX {
        return Err(problem::BAD_HOST);
    }
    let (name, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(problem::BAD_HOST)?;
            let fine = address.parse::<std::net::Ipv6Addr>().is_ok();
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or(problem::BAD_HOST)?),
            };
            if !fine {
                return Err(problem::BAD_HOST);
            }
            ("v6", port)
        }
        // Most hosts are too short for what `str` does to find a byte.
        None => match value.bytes().position(|b| b == b':') {
            Some(at) => (value.get(..at).unwrap_or_default(), value.get(at + 1..)),
            None => (value, None),
        },
    };
    let name_is_fine = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b));
    let port_is_fine = port.is_none_or(|port| {
        port.is_empty() || (port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
    });
    if name_is_fine && port_is_fine {
        Ok(())
    } else {
        Err(problem::BAD_HOST)
    }
}

/// The host without its port, for routing.
pub fn without_port(value: &str) -> &str {
    match value.bytes().rposition(|b| b == b':') {
        Some(at) if !value.ends_with(']') => value.get(..at).unwrap_or(value),
        _ => value,
    }
}

/// The port of a host that was checked.
fn port(value: &str) -> Option<&str> {
    value.get(without_port(value).len()..)?.strip_prefix(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_target() {
        let parse = |method, target| {
            Target::parse(method, target).map(|t| {
                (
                    t.path.into_owned(),
                    t.authority.unwrap_or_default().to_owned(),
                )
            })
        };
        let fine = |path: &str, host: &str| Ok((path.to_owned(), host.to_owned()));
        assert_eq!(parse("GET", "/a?b"), fine("/a?b", ""));
        assert_eq!(parse("OPTIONS", "*"), fine("*", ""));
        assert_eq!(parse("GET", "HTTP://a:1/x?y"), fine("/x?y", "a:1"));
        assert_eq!(parse("GET", "http://a"), fine("/", "a"));
        assert_eq!(parse("GET", "http://a?q"), fine("/?q", "a"));
        assert_eq!(parse("OPTIONS", "http://a"), fine("*", "a"));
        assert_eq!(parse("CONNECT", "a:1"), fine("a:1", "a:1"));
        assert_eq!(parse("CONNECT", "[::1]:1"), fine("[::1]:1", "[::1]:1"));
        for target in [
            "a",
            "a:",
            ":1",
            "[::1]",
            "/",
            "*",
            "http://a:1/",
            "u@a:1",
            "a:1/",
        ] {
            assert_eq!(
                parse("CONNECT", target),
                Err(problem::BAD_AUTHORITY),
                "{target}"
            );
        }
        for target in ["*", "a/b", "https://a/", "/a#b", "/\u{e9}", "http:/a", ""] {
            assert_eq!(parse("GET", target), Err(problem::BAD_TARGET), "{target}");
        }
        for target in [
            "http:///a",
            "http://u@a/",
            "http://a:99999/",
            "http://[::1/",
        ] {
            assert_eq!(parse("GET", target), Err(problem::BAD_HOST), "{target}");
        }
    }

    #[test]
    fn hosts() {
        for good in ["a", "a:80", "a.b-c:", "[::1]", "[::1]:80", "127.0.0.1:1"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "[x]", "[::1]80", "a\u{e9}",
        ] {
            assert_eq!(host(bad), Err(problem::BAD_HOST), "{bad}");
        }
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("a:80"), "a");
    }
}
