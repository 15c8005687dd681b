// SPDX-License-Identifier: GPL-2.0
//! Requests in the router: what is accepted, kawa frames in the same way, and what is sent
//! to a back-end is accepted again, as the same request with the same body.

use crate::peer::{self, End};
use kawa::{BodySize, Kind};
use underpass::address::Address;
use underpass::http::problem::MANY_FIELDS;
use underpass::http::{
    without_port, Forwarded, Hop, Host, Length, Network, Request, Rewrite, Style,
};
use underpass_framing::{HeadScan, Scan};

const TARGET_MAX: usize = 128;

/// The input is a request head, or what is taken for one, and what follows it.
pub fn check(input: &[u8]) {
    let _ = Request::over_limit(input, TARGET_MAX);
    // As it is, also where no scan would hand it over.
    drop(Request::parse(input, TARGET_MAX));
    let Scan::Done { len } = HeadScan::new(u32::MAX).feed(input) else {
        return;
    };
    let head = &input[..len as usize];
    let Ok(request) = Request::parse(head, TARGET_MAX) else {
        return;
    };
    against_kawa(head, &request);
    looked_at(&request);
    for rewrite in [Rewrite::default(), other_rewrite()] {
        for ask in [false, true] {
            sent_on(&request, &rewrite, ask);
        }
    }
}

/// What a policy may ask of a request.
fn looked_at(request: &Request) {
    let _ = without_port(request.host());
    let _ = (request.has_dot_segments(), request.cookie("a"));
    assert!(request.values("host").count() <= 1);
    assert_eq!(
        request.values("transfer-encoding").count() == 1,
        request.length == Length::Chunked
    );
    let seen = request.reflected();
    let len = seen.len() as u32;
    assert_eq!(HeadScan::new(len).feed(&seen), Scan::Done { len });
}

/// What a back-end gets is one whole head, of the same request.
fn sent_on(request: &Request, rewrite: &Rewrite, ask: bool) {
    let backend = Address::Tcp(([192, 0, 2, 3], 8080).into());
    let hop = Hop {
        client: [192, 0, 2, 1].into(),
        local: ([192, 0, 2, 2], 80).into(),
        backend: &backend,
    };
    let rendered = request.render(&hop, rewrite, ask);
    let len = rendered.len() as u32;
    assert_eq!(HeadScan::new(len).feed(&rendered), Scan::Done { len });
    // A path may be longer by the `/` that an absolute-form target did without.
    let again = match Request::parse(rendered.as_slice(), TARGET_MAX + 1) {
        Ok(again) => again,
        Err(why) => {
            let fields = rendered.split(|&b| b == b'\n').count() - 3;
            assert!(
                why == MANY_FIELDS && fields > 128,
                "{why:?}: {}",
                rendered.escape_ascii()
            );
            return;
        }
    };
    assert_eq!(again.method(), request.method());
    assert_eq!(again.path(), request.path());
    assert_eq!(again.length, request.length);
    assert_eq!(again.expects_continue, ask);
    assert_eq!(
        again.max_forwards,
        request.max_forwards.map(|n| n.saturating_sub(1))
    );
    assert!(again.upgrade.iter().eq(rewrite.upgrades(request)));
    assert_eq!(rewrite.times_seen(&again), rewrite.times_seen(request) + 1);
    let host = match rewrite.host {
        // The target of a CONNECT names its host, whatever Host says.
        _ if request.method() == "CONNECT" => request.path(),
        Host::Client if request.host().is_empty() => "192.0.2.2:80",
        Host::Client => request.host(),
        Host::Backend => "192.0.2.3:8080",
        Host::Fixed(ref host) => host,
    };
    assert_eq!(again.host(), host);
    against_kawa(&rendered, &again);
}

/// As much of it as there is.
fn other_rewrite() -> Rewrite {
    let everybody: Network = "0.0.0.0/0".parse().expect("a network");
    let mut rewrite = Rewrite::default();
    rewrite.forwarded = Forwarded {
        style: Style::Both,
        trust: vec![everybody],
    };
    rewrite.host = Host::Backend;
    rewrite.trailers = "a,grpc-status".to_owned();
    rewrite
}

/// Who takes a request for longer than we do takes the next one's bytes for its body.
fn against_kawa(head: &[u8], request: &Request) {
    let head = peer::without_empty_lines(head);
    let read = peer::read(Kind::Request, head);
    match (read.head, read.end) {
        (Some((end, size)), _) => {
            assert_eq!(end, head.len());
            let length = match size {
                BodySize::Empty | BodySize::Length(0) => Length::None,
                BodySize::Length(length) => Length::Exact(length as u64),
                BodySize::Chunked => Length::Chunked,
            };
            assert_eq!(length, request.length);
        }
        (None, End::Bad(at)) => assert!(peer::refuses(head, at), "kawa refuses at {at}"),
        (None, end) => panic!("{end:?} for kawa: {}", head.escape_ascii()),
    }
}
