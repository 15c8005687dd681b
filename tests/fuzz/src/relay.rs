// SPDX-License-Identifier: GPL-2.0
//! Response heads that the engine passes on without the router: the client gets what it would
//! get from the router, byte for byte, and the body is as long.

use std::time::SystemTime;
use underpass::http::{Length, Onward, Response, Rewrite, Version};
use underpass_framing::{relay, Framing, HeadScan, Scan};

/// The input is a byte that says whether the request is HEAD, and a response head, or what is
/// taken for one.
pub fn check(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let of_head = choice % 2 == 1;
    let Some(relayed) = relay(input, of_head) else {
        return;
    };
    // It is one head, and all of it.
    let len = input.len() as u32;
    assert_eq!(HeadScan::new(u32::MAX).feed(input), Scan::Done { len });
    let method = if of_head { "HEAD" } else { "GET" };
    let response = Response::parse(input, method).expect("a response for the router, too");
    assert_eq!(response.status, relayed.status);
    let length = match relayed.framing {
        Framing::None => Length::None,
        Framing::Length(length) => Length::Exact(length),
        Framing::Chunked => Length::Chunked,
        other => panic!("{other:?}"),
    };
    assert_eq!(response.length, length);
    assert!(response.keep_alive && response.upgrade.is_empty());
    let rewrite = Rewrite::default();
    let onward = Onward {
        version: Version::Http11,
        close: false,
        leaves: length,
        time: SystemTime::UNIX_EPOCH,
    };
    let mut passed = Vec::new();
    relayed.pieces(|piece| passed.extend_from_slice(piece));
    assert_eq!(passed.len(), relayed.size());
    passed.extend_from_slice(&rewrite.behind_response().expect("nothing is removed"));
    passed.extend(b"\r\n");
    let rendered = response.render(onward, &rewrite);
    assert_eq!(
        passed,
        rendered,
        "{} instead of {}",
        passed.escape_ascii(),
        rendered.escape_ascii()
    );
}
