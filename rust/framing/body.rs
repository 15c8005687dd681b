// SPDX-License-Identifier: GPL-2.0
//! Counts a body to its exact end.
//!
//! Invariants: no more is taken than the announced length; a complete body allows no
//! further byte. It must not look at content.

#![forbid(unsafe_code)]

use super::chunked::{Chunked, Malformed};
use super::trailer::Trailers;

/// How long a body is (RFC 9112 section 6.3). The router decides; this enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The message ends with its head.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// Up to the sender's FIN, which ends the body as it should.
    UntilClose,
    /// No HTTP any more, up to the sender's FIN.
    Tunnel,
}

impl Framing {
    /// Whether a body that comes like this can leave like `other`.
    pub fn becomes(self, other: Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::Chunked, Self::UntilClose) | (Self::UntilClose, Self::Chunked)
            )
    }

    /// True if a FIN is what ends it.
    pub fn ends_by_fin(self) -> bool {
        matches!(self, Self::UntilClose | Self::Tunnel)
    }
}

/// What the next byte of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many bytes of content, at the most; `take` them.
    Content(u64),
    /// Not content: `look` at it.
    Look,
    /// Not of this body, which is complete.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Content only.
    Plain,
    /// The coding's own state.
    Coded(Chunked),
}

/// A body that is being moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    framing: Framing,
    taken: u64,
    progress: Progress,
}

impl Body {
    /// A body of which nothing was taken.
    pub const fn new(framing: Framing) -> Self {
        let progress = match framing {
            Framing::Chunked => Progress::Coded(Chunked::new()),
            _ => Progress::Plain,
        };
        Self {
            framing,
            taken: 0,
            progress,
        }
    }

    /// The framing it was made with.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Bytes taken so far, of content and of what frames it.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// What the next byte is.
    pub fn next(&self) -> Next {
        let content = match (&self.progress, self.framing) {
            (Progress::Coded(chunked), _) if chunked.is_done() => return Next::Over,
            (Progress::Coded(chunked), _) => match chunked.content() {
                0 => return Next::Look,
                content => content,
            },
            (_, Framing::Length(length)) => length.saturating_sub(self.taken),
            (_, Framing::UntilClose | Framing::Tunnel) => u64::MAX.saturating_sub(self.taken),
            (_, Framing::None | Framing::Chunked) => 0,
        };
        match content {
            0 => Next::Over,
            content => Next::Content(content),
        }
    }

    /// Notes that `n` bytes of content were taken. More than `next` allows is cut to it,
    /// which cannot happen to a caller that asked first.
    pub fn take(&mut self, n: u64) {
        let Next::Content(most) = self.next() else {
            return;
        };
        let n = n.min(most);
        if let Progress::Coded(chunked) = &mut self.progress {
            chunked.take(n);
        }
        self.taken = self.taken.saturating_add(n);
    }

    /// Looks at bytes that are not content, up to content, the end or a byte that is wrong,
    /// which is an error where it comes first; says how many it used up, which count as
    /// taken. None, where `next` is not `Look`.
    pub fn look(&mut self, bytes: &[u8], trailers: &mut Trailers<'_>) -> Result<usize, Malformed> {
        let Progress::Coded(chunked) = &mut self.progress else {
            return Ok(0);
        };
        let used = chunked.look(bytes, trailers)?;
        self.taken = self.taken.saturating_add(used as u64);
        Ok(used)
    }

    /// True when the last byte was taken. What a FIN ends never is.
    pub fn is_complete(&self) -> bool {
        !self.framing.ends_by_fin() && self.next() == Next::Over
    }

    /// True if it cannot become whole with `unread` bytes that are there, and no others.
    pub fn lacks(&self, unread: u32) -> bool {
        match (self.framing, self.next()) {
            (_, Next::Over) => false,
            (Framing::Length(_), Next::Content(left)) => left > unread.into(),
            _ => unread == 0,
        }
    }

    /// True if a FIN at this place ends the body as it should.
    pub fn fin_completes(&self) -> bool {
        self.framing.ends_by_fin() || self.is_complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_exact_around_32_bits() {
        for length in [
            0u64,
            1,
            u64::from(u32::MAX),
            1 << 32,
            (1 << 32) + 1,
            u64::MAX,
        ] {
            let mut body = Body::new(Framing::Length(length));
            assert_eq!(body.is_complete(), length == 0);
            body.take(length.saturating_sub(1));
            assert_eq!(body.fin_completes(), length == 0);
            if length > 0 {
                assert_eq!(body.next(), Next::Content(1));
                body.take(1);
            }
            assert!(body.is_complete() && body.fin_completes());
            body.take(1);
            assert_eq!((body.taken(), body.next()), (length, Next::Over));
        }
    }

    #[test]
    fn until_close_and_tunnel_end_by_fin_only() {
        for framing in [Framing::UntilClose, Framing::Tunnel] {
            let mut body = Body::new(framing);
            body.take(5);
            assert!(!body.is_complete() && body.fin_completes());
            assert_eq!(body.next(), Next::Content(u64::MAX - 5));
        }
    }

    #[test]
    fn chunked_counts_what_frames_the_content_too() {
        let input = b"3\r\nabc\r\n0\r\n\r\n";
        let mut body = Body::new(Framing::Chunked);
        let mut len = 0;
        let trailers = &mut Trailers::new(&[], &mut [], &mut len);
        assert_eq!(body.look(input, trailers), Ok(3));
        assert_eq!(
            (body.next(), body.fin_completes()),
            (Next::Content(3), false)
        );
        body.take(3);
        assert_eq!(body.next(), Next::Look);
        assert_eq!(
            body.look(input.get(6..).unwrap_or_default(), trailers),
            Ok(7)
        );
        assert!(body.is_complete() && body.fin_completes());
        assert_eq!(body.taken(), input.len() as u64);
    }

    #[test]
    fn a_body_lacks_what_neither_came_nor_is_unread() {
        let mut body = Body::new(Framing::Length(10));
        body.take(4);
        assert!(body.lacks(5) && !body.lacks(6));
        body.take(6);
        assert!(!body.lacks(0));
        // How much is to come is not known before it is looked at.
        for framing in [Framing::Chunked, Framing::UntilClose, Framing::Tunnel] {
            let body = Body::new(framing);
            assert!(body.lacks(0) && !body.lacks(1));
        }
    }

    #[test]
    fn what_becomes_what() {
        use Framing::{Chunked, Length, None, Tunnel, UntilClose};
        let all = [None, Length(1), Chunked, UntilClose, Tunnel];
        for from in all {
            for to in all {
                let converts = matches!((from, to), (Chunked, UntilClose) | (UntilClose, Chunked));
                assert_eq!(from.becomes(to), from == to || converts);
            }
        }
    }
}
