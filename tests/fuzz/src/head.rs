// SPDX-License-Identifier: GPL-2.0
//! The scan for a head's end: at every split point, against the plain implementation,
//! httparse and kawa, with requests and responses.
//!
//! Invariant: where somebody sees a whole head, the scan ends it at the same byte, so that
//! nobody can read more or less than the router was given. Where the scan ends it, nobody
//! waits for more: a head that reached the router is decided there.

use crate::peer::{self, End};
use crate::second::head;
use httparse::Status;
use kawa::Kind;
use underpass_framing::{HeadScan, Scan};

/// The input is a head, or what is taken for one.
pub fn check(input: &[u8]) {
    for prelude in [false, true] {
        let verdict = splits(input, prelude);
        if let (Scan::Done { len }, false) = (verdict, prelude) {
            limits(input, len);
        }
    }
    let limit = input.len() as u32 + 1;
    let end = match HeadScan::new(limit).feed(input) {
        Scan::Done { len } => Some(len as usize),
        _ => None,
    };
    let outcomes = [httparse_request(input), httparse_response(input)];
    for outcome in outcomes {
        match (outcome, end) {
            (Ok(Status::Complete(theirs)), _) => assert_eq!(Some(theirs), end),
            // They may have seen less than we: a head that ended is whole for both.
            (Ok(Status::Partial), Some(end)) => {
                panic!("ended at {end}, where httparse waits for more")
            }
            (Ok(Status::Partial) | Err(_), _) => {}
        }
    }
    for kind in [Kind::Request, Kind::Response] {
        let read = peer::read(kind, input);
        match (read.head, end) {
            (Some((theirs, _)), _) => assert_eq!(Some(theirs), end),
            (None, Some(end)) => assert_ne!(read.end, End::More, "{kind:?} ended at {end}"),
            (None, None) => {}
        }
    }
}

fn fresh(limit: u32, prelude: bool) -> HeadScan {
    match prelude {
        true => HeadScan::with_prelude(limit),
        false => HeadScan::new(limit),
    }
}

/// The verdict, which is the same at every split point.
fn splits(input: &[u8], prelude: bool) -> Scan {
    let limit = input.len() as u32 + 1;
    let expected = head::verdict(input, limit, prelude);
    let mut whole = fresh(limit, prelude);
    assert_eq!(whole.feed(input), expected);
    let mut bytewise = fresh(limit, prelude);
    for byte in input.chunks(1) {
        bytewise.feed(byte);
    }
    assert_eq!(bytewise, whole);
    for cut in crate::cuts(input.len()) {
        let (front, back) = input.split_at(cut);
        let mut scan = fresh(limit, prelude);
        scan.feed(front);
        scan.feed(back);
        assert_eq!(scan, whole);
    }
    expected
}

/// The head ends after `len` bytes: a limit around it holds.
fn limits(input: &[u8], len: u32) {
    for (limit, expected) in [
        (len - 1, Scan::OverLimit { len: len - 1 }),
        (len, Scan::Done { len }),
        (len + 1, Scan::Done { len }),
    ] {
        let mut scan = HeadScan::new(limit);
        assert_eq!(scan.feed(input), expected);
        assert_eq!(scan.seen(), limit.min(len));
        // It stays, whatever comes.
        assert_eq!(scan.feed(b"\r\n\r\nA\r\n\r\n"), expected);
    }
}

fn httparse_request(input: &[u8]) -> httparse::Result<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    httparse::Request::new(&mut fields).parse(input)
}

fn httparse_response(input: &[u8]) -> httparse::Result<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    httparse::Response::new(&mut fields).parse(input)
}
