// SPDX-License-Identifier: GPL-2.0
//! The receiving half of a queue: heads and bodies in turn, until it ends.
//!
//! ```text
//!             head end              answer (forward)             body end
//! Collecting ----------> Ready ------------------> Moving -----------------> Collecting
//!     |                    |  \___________________   |  ^
//!     | FIN, reset         | reset (front)   none  \ |  | answer: nothing taken, or discard
//!     v                    v                        \v  |
//!   Ended <-------------- Ended <---------------- Parked (cancel, target failed)
//! ```
//!
//! Invariants: the generation counts heads, and a command that names another one is refused;
//! once bytes of a body were taken, the rest can only be discarded, never sent to a second
//! target. It must not know where bytes go, only whether they are sent or discarded.

#![forbid(unsafe_code)]

use super::{Body, Framing, HeadScan, Malformed, Next, Scan, Trailers};

/// Which end of the front end a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Towards a client.
    Front,
    /// Towards a back-end.
    Back,
}

/// Why a queue receives nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// FIN between two messages.
    Fin,
    /// FIN after some bytes of a head.
    FinInHead,
    /// FIN before the end of a body.
    FinInBody,
    /// RST or another error of the connection (an errno, positive).
    Reset(u32),
    /// An until-close body or a tunnel ended as it should.
    BodyEnd,
    /// The chunked coding of a body is broken.
    Malformed,
}

/// What the receiving half is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Looking for the end of the next head.
    Collecting(HeadScan),
    /// A head waits at the front of the socket.
    Ready {
        /// Its bytes.
        len: u32,
        /// It has no end within the limit.
        over_limit: bool,
    },
    /// Body bytes go to a target, or are discarded.
    Moving {
        /// What is left of the body.
        body: Body,
        /// No target: bytes are thrown away.
        discard: bool,
    },
    /// A forward stopped before the body's end.
    Parked(Body),
    /// Nothing more will come.
    Ended(Reason),
}

/// Why a command was refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The command names another generation than `have`.
    Stale {
        /// The queue's generation.
        have: u32,
    },
    /// No head waits here.
    NotReady,
    /// The head is over its limit; it can only be drained or aborted.
    OverLimit,
    /// A forward from this queue runs already.
    Busy,
    /// So many bytes of the body are gone; the rest can only be discarded.
    Taken(u64),
    /// The framing differs from the first attempt's.
    OtherFraming,
    /// Nothing is moving that could be cancelled.
    Idle,
    /// The queue ended.
    Ended,
}

/// What the caller does after a command was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Bytes to drop from the front of the socket before anything else.
    pub drop_head: u32,
    /// A body moves now; else the message is over.
    pub moving: bool,
}

/// How a body's move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Moved whole.
    Complete,
    /// FIN before the end: the target must be aborted.
    Truncated,
    /// The source broke (errno): the target must be aborted.
    SourceError(u32),
    /// The router cancelled.
    Cancelled,
    /// The target broke (errno).
    TargetError(u32),
    /// The chunked coding is broken: the target must be aborted.
    Malformed,
    /// The source sent nothing for too long: the target must be aborted.
    SourceStalled,
    /// The target took nothing for too long, and must be aborted.
    TargetStalled,
    /// The source sent too little for too long: the target must be aborted.
    SourceSlow,
    /// The target took too little for too long, and must be aborted.
    TargetSlow,
}

impl Ending {
    /// True if the target must not take what it got for the whole.
    pub fn aborts_target(self) -> bool {
        match self {
            Self::Complete | Self::Cancelled | Self::TargetError(_) => false,
            Self::Truncated
            | Self::SourceError(_)
            | Self::Malformed
            | Self::SourceStalled
            | Self::TargetStalled
            | Self::SourceSlow
            | Self::TargetSlow => true,
        }
    }
}

/// What a FIN means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    /// Nothing yet: something before it awaits the router.
    Later,
    /// The queue ended between messages (or in a head).
    Ended,
    /// A move ended; with `Complete` the FIN is carried over to the target.
    MoveEnded(Ending),
}

/// What a broken connection means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nothing yet: a response that arrived whole can still be used.
    Later,
    /// The queue ended.
    Ended,
    /// A move ended.
    MoveEnded(Ending),
}

/// The receiving half of one queue.
#[derive(Clone, Copy, Debug)]
pub struct Receiver {
    state: State,
    side: Side,
    limit: u32,
    generation: u32,
    taken: u64,
}

impl Receiver {
    /// Starts collecting the first head, of `limit` bytes at the most.
    pub const fn new(side: Side, limit: u32) -> Self {
        Self {
            state: State::Collecting(HeadScan::new(limit)),
            side,
            limit,
            generation: 0,
            taken: 0,
        }
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The same, with a PROXY protocol header in front of the first head.
    pub const fn with_prelude(side: Side, limit: u32) -> Self {
        Self {
            state: State::Collecting(HeadScan::with_prelude(limit)),
            side,
            limit,
            generation: 0,
            taken: 0,
        }
    }

    /// Towards whom.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Number of the last head, from 1; zero before the first.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Body bytes taken for the current or last attempt, what frames them included.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of the current head that need not be looked at again.
    pub const fn scanned(&self) -> u32 {
        match &self.state {
            State::Collecting(scan) => scan.seen(),
            _ => 0,
        }
    }

    /// Bytes of the head that waits.
    pub const fn head_len(&self) -> u32 {
        match self.state {
            State::Ready { len, .. } => len,
            _ => 0,
        }
    }

    /// Looks at the next bytes of a head. True once a head is ready.
    pub fn scan(&mut self, bytes: &[u8]) -> bool {
        let State::Collecting(scan) = &mut self.state else {
            return matches!(self.state, State::Ready { .. });
        };
        let (len, over_limit) = match scan.feed(bytes) {
            Scan::NeedMore => return false,
            Scan::Done { len } => (len, false),
            Scan::OverLimit { len } => (len, true),
        };
        self.state = State::Ready { len, over_limit };
        self.next_generation();
        true
    }

    /// Gives an unanswered head a new generation, so that commands of an earlier router
    /// are stale.
    pub fn renew(&mut self) {
        if matches!(self.state, State::Ready { .. } | State::Parked(_)) {
            self.next_generation();
        }
    }

    /// Something was sent on the condition that nothing waits here: a head that comes from now
    /// on has another number than one that was on its way before.
    pub fn turn(&mut self) {
        if matches!(self.state, State::Collecting(_)) {
            self.next_generation();
        }
    }

    fn next_generation(&mut self) {
        // Zero is never a generation, also after 2^32 heads.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    /// The router's answer to a head, or to a parked body: its framing, and whether the
    /// body is discarded.
    pub fn answer(
        &mut self,
        generation: u32,
        framing: Framing,
        discard: bool,
    ) -> Result<Answer, Refusal> {
        self.check(generation, framing, discard)?;
        let drop_head = match self.state {
            State::Ready { len, .. } => {
                self.taken = 0;
                self.begin(Body::new(framing), discard);
                len
            }
            State::Parked(body) => {
                self.begin(body, discard);
                0
            }
            _ => return Err(Refusal::NotReady),
        };
        Ok(Answer {
            drop_head,
            moving: matches!(self.state, State::Moving { .. }),
        })
    }

    /// Whether `answer` would be accepted; changes nothing.
    pub fn check(&self, generation: u32, framing: Framing, discard: bool) -> Result<(), Refusal> {
        if generation != self.generation {
            return Err(Refusal::Stale {
                have: self.generation,
            });
        }
        match self.state {
            State::Ready { over_limit, .. } if over_limit => Err(Refusal::OverLimit),
            State::Ready { .. } => Ok(()),
            State::Parked(body) if body.framing() != framing => Err(Refusal::OtherFraming),
            State::Parked(body) if body.taken() > 0 && !discard => {
                Err(Refusal::Taken(body.taken()))
            }
            State::Parked(_) => Ok(()),
            State::Moving { .. } => Err(Refusal::Busy),
            State::Collecting(_) => Err(Refusal::NotReady),
            State::Ended(_) => Err(Refusal::Ended),
        }
    }

    fn begin(&mut self, body: Body, discard: bool) {
        if body.is_complete() {
            self.next_head();
        } else {
            self.state = State::Moving { body, discard };
        }
    }

    fn next_head(&mut self) {
        self.state = State::Collecting(HeadScan::new(self.limit));
    }

    /// What the next byte of a body that moves is.
    pub fn next(&self) -> Next {
        match &self.state {
            State::Moving { body, .. } => body.next(),
            _ => Next::Over,
        }
    }

    /// Notes that `n` bytes of content were taken from the socket.
    pub fn take(&mut self, n: u64) {
        if let State::Moving { body, .. } = &mut self.state {
            body.take(n);
            self.taken = body.taken();
        }
    }

    /// Looks at bytes of the body that are not content, and says how many it used up; see
    /// [`Body::look`]. After an error only `malformed` is left.
    pub fn look(&mut self, bytes: &[u8], trailers: &mut Trailers<'_>) -> Result<usize, Malformed> {
        let State::Moving { body, .. } = &mut self.state else {
            return Ok(0);
        };
        let used = body.look(bytes, trailers)?;
        self.taken = body.taken();
        Ok(used)
    }

    /// True if a body moves of which all bytes were taken.
    pub fn is_whole(&self) -> bool {
        matches!(&self.state, State::Moving { body, .. } if body.is_complete())
    }

    /// True if a body moves that cannot become whole with `unread` bytes that are there.
    pub fn lacks(&self, unread: u32) -> bool {
        matches!(&self.state, State::Moving { body, .. } if body.lacks(unread))
    }

    /// True if a body moves that a FIN would end as it should.
    pub fn fin_completes(&self) -> bool {
        matches!(&self.state, State::Moving { body, .. } if body.fin_completes())
    }

    /// A whole body is where it belongs: the next head is collected from here. False, and
    /// nothing changes, if it is not whole.
    pub fn finish(&mut self) -> bool {
        let whole = self.is_whole();
        if whole {
            self.next_head();
        }
        whole
    }

    /// `look` found an error: nothing after it can be understood. False if no body moves.
    pub fn malformed(&mut self) -> bool {
        let moves = matches!(self.state, State::Moving { .. });
        if moves {
            self.state = State::Ended(Reason::Malformed);
        }
        moves
    }

    /// All bytes were looked at or taken, and a FIN follows them.
    pub fn fin(&mut self) -> Fin {
        match self.state {
            State::Ready { .. } | State::Parked(_) | State::Ended(_) => Fin::Later,
            State::Collecting(scan) => {
                let reason = if scan.has_text() {
                    Reason::FinInHead
                } else {
                    Reason::Fin
                };
                self.state = State::Ended(reason);
                Fin::Ended
            }
            State::Moving { body, .. } if body.fin_completes() => {
                self.state = State::Ended(Reason::BodyEnd);
                Fin::MoveEnded(Ending::Complete)
            }
            State::Moving { .. } => {
                self.state = State::Ended(Reason::FinInBody);
                Fin::MoveEnded(Ending::Truncated)
            }
        }
    }

    /// No byte is left and the connection broke with `errno`.
    pub fn broken(&mut self, errno: u32) -> Broken {
        let effect = match self.state {
            State::Ended(_) => return Broken::Later,
            // A response may be used though its sender is gone; a request of a client
            // that is gone has nobody to answer.
            State::Ready { .. } if self.side == Side::Back => return Broken::Later,
            State::Moving { .. } => Broken::MoveEnded(Ending::SourceError(errno)),
            _ => Broken::Ended,
        };
        self.state = State::Ended(Reason::Reset(errno));
        effect
    }

    /// Stops a move before its end, because the router, the target or a time limit says so.
    pub fn park(&mut self) -> Result<u64, Refusal> {
        let State::Moving { body, .. } = self.state else {
            return Err(Refusal::Idle);
        };
        self.state = State::Parked(body);
        Ok(self.taken)
    }
}
