// SPDX-License-Identifier: GPL-2.0
//! One request and its response, from head to end: a state machine without I/O.
//!
//! Inputs are the engine's events and the time; outputs are `Action`s. Two
//! halves run at once, each in one of its own states:
//!
//! ```text
//! upload    Held ---> Moving ---> Done          download   Awaiting ---> Moving ---> Done
//!           (asking)     \--> Parked
//! ```
//!
//! A third way is the tunnel (`tunnel.rs`), which both halves enter at once. A response may also
//! reach the client without passing through here (`passing.rs`), and its router may die before it is over
//! (`note.rs`, `resume.rs`).
//!
//! Invariants: a body is offered to another back-end only while nothing of it was taken,
//! and only for the reasons that `ask.rs` lists; nothing is sent into a queue while a body
//! moves into it; every way out passes `finish`, once.
//! It must not read clocks or sockets.

mod answer;
mod ask;
mod body;
mod done;
pub mod note;
mod passing;
mod record;
mod relay;
pub mod resume;
#[cfg(test)]
mod tests;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use underpass_proto::{Closed, Command, Reason};

use crate::address::Address;
use crate::config::Limits;
use crate::http::problem::{self, Problem};
use crate::http::{self, Request, Response};
use crate::route::Plan;
use passing::Passing;

pub use record::{Line, Record, Verdict};

/// What the shell does for an exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Gives a command to the engine.
    Command(Command, Tag),
    /// Brings a connection to a back-end: a used one unless `fresh`, or a new one.
    Connect {
        /// Whereto.
        backend: Address,
        /// Idle connections will not do: one just proved dead, or a tunnel is wanted.
        fresh: bool,
    },
    /// The response of this queue, which may be passed on without being shown, is not to be.
    /// The engine's answer comes as `back_done`, unless it is too late.
    TakeBack {
        /// The back-end's.
        queue: u32,
    },
    /// The connection may serve another exchange.
    Release {
        /// Its queue.
        queue: u32,
    },
    /// The exchange is over. Its connection lives on if `keep`.
    Finished {
        /// The next request may begin.
        keep: bool,
    },
}

/// What a refusal of the command means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The back-end gets nothing.
    IntoBack,
    /// The client gets nothing.
    IntoFront,
    /// Nothing: what it should end has ended by itself.
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    /// The body was not offered to the back-end that is asked now.
    Held,
    /// It moves.
    Moving,
    /// The back-end stopped taking it.
    Parked,
    /// There is none, or it was moved whole.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Download {
    /// No final response yet.
    Awaiting,
    /// Its body moves.
    Moving,
    /// It was moved whole.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection yet.
    Connecting,
    /// The back-end has the head and has not said whether it takes the body.
    Asking,
    /// The back-end has, or gets, the whole request.
    Committed,
}

#[derive(Debug)]
struct Back {
    queue: u32,
    reused: bool,
    /// It has said something: the connection was not dead.
    spoke: bool,
    /// It sends nothing more.
    closed: bool,
    /// It may serve another exchange.
    reusable: bool,
    /// It was asked whether it takes the body.
    asked: bool,
    /// It said 100: it knows that a body comes.
    accepted: bool,
    /// It answered before the body was whole, and had not said 100, or refused it: what it takes the rest for is in
    /// doubt.
    early: bool,
    /// It was told to reset its connection.
    aborted: bool,
}

/// Where an exchange takes place.
#[derive(Clone, Debug)]
pub struct Place {
    /// The client's queue.
    pub front: u32,
    /// Number of the request's head.
    pub generation: u32,
    /// The client.
    pub client: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// Its socket says both.
    pub direct: bool,
    /// The time of day when the head came.
    pub time: SystemTime,
}

/// Room that an exchange leaves to another: so many come that lists which are made anew count.
#[derive(Debug, Default)]
pub struct Room {
    /// For the request.
    pub request: http::Room,
    actions: Vec<Action>,
    asked: Vec<(Address, Verdict)>,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    place: Place,
    request: Request,
    plan: Plan,
    limits: Arc<Limits>,
    began: Instant,
    deadline: Option<Instant>,
    /// Attempts so far; with every new one, older answers are stale.
    serial: u32,
    /// Index of the next back-end in the plan.
    next: usize,
    phase: Phase,
    upload: Upload,
    download: Download,
    passing: Passing,
    back: Option<Back>,
    /// The attempt that dropped the head of a request without body from the socket.
    answered: Option<u32>,
    /// Body bytes that were taken from the client, ever.
    taken: u64,
    /// It is CONNECT, or offers a protocol that the route allows.
    wants_tunnel: bool,
    /// HTTP is over on these connections.
    tunnel: bool,
    /// The back-end is asked without Expect, because it does not know it.
    plain: bool,
    /// The client was told to go on.
    continued: bool,
    interim: u64,
    /// A decline that came while the body was moving; the cancel's answer decides.
    declined: Option<Box<(u32, Response)>>,
    /// An attempt failed while the body was moving; the end of the move decides.
    failed: Option<Problem>,
    /// The client sends nothing more.
    front_fin: bool,
    /// The client's connection ends with this exchange.
    close: bool,
    over: bool,
    /// A former router began it, so the request is not the client's own.
    resumed: bool,
    /// And nothing is known here of its route's rules for responses.
    foreign: bool,
    /// What became of it.
    pub record: Record,
    actions: Vec<Action>,
}

impl Exchange {
    /// One that has to `begin` yet, where it stands: it is too large to be moved about.
    /// `serial` is one above that of the connection's last exchange.
    pub fn new(
        place: Place,
        request: Request,
        plan: Plan,
        limits: Arc<Limits>,
        serial: u32,
        room: Room,
        now: Instant,
    ) -> Self {
        let Room { actions, asked, .. } = room;
        let record = Record {
            asked,
            ..Record::new(place.client)
        };
        let connect = request.method() == "CONNECT";
        Self {
            place,
            // Who was refused a tunnel may have begun to talk through it.
            close: !request.keep_alive || connect,
            wants_tunnel: connect || plan.terms.rewrite.upgrades(&request).next().is_some(),
            tunnel: false,
            request,
            plan,
            limits,
            began: now,
            deadline: None,
            serial,
            next: 0,
            phase: Phase::Connecting,
            upload: Upload::Held,
            download: Download::Awaiting,
            passing: Passing::Off,
            back: None,
            answered: None,
            taken: 0,
            plain: false,
            continued: false,
            interim: 0,
            declined: None,
            failed: None,
            front_fin: false,
            over: false,
            resumed: false,
            foreign: false,
            record,
            actions,
        }
    }

    /// Asks the first back-end of the plan. If the request was `refused` one, that is the answer.
    pub fn begin(&mut self, refused: Option<Problem>, now: Instant) {
        if !self.answered_here(refused, now) {
            self.ask_next(problem::NONE_REACHABLE, now);
        }
    }

    /// What to do now, put in the empty `actions`, whose place the next ones take. The shell calls
    /// this after every input, until nothing comes.
    pub fn take_actions(&mut self, actions: &mut Vec<Action>) {
        std::mem::swap(&mut self.actions, actions);
    }

    /// Bytes of the request's head.
    pub fn head_size(&self) -> usize {
        self.request.head_size()
    }

    /// Leaves its room to another. It has to be over.
    pub fn take_room(&mut self) -> Room {
        self.actions.clear();
        self.record.asked.clear();
        Room {
            request: self.request.take_room(),
            actions: std::mem::take(&mut self.actions),
            asked: std::mem::take(&mut self.record.asked),
        }
    }

    /// When `timeout` must be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Number of the current attempt. Answers to older ones are not for this exchange.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The queue of the back-end that is asked now.
    pub fn back(&self) -> Option<u32> {
        self.back.as_ref().map(|back| back.queue)
    }

    /// For the log.
    pub fn line(&self) -> Line<'_> {
        Line {
            record: &self.record,
            request: (!self.resumed).then_some(&self.request),
        }
    }

    /// The client's connection must not be kept: the router is stopping.
    pub fn stop(&mut self) {
        self.close = true;
    }

    /// The router ends now.
    pub fn cut_off(&mut self, now: Instant) {
        if !self.over {
            self.break_off("stopped", now);
        }
    }

    /// The client sends nothing more.
    pub fn front_closed(&mut self, closed: &Closed, now: Instant) {
        self.front_fin = true;
        self.close = true;
        // While a response moves, or a tunnel is there, its end is told as well, and whether it was the
        // engine that reset the client, and why.
        let told = self.download == Download::Moving || self.tunnel;
        if !self.over && !told && closed.reason == Reason::Reset {
            self.client_gone(now);
        }
    }

    /// The back-end sends nothing more.
    pub fn back_closed(&mut self, closed: &Closed, now: Instant) {
        let Some(back) = self.back.as_mut() else {
            return;
        };
        // It had begun to answer.
        back.spoke |= closed.reason == Reason::FinInHead;
        back.closed = true;
        back.reusable = false;
        // A tunnel ends by its two ends.
        if self.over || self.declined.is_some() || self.tunnel {
            return;
        }
        match self.download {
            Download::Awaiting => self.fail(problem::BACKEND_BROKE, now),
            Download::Moving => {}
            Download::Done => self.finish_if_done(now),
        }
    }

    /// The back-end's queue is not there any more.
    pub fn back_lost(&mut self, now: Instant) {
        if let Some(back) = self.back.as_mut() {
            back.closed = true;
            back.aborted = true;
        }
        if !self.over {
            self.fail(problem::BACKEND_BROKE, now);
        }
    }

    /// Whether its time ended before there was a connection.
    pub fn asks_in_vain(&self, now: Instant) -> bool {
        let late = self.deadline.is_some_and(|deadline| deadline <= now);
        late && !self.over && self.phase == Phase::Connecting
    }

    /// The deadline has passed.
    pub fn timeout(&mut self, now: Instant) {
        if self.over || self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.deadline = None;
        match self.phase {
            _ if self.tunnel => self.tunnel_breaks(now),
            Phase::Connecting => self.connect_timeout(now),
            Phase::Asking => self.silence(now),
            Phase::Committed => self.response_timeout(now),
        }
    }

    /// A command was refused, for what is wrong with whom it was about.
    pub fn refused(&mut self, tag: Tag, now: Instant) {
        self.refused_for(tag, (Verdict::Broke, problem::BACKEND_BROKE), now);
    }

    /// A command was refused, because the engine had no room for it.
    pub fn found_no_room(&mut self, tag: Tag, now: Instant) {
        self.refused_for(tag, (Verdict::Refused, problem::ENGINE_REFUSED), now);
    }

    fn refused_for(&mut self, tag: Tag, why: (Verdict, Problem), now: Instant) {
        if self.over {
            return;
        }
        match tag {
            Tag::IntoFront => self.client_gone(now),
            Tag::IntoBack if self.tunnel => {
                self.break_off(problem::BACKEND_BROKE.name, now);
            }
            Tag::IntoBack if self.record.accepted_after.is_some() => self.untaken(why, now),
            Tag::IntoBack if self.download != Download::Awaiting => {
                // It answered what it was never asked.
                self.break_off(problem::BAD_RESPONSE.name, now);
            }
            Tag::IntoBack => {
                // Both were refused: the data and the body.
                self.upload = Upload::Held;
                if self.answered == Some(self.serial) {
                    self.answered = None;
                }
                self.unsent(why, now);
            }
            Tag::Ending => {}
        }
    }

    fn command(&mut self, command: Command, tag: Tag) {
        self.actions.push(Action::Command(command, tag));
    }

    /// The time of day.
    fn time(&self, now: Instant) -> SystemTime {
        self.place.time + now.duration_since(self.began)
    }

    /// Resets the back-end, which was promised bytes or is of no use.
    fn drop_back(&mut self) {
        self.passing = Passing::Off;
        self.abort_back();
        self.back = None;
    }

    fn abort_back(&mut self) {
        let Some(back) = self.back.as_mut().filter(|back| !back.aborted) else {
            return;
        };
        back.aborted = true;
        let id = back.queue;
        self.command(Command::QueueAbort { id }, Tag::Ending);
    }

    fn client_gone(&mut self, now: Instant) {
        self.break_off("client-gone", now);
    }

    /// Ends both sides by reset.
    fn break_off(&mut self, reason: &'static str, now: Instant) {
        self.record.reason = reason;
        self.drop_back();
        let id = self.place.front;
        self.command(Command::QueueAbort { id }, Tag::Ending);
        self.finish(false, now);
    }

    fn finish(&mut self, keep: bool, now: Instant) {
        self.over = true;
        self.deadline = None;
        self.record.total = now.duration_since(self.began);
        self.actions.push(Action::Finished { keep });
    }
}
