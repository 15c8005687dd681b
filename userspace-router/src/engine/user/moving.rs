// SPDX-License-Identifier: GPL-2.0
//! A body that is being moved: parsed as it comes, staged as it leaves.
//!
//! Invariants: content is staged only for its target, and discarded if there is
//! none; the end of a chunked body is staged once, and only after a whole body. It must
//! not touch sockets.

use tokio::time::Instant;
use underpass_framing::{Framing, Malformed, Next, Pace, Receiver, Trailers, TRAILERS_MAX};

use super::input::Input;
use super::staging::Staging;
use super::terms::{Patience, Terms};

#[derive(Debug)]
pub struct Move {
    /// Where the body goes; none: it is thrown away.
    pub target: Option<u32>,
    pub terms: Terms,
    pub staging: Staging,
    /// When it began; the clock of `pace` counts from here.
    pub began: Instant,
    /// How slow it may be.
    pub pace: Option<Pace>,
    /// Trailer lines to pass on: the first `lines_len` bytes. Without memory where none are.
    lines: Vec<u8>,
    lines_len: usize,
    /// The end of a chunked body was staged.
    ended: bool,
}

impl Move {
    pub fn new(terms: Terms, target: Option<u32>) -> Self {
        let room = match terms.trailers.is_empty() {
            true => 0,
            false => TRAILERS_MAX as usize,
        };
        let Patience {
            idle_ms,
            idle_bytes,
        } = terms.patience;
        Self {
            target,
            began: Instant::now(),
            pace: idle_bytes
                .zip(idle_ms)
                .map(|(bytes, ms)| Pace::new(bytes, ms, 0)),
            terms,
            staging: Staging::default(),
            lines: vec![0; room],
            lines_len: 0,
            ended: false,
        }
    }

    /// Takes what is pending of the body. Staging must be empty.
    pub fn take(&mut self, input: &mut Input, receiver: &mut Receiver) -> Result<(), Malformed> {
        let chunk = self.leaves_chunked();
        self.staging.begin(chunk);
        while !input.pending().is_empty() {
            let pending = input.pending();
            let taken = match receiver.next() {
                Next::Over => break,
                Next::Look => {
                    let allow = &self.terms.trailers;
                    let mut lines = Trailers::new(allow, &mut self.lines, &mut self.lines_len);
                    receiver.look(pending, &mut lines)?
                }
                Next::Content(most) => {
                    let all = pending.len();
                    let most = usize::try_from(most).unwrap_or(usize::MAX).min(all);
                    receiver.take(most as u64);
                    if most == all && self.target.is_some() {
                        // Nothing but content: the usual case.
                        let (buffer, used) = input.whole();
                        self.staging.push_all(buffer, used);
                        break;
                    }
                    if self.target.is_some() {
                        self.staging.push(pending.get(..most).unwrap_or_default());
                    }
                    most
                }
            };
            input.consume(taken);
        }
        self.staging.end();
        if receiver.is_whole() {
            self.end();
        }
        Ok(())
    }

    /// The body is whole. True if something has to be sent because of it.
    pub fn end(&mut self) -> bool {
        let due = self.leaves_chunked() && !self.ended;
        if due {
            self.ended = true;
            self.staging
                .push_last_chunk(self.lines.get(..self.lines_len).unwrap_or_default());
        }
        due
    }

    fn leaves_chunked(&self) -> bool {
        self.target.is_some() && self.terms.leaves == Framing::Chunked
    }
}
