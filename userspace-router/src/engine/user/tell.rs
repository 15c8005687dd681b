// SPDX-License-Identifier: GPL-2.0
//! Events to the router.
//!
//! Invariants: `closed` is sent once, and last; a client that leaves before its first head
//! is not reported.

use underpass_framing::{Ending, Reason, Side, State};
use underpass_proto::{Closed, Done, Event, ForwardResult, Head, Relayed};

use super::queue::ECONNRESET;
use super::table::Table;
use crate::engine::Incoming;

impl Table {
    pub(super) fn tell_head(&mut self, id: u32) {
        let Some(queue) = self.queues.get(&id) else {
            return;
        };
        let State::Ready { len, over_limit } = queue.receiver.state() else {
            return;
        };
        let head = Head {
            id,
            generation: queue.receiver.generation(),
            side: side(queue.receiver.side()),
            listener: queue.listener,
            head: queue
                .pending()
                .get(..len as usize)
                .unwrap_or_default()
                .to_vec(),
            over_limit,
            sent: queue.sent,
            peer: queue.peer,
            local: queue.local,
        };
        self.tell(Incoming::Event(Event::Head(head)));
    }

    pub(super) fn tell_closed(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut queue.told_end, true) {
            return;
        }
        if queue.listener.is_some() && queue.receiver.generation() == 0 {
            // The router never heard of it.
            return self.remove(id);
        }
        use underpass_proto::Reason as Told;
        let (reason, error) = match queue.receiver.state() {
            State::Ended(Reason::Fin) => (Told::Fin, 0),
            State::Ended(Reason::FinInHead) => (Told::FinInHead, 0),
            State::Ended(Reason::FinInBody) => (Told::FinInBody, 0),
            State::Ended(Reason::BodyEnd) => (Told::BodyEnd, 0),
            State::Ended(Reason::Malformed) => (Told::Malformed, 0),
            State::Ended(Reason::Reset(errno)) => (Told::Reset, errno),
            _ => (Told::Reset, queue.broken.unwrap_or(ECONNRESET)),
        };
        let closed = Closed {
            id,
            generation: queue.receiver.generation(),
            side: side(queue.receiver.side()),
            reason,
            error,
            taken: queue.receiver.taken(),
            sent: queue.sent,
            gone: false,
        };
        self.tell(Incoming::Event(Event::Closed(closed)));
    }

    /// Tells how the move of the head that was answered last ended.
    pub(super) fn tell_done(&mut self, id: u32, to: Option<u32>, ending: Ending) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let status = queue.passing.take().map(|passing| passing.status);
        let (result, error) = match ending {
            Ending::Complete => (ForwardResult::Complete, 0),
            Ending::Truncated => (ForwardResult::Truncated, 0),
            Ending::SourceError(errno) => (ForwardResult::SourceError, errno),
            Ending::Cancelled => (ForwardResult::Cancelled, 0),
            Ending::TargetError(errno) => (ForwardResult::TargetError, errno),
            Ending::Malformed => (ForwardResult::Malformed, 0),
            Ending::SourceStalled => (ForwardResult::SourceStalled, 0),
            Ending::TargetStalled => (ForwardResult::TargetStalled, 0),
            Ending::SourceSlow => (ForwardResult::SourceSlow, 0),
            Ending::TargetSlow => (ForwardResult::TargetSlow, 0),
        };
        let done = Done {
            id,
            generation: queue.answered,
            to,
            result,
            error,
            taken: queue.receiver.taken(),
            status,
        };
        self.tell(Incoming::Event(Event::Done(done)));
    }

    /// Tells of a response that was passed on, if it still moves.
    pub(super) fn tell_relayed(&mut self, id: u32) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let (Some(passing), Some(moving)) = (&mut queue.passing, &queue.moving) else {
            return;
        };
        if std::mem::replace(&mut passing.told, true) {
            return;
        }
        let relayed = Relayed {
            id,
            generation: queue.answered,
            to: moving.target.unwrap_or_default(),
            status: passing.status,
        };
        self.tell(Incoming::Event(Event::Relayed(relayed)));
    }
}

fn side(side: Side) -> underpass_proto::Side {
    match side {
        Side::Front => underpass_proto::Side::Front,
        Side::Back => underpass_proto::Side::Back,
    }
}
