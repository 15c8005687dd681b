// SPDX-License-Identifier: GPL-2.0
//! What a command says about a body, checked: the attributes `framing`, `to-framing`,
//! `trailers`, `idle-ms` and `idle-bytes`.
//!
//! Invariant: terms that exist can be kept.

use underpass_framing::{may_be_trailer, Framing};
use underpass_proto::gen::FramingKind;
use underpass_proto::Body;

use super::command::{Outcome, EINVAL};

/// How a body comes, leaves, and may linger.
#[derive(Clone, Debug)]
pub struct Terms {
    pub framing: Framing,
    pub leaves: Framing,
    /// Names of trailer fields to pass on, in lower case, separated by commas.
    pub trailers: Vec<u8>,
    pub patience: Patience,
}

/// When a forward ends because it stands still, or is too slow.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// No byte moved for so many milliseconds.
    pub idle_ms: Option<u32>,
    /// Or fewer than so many bytes.
    pub idle_bytes: Option<u32>,
}

impl Terms {
    pub fn new(body: Body) -> Result<Self, (i32, &'static str)> {
        let framing = match body.framing {
            underpass_proto::Framing::None => Framing::None,
            underpass_proto::Framing::Length(bytes) => Framing::Length(bytes),
            underpass_proto::Framing::Chunked => Framing::Chunked,
            underpass_proto::Framing::UntilClose => Framing::UntilClose,
            underpass_proto::Framing::Tunnel => Framing::Tunnel,
        };
        let leaves = match (body.leaves, framing) {
            (None, _) => framing,
            (Some(FramingKind::Length), Framing::Length(bytes)) => Framing::Length(bytes),
            (Some(FramingKind::Length), _) => Framing::Length(0),
            (Some(FramingKind::None), _) => Framing::None,
            (Some(FramingKind::Chunked), _) => Framing::Chunked,
            (Some(FramingKind::UntilClose), _) => Framing::UntilClose,
            (Some(FramingKind::Tunnel), _) => Framing::Tunnel,
        };
        if !framing.becomes(leaves) {
            return Err((EINVAL, "a body that comes like this cannot leave like that"));
        }
        if framing == Framing::Tunnel && body.idle_bytes.is_some() {
            return Err((EINVAL, "a tunnel has no minimum rate"));
        }
        let chunked = (framing, leaves) == (Framing::Chunked, Framing::Chunked);
        if !body.trailers.is_empty() {
            check_trailers(&body.trailers, chunked)?;
        }
        Ok(Self {
            framing,
            leaves,
            trailers: body.trailers,
            patience: Patience {
                idle_ms: body.idle_ms,
                idle_bytes: body.idle_bytes,
            },
        })
    }
}

impl Terms {
    /// Leaves as it comes.
    pub fn plain(framing: Framing, patience: Patience) -> Self {
        Self {
            framing,
            leaves: framing,
            trailers: Vec::new(),
            patience,
        }
    }
}

fn check_trailers(names: &[u8], chunked: bool) -> Outcome {
    if !chunked {
        return Err((EINVAL, "`trailers` needs chunked coding on both sides"));
    }
    for name in names.split(|&byte| byte == b',') {
        if name.is_empty() || !name.iter().copied().all(is_lower_token) {
            let text = "`trailers` is names in lower case with single commas between";
            return Err((EINVAL, text));
        }
        if !may_be_trailer(name) {
            return Err((EINVAL, "`trailers` names a field that is never a trailer"));
        }
    }
    Ok(())
}

/// A token's characters (RFC 9110 section 5.6.2) but for upper-case letters.
fn is_lower_token(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
