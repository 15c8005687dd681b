// SPDX-License-Identifier: GPL-2.0
//! An exchange that a former router began, as far as the engine and a note describe it.
//!
//! Its request was never seen here, so no other back-end can be asked: it ends with the response that the
//! back-end sends, or by the rules for a back-end that broke.

use std::sync::Arc;
use std::time::Instant;

use super::note::Note;
use super::{Back, Download, Exchange, Passing, Phase, Place, Room, Upload};
use crate::config::{Limits, Terms};
use crate::http::Request;
use crate::route::Plan;

/// What one half of an exchange was found doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Its body moves.
    Moves,
    /// Its body stands, and will not be whole.
    Stopped,
    /// Nothing of it is to come.
    Over,
    /// It is still to come.
    ToCome,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The queue of the back-end.
    pub back: u32,
    /// What the former router wrote down.
    pub note: Note,
    /// The request.
    pub upload: Half,
    /// The response.
    pub download: Half,
    /// The engine may pass the response on by itself.
    pub armed: bool,
    /// HTTP is over on these connections.
    pub tunnel: bool,
    /// Of a response that moves, and was passed on.
    pub status: u16,
    /// Body bytes that were taken from the client.
    pub taken: u64,
}

impl Exchange {
    /// The exchange; `terms` are those of its route, if there is one still whose rules for responses
    /// are the same. None: it cannot be gone on with.
    pub fn resumed(
        place: Place,
        found: Found,
        terms: Option<Arc<Terms>>,
        limits: Arc<Limits>,
        now: Instant,
    ) -> Option<Self> {
        let Note {
            of_head,
            http10,
            close,
            ..
        } = found.note;
        // Says what decides how the response is read and sent, and nothing else.
        let method = if of_head { "HEAD" } else { "GET" };
        let version = if http10 { "1.0" } else { "1.1" };
        let head = format!("{method} / HTTP/{version}\r\nHost: a\r\n\r\n");
        let request = Request::parse(head.as_bytes(), 64).ok()?;
        let foreign = terms.is_none();
        let plan = Plan {
            terms: terms.unwrap_or_default(),
            ..Plan::default()
        };
        let mut exchange = Self::new(place, request, plan, limits, 1, Room::default(), now);
        exchange.resumed = true;
        exchange.foreign = foreign;
        exchange.close = close || found.tunnel;
        exchange.tunnel = found.tunnel;
        exchange.wants_tunnel = found.tunnel;
        exchange.phase = Phase::Committed;
        exchange.answered = Some(exchange.serial);
        exchange.record.accepted_after = Some(std::time::Duration::ZERO);
        exchange.record.status = found.status;
        exchange.taken = found.taken;
        exchange.record.up = found.taken;
        exchange.upload = match found.upload {
            Half::Moves => Upload::Moving,
            Half::Stopped => Upload::Parked,
            Half::ToCome => Upload::Held,
            Half::Over => Upload::Done,
        };
        exchange.download = match found.download {
            Half::Moves => Download::Moving,
            Half::Over => Download::Done,
            Half::ToCome | Half::Stopped => Download::Awaiting,
        };
        if found.armed {
            exchange.passing = Passing::Armed;
        }
        exchange.back = Some(Back {
            queue: found.back,
            reused: false,
            spoke: false,
            closed: false,
            // It reads on; the pool does not keep it.
            reusable: true,
            asked: false,
            accepted: false,
            early: false,
            aborted: false,
        });
        if exchange.upload != Upload::Moving && exchange.download == Download::Awaiting {
            exchange.deadline = Some(now + exchange.limits.response);
        }
        Some(exchange)
    }
}
