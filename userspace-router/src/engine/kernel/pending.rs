// SPDX-License-Identifier: GPL-2.0
//! Commands that the kernel may still refuse or answer.
//!
//! Commands are sent without requesting acknowledgements: no news is good news. The
//! kernel's answers to a datagram are in the socket when sending returns, so once the
//! socket is empty, commands left here that need no answer were done.
//!
//! Invariant: ordered by sequence number; sockets are held until the kernel has them.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};

use underpass_proto::{Command, QueueInfo, Side, State};

use super::endings::Endings;
use crate::engine::Token;

/// What is expected.
#[derive(Debug)]
pub enum Wants {
    /// Silence. For an answer to a head: its queue and generation.
    Nothing(Option<(u32, u32)>),
    /// Silence, too, as it ends something: else it is given again.
    End(Box<Command>),
    /// The new queue; the socket is closed here then.
    Queue(Connection),
    /// The new listener.
    #[expect(dead_code, reason = "held open until the kernel has it")]
    Listener(TcpListener),
    /// How much was taken, from this queue and generation.
    Cancel(u32, u32),
    /// The attached router.
    Router,
    /// Whose router it is.
    Owner,
}

/// A connection that is handed over.
#[derive(Debug)]
pub struct Connection {
    #[expect(dead_code, reason = "held open until the kernel has it")]
    socket: TcpStream,
    /// Its own end and the peer's, as long as it has both: of one that was reset since, nobody can tell.
    ends: Option<(SocketAddr, SocketAddr)>,
}

/// A command that was sent.
#[derive(Debug)]
pub struct Entry {
    pub sequence: u32,
    pub token: Token,
    pub name: &'static str,
    pub wants: Wants,
}

/// What a dump says about a command of which the answer was lost.
pub enum Found {
    /// It was done, and this is the queue.
    Done(Box<QueueInfo>),
    /// It was not done.
    Refused,
    /// It was done, or nobody can say.
    Silence,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Pending {
    entries: VecDeque<Entry>,
}

impl Wants {
    /// What a command without socket wants.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Cancel { id, generation } => Self::Cancel(*id, *generation),
            Command::Forward { id, generation, .. } | Command::Route { id, generation, .. } => {
                Self::Nothing(Some((*id, *generation)))
            }
            Command::RouterAttach { .. } => Self::Router,
            ending if Endings::is_one(ending) => Self::End(Box::new(ending.clone())),
            _ => Self::Nothing(None),
        }
    }
}

impl Connection {
    pub fn new(socket: TcpStream) -> Self {
        let ends = socket.local_addr().ok().zip(socket.peer_addr().ok());
        Self { socket, ends }
    }

    fn is(&self, queue: &QueueInfo) -> bool {
        // The kernel names no link.
        let same = |a: SocketAddr, b: SocketAddr| (a.ip(), a.port()) == (b.ip(), b.port());
        let ends = self.ends.zip(queue.local.zip(queue.peer));
        ends.is_some_and(|(mine, its)| same(mine.0, its.0) && same(mine.1, its.1))
    }
}

impl Pending {
    pub fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Takes the command with this number out.
    pub fn take(&mut self, sequence: u32) -> Option<Entry> {
        let at = self
            .entries
            .iter()
            .position(|entry| entry.sequence == sequence)?;
        self.entries.remove(at)
    }

    /// The socket is empty: those that want silence have it.
    pub fn settle(&mut self) {
        self.entries
            .retain(|entry| !matches!(entry.wants, Wants::Nothing(_) | Wants::End(_)));
    }

    /// The end of a move of this queue was told: what it began with was done.
    pub fn ended(&mut self, id: u32, generation: u32) {
        self.entries.retain(
            |entry| !matches!(entry.wants, Wants::Nothing(Some(of)) if of == (id, generation)),
        );
    }

    /// Takes all out that were sent before number `sequence`, which may have wrapped.
    pub fn before(&mut self, sequence: u32) -> VecDeque<Entry> {
        self.taken(|entry| (entry.sequence.wrapping_sub(sequence) as i32) < 0)
    }

    /// Takes number `sequence` and all after it out.
    pub fn since(&mut self, sequence: u32) -> VecDeque<Entry> {
        self.taken(|entry| (entry.sequence.wrapping_sub(sequence) as i32) >= 0)
    }

    fn taken(&mut self, is: impl FnMut(&Entry) -> bool) -> VecDeque<Entry> {
        let (taken, left): (VecDeque<_>, _) = self.entries.drain(..).partition(is);
        self.entries = left;
        taken
    }
}

impl Entry {
    /// What became of it, by a dump of all queues. `later` were sent after it, and not answered either.
    pub fn look_up(&self, queues: &[QueueInfo], later: &[Entry]) -> Found {
        let by_id = |id: u32| queues.iter().find(move |queue| queue.id == id);
        match &self.wants {
            Wants::Nothing(None) | Wants::Router | Wants::Owner => Found::Silence,
            Wants::Nothing(Some((id, generation))) => match by_id(*id) {
                Some(queue) if queue.generation == *generation && waits(queue) => {
                    let stops = |later: &Entry| match later.wants {
                        Wants::Cancel(of, at) => (of, at) == (*id, *generation),
                        _ => false,
                    };
                    match is_parked(queue) && later.iter().any(stops) {
                        // It is parked in any case, and that is told as the end of the later one.
                        true => Found::Silence,
                        false => Found::Refused,
                    }
                }
                _ => Found::Silence,
            },
            Wants::End(command) => {
                let lives = |queue: &QueueInfo| queue.state != State::Draining;
                let queue = Endings::queue(command).and_then(by_id);
                match queue.is_some_and(lives) {
                    true => Found::Refused,
                    false => Found::Silence,
                }
            }
            Wants::Queue(connection) => {
                let found = queues.iter().find(|queue| connection.is(queue));
                found.map_or(Found::Refused, |queue| Found::Done(Box::new(queue.clone())))
            }
            Wants::Listener(_) => Found::Refused,
            Wants::Cancel(id, generation) => match by_id(*id) {
                Some(queue) if queue.generation == *generation && cancelled(queue) => {
                    Found::Done(Box::new(queue.clone()))
                }
                _ => Found::Refused,
            },
        }
    }
}

/// A head, or a parked body, waits for its answer.
fn waits(queue: &QueueInfo) -> bool {
    queue.state == State::Ready || is_parked(queue)
}

/// It is, and the router was told so. Before, it has `to`: the end of its move is on its way.
fn is_parked(queue: &QueueInfo) -> bool {
    queue.state == State::Parked && queue.to.is_none()
}

/// A body that moved is parked. Of a back-end that was to answer no head has come since, and
/// if one comes it is shown.
fn cancelled(queue: &QueueInfo) -> bool {
    let collects = queue.state == State::Collecting && queue.side == Side::Back;
    is_parked(queue) || (collects && queue.relay_to.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples;

    fn queue(state: State, to: Option<u32>) -> QueueInfo {
        QueueInfo {
            to,
            generation: 2,
            ..samples::queue(7, Side::Front, state)
        }
    }

    fn entry(sequence: u32, wants: Wants) -> Entry {
        Entry {
            sequence,
            token: Token(0),
            name: "forward",
            wants,
        }
    }

    #[test]
    fn a_queue_that_was_to_be_ended_and_lives_was_not() {
        let ends = |command| entry(1, Wants::of(&command));
        let drain = Command::Drain {
            id: 7,
            limit_bytes: None,
            limit_ms: None,
        };
        for command in [
            drain,
            Command::QueueAbort { id: 7 },
            Command::QueueDel { id: 7 },
        ] {
            let found = |queues: &[QueueInfo]| ends(command.clone()).look_up(queues, &[]);
            assert!(matches!(
                found(&[queue(State::Ready, None)]),
                Found::Refused
            ));
            assert!(matches!(
                found(&[queue(State::Draining, None)]),
                Found::Silence
            ));
            assert!(matches!(found(&[]), Found::Silence));
        }
    }

    #[test]
    fn silence_settles_and_answers_are_found_by_number() {
        let mut pending = Pending::default();
        pending.push(entry(u32::MAX, Wants::Nothing(None)));
        pending.push(entry(0, Wants::Cancel(1, 1)));
        pending.push(entry(1, Wants::Nothing(None)));
        assert!(pending.take(7).is_none());
        assert_eq!(pending.take(1).map(|entry| entry.sequence), Some(1));
        pending.settle();
        assert!(pending.take(u32::MAX).is_none());
        pending.push(entry(2, Wants::Router));
        let old: Vec<_> = pending
            .before(2)
            .iter()
            .map(|entry| entry.sequence)
            .collect();
        assert_eq!(old, [0]);
        pending.push(entry(3, Wants::Router));
        pending.push(entry(4, Wants::Router));
        let numbers =
            |entries: VecDeque<Entry>| entries.iter().map(|e| e.sequence).collect::<Vec<_>>();
        assert_eq!(numbers(pending.since(3)), [3, 4]);
        assert!(pending.take(2).is_some());
    }

    #[test]
    fn a_body_that_is_still_parked_was_not_forwarded() {
        let refused = |state, to, generation, later: &[Entry]| {
            let forward = entry(1, Wants::Nothing(Some((7, generation))));
            matches!(forward.look_up(&[queue(state, to)], later), Found::Refused)
        };
        assert!(refused(State::Ready, None, 2, &[]));
        assert!(refused(State::Parked, None, 2, &[]));
        assert!(!refused(State::Parked, Some(8), 2, &[]), "its end comes");
        assert!(!refused(State::Parked, None, 1, &[]), "another head");
        assert!(!refused(State::Moving, None, 2, &[]));
        let cancel = [entry(2, Wants::Cancel(7, 2))];
        assert!(!refused(State::Parked, None, 2, &cancel), "it was stopped");
        assert!(refused(State::Ready, None, 2, &cancel));
    }

    #[test]
    fn what_ended_is_not_asked_about() {
        let mut pending = Pending::default();
        pending.push(entry(1, Wants::Nothing(Some((7, 2)))));
        pending.push(entry(2, Wants::Nothing(Some((7, 3)))));
        pending.ended(7, 2);
        let left = pending.before(3);
        assert_eq!(left.iter().map(|e| e.sequence).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_connection_is_found_also_if_it_was_reset_since_and_on_its_link() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, peer) = (socket.local_addr().ok(), socket.peer_addr().ok());
        let watch = socket.try_clone().unwrap();
        let mut connection = Connection::new(socket);
        let accepted = socket2::Socket::from(listener.accept().unwrap().0);
        accepted
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(accepted);
        while watch.peer_addr().is_ok() {
            std::thread::yield_now();
        }
        let there = QueueInfo {
            local,
            peer,
            ..samples::queue(7, Side::Back, State::Ended)
        };
        assert!(connection.is(&there));
        let other = QueueInfo {
            local: peer,
            ..there.clone()
        };
        assert!(!connection.is(&other));
        let address = |text: &str| text.parse::<SocketAddr>().ok();
        connection.ends = address("[fe80::1%3]:5").zip(address("[fe80::2%3]:80"));
        let linked = QueueInfo {
            local: address("[fe80::1]:5"),
            peer: address("[fe80::2]:80"),
            ..there
        };
        assert!(connection.is(&linked));
    }

    #[test]
    fn a_cancel_that_came_too_late_tells_no_second_end() {
        let done = |to| {
            let cancel = entry(1, Wants::Cancel(7, 2));
            let found = cancel.look_up(&[queue(State::Parked, to)], &[]);
            matches!(found, Found::Done(_))
        };
        assert!(done(None));
        assert!(!done(Some(8)), "its end comes");
    }
}
