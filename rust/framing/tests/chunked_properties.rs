// SPDX-License-Identifier: GPL-2.0
//! What must hold for any chunked body: it is read as a second implementation reads it, at
//! every split point; nothing is taken that does not belong to it; limits hold to the byte.

mod second;

use proptest::collection::vec;
use proptest::prelude::*;
use second::chunked::{read, End};
use second::feed;
use underpass_framing::{ChunkLine, Chunked, Malformed, Trailers, CRLF, LAST_CHUNK};

const ALLOW: &[&str] = &["a", "x-trailer", "grpc-status"];
/// The same, and names that are never kept.
const ALLOW_LIST: &[u8] = b"a,host,x-trailer,content-length,grpc-status,transfer-encoding";
const ROOM: usize = 40;

/// A size line, most of them good.
fn line(size: usize) -> impl Strategy<Value = Vec<u8>> {
    let digits = prop_oneof![
        8 => Just(format!("{size:x}")),
        2 => Just(format!("{size:X}")),
        2 => Just(format!("{size:016x}")),
        1 => Just(format!("{size:017x}")),
    ];
    let extension = prop_oneof![
        8 => Just(String::new()),
        2 => "[ \t]{0,2};[ -~]{0,20}",
        1 => "[ \t]{1,2}",
    ];
    (digits, extension).prop_map(|(digits, extension)| format!("{digits}{extension}\r\n").into())
}

fn chunk() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..30).prop_flat_map(|content| {
        line(content.len()).prop_map(move |line| [&line[..], &content, CRLF].concat())
    })
}

fn trailer() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        3 => Just("A".to_owned()),
        1 => Just("X-Trailer".to_owned()),
        1 => Just("Host".to_owned()),
        1 => Just("Content-Length".to_owned()),
        1 => "[A-Za-z-]{1,8}",
    ];
    (name, "[ -~\t]{0,12}").prop_map(|(name, value)| format!("{name}:{value}\r\n").into())
}

/// A body, mostly well formed, and what comes behind it.
fn body() -> impl Strategy<Value = Vec<u8>> {
    (
        vec(chunk(), 0..5),
        line(0),
        vec(trailer(), 0..4),
        "[ -~]{0,8}",
    )
        .prop_map(|(chunks, last, trailers, more)| {
            [
                chunks.concat(),
                last,
                trailers.concat(),
                CRLF.to_vec(),
                more.into(),
            ]
            .concat()
        })
}

/// The same after a few small accidents.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"\r\n \t;:0fF=\"\0\x0b\x7f\x80+-x".to_vec()),
        1 => any::<u8>(),
    ];
    let accident = (any::<prop::sample::Index>(), 0..3u8, byte);
    (body(), vec(accident, 0..4)).prop_map(|(mut body, accidents)| {
        for (place, kind, byte) in accidents {
            let at = place.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => drop(body.remove(at)),
            }
            if body.is_empty() {
                break;
            }
        }
        body
    })
}

/// The size and length of the first line, if it is good.
fn first_line(bytes: &[u8]) -> Option<(usize, u64)> {
    let end = bytes.windows(2).position(|two| two == CRLF)? + 2;
    let mut body = Chunked::new();
    let mut len = 0;
    let used = body.look(&bytes[..end], &mut Trailers::new(b"", &mut [], &mut len));
    (used == Ok(end)).then_some((end, body.content()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn bodies_are_read_as_a_second_implementation_reads_them(input in mutated()) {
        let expected = read(&input, ALLOW, ROOM);
        prop_assert_eq!(&feed::chunked(&input, &[], ALLOW_LIST, ROOM), &expected);
        let bytes: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&feed::chunked(&input, &bytes, ALLOW_LIST, ROOM), &expected);
        for cut in bytes {
            prop_assert_eq!(&feed::chunked(&input, &[cut], ALLOW_LIST, ROOM), &expected);
            // And so is every beginning, which a FIN may make the whole.
            let front = &input[..cut];
            prop_assert_eq!(feed::chunked(front, &[], ALLOW_LIST, ROOM), read(front, ALLOW, ROOM));
        }
    }

    #[test]
    fn a_body_that_is_put_in_chunks_is_the_same_content(
        pieces in vec(vec(any::<u8>(), 1..300), 0..6),
        more in "[ -~]{0,8}",
    ) {
        let mut coded = Vec::new();
        for piece in &pieces {
            coded.extend_from_slice(ChunkLine::new(piece.len() as u64).as_bytes());
            coded.extend_from_slice(piece);
            coded.extend_from_slice(CRLF);
        }
        coded.extend_from_slice(LAST_CHUNK);
        coded.extend_from_slice(CRLF);
        let end = coded.len();
        coded.extend_from_slice(more.as_bytes());
        let seen = feed::chunked(&coded, &[], b"", 0);
        prop_assert_eq!((seen.end, seen.used), (End::Whole, end));
        prop_assert_eq!(seen.content, pieces.concat());
    }

    #[test]
    fn a_chunk_line_is_what_the_decoder_and_httparse_read(size in any::<u64>(), shift in 0..64u32) {
        let size = (size >> shift).max(1);
        let line = ChunkLine::new(size);
        let line = line.as_bytes();
        prop_assert_eq!(line.to_vec(), format!("{size:x}\r\n").into_bytes());
        prop_assert_eq!(first_line(line), Some((line.len(), size)));
        let read = httparse::parse_chunk_size(line);
        prop_assert_eq!(read, Ok(httparse::Status::Complete((line.len(), size))));
    }

    /// What is accepted here, httparse reads in the same way. Here is stricter: httparse
    /// takes a line without any digit for zero, lets white space end a line or digits be
    /// missing before it, and anything stand in an extension (RFC 9112 section 7.1.1 does not).
    #[test]
    fn chunk_lines_that_are_accepted_are_those_of_httparse(
        digits in "[0-9a-fA-F]{0,18}",
        rest in "[ \t;x\r\n\0a0]{0,6}",
    ) {
        let line = format!("{digits}{rest}\r\n");
        if let Some((used, size)) = first_line(line.as_bytes()) {
            let read = httparse::parse_chunk_size(line.as_bytes());
            prop_assert_eq!(read, Ok(httparse::Status::Complete((used, size))));
        }
    }
}

/// The end of what is read from these parts, with `n` times `x` between them.
fn end(front: &str, n: usize, back: &str) -> End {
    let input = [front, &"x".repeat(n), back].concat();
    let seen = feed::chunked(input.as_bytes(), &[1, n / 2 + 1], b"a", 10_000);
    assert_eq!(seen, read(input.as_bytes(), &["a"], 10_000));
    seen.end
}

#[test]
fn limits_hold_at_one_below_at_and_one_above() {
    use Malformed::{ExtensionsTooLong, LineTooLong, SizeTooLong, TrailersTooLong};
    for (front, back, most, why) in [
        ("0;", "\r\n\r\n", 4094, LineTooLong),
        ("0000000000000000;", "\r\n\r\n", 4079, LineTooLong),
        ("0\r\nA:", "\r\n\r\n", 4090, TrailersTooLong),
        ("0\r\nA: 1\r\nB:", "\r\n\r\n", 4084, TrailersTooLong),
    ] {
        assert_eq!(end(front, most - 1, back), End::Whole, "{front}");
        assert_eq!(end(front, most, back), End::Whole, "{front}");
        assert_eq!(end(front, most + 1, back), End::Bad(why), "{front}");
    }
    for (digits, verdict) in [
        (15, End::Whole),
        (16, End::Whole),
        (17, End::Bad(SizeTooLong)),
    ] {
        assert_eq!(end(&"0".repeat(digits), 0, "\r\n\r\n"), verdict);
    }
    // Four chunks of one byte have 4 * 4001 bytes of extension, and those of the last: 16 KiB
    // and what they carry are allowed.
    let chunk = format!("1;{}\r\na\r\n", "y".repeat(4000)).repeat(4);
    let left = (16 << 10) + 4 - 4 * 4001 - 1;
    let end = |n| end(&format!("{chunk}0;"), n, "\r\n\r\n");
    assert_eq!([end(left - 1), end(left)], [End::Whole; 2]);
    assert_eq!(end(left + 1), End::Bad(ExtensionsTooLong));
}
