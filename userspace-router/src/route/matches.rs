// SPDX-License-Identifier: GPL-2.0
//! Whether a route fits a request. `docs/routing.md` has the rules.
//!
//! Invariant: nothing is decoded or normalised, and each comparison looks at a byte of the
//! request once: the time is bounded by the head's length and the number of routes.

use crate::config::{Header, Host, Matches, Path};
use crate::http::{without_port, Request};

impl Matches {
    /// True if it is. Of fields that are not `believed`, none fits.
    pub fn fits(&self, request: &Request, believed: impl Fn(&str) -> bool) -> bool {
        self.host.fits(request.host())
            && self.path.fits(request.path_only())
            && (self.methods.is_empty() || self.methods.iter().any(|m| m == request.method()))
            && self
                .headers
                .iter()
                .all(|header| believed(&header.name) && header.fits(request))
    }
}

impl Host {
    fn fits(&self, host: &str) -> bool {
        let host = without_port(host);
        // A name may end by a dot, which changes nothing (RFC 1034 section 3.1).
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Any => true,
            Self::Exact(wanted) => wanted.eq_ignore_ascii_case(host),
            Self::Below(suffix) => {
                let at = host.len().saturating_sub(suffix.len());
                // At least one byte in front of the dot.
                at > 0
                    && host
                        .get(at..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
        }
    }
}

impl Path {
    /// `*`, of OPTIONS, belongs to the whole server: to the prefix `/`.
    fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == path,
            Self::Prefix(prefix) if prefix == "/" => true,
            Self::Prefix(prefix) => match path.strip_prefix(prefix.as_str()) {
                Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
                None => false,
            },
        }
    }
}

impl Header {
    fn fits(&self, request: &Request) -> bool {
        let mut values = request.values(&self.name);
        match &self.value {
            None => values.next().is_some(),
            Some(wanted) => values.any(|value| value == wanted.as_bytes()),
        }
    }
}
