// SPDX-License-Identifier: GPL-2.0
//! What back-ends get in place of the path that a route matched.
//!
//! Invariant: nothing is decoded, the query stays, and what was a path stays one: it begins with a single slash
//! where the route's own bytes end.

/// Puts other segments in front of what a client's path has behind the route's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPath {
    /// Bytes of a path that go.
    taken: usize,
    put: String,
}

impl NewPath {
    /// `put` in place of `prefix`, both of whole segments: a slash at their ends changes nothing.
    pub fn of_prefix(prefix: &str, put: &str) -> Self {
        Self {
            taken: prefix.trim_end_matches('/').len(),
            put: put.trim_end_matches('/').to_owned(),
        }
    }

    /// `put` in place of `path` as a whole.
    pub fn of_whole(path: &str, put: &str) -> Self {
        Self {
            taken: path.len(),
            put: put.to_owned(),
        }
    }

    /// The path and query that a back-end gets, in two parts. `*` and authorities are no paths, and stay.
    pub fn parts<'p>(&'p self, path: &'p str) -> [&'p str; 2] {
        let Some(rest) = path.get(self.taken..).filter(|_| path.starts_with('/')) else {
            return ["", path];
        };
        if !self.put.is_empty() {
            return [&self.put, rest];
        }
        // `//host/` is a reference to another host (RFC 3986 section 4.2), which no client's path becomes here.
        ["/", rest.trim_start_matches('/')]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (prefix, put, path, expected) in [
            ("/api", "/", "/api", "/"),
            ("/api", "/", "/api?q", "/?q"),
            ("/api", "/", "/api/", "/"),
            ("/api", "/", "/api/x/y?q=/", "/x/y?q=/"),
            ("/api", "/", "/api//evil.example/x", "/evil.example/x"),
            ("/api/", "/", "/api/x", "/x"),
            ("/api", "/v1", "/api", "/v1"),
            ("/api", "/v1/", "/api/", "/v1/"),
            ("/api/", "/v1", "/api/%2e?", "/v1/%2e?"),
            ("/", "/v1", "/x//y", "/v1/x//y"),
            ("/", "/v1", "/", "/v1/"),
            ("/", "/", "/x", "/x"),
            ("/", "/v1", "*", "*"),
            ("/", "/v1", "a.example:443", "a.example:443"),
        ] {
            let new = NewPath::of_prefix(prefix, put);
            assert_eq!(new.parts(path).concat(), expected, "{prefix} {put} {path}");
        }
    }

    #[test]
    fn whole_paths() {
        let new = NewPath::of_whole("/a/", "/b/c/");
        assert_eq!(new.parts("/a/").concat(), "/b/c/");
        assert_eq!(new.parts("/a/?q").concat(), "/b/c/?q");
    }
}
