// SPDX-License-Identifier: GPL-2.0
//! How the back-ends of a route are asked: the part of `[[route]]` that does not match requests.

use std::sync::Arc;

use toml::Spanned;

use super::heads::heads;
use super::limits::{limits_of_route, Limits};
use super::place::Fault;
use super::route::{Path, RouteTable};
use super::value::{choose_or, number};
use crate::http::{is_token, Rewrite};
use underpass_framing::may_be_trailer;
use underpass_proto::gen::TRAILERS_MAX;

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
    /// What the client gets when nobody took its request and one declined.
    pub all_declined: AllDeclined,
    /// A request may be sent again, whatever its method, if a used connection was dead.
    pub retry_any: bool,
    /// Limits of its own; none: those of everything.
    pub limits: Option<Arc<Limits>>,
    /// CONNECT is sent on.
    pub connect: bool,
    /// TRACE is sent on.
    pub trace: bool,
    /// How heads are rewritten, and what is let through.
    pub rewrite: Rewrite,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            mode: Mode::Ask,
            decline: vec![421],
            on_silence: OnSilence::ByMethod,
            all_declined: AllDeclined::Relay,
            retry_any: false,
            limits: None,
            connect: false,
            trace: false,
            rewrite: Rewrite::default(),
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
    /// Once the back-end has said 100 where it is longer than so many bytes, or of unknown
    /// length; with the head otherwise.
    AskOver(u64),
}

/// What it means that a back-end does not answer in time whether it takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSilence {
    /// It declines, where the request may be carried out twice (RFC 9110 section 9.2.2); else as
    /// `Forward`.
    ByMethod,
    /// It declines.
    Decline,
    /// It is an old server that waits for the body.
    Forward,
}

/// What a client gets when no back-end took its request and one declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllDeclined {
    /// The answer of the last one that was asked, if it declined; else 503.
    Relay,
    /// 503.
    Unavailable,
}

/// Checks these keys of one table, of a route for this path.
pub(super) fn terms(table: &RouteTable, path: &Path, all: &Limits) -> Result<Terms, Fault> {
    let default = Terms::default();
    let decline = match &table.decline {
        None => default.decline,
        Some(codes) => codes.iter().map(decline).collect::<Result<_, _>>()?,
    };
    let ask_over = number(table.ask_over_bytes.as_ref(), 65_536, 0..=i64::MAX)?;
    Ok(Terms {
        decline,
        mode: choose_or(
            &table.mode,
            default.mode,
            &[
                ("ask", Mode::Ask),
                ("optimistic", Mode::Optimistic),
                ("ask-over", Mode::AskOver(ask_over)),
            ],
        )?,
        on_silence: choose_or(
            &table.on_silence,
            default.on_silence,
            &[
                ("by-method", OnSilence::ByMethod),
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
        retry_any: table.retry_non_idempotent,
        limits: match &table.limits {
            Some(own) => Some(Arc::new(limits_of_route(own, all)?)),
            None => None,
        },
        connect: table.connect,
        trace: table.trace,
        rewrite: rewrite(table, path)?,
    })
}

fn rewrite(table: &RouteTable, path: &Path) -> Result<Rewrite, Fault> {
    let mut rewrite = Rewrite::default();
    if let Some(protocols) = &table.upgrade {
        rewrite.upgrade = protocols.iter().map(protocol).collect::<Result<_, _>>()?;
    }
    for name in &table.trailers {
        if !rewrite.trailers.is_empty() {
            rewrite.trailers.push(',');
        }
        rewrite.trailers += &trailer(name)?;
        if rewrite.trailers.len() > TRAILERS_MAX as usize {
            let text = format!("all trailer names together have more than {TRAILERS_MAX} bytes");
            return Err(Fault::at(name.span(), text));
        }
    }
    heads(&table.heads, path, &mut rewrite)?;
    Ok(rewrite)
}

fn protocol(value: &Spanned<String>) -> Result<String, Fault> {
    let name = value.get_ref();
    if !name.split('/').all(|part| is_token(part.as_bytes())) {
        let text = format!("`{name}` must be a protocol, such as websocket");
        return Err(Fault::at(value.span(), text));
    }
    Ok(name.to_ascii_lowercase())
}

fn trailer(value: &Spanned<String>) -> Result<String, Fault> {
    let name = value.get_ref().to_ascii_lowercase();
    if !is_token(name.as_bytes()) || !may_be_trailer(name.as_bytes()) {
        let text = format!(
            "`{}` cannot be a trailer: it is not a field name, or it frames, routes or authenticates",
            value.get_ref()
        );
        return Err(Fault::at(value.span(), text));
    }
    Ok(name)
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
