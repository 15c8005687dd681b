// SPDX-License-Identifier: GPL-2.0
//! The counters of a network namespace.

#![forbid(unsafe_code)]

use super::gen::{cmd, stats};
use super::{answer, engine};
use crate::sys::genl::{Attr, Do, Refusal, Request};

pub struct Get;

impl Do for Get {
    const CMD: u8 = cmd::STATS_GET;
    const POLICY: &'static [Attr] = &[];

    fn run(request: &Request<'_>) -> Result<(), Refusal> {
        let engine = engine()?;
        let s = engine.stats(request.net())?;
        let counts = [
            (stats::ACCEPTED, &s.accepted),
            (stats::ADDED, &s.added),
            (stats::HEADS, &s.heads),
            (stats::FORWARDS, &s.forwards),
            (stats::FRONT_TO_BACK, &s.front_to_back),
            (stats::BACK_TO_FRONT, &s.back_to_front),
            (stats::DISCARDED, &s.discarded),
            (stats::OVERFLOWS, &s.overflows),
            (stats::REFUSED, &s.refused),
            (stats::RELAYED, &s.relayed),
            (stats::LATE, &s.late),
        ];
        answer(request, &engine, Self::CMD, |out| {
            for (attr, count) in counts {
                out.uint(attr, count.get())?;
            }
            out.u32(stats::QUEUES, s.queues.taken())
        })
    }
}
