// SPDX-License-Identifier: GPL-2.0
//! How the back-ends of a route are asked: the part of `[[route]]` that is no matching.

use toml::Spanned;

use super::place::Fault;
use super::route::RouteTable;
use super::value::choose_or;

/// Status codes that may decline: those that say "not me" or "not now".
const DECLINES: [u16; 5] = [404, 417, 421, 429, 503];

/// How the back-ends of a route are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether the body waits for an answer.
    pub mode: Mode,
    /// Status codes that decline a request before its body.
    pub decline: Vec<u16>,
    /// What silence means.
    pub on_silence: OnSilence,
    /// What the client gets when all declined.
    pub all_declined: AllDeclined,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            mode: Mode::Ask,
            decline: vec![421],
            on_silence: OnSilence::Decline,
            all_declined: AllDeclined::Relay,
        }
    }
}

/// When the body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Once the back-end has said 100.
    Ask,
    /// With the head.
    Optimistic,
}

/// What it means that a back-end does not answer in time whether it takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSilence {
    /// It declines.
    Decline,
    /// It is an old server that waits for the body.
    Forward,
}

/// What a client gets when all back-ends declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllDeclined {
    /// The last one's answer.
    Relay,
    /// 503.
    Unavailable,
}

/// Checks these keys of one table.
pub(super) fn terms(table: &RouteTable) -> Result<Terms, Fault> {
    let default = Terms::default();
    let decline = match &table.decline {
        None => default.decline,
        Some(codes) => codes.iter().map(decline).collect::<Result<_, _>>()?,
    };
    Ok(Terms {
        decline,
        mode: choose_or(
            &table.mode,
            default.mode,
            &[("ask", Mode::Ask), ("optimistic", Mode::Optimistic)],
        )?,
        on_silence: choose_or(
            &table.on_silence,
            default.on_silence,
            &[
                ("decline", OnSilence::Decline),
                ("forward", OnSilence::Forward),
            ],
        )?,
        all_declined: choose_or(
            &table.all_declined,
            default.all_declined,
            &[
                ("relay", AllDeclined::Relay),
                ("503", AllDeclined::Unavailable),
            ],
        )?,
    })
}

fn decline(code: &Spanned<u16>) -> Result<u16, Fault> {
    if DECLINES.contains(code.get_ref()) {
        return Ok(*code.get_ref());
    }
    let text = format!(
        "{} cannot decline; use some of {DECLINES:?}",
        code.get_ref()
    );
    Err(Fault::at(code.span(), text))
}
