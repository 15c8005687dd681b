// SPDX-License-Identifier: GPL-2.0
//! The receiving half of a queue, written a second time: as plain as possible, over whole
//! bytes, from `docs/netlink.md` and not from `receiver.rs`.

use super::second::chunked::{read, End};
use super::second::head;
use proptest::collection::vec;
use proptest::prelude::*;
use underpass_framing::{Framing, Malformed, Next, Receiver, Scan, State, Trailers};

/// Head limit of both.
pub const LIMIT: u32 = 32;
/// Bytes that are taken of a chunk at once: the model keeps them.
const CHUNK_TAKE: u64 = 64;

/// What happens to a queue.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Bytes arrive while a head is collected.
    Scan(Vec<u8>),
    /// The router answers: generation relative to the current one, framing, discard.
    Answer(i32, Framing, bool),
    /// So many body bytes are taken, or as many as are allowed.
    Take(u64),
    /// Bytes of the body that are no content are looked at.
    Look(Vec<u8>),
    /// What was looked at last made no sense, and the router hears of it.
    Malformed,
    /// What was taken is where it belongs.
    Finish,
    /// The router cancels, or the target breaks.
    Park,
    /// FIN.
    Fin,
    /// The connection breaks.
    Broken,
    /// A new owner.
    Renew,
    /// Something is sent if all is quiet.
    Turn,
}

/// Any of them, with those that make progress more often.
pub fn operation() -> impl Strategy<Value = Operation> {
    let framing = prop_oneof![
        Just(Framing::None),
        (0u64..20).prop_map(Framing::Length),
        Just(Framing::Length(u64::MAX)),
        Just(Framing::UntilClose),
        Just(Framing::Tunnel),
        Just(Framing::Chunked),
        Just(Framing::Chunked),
    ];
    let coded = prop_oneof![
        3 => Just(&b"5\r\n"[..]),
        2 => Just(&b"\r\n"[..]),
        2 => Just(&b"0\r\n\r\n"[..]),
        1 => Just(&b"\r\n2;a\r\n"[..]),
        1 => Just(&b"0\r\nA: b\r"[..]),
        1 => Just(&b"\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b"0"[..]),
        1 => Just(&b"x"[..]),
    ];
    let bytes = prop_oneof![
        3 => Just(b"A\r\n\r\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"A\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ];
    prop_oneof![
        6 => bytes.prop_map(Operation::Scan),
        6 => (prop_oneof![6 => Just(0i32), 1 => -1i32..2], framing, any::<bool>())
            .prop_map(|(generation, framing, discard)| Operation::Answer(generation, framing, discard)),
        6 => prop_oneof![0u64..20, Just(1), Just(u64::MAX)].prop_map(Operation::Take),
        6 => coded.prop_map(|bytes| Operation::Look(bytes.to_vec())),
        1 => Just(Operation::Malformed),
        4 => Just(Operation::Finish),
        2 => Just(Operation::Park),
        1 => Just(Operation::Fin),
        1 => Just(Operation::Broken),
        1 => Just(Operation::Renew),
        1 => Just(Operation::Turn),
    ]
}

/// Does it to the real one, and says in words what came of it.
pub fn apply(receiver: &mut Receiver, operation: &Operation) -> String {
    match operation {
        Operation::Scan(bytes) => format!("ready {}", receiver.scan(bytes)),
        Operation::Answer(offset, framing, discard) => {
            let generation = receiver.generation().wrapping_add_signed(*offset);
            match receiver.answer(generation, *framing, *discard) {
                Ok(answer) => format!("drop {} moving {}", answer.drop_head, answer.moving),
                Err(refusal) => {
                    let text = format!("{refusal:?}");
                    let word = text.split([' ', '(', '{']).next().unwrap_or_default();
                    format!("refused {word}")
                }
            }
        }
        Operation::Take(bytes) => {
            if let Next::Content(most) = receiver.next() {
                let most = match receiver.state() {
                    State::Moving { body, .. } if body.framing() == Framing::Chunked => {
                        most.min(CHUNK_TAKE)
                    }
                    _ => most,
                };
                receiver.take((*bytes).min(most));
            }
            format!("whole {}", receiver.is_whole())
        }
        Operation::Look(bytes) => {
            let mut len = 0;
            let looked = match receiver.next() {
                Next::Look => receiver.look(bytes, &mut Trailers::new(b"", &mut [], &mut len)),
                _ => Ok(0),
            };
            format!("looked {looked:?}")
        }
        Operation::Malformed => format!("malformed {}", receiver.malformed()),
        Operation::Finish => format!("finished {}", receiver.finish()),
        Operation::Park => match receiver.park() {
            Ok(taken) => format!("parked {taken}"),
            Err(_) => "idle".to_owned(),
        },
        Operation::Fin => format!("{:?}", receiver.fin()),
        Operation::Broken => format!("{:?}", receiver.broken(104)),
        Operation::Turn => {
            receiver.turn();
            String::new()
        }
        Operation::Renew => {
            receiver.renew();
            String::new()
        }
    }
}

/// What the model is doing.
enum Doing {
    /// All bytes of the head so far.
    Collecting(Vec<u8>),
    /// Length of the head, and whether it is over the limit.
    Ready(u32, bool),
    /// Framing, and whether bytes are discarded.
    Moving(Framing, bool),
    Parked(Framing),
    Ended,
}

/// The model.
pub struct Model {
    front: bool,
    doing: Doing,
    /// Bytes taken of the body that moves or is parked.
    body: u64,
    /// The same bytes of a chunked body, and the one that is wrong, if there is any.
    coded: Vec<u8>,
    pub generation: u32,
    /// Bytes taken of the last body.
    pub taken: u64,
}

impl Model {
    pub fn new(front: bool) -> Self {
        Self {
            front,
            doing: Doing::Collecting(Vec::new()),
            body: 0,
            coded: Vec::new(),
            generation: 0,
            taken: 0,
        }
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.doing, Doing::Ended)
    }

    /// Whether the bytes that move are thrown away; none while nothing moves.
    pub fn discards(&self) -> Option<bool> {
        match self.doing {
            Doing::Moving(_, discard) => Some(discard),
            _ => None,
        }
    }

    /// What the next byte is.
    pub fn next(&self) -> Next {
        let content = match self.doing {
            Doing::Moving(Framing::Length(length), _) => length - self.body,
            Doing::Moving(Framing::UntilClose | Framing::Tunnel, _) => u64::MAX - self.body,
            Doing::Moving(Framing::Chunked, _) => match read(&self.coded, &[], 0).end {
                End::Whole => 0,
                End::More(0) | End::Bad(_) => return Next::Look,
                End::More(content) => content,
            },
            _ => 0,
        };
        match content {
            0 => Next::Over,
            content => Next::Content(content),
        }
    }

    pub fn apply(&mut self, operation: &Operation) -> String {
        match operation {
            Operation::Scan(bytes) => self.scan(bytes),
            Operation::Answer(offset, framing, discard) => self.answer(*offset, *framing, *discard),
            Operation::Take(bytes) => self.take(*bytes),
            Operation::Look(bytes) => format!("looked {:?}", self.look(bytes)),
            Operation::Malformed => {
                let moves = matches!(self.doing, Doing::Moving(..));
                if moves {
                    self.doing = Doing::Ended;
                }
                format!("malformed {moves}")
            }
            Operation::Finish => self.finish(),
            Operation::Park => self.park(),
            Operation::Fin => self.fin(),
            Operation::Broken => self.broken(),
            Operation::Turn => {
                if matches!(self.doing, Doing::Collecting(_)) {
                    self.generation += 1;
                }
                String::new()
            }
            Operation::Renew => {
                if matches!(self.doing, Doing::Ready(..) | Doing::Parked(_)) {
                    self.generation += 1;
                }
                String::new()
            }
        }
    }

    fn scan(&mut self, bytes: &[u8]) -> String {
        if let Doing::Collecting(head) = &mut self.doing {
            head.extend_from_slice(bytes);
            let (length, over) = match head::verdict(head, LIMIT, false) {
                Scan::NeedMore => return "ready false".to_owned(),
                Scan::Done { len } => (len, false),
                Scan::OverLimit { len } => (len, true),
            };
            self.doing = Doing::Ready(length, over);
            self.generation += 1;
        }
        format!("ready {}", matches!(self.doing, Doing::Ready(..)))
    }

    fn answer(&mut self, offset: i32, framing: Framing, discard: bool) -> String {
        if offset != 0 {
            return "refused Stale".to_owned();
        }
        let (dropped, fresh) = match self.doing {
            Doing::Ready(_, true) => return "refused OverLimit".to_owned(),
            Doing::Ready(length, false) => (length, true),
            Doing::Parked(other) if other != framing => return "refused OtherFraming".to_owned(),
            Doing::Parked(_) if self.body > 0 && !discard => return "refused Taken".to_owned(),
            Doing::Parked(_) => (0, false),
            Doing::Moving(..) => return "refused Busy".to_owned(),
            Doing::Collecting(_) => return "refused NotReady".to_owned(),
            Doing::Ended => return "refused Ended".to_owned(),
        };
        if fresh {
            self.coded.clear();
            self.body = 0;
            self.taken = 0;
        }
        self.doing = Doing::Moving(framing, discard);
        let moving = !self.is_whole();
        if !moving {
            self.doing = Doing::Collecting(Vec::new());
        }
        format!("drop {dropped} moving {moving}")
    }

    fn is_whole(&self) -> bool {
        match self.doing {
            Doing::Moving(Framing::UntilClose | Framing::Tunnel, _) => false,
            Doing::Moving(..) => self.next() == Next::Over,
            _ => false,
        }
    }

    fn take(&mut self, bytes: u64) -> String {
        let mut bytes = match self.next() {
            Next::Content(most) => bytes.min(most),
            Next::Look | Next::Over => 0,
        };
        if let Doing::Moving(Framing::Chunked, _) = self.doing {
            bytes = bytes.min(CHUNK_TAKE);
            self.coded.resize(self.coded.len() + bytes as usize, b'x');
        }
        self.count(bytes);
        format!("whole {}", self.is_whole())
    }

    fn count(&mut self, bytes: u64) {
        if let Doing::Moving(..) = self.doing {
            self.body += bytes;
            self.taken = self.body;
        }
    }

    fn look(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        if self.next() != Next::Look {
            return Ok(0);
        }
        let before = self.body as usize;
        if let End::Bad(why) = read(&self.coded, &[], 0).end {
            return Err(why);
        }
        let all = [&self.coded[..], bytes].concat();
        // Up to where content begins: that is not looked at.
        let fits =
            (before..=all.len()).find(|&n| !matches!(read(&all[..n], &[], 0).end, End::More(0)));
        let seen = read(&all[..fits.unwrap_or(all.len())], &[], 0);
        // The byte that is wrong is kept, but not counted.
        let wrong = usize::from(matches!(seen.end, End::Bad(_)));
        self.coded = all[..seen.used + wrong].to_vec();
        let used = seen.used - before;
        self.count(used as u64);
        match seen.end {
            End::Bad(why) if used == 0 => Err(why),
            _ => Ok(used),
        }
    }

    fn finish(&mut self) -> String {
        let whole = self.is_whole();
        if whole {
            self.doing = Doing::Collecting(Vec::new());
        }
        format!("finished {whole}")
    }

    fn park(&mut self) -> String {
        let Doing::Moving(framing, _) = self.doing else {
            return "idle".to_owned();
        };
        self.doing = Doing::Parked(framing);
        format!("parked {}", self.taken)
    }

    fn fin(&mut self) -> String {
        let told = match self.doing {
            Doing::Ready(..) | Doing::Parked(_) | Doing::Ended => return "Later".to_owned(),
            Doing::Collecting(_) => "Ended",
            Doing::Moving(Framing::UntilClose | Framing::Tunnel, _) => "MoveEnded(Complete)",
            Doing::Moving(..) if self.is_whole() => "MoveEnded(Complete)",
            Doing::Moving(..) => "MoveEnded(Truncated)",
        };
        self.doing = Doing::Ended;
        told.to_owned()
    }

    fn broken(&mut self) -> String {
        let told = match self.doing {
            Doing::Ended => return "Later".to_owned(),
            Doing::Ready(..) if !self.front => return "Later".to_owned(),
            Doing::Moving(..) => "MoveEnded(SourceError(104))",
            _ => "Ended",
        };
        self.doing = Doing::Ended;
        told.to_owned()
    }
}
