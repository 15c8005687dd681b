// SPDX-License-Identifier: GPL-2.0
//! Whatever the engine, the clock and the peers do: what an exchange promises holds.

use proptest::prelude::*;

use underpass_proto::Relayed;

use super::*;

const REQUESTS: [&str; 9] = [
    PUT,
    GET,
    POST,
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 3\r\n\r\n",
];

const RESPONSES: [&str; 12] = [
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early\r\n\r\n",
    "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 101 Go\r\nUpgrade: other\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 204 No\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 421 No\r\nContent-Length: 3\r\n\r\n",
    "HTTP/1.1 413 Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
    "nonsense\r\n\r\n",
];

const RESULTS: [ForwardResult; 10] = [
    ForwardResult::Complete,
    ForwardResult::Cancelled,
    ForwardResult::Truncated,
    ForwardResult::SourceError,
    ForwardResult::TargetError,
    ForwardResult::Malformed,
    ForwardResult::SourceStalled,
    ForwardResult::TargetStalled,
    ForwardResult::SourceSlow,
    ForwardResult::TargetSlow,
];

#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Connected {
        reused: bool,
    },
    ConnectFailed,
    BackHead(usize),
    FrontDone(usize, bool),
    BackDone(usize),
    /// The engine passed a response on: its end, if it has a body that has one yet.
    Passed(Option<usize>),
    TakenBack,
    FrontClosed(bool),
    BackClosed(bool),
    Refused(bool),
    Wait(u64),
    Stop,
}

pub(super) fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => any::<bool>().prop_map(|reused| Input::Connected { reused }),
        1 => Just(Input::ConnectFailed),
        5 => (0..RESPONSES.len()).prop_map(Input::BackHead),
        3 => (0..RESULTS.len(), any::<bool>()).prop_map(|(r, t)| Input::FrontDone(r, t)),
        3 => (0..RESULTS.len()).prop_map(Input::BackDone),
        2 => prop::option::of(0..RESULTS.len()).prop_map(Input::Passed),
        2 => Just(Input::TakenBack),
        1 => any::<bool>().prop_map(Input::FrontClosed),
        1 => any::<bool>().prop_map(Input::BackClosed),
        1 => any::<bool>().prop_map(Input::Refused),
        1 => (1..20_000u64).prop_map(Input::Wait),
        // Longer than any limit.
        1 => Just(Input::Wait(1_000_000)),
        1 => Just(Input::Stop),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    let mode = prop_oneof![
        Just(Mode::Ask),
        Just(Mode::Optimistic),
        Just(Mode::AskOver(5))
    ];
    let silence = prop_oneof![
        Just(OnSilence::ByMethod),
        Just(OnSilence::Decline),
        Just(OnSilence::Forward)
    ];
    let all = prop_oneof![Just(AllDeclined::Relay), Just(AllDeclined::Unavailable)];
    (mode, silence, all, any::<bool>()).prop_map(|(mode, on_silence, all_declined, any)| Terms {
        mode,
        on_silence,
        all_declined,
        retry_any: any,
        connect: any,
        ..Terms::default()
    })
}

/// What an exchange may and may not do, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) connecting: bool,
    /// Back queues, and whether they were ended or given back.
    pub(super) backs: Vec<(u32, bool)>,
    /// Where a body of the client moves to.
    pub(super) up: Option<u32>,
    pub(super) down: bool,
    /// The next head of the back-end may be passed on by the engine, or was not to be any more
    /// when it did.
    pub(super) armed: bool,
    pub(super) taking_back: bool,
    /// A command about the back-end may still be refused.
    pub(super) refusable: bool,
    /// A head of the back-end has not been answered: nothing more of it comes before.
    pub(super) waiting: bool,
    /// Somebody got bytes of the client's body.
    pub(super) taken: bool,
    pub(super) up_complete: bool,
    pub(super) down_complete: bool,
    pub(super) front_ended: bool,
    pub(super) head_dropped: bool,
    pub(super) finals: u32,
    /// What the next router would be told.
    pub(super) note: u64,
    pub(super) finished: Option<bool>,
}

impl Watch {
    fn see(&mut self, action: &Action) {
        assert_eq!(self.finished, None, "after the end: {action:?}");
        match action {
            Action::Connect { .. } => {
                assert!(!self.connecting && self.open().is_none(), "two at once");
                self.connecting = true;
            }
            Action::TakeBack { queue } => {
                assert_eq!(self.open(), Some(*queue));
                assert!(!self.taking_back, "twice");
                self.taking_back = true;
            }
            Action::Release { queue } => {
                assert!(self.up_complete && self.down_complete, "released too early");
                self.end(*queue);
            }
            Action::Finished { keep } => {
                assert_eq!(self.front_ended, !keep, "the client's connection");
                assert_eq!(self.open(), None, "a back-end's connection is forgotten");
                assert!(
                    !keep || (self.head_dropped && self.up_complete),
                    "the next request"
                );
                self.finished = Some(*keep);
            }
            Action::Command(command, tag) => {
                self.refusable |= *tag == Tag::IntoBack;
                self.command(command);
            }
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Send { id, data, note, .. } => {
                self.speak(*id, data);
                self.note = note.unwrap_or(self.note);
            }
            Command::Route {
                id,
                to,
                body,
                data,
                relay,
                ..
            } => {
                self.speak(*to, data);
                assert!(!self.armed, "the engine may have answered the last attempt");
                self.armed = relay.is_some();
                self.moves(*id, Some(*to), body);
            }
            Command::Forward { id, to, body, .. } => self.moves(*id, *to, body),
            Command::QueueAbort { id } | Command::QueueDel { id } | Command::Drain { id, .. } => {
                self.end(*id);
            }
            Command::Cancel { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn speak(&mut self, to: u32, data: &[u8]) {
        if to != FRONT {
            assert_eq!(self.open(), Some(to), "a queue that was ended");
            return;
        }
        assert!(!self.front_ended && !self.down);
        assert!(!self.armed, "the engine may speak, too");
        let status = data.get(9..12).unwrap_or_default();
        if status == b"101" || status > &b"199"[..] {
            self.finals += 1;
            assert_eq!(self.finals, 1, "two final responses");
        }
    }

    fn moves(&mut self, from: u32, to: Option<u32>, body: &Body) {
        self.note = body.note.unwrap_or(self.note);
        let has_body = body.framing != Framing::None;
        if from == FRONT {
            assert!(!self.front_ended);
            assert!(to.is_none_or(|to| self.open() == Some(to)));
            assert!(!(self.taken && to.is_some()), "a body begins twice");
            self.head_dropped = true;
            self.up = to.filter(|_| has_body);
            self.up_complete = !has_body;
        } else {
            self.waiting = false;
            self.down = has_body;
            let is_final = self.finals == 1;
            self.down_complete |= !has_body && is_final;
        }
    }

    fn open(&self) -> Option<u32> {
        let (queue, ended) = self.backs.last()?;
        (!ended).then_some(*queue)
    }

    fn end(&mut self, id: u32) {
        if id == FRONT {
            assert!(!self.front_ended, "ended twice");
            self.front_ended = true;
            return;
        }
        let back = self.backs.iter_mut().find(|(queue, _)| *queue == id);
        let (_, ended) = back.expect("a queue of this exchange");
        assert!(!*ended, "ended twice");
        // An armed one may have been answered already: `armed` stays.
        *ended = true;
        self.taking_back = false;
    }
}

fn run(scene: &mut Scene, watch: &mut Watch, input: Input) {
    let now = scene.now;
    let exchange = &mut scene.exchange;
    match input {
        Input::Connected { reused } if watch.connecting => {
            watch.connecting = false;
            let queue = 10 + watch.backs.len() as u32;
            watch.backs.push((queue, false));
            watch.waiting = false;
            exchange.connected(queue, reused, Vec::new(), now);
        }
        Input::ConnectFailed if watch.connecting => {
            watch.connecting = false;
            exchange.connect_failed(Verdict::Down, now);
        }
        Input::BackHead(nth) => {
            let busy = watch.waiting || watch.down;
            if let Some(queue) = watch.open().filter(|_| !busy) {
                watch.waiting = true;
                watch.armed = false;
                watch.taking_back = false;
                exchange.back_head(&head(queue, RESPONSES[nth]), now);
            }
        }
        Input::FrontDone(result, taken) => {
            if watch.up.take().is_some() {
                watch.refusable = false;
                let result = RESULTS[result];
                let taken = taken || result == ForwardResult::Complete;
                watch.taken |= taken;
                watch.armed &= result == ForwardResult::Complete;
                watch.up_complete = result == ForwardResult::Complete;
                exchange.front_done(&done(FRONT, result, taken.into()), now);
            }
        }
        Input::BackDone(result) => {
            if watch.down {
                watch.down = false;
                let result = RESULTS[result];
                watch.down_complete = result == ForwardResult::Complete;
                let queue = watch.open().unwrap_or_default();
                exchange.back_done(&done(queue, result, 5), now);
            }
        }
        Input::Passed(end) => {
            let whole = watch.up.is_none() && !watch.waiting;
            if let Some(queue) = watch.open().filter(|_| watch.armed && whole) {
                watch.armed = false;
                watch.taking_back = false;
                watch.finals += 1;
                watch.note |= 1 << 63;
                assert_eq!(watch.finals, 1, "two final responses");
                let Some(result) = end.map(|end| RESULTS[end]) else {
                    watch.down = true;
                    let relayed = Relayed {
                        id: queue,
                        generation: 3,
                        to: FRONT,
                        status: 200,
                    };
                    return exchange.relayed(&relayed, now);
                };
                watch.down_complete = result == ForwardResult::Complete;
                let done = Done {
                    status: Some(200),
                    ..done(queue, result, 5)
                };
                exchange.back_done(&done, now);
            }
        }
        Input::TakenBack => {
            if let Some(queue) = watch.open().filter(|_| watch.armed && watch.taking_back) {
                watch.armed = false;
                watch.taking_back = false;
                exchange.back_done(&done(queue, ForwardResult::Cancelled, 0), now);
            }
        }
        Input::FrontClosed(reset) => exchange.front_closed(&closed(FRONT, reason(reset)), now),
        Input::BackClosed(reset) => {
            let busy = watch.waiting || watch.down;
            if let Some(queue) = watch.open().filter(|_| !busy) {
                watch.armed = false;
                exchange.back_closed(&closed(queue, reason(reset)), now);
            }
        }
        Input::Refused(true) if watch.refusable => {
            watch.refusable = false;
            watch.up = None;
            watch.armed = false;
            exchange.refused(Tag::IntoBack, now);
        }
        Input::Refused(false) => exchange.refused(Tag::IntoFront, now),
        Input::Wait(ms) => {
            scene.now += Duration::from_millis(ms);
            exchange.timeout(scene.now);
        }
        Input::Stop => exchange.stop(),
        Input::Connected { .. } | Input::ConnectFailed | Input::Refused(true) => {}
    }
}

fn reason(reset: bool) -> Reason {
    if reset {
        Reason::Reset
    } else {
        Reason::Fin
    }
}

/// Plays it all, and looks after each of it.
pub(super) fn play(mut scene: Scene, mut watch: Watch, inputs: Vec<Input>) {
    let look = |scene: &mut Scene, watch: &mut Watch| {
        for action in scene.actions() {
            if matches!(action, Action::Finished { .. }) || watch.connecting {
                // A late connection of an attempt that is over is the shell's to close.
                watch.connecting = false;
            }
            watch.see(&action);
        }
        let waits = watch.connecting || watch.up.is_some() || watch.down;
        let answered = note::Note::of(watch.note).is_some_and(|note| note.answered);
        assert_eq!(
            answered,
            watch.finals == 1,
            "what the next router would wait for"
        );
        let goes_on = waits || scene.exchange.deadline().is_some();
        assert!(goes_on || watch.finished.is_some(), "stuck");
    };
    look(&mut scene, &mut watch);
    for input in inputs {
        run(&mut scene, &mut watch, input);
        look(&mut scene, &mut watch);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold(
        request in 0..REQUESTS.len(),
        terms in terms(),
        backends in 0u16..4,
        inputs in prop::collection::vec(input(), 0..40),
    ) {
        let scene = Scene::new(REQUESTS[request], backends, terms);
        play(scene, Watch::default(), inputs);
    }
}
