// SPDX-License-Identifier: GPL-2.0
//! What is refused, with which errno; and that it changes nothing.

use underpass_proto::gen::FramingKind::{
    self, Chunked, Length, None as Bodyless, Tunnel, UntilClose,
};
use underpass_proto::{Body, Command, Side};

use crate::scene::{
    chunked, forward, idle, leaves, length, no_body, pair, route, send, to_until_close, trailers,
    tunnel, until_close, Scene,
};

const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const ERANGE: i32 = 34;
const ENODATA: i32 = 61;
const ESTALE: i32 = 116;

#[test]
fn bodies_become_what_they_can_and_nothing_else() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Back);
    let (to, mut target) = scene.queue(Side::Front);
    let all = [Bodyless, Length, Chunked, UntilClose, Tunnel];
    let comes = [no_body(), length(3), chunked(), until_close(), tunnel()];
    for (body, own) in comes.into_iter().zip(all) {
        for other in all.into_iter().filter(|other| *other != own) {
            if matches!((own, other), (Chunked, UntilClose) | (UntilClose, Chunked)) {
                continue;
            }
            let body = leaves(body.clone(), other);
            assert_eq!(scene.refused(forward(from, 1, Some(to), body)), EINVAL);
        }
    }
    // It is as it was; and what leaves as it comes may say so.
    source.send("abc");
    scene.forward(from, Some(to), leaves(length(3), Length));
    target.expect("abc");
    scene.completes(from, 3);
}

fn with_trailers(names: &str, framing: Body, to: Option<FramingKind>) -> Body {
    Body {
        trailers: names.into(),
        leaves: to,
        ..framing
    }
}

#[test]
fn trailers_are_names_that_may_be_passed_on() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Back);
    let (to, mut target) = scene.queue(Side::Front);
    for names in [
        ",",
        "a,",
        ",a",
        "a,,b",
        "A",
        "a, b",
        "a b",
        "a:",
        "a\r\n",
        "a;b",
        "\u{e4}",
        "a,te",
        "content-length",
        "transfer-encoding",
        "x,host",
        "authorization",
    ] {
        let errno = scene.refused(forward(from, 1, Some(to), trailers(names)));
        assert_eq!(errno, EINVAL, "{names:?}");
    }
    let too_long = "a,".repeat(512) + "b";
    assert_eq!(too_long.len(), 1025);
    assert_eq!(
        scene.refused(forward(from, 1, Some(to), trailers(&too_long))),
        ERANGE
    );
    for body in [
        with_trailers("a", to_until_close(), Some(UntilClose)),
        with_trailers("a", until_close(), Some(Chunked)),
        with_trailers("a", until_close(), None),
        with_trailers("a", length(3), None),
        with_trailers("a", tunnel(), None),
    ] {
        assert_eq!(scene.refused(forward(from, 1, Some(to), body)), EINVAL);
    }
    source.send("0\r\nA: 1\r\n!#$%&'*+-.^_`|~9: 2\r\n\r\n");
    scene.forward(from, Some(to), trailers("!#$%&'*+-.^_`|~9,a"));
    assert_eq!(target.chunked().1.len(), 2);
}

#[test]
fn numbers_have_their_ranges() {
    let mut scene = Scene::new();
    let (from, mut source) = scene.source(Side::Front);
    for ms in [0, 86_400_001, u32::MAX] {
        let errno = scene.refused(forward(from, 1, None, idle(length(1), ms)));
        assert_eq!(errno, ERANGE, "{ms}");
    }
    assert_eq!(scene.refused(send(from, &[0; 65_001], false)), ERANGE);
    let drain = Command::Drain {
        id: from,
        limit_bytes: None,
        limit_ms: Some(3_600_001),
    };
    assert_eq!(scene.refused(drain), ERANGE);
    for limit in [0, 63, 65_001] {
        let (ours, _theirs) = pair();
        let socket = underpass::engine::Socket::Tcp(ours);
        let refusal = scene.try_adopt(socket, Side::Front, limit);
        assert_eq!(refusal.expect_err("out of range").errno, ERANGE, "{limit}");
    }
    source.send("x");
    scene.forward(from, None, idle(length(1), 86_400_000));
    scene.completes(from, 1);
}

#[test]
fn the_source_is_looked_at_before_the_target() {
    let mut scene = Scene::new();
    let (from, _source) = scene.source(Side::Front);
    let (other, mut peer) = scene.source(Side::Front);
    let (to, mut target) = scene.queue(Side::Back);
    scene.forward(other, Some(to), length(1));
    assert_eq!(scene.refused(forward(from, 2, Some(to), length(1))), ESTALE);
    assert_eq!(scene.refused(forward(from, 1, Some(to), length(1))), EBUSY);
    assert_eq!(
        scene.refused(route(from, to, length(1), b"no", true)),
        EBUSY
    );
    assert_eq!(
        scene.refused(forward(from, 1, Some(from), length(1))),
        EINVAL
    );
    assert_eq!(
        scene.refused(forward(from, 1, Some(9_999_999), length(1))),
        ENOENT
    );
    assert_eq!(
        // The quiet `to` began a generation before that was refused.
        scene.refused(forward(to, 1, Some(from), length(1))),
        ENODATA
    );
    assert_eq!(
        scene.refused(Command::ListenerDel { id: 9_999_999 }),
        ENOENT
    );
    // What runs is as it was.
    peer.send("x");
    target.expect("x");
    scene.completes(other, 1);
}
