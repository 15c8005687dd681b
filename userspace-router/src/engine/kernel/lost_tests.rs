// SPDX-License-Identifier: GPL-2.0
//! What the engine does when it cannot learn what it missed. The module is not needed: of a family that
//! nobody has, the kernel refuses every dump. Time is tokio's own here: it goes on when there is nothing else to do.

use std::time::Duration;

use netlink_sys::{protocols::NETLINK_GENERIC, Socket};
use tokio::time::{timeout, Instant};
use underpass_proto::Command;

use super::pending::{Entry, Wants};
use super::socket::Channel;
use super::{advised, Refused, ENOBUFS, ENOENT, ENOMEM, EPERM};
use super::{Engine, EngineError, Incoming, KernelEngine, Token, AGAIN, DUMPS};

/// A netlink port that nobody has.
const NOWHERE: u32 = 0x7fff_fff1;

/// One that missed something, and asked in vain so often.
fn engine(in_vain: u32) -> KernelEngine {
    let mut engine = KernelEngine::over(Channel::of_nobody().expect("a netlink socket"));
    engine.lost = true;
    engine.in_vain = in_vain;
    let cancel = Entry {
        sequence: 1,
        token: Token(5),
        name: "cancel",
        wants: Wants::Cancel(7, 1),
    };
    engine.pending.push(cancel);
    engine
}

/// What it tells within `patience`.
async fn told(
    engine: &mut KernelEngine,
    patience: Duration,
) -> Option<Result<Vec<Incoming>, EngineError>> {
    let mut out = Vec::new();
    let outcome = timeout(patience, engine.wait(&mut out)).await.ok()?;
    Some(outcome.map(|()| out))
}

#[tokio::test(start_paused = true)]
async fn a_refused_dump_settles_nothing_and_is_asked_for_again() {
    let mut engine = engine(0);
    let first = told(&mut engine, AGAIN / 4).await;
    assert!(first.is_none(), "{first:?}");
    assert_eq!(engine.in_vain, 1);
    let second = told(&mut engine, AGAIN).await;
    assert!(second.is_none(), "{second:?}");
    assert_eq!(engine.in_vain, 2);
    assert!(engine.pending.take(1).is_some(), "it was given up");
}

#[tokio::test(start_paused = true)]
async fn dumps_that_are_always_refused_end_the_engine() {
    let outcome = told(&mut engine(DUMPS - 1), AGAIN * 10).await;
    let is_over = matches!(&outcome, Some(Err(EngineError::Failed(_))));
    assert!(is_over, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_could_not_be_sent_is_sent_later() {
    let mut engine = engine(DUMPS - 2);
    engine.channel.lead(NOWHERE).expect("it leads nowhere");
    let first = told(&mut engine, AGAIN / 4).await;
    assert!(first.is_none(), "{first:?}");
    engine.channel.lead(0).expect("it leads to the kernel");
    // Nothing else comes that could wake it. The kernel's answer is the last refusal that it bears.
    let outcome = told(&mut engine, AGAIN * 10).await;
    assert!(matches!(outcome, Some(Err(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dump_of_which_nothing_comes_is_asked_for_again() {
    let mut engine = engine(DUMPS - 1);
    engine.dump = Some((2, Vec::new()));
    let outcome = told(&mut engine, AGAIN * 10).await;
    assert!(matches!(outcome, Some(Err(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_ends_a_queue_and_met_no_memory_is_given_again() {
    let mut engine = engine(0);
    engine.lost = false;
    for (number, errno) in [(7, ENOMEM), (8, ENOBUFS), (9, ENOENT)] {
        let command = Command::QueueAbort { id: number };
        engine.submit(command, Token(number.into()));
        let entry = engine.pending.take(engine.sequence).expect("just given");
        engine.batch.clear();
        engine.undone(entry, errno, String::new());
    }
    // One is gone, and of it is told; the others are given again, and are refused by this kernel.
    let mut told_of = Vec::new();
    while told_of.len() < 3 {
        for incoming in told(&mut engine, AGAIN * 2)
            .await
            .expect("news")
            .expect("no error")
        {
            let Incoming::Refused { token, refusal } = incoming else {
                panic!("{incoming:?}");
            };
            told_of.push((token.0, refusal.errno));
        }
    }
    assert_eq!(told_of, [(9, ENOENT), (7, ENOENT), (8, ENOENT)]);
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_a_beginning_needs_is_asked_for_again_where_that_may_help() {
    let mut engine = engine(0);
    // Of a family that is not there. Nor will it be.
    let began = Instant::now();
    let outcome = engine.ask(&Command::QueueDump).await;
    assert!(outcome.is_err() && began.elapsed() < AGAIN, "{outcome:?}");
    // To a socket of this process, that does not answer, so that nothing of the dump comes.
    let mut deaf = Socket::new(NETLINK_GENERIC).expect("a netlink socket");
    let port = deaf.bind_auto().expect("a port").port_number();
    engine.channel.lead(port).expect("it leads there");
    let began = Instant::now();
    let outcome = engine.ask(&Command::QueueDump).await;
    let text = outcome.expect_err("nobody answers").to_string();
    assert!(text.contains("it has no end"), "{text}");
    assert!(began.elapsed() >= AGAIN * DUMPS, "it gave up at once");
}

#[test]
fn who_may_not_is_told_who_may() {
    let refused = |errno| {
        advised(&Refused {
            command: "router-dump",
            errno,
            text: String::new(),
        })
        .to_string()
    };
    assert!(refused(EPERM).ends_with("run it as root, or with CAP_NET_ADMIN"));
    assert!(!refused(ENOENT).contains("root"));
}
