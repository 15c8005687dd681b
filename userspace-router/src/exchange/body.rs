// SPDX-License-Identifier: GPL-2.0
//! What the engine is told about a body: how it comes and leaves, and how long it may stall.

use underpass_proto::{Body, Framing, FramingKind};

use super::Exchange;
use crate::http::Length;

impl Exchange {
    /// A body of this framing, with the route's trailers and the time it may stand still.
    /// `least` bytes have to move in that time.
    pub(super) fn body(&self, framing: Framing, least: u32) -> Body {
        let (idle, least) = match framing {
            Framing::None => return framing.into(),
            Framing::Tunnel => (self.limits.tunnel_idle, 0),
            _ => (self.limits.stall, least),
        };
        let trailers = match framing {
            Framing::Chunked => self.plan.terms.rewrite.trailers.clone().into_bytes(),
            _ => Vec::new(),
        };
        Body {
            framing,
            leaves: None,
            trailers,
            idle_ms: Some(idle.as_millis() as u32),
            idle_bytes: (least > 0).then_some(least),
            note: None,
        }
    }

    /// The request's.
    pub(super) fn request_body(&self) -> Body {
        let framing = match self.request.length {
            // A request is never until close.
            Length::None | Length::UntilClose => Framing::None,
            Length::Exact(bytes) => Framing::Length(bytes),
            Length::Chunked => Framing::Chunked,
        };
        Body {
            note: self.note_asked(),
            ..self.body(framing, self.limits.stall_bytes)
        }
    }

    /// A final response's, that leaves as `leaves`.
    pub(super) fn response_body(&self, length: Length, leaves: Length) -> Body {
        let framing = match length {
            Length::None => Framing::None,
            Length::Exact(bytes) => Framing::Length(bytes),
            Length::Chunked => Framing::Chunked,
            Length::UntilClose => Framing::UntilClose,
        };
        let body = Body {
            note: self.note_answered(),
            ..self.body(framing, self.limits.response_stall_bytes)
        };
        let leaves = match leaves {
            _ if leaves == length => return body,
            Length::Chunked => FramingKind::Chunked,
            _ => FramingKind::UntilClose,
        };
        Body {
            leaves: Some(leaves),
            // Trailers need chunks on both sides.
            trailers: Vec::new(),
            ..body
        }
    }
}
