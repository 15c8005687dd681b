// SPDX-License-Identifier: GPL-2.0
//! Counts a body down to its exact end.
//!
//! Invariants: `taken` never passes the announced length; a complete body allows
//! no further byte. It must not look at content.

#![forbid(unsafe_code)]

/// How long a body is (RFC 9112 section 6.3). The router decides; this enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The message ends with its head.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Up to the sender's FIN, which ends the body as it should.
    UntilClose,
}

/// A body that is being moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    framing: Framing,
    taken: u64,
}

impl Body {
    /// A body of which nothing was taken.
    pub const fn new(framing: Framing) -> Self {
        Self { framing, taken: 0 }
    }

    /// The framing it was made with.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Bytes taken so far.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes may be taken now; zero once the body is complete.
    pub fn allowance(&self) -> u64 {
        match self.framing {
            Framing::None => 0,
            Framing::Length(length) => length.saturating_sub(self.taken),
            Framing::UntilClose => u64::MAX.saturating_sub(self.taken),
        }
    }

    /// Notes that `n` bytes were taken. More than the allowance is cut to it, which
    /// cannot happen to a caller that asked first.
    pub fn take(&mut self, n: u64) {
        self.taken = self.taken.saturating_add(n.min(self.allowance()));
    }

    /// True when the last byte was taken. Until-close bodies end by FIN only.
    pub fn is_complete(&self) -> bool {
        !matches!(self.framing, Framing::UntilClose) && self.allowance() == 0
    }

    /// True if a FIN at this place ends the body as it should.
    pub fn fin_completes(&self) -> bool {
        matches!(self.framing, Framing::UntilClose) || self.is_complete()
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
            assert_eq!(body.allowance(), length.min(1));
            assert_eq!(body.fin_completes(), length == 0);
            body.take(body.allowance());
            assert!(body.is_complete() && body.fin_completes());
            body.take(1);
            assert_eq!(body.taken(), length);
        }
    }

    #[test]
    fn until_close_ends_by_fin_only() {
        let mut body = Body::new(Framing::UntilClose);
        body.take(5);
        assert!(!body.is_complete() && body.fin_completes());
    }
}
