// SPDX-License-Identifier: GPL-2.0
//! Responses in the router: what is accepted, kawa frames in the same way, and what is sent
//! to a client is accepted again, as the same response with the body that it was given.

use crate::peer::{self, End};
use kawa::{BodySize, Kind};
use std::time::SystemTime;
use underpass::http::{Length, Onward, Response, Rewrite, Version};
use underpass_framing::{HeadScan, Scan};

const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "CONNECT"];

/// The input is a byte that chooses the request's method, and a response head, or what is
/// taken for one.
pub fn check(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let method = METHODS[usize::from(choice) % METHODS.len()];
    drop(Response::parse(input, method));
    let Scan::Done { len } = HeadScan::new(u32::MAX).feed(input) else {
        return;
    };
    let head = &input[..len as usize];
    let Ok(response) = Response::parse(head, method) else {
        return;
    };
    against_kawa(head, method, &response, true);
    for version in [Version::Http10, Version::Http11] {
        for close in [false, true] {
            sent_on(&response, method, version, close);
        }
    }
}

/// What a client gets is one whole head, of the same response.
fn sent_on(response: &Response, method: &str, version: Version, close: bool) {
    // As an exchange has it.
    let leaves = match (response.length, version) {
        (Length::UntilClose, Version::Http11) if !close => Length::Chunked,
        (Length::Chunked, Version::Http10) => Length::UntilClose,
        (length, _) => length,
    };
    let onward = Onward {
        version,
        close: close || leaves == Length::UntilClose,
        leaves,
        time: SystemTime::UNIX_EPOCH,
    };
    let rendered = response.render(onward, &Rewrite::default());
    let len = rendered.len() as u32;
    assert_eq!(HeadScan::new(len).feed(&rendered), Scan::Done { len });
    let again = match Response::parse(&rendered, method) {
        Ok(again) => again,
        Err(why) => {
            let fields = rendered.split(|&b| b == b'\n').count() - 3;
            assert!(fields > 128, "{why:?}: {}", rendered.escape_ascii());
            return;
        }
    };
    assert_eq!(again.status, response.status);
    assert_eq!(again.length, leaves);
    assert_eq!(again.upgrade, response.upgrade);
    if response.status >= 200 {
        assert_eq!(again.keep_alive, !onward.close);
    }
    against_kawa(&rendered, method, &again, false);
}

/// A head that a back-end sent may be odd; kawa takes neither white space before a colon, which
/// a proxy has to remove (RFC 9112 section 5.1), nor folded lines (section 5.2), nor a status
/// line that ends with the number, without the space before an empty phrase (section 4).
fn against_kawa(head: &[u8], method: &str, response: &Response, odd: bool) {
    let head = peer::without_empty_lines(head);
    let read = peer::read(Kind::Response, head);
    match (read.head, read.end) {
        // It is not told of which method's request this is the answer (RFC 9112 section 6.3).
        (Some(_), _) if method == "HEAD" => assert_eq!(response.length, Length::None),
        (Some(_), _) if method == "CONNECT" && (200..300).contains(&response.status) => {
            assert_eq!(response.length, Length::None);
        }
        (Some((end, size)), _) => {
            assert_eq!(end, head.len());
            let length = match size {
                BodySize::Empty => Length::UntilClose,
                BodySize::Length(0) => Length::None,
                BodySize::Length(length) => Length::Exact(length as u64),
                BodySize::Chunked => Length::Chunked,
            };
            assert_eq!(length, response.length);
        }
        (None, End::Bad(at)) => {
            let is_odd = match head.get(at) {
                Some(b' ' | b'\t') => true,
                _ => head[at..].starts_with(b"\r\n") && at == "HTTP/1.1 200".len(),
            };
            assert!(
                peer::refuses(head, at) || (odd && is_odd),
                "kawa refuses at {at}: {}",
                head.escape_ascii()
            );
        }
        (None, end) => panic!("{end:?} for kawa: {}", head.escape_ascii()),
    }
}
