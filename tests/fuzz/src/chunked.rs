// SPDX-License-Identifier: GPL-2.0
//! The chunked decoder: at every split point, against the plain implementation; its chunk
//! lines against httparse; the whole against kawa.

use crate::peer::{self, End as TheirEnd};
use crate::second::chunked::{read, End, Seen};
use crate::second::feed;
use httparse::{parse_chunk_size, Status};
use kawa::Kind;
use underpass_framing::{Chunked, Malformed, Trailers, CRLF};

const ALLOW: &[&str] = &["a", "x-trailer"];
/// The same, and names that are never kept.
const ALLOW_LIST: &[u8] = b"a,host,x-trailer,content-length";
const ROOM: usize = 64;

/// The input is a chunked body, or what is taken for one, and what follows it.
pub fn check(input: &[u8]) {
    let seen = read(input, ALLOW, ROOM);
    let feed = |cuts: &[usize]| assert_eq!(feed::chunked(input, cuts, ALLOW_LIST, ROOM), seen);
    feed(&[]);
    feed(&(0..input.len()).collect::<Vec<_>>());
    for cut in crate::cuts(input.len()) {
        feed(&[cut]);
    }
    lines(input);
    against_kawa(input, &seen);
}

/// Compares all chunk lines with httparse, up to the first that we refuse.
fn lines(input: &[u8]) {
    let mut rest = input;
    while let Some(end) = rest.windows(2).position(|two| two == CRLF) {
        let (line, after) = rest.split_at(end + 2);
        let mut body = Chunked::new();
        let mut len = 0;
        let trailers = &mut Trailers::new(b"", &mut [], &mut len);
        let used = body.look(line, trailers);
        let ours = match used {
            Ok(used) if used == line.len() => Ok(body.content()),
            Ok(used) => Err(body.look(&line[used..], trailers).err()),
            Err(why) => Err(Some(why)),
        };
        match (ours, parse_chunk_size(line)) {
            (Ok(ours), theirs) => {
                assert_eq!(theirs, Ok(Status::Complete((line.len(), ours))));
            }
            (Err(_), Err(_) | Ok(Status::Partial)) => {}
            (Err(why), Ok(Status::Complete((_, size)))) => stricter(line, why, size),
        }
        let Ok(size @ 1..) = ours else { return };
        let next = usize::try_from(size).ok().and_then(|n| n.checked_add(2));
        match next.and_then(|next| after.get(next..)) {
            Some(after) => rest = after,
            None => return,
        }
    }
}

/// Where we refuse a line that httparse takes for `size`. RFC 9112 section 7.1: chunk-size is
/// 1*HEXDIG; white space stands only before a ";" and in section 7.1.1's extensions,
/// which have no control characters; limits are ours to set. So we are right.
fn stricter(line: &[u8], why: Option<Malformed>, size: u64) {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let text = &line[digits..line.len() - 2];
    match why {
        Some(Malformed::Size) if digits == 0 => assert_eq!(size, 0),
        Some(Malformed::Size) => assert!(text.iter().all(|b| b" \t".contains(b))),
        Some(Malformed::Extension) => {
            assert!(text.iter().any(|b| b.is_ascii_control() && *b != b'\t'));
        }
        Some(Malformed::LineTooLong) => assert!(line.len() > 4096),
        why => panic!("{why:?}, where httparse reads {size}"),
    }
}

/// Compares the whole with kawa.
fn against_kawa(input: &[u8], seen: &Seen) {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let theirs = peer::read(Kind::Request, &[HEAD, input].concat());
    match (seen.end, theirs.end) {
        (End::Whole, TheirEnd::Whole(end)) => {
            assert_eq!(seen.used, end - HEAD.len());
            assert_eq!(seen.content, theirs.content);
        }
        (End::More(_), TheirEnd::More) => assert_eq!(seen.content, theirs.content),
        (End::Whole | End::More(_), TheirEnd::Bad(at)) => kawa_is_stricter(input, at - HEAD.len()),
        (End::Bad(why), TheirEnd::Whole(_)) => kawa_is_laxer(input, seen.used, why),
        // It waits for a whole line, we do not; refused for other reasons by both.
        (End::Bad(_), TheirEnd::More | TheirEnd::Bad(_)) => {}
        (ours, theirs) => panic!("{ours:?}, where kawa says {theirs:?}"),
    }
}

/// Where kawa refuses what we take. It knows no extensions (RFC 9112 section 7.1.1 obliges
/// recipients to ignore them) nor the white space before them, and not all bytes in values.
fn kawa_is_stricter(input: &[u8], at: usize) {
    let byte = input.get(at);
    assert!(
        matches!(byte, Some(b';' | b' ' | b'\t')) || peer::refuses(input, at),
        "kawa refuses {byte:?} at {at}"
    );
}

/// Where kawa takes what we refuse, for `why`, at `at`. It has no limit for digits that are
/// zero, nor for trailers; in names it takes `"` and `/`, or nothing at all, which RFC 9110
/// section 5.1 does not.
fn kawa_is_laxer(input: &[u8], at: usize, why: Malformed) {
    let byte = input.get(at).copied();
    let fine = match why {
        Malformed::SizeTooLong | Malformed::TrailersTooLong => true,
        Malformed::TrailerName => matches!(byte, Some(b'"' | b'/' | b':' | 0xa0..)),
        _ => false,
    };
    assert!(
        fine,
        "kawa takes {byte:?} at {at}, which is refused for {why:?}"
    );
}
