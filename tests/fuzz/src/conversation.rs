// SPDX-License-Identifier: GPL-2.0
//! A receiving half through a whole conversation: heads, the router's answers, bodies,
//! stops in the middle of one, FIN. At every split point it tells the same, byte for byte,
//! and that is what a plain reading of the whole bytes says.

use crate::second::chunked::{read, End};
use crate::second::head;
use underpass_framing::{
    Ending, Fin, Framing, Next, Reason, Receiver, Refusal, Scan, Side, State, Trailers,
};

/// Head limit.
const LIMIT: u32 = 96;
/// Answers of the router, at the most; a head without one stays.
const ANSWERS_MAX: u8 = 8;

/// What the router says to a head.
#[derive(Clone, Copy, Debug)]
struct Reply {
    framing: Framing,
    discard: bool,
    /// After so many bytes of the body the move is stopped, and the rest discarded. The
    /// first try after no byte may go on as it was.
    stop: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// A head of so many bytes.
    Head(u32),
    /// So many bytes hold no end of a head.
    OverLimit(u32),
    /// The router stopped a body of which so many bytes were taken.
    Stopped(u64),
    /// A body ended like this. Content that was sent on, and that was thrown away; bytes
    /// taken.
    Body(Ending, Vec<u8>, Vec<u8>, u64),
    /// FIN between messages, or in a head.
    End(Reason),
    /// A head awaits the router for ever.
    Waits,
}

/// The input is a byte of flags, replies of three bytes (their number in the flags), and
/// what the peer sends, FIN after it.
pub fn check(input: &[u8]) {
    let Some((&flags, rest)) = input.split_first() else {
        return;
    };
    let side = if flags & 0x80 == 0 {
        Side::Front
    } else {
        Side::Back
    };
    let prelude = flags & 0x40 != 0;
    let replies = usize::from(flags & 0x3f).min(ANSWERS_MAX.into()) * 3;
    let (replies, wire) = rest.split_at(replies.min(rest.len()));
    let replies: Vec<Reply> = replies.chunks_exact(3).map(reply).collect();

    let expected = plain(&replies, wire, prelude);
    let run = |cuts: &[usize]| Half::new(side, prelude, &replies).run(wire, cuts);
    assert_eq!(run(&[]), expected);
    assert_eq!(run(&(0..wire.len()).collect::<Vec<_>>()), expected);
    for cut in crate::cuts(wire.len()) {
        assert_eq!(run(&[cut]), expected);
    }
}

fn reply(bytes: &[u8]) -> Reply {
    let [kind, length, stop] = [0, 1, 2].map(|n| bytes[n]);
    Reply {
        framing: match kind & 7 {
            0 => Framing::None,
            1 => Framing::Length(length.into()),
            2 => Framing::UntilClose,
            3 => Framing::Tunnel,
            4 => Framing::Length(u64::MAX - u64::from(length)),
            _ => Framing::Chunked,
        },
        discard: kind & 8 != 0,
        stop: (kind & 16 != 0).then_some(stop.into()),
    }
}

/// The conversation by the whole bytes.
fn plain(replies: &[Reply], wire: &[u8], prelude: bool) -> Vec<Told> {
    let mut told = Vec::new();
    let mut replies = replies.iter();
    let (mut rest, mut front) = (wire, prelude);
    loop {
        let len = match head::verdict(rest, LIMIT, front) {
            Scan::Done { len } => len,
            Scan::OverLimit { len } => {
                told.extend([Told::OverLimit(len), Told::Waits]);
                return told;
            }
            Scan::NeedMore => {
                let reason = if head::has_text(rest, front) {
                    Reason::FinInHead
                } else {
                    Reason::Fin
                };
                told.push(Told::End(reason));
                return told;
            }
        };
        told.push(Told::Head(len));
        front = false;
        rest = &rest[len as usize..];
        let Some(reply) = replies.next() else {
            told.push(Told::Waits);
            return told;
        };
        let (used, ending) = match reply.framing {
            Framing::None | Framing::Length(0) => continue,
            Framing::Length(length) if length <= rest.len() as u64 => {
                (length as usize, Ending::Complete)
            }
            Framing::Length(_) => (rest.len(), Ending::Truncated),
            Framing::UntilClose | Framing::Tunnel => (rest.len(), Ending::Complete),
            Framing::Chunked => {
                let seen = read(rest, &[], 0);
                let ending = match seen.end {
                    End::Whole => Ending::Complete,
                    End::More(_) => Ending::Truncated,
                    End::Bad(_) => Ending::Malformed,
                };
                (seen.used, ending)
            }
        };
        let content = |n: usize| match reply.framing {
            Framing::Chunked => read(&rest[..n], &[], 0).content,
            _ => rest[..n].to_vec(),
        };
        let stop = reply.stop.map(|n| n as usize);
        // A body can be stopped while there is more of it, or what is wrong.
        let stop =
            stop.filter(|n| *n < used || *n == 0 || (*n == used && ending == Ending::Malformed));
        let all = content(used);
        let sent = match (reply.discard, stop) {
            (true, _) => Vec::new(),
            (false, None | Some(0)) => all.clone(),
            (false, Some(n)) => content(n),
        };
        told.extend(stop.map(|n| Told::Stopped(n as u64)));
        let thrown = all[sent.len()..].to_vec();
        told.push(Told::Body(ending, sent, thrown, used as u64));
        if ending != Ending::Complete || reply.framing.ends_by_fin() {
            return told;
        }
        rest = &rest[used..];
    }
}

/// An engine around one receiving half.
struct Half<'a> {
    receiver: Receiver,
    replies: std::slice::Iter<'a, Reply>,
    reply: Option<Reply>,
    /// Bytes of the socket.
    socket: Vec<u8>,
    sent: Vec<u8>,
    thrown: Vec<u8>,
    told: Vec<Told>,
    /// Bytes dropped with heads or taken with bodies.
    gone: usize,
    over: bool,
}

impl<'a> Half<'a> {
    fn new(side: Side, prelude: bool, replies: &'a [Reply]) -> Self {
        Self {
            receiver: match prelude {
                true => Receiver::with_prelude(side, LIMIT),
                false => Receiver::new(side, LIMIT),
            },
            replies: replies.iter(),
            reply: None,
            socket: Vec::new(),
            sent: Vec::new(),
            thrown: Vec::new(),
            told: Vec::new(),
            gone: 0,
            over: false,
        }
    }

    fn run(mut self, wire: &[u8], cuts: &[usize]) -> Vec<Told> {
        let mut came = 0;
        for &cut in cuts.iter().chain([&wire.len()]) {
            self.socket.extend_from_slice(&wire[came..cut]);
            came = cut;
            while !self.over && self.step() {}
            assert_eq!(self.gone + self.socket.len(), came);
        }
        if !self.over {
            self.fin();
        }
        self.told
    }

    /// Does one thing; false if there is nothing to do before more bytes come.
    fn step(&mut self) -> bool {
        match self.receiver.state() {
            State::Collecting(scan) => {
                assert_eq!(self.receiver.scanned(), scan.seen());
                let new = &self.socket[scan.seen() as usize..];
                self.receiver.scan(new)
            }
            State::Ready { len, over_limit } => self.answer(len, over_limit),
            State::Moving { discard, .. } => self.move_on(discard),
            State::Parked(_) | State::Ended(_) => unreachable!("dealt with where it began"),
        }
    }

    fn answer(&mut self, len: u32, over_limit: bool) -> bool {
        let generation = self.receiver.generation();
        self.told.push(match over_limit {
            true => Told::OverLimit(len),
            false => Told::Head(len),
        });
        let heads = self
            .told
            .iter()
            .filter(|t| matches!(t, Told::Head(_) | Told::OverLimit(_)));
        assert_eq!(generation as usize, heads.count());
        let stale = self.receiver.answer(generation + 1, Framing::None, false);
        assert_eq!(stale, Err(Refusal::Stale { have: generation }));
        if over_limit {
            let refused = self.receiver.answer(generation, Framing::None, true);
            assert_eq!(refused, Err(Refusal::OverLimit));
        }
        self.reply = self.replies.next().copied().filter(|_| !over_limit);
        let Some(reply) = self.reply else {
            self.told.push(Told::Waits);
            self.over = true;
            return false;
        };
        let answer = self
            .receiver
            .answer(generation, reply.framing, reply.discard);
        let answer = answer.expect("a head that waits can be answered");
        assert_eq!(answer.drop_head, len);
        self.gone += len as usize;
        self.socket.drain(..len as usize);
        true
    }

    fn move_on(&mut self, discard: bool) -> bool {
        let before = self.receiver.taken();
        let stop = self.reply.and_then(|reply| reply.stop);
        let left = stop.map_or(u64::MAX, |stop| stop - before);
        let next = self.receiver.next();
        if next == Next::Over {
            self.end_body(Ending::Complete);
            assert!(self.receiver.finish());
            return true;
        }
        if left == 0 && (before == 0 || !self.socket.is_empty()) {
            return self.stop(discard);
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.socket.len());
        let used = match next {
            Next::Content(content) => {
                let n = most.min(usize::try_from(content).unwrap_or(usize::MAX));
                self.receiver.take(n as u64);
                n
            }
            _ => {
                let mut len = 0;
                let trailers = &mut Trailers::new(b"", &mut [], &mut len);
                match self.receiver.look(&self.socket[..most], trailers) {
                    Ok(used) => used,
                    Err(_) => {
                        self.end_body(Ending::Malformed);
                        assert!(self.receiver.malformed());
                        self.over = true;
                        return false;
                    }
                }
            }
        };
        let bytes: Vec<u8> = self.socket.drain(..used).collect();
        self.gone += used;
        assert_eq!(self.receiver.taken(), before + used as u64);
        if let Next::Content(_) = next {
            match discard {
                true => self.thrown.extend(bytes),
                false => self.sent.extend(bytes),
            }
        }
        used > 0
    }

    /// The router stops the move, and has the rest thrown away.
    fn stop(&mut self, discard: bool) -> bool {
        let taken = self.receiver.taken();
        let generation = self.receiver.generation();
        let Some(reply) = &mut self.reply else {
            unreachable!("a body moves because of a reply");
        };
        reply.stop = None;
        let framing = reply.framing;
        assert_eq!(self.receiver.park(), Ok(taken));
        assert_eq!(self.receiver.park(), Err(Refusal::Idle));
        self.told.push(Told::Stopped(taken));
        let again = self.receiver.answer(generation, framing, discard);
        if taken > 0 && !discard {
            assert_eq!(again, Err(Refusal::Taken(taken)));
            assert!(self.receiver.answer(generation, framing, true).is_ok());
        } else {
            assert!(again.is_ok_and(|answer| answer.moving && answer.drop_head == 0));
        }
        assert_eq!(self.receiver.taken(), taken);
        true
    }

    fn end_body(&mut self, ending: Ending) {
        self.told.push(Told::Body(
            ending,
            std::mem::take(&mut self.sent),
            std::mem::take(&mut self.thrown),
            self.receiver.taken(),
        ));
    }

    fn fin(&mut self) {
        match self.receiver.fin() {
            Fin::MoveEnded(ending) => self.end_body(ending),
            Fin::Ended => {}
            Fin::Later => panic!("FIN comes later, but nothing awaits the router"),
        }
        let State::Ended(reason) = self.receiver.state() else {
            panic!("no end after FIN");
        };
        if let Reason::Fin | Reason::FinInHead = reason {
            self.told.push(Told::End(reason));
        }
    }
}
