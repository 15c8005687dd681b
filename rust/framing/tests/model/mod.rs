// SPDX-License-Identifier: GPL-2.0
//! The receiving half of a queue, written a second time: as plain as possible, over whole
//! bytes, from `docs/netlink.md` and not from `receiver.rs`.

use proptest::collection::vec;
use proptest::prelude::*;
use underpass_framing::{Framing, Next, Receiver};

/// Head limit of both.
pub const LIMIT: u32 = 32;

/// What happens to a queue.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Bytes arrive while a head is collected.
    Scan(Vec<u8>),
    /// The router answers: generation relative to the current one, framing, discard.
    Answer(i32, Framing, bool),
    /// So many body bytes are taken, or as many as are allowed.
    Take(u64),
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
}

/// Any of them, with those that make progress more often.
pub fn operation() -> impl Strategy<Value = Operation> {
    let framing = prop_oneof![
        Just(Framing::None),
        (0u64..20).prop_map(Framing::Length),
        Just(Framing::Length(u64::MAX)),
        Just(Framing::UntilClose),
        Just(Framing::Tunnel),
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
        6 => prop_oneof![0u64..20, Just(u64::MAX)].prop_map(Operation::Take),
        4 => Just(Operation::Finish),
        2 => Just(Operation::Park),
        1 => Just(Operation::Fin),
        1 => Just(Operation::Broken),
        1 => Just(Operation::Renew),
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
                receiver.take((*bytes).min(most));
            }
            format!("whole {}", receiver.is_whole())
        }
        Operation::Finish => format!("finished {}", receiver.finish()),
        Operation::Park => match receiver.park() {
            Ok(taken) => format!("parked {taken}"),
            Err(_) => "idle".to_owned(),
        },
        Operation::Fin => format!("{:?}", receiver.fin()),
        Operation::Broken => format!("{:?}", receiver.broken(104)),
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

    pub fn allowance(&self) -> u64 {
        match self.doing {
            Doing::Moving(Framing::Length(length), _) => length - self.body,
            Doing::Moving(Framing::UntilClose | Framing::Tunnel, _) => u64::MAX - self.body,
            _ => 0,
        }
    }

    pub fn apply(&mut self, operation: &Operation) -> String {
        match operation {
            Operation::Scan(bytes) => self.scan(bytes),
            Operation::Answer(offset, framing, discard) => self.answer(*offset, *framing, *discard),
            Operation::Take(bytes) => self.take(*bytes),
            Operation::Finish => self.finish(),
            Operation::Park => self.park(),
            Operation::Fin => self.fin(),
            Operation::Broken => self.broken(),
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
            let end = end_of_head(head);
            let limit = LIMIT as usize;
            let found = match end {
                Some(end) if end <= limit => Some((end, false)),
                _ if head.len() >= limit => Some((limit, true)),
                _ => None,
            };
            if let Some((length, over)) = found {
                self.doing = Doing::Ready(length as u32, over);
                self.generation += 1;
            }
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
            self.body = 0;
            self.taken = 0;
        }
        let moving = match framing {
            Framing::None => false,
            Framing::Length(length) => length > self.body,
            Framing::UntilClose | Framing::Tunnel => true,
            Framing::Chunked => unreachable!("a model of its own has chunked bodies"),
        };
        self.doing = if moving {
            Doing::Moving(framing, discard)
        } else {
            Doing::Collecting(Vec::new())
        };
        format!("drop {dropped} moving {moving}")
    }

    fn is_whole(&self) -> bool {
        matches!(self.doing, Doing::Moving(Framing::Length(length), _) if length == self.body)
    }

    fn take(&mut self, bytes: u64) -> String {
        let bytes = bytes.min(self.allowance());
        if let Doing::Moving(..) = self.doing {
            self.body += bytes;
            self.taken = self.body;
        }
        format!("whole {}", self.is_whole())
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

/// The first empty line after a line with text; bare LF ends lines too.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let start = bytes.iter().position(|b| !b"\r\n".contains(b))?;
    let mut line = start;
    loop {
        let end = line + bytes.get(line..)?.iter().position(|&b| b == b'\n')?;
        let text = bytes.get(line..end)?;
        if line > start && (text.is_empty() || text == b"\r") {
            return Some(end + 1);
        }
        line = end + 1;
    }
}
