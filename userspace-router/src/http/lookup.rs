// SPDX-License-Identifier: GPL-2.0
//! What a policy may look at in a request's head, besides its public parts.
//!
//! Invariant: only what back-ends also get is visible here. A field that Connection removes
//! neither routes nor arrives.

use super::Request;

impl Request {
    /// The values of all fields of this name, in order. Hop-by-hop fields are not among them.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.kept.values(name).map(<[u8]>::trim_ascii)
    }

    /// The value of the first cookie of this name (RFC 6265 section 4.2).
    pub fn cookie<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values("cookie")
            .flat_map(|value| value.split(|&b| b == b';'))
            .find_map(|pair| {
                let (key, value) = pair.trim_ascii().split_at_checked(name.len())?;
                let value = value.strip_prefix(b"=")?;
                (key == name.as_bytes()).then_some(value)
            })
    }

    /// The path without its query; `*` for OPTIONS of the whole server.
    pub fn path_only(&self) -> &str {
        let path = self.path();
        // Most paths are too short for what `str` does to find a byte.
        let end = path.bytes().position(|b| b == b'?');
        end.and_then(|end| path.get(..end)).unwrap_or(path)
    }

    /// True if the path has `.` or `..` segments, also such as only some servers take for
    /// one: with an encoded dot, after `\` or an encoded slash, with parameters behind `;`, or
    /// `..` before an encoded `?`, `#`, space or control character.
    pub fn has_dot_segments(&self) -> bool {
        has_dot_segments(self.path_only())
    }
}

/// The same, of a path without query.
pub fn has_dot_segments(path: &str) -> bool {
    // Most paths have nothing that could be a dot, or stand for one.
    if !path.bytes().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    let mut segment = Segment::Empty;
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            // A `%` without two digits stands for itself.
            b'%' => decoded(&mut bytes).unwrap_or(b'%'),
            byte => byte,
        };
        let is_one = match byte {
            b'/' | b'\\' | b';' => segment.is_dots(),
            // Whoever reads the path again after decoding may end it here. Behind one dot that
            // changes nothing, and `.#name` is a file.
            0..=b' ' | b'?' | b'#' => segment == Segment::Dots,
            _ => false,
        };
        if is_one {
            return true;
        }
        segment = match (byte, segment) {
            (b'/' | b'\\', _) => Segment::Empty,
            (b'.', Segment::Empty) => Segment::Dot,
            (b'.', Segment::Dot) => Segment::Dots,
            _ => Segment::Other,
        };
    }
    segment.is_dots()
}

/// What of a segment was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Empty,
    Dot,
    Dots,
    Other,
}

impl Segment {
    fn is_dots(self) -> bool {
        matches!(self, Self::Dot | Self::Dots)
    }
}

/// The byte of the two digits that follow; takes them only if they are.
fn decoded(bytes: &mut std::str::Bytes) -> Option<u8> {
    let mut ahead = bytes.clone();
    let mut digit = || char::from(ahead.next()?).to_digit(16);
    let value = digit()? * 16 + digit()?;
    *bytes = ahead;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &str) -> Request {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        Request::parse(head.as_bytes(), 100).expect("a request")
    }

    #[test]
    fn values_and_cookies() {
        let request = request(
            "/",
            "X-A: 1\r\nx-a:  2 \r\nX-AB: 3\r\nConnection: X-C\r\nX-C: 4\r\n\
             Cookie: ab=0; a=1\r\nCookie: a=2; empty=; A=3\r\n",
        );
        let values = |name| request.values(name).collect::<Vec<_>>();
        assert_eq!(values("X-a"), [b"1", b"2"]);
        assert!(values("X").is_empty() && values("X-C").is_empty());
        assert_eq!(request.cookie("a"), Some(&b"1"[..]));
        assert_eq!(request.cookie("A"), Some(&b"3"[..]));
        assert_eq!(request.cookie("empty"), Some(&b""[..]));
        assert_eq!(request.cookie("b"), None);
    }

    #[test]
    fn dot_segments_in_every_disguise() {
        for target in [
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/%2e%2E/b",
            "/.%2e",
            "/a/..%2fb",
            "/a%2F..",
            "/a/..\\b",
            "/a\\../b",
            "/a/..%5cb",
            "/..;x=1/b",
            "/a/.;/b",
            "/..?q",
            "/a/..%00/b",
            "/a/..%00b",
            "/a/..%09/",
            "/a/%2e.%20/b",
            "/..%3F/",
            "/a/..%23",
            "/a/..%0d%0a/b",
        ] {
            assert!(request(target, "").has_dot_segments(), "{target}");
        }
        for target in [
            "/",
            "/...",
            "/a..b/",
            "/..a",
            "/a..",
            "/.a/b.",
            "/a?../b",
            "/%2e%2e%2e",
            "/a%2Fb",
            "/%",
            "/%2",
            "/a;b/c",
            "/;..",
            "/%252e%252e/",
            "/.%23draft",
            "/.%20a",
            "/a%3F../b",
            "/...%00",
        ] {
            assert!(!request(target, "").has_dot_segments(), "{target}");
        }
    }
}
