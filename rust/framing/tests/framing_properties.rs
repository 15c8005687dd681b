// SPDX-License-Identifier: GPL-2.0
//! What must hold for any input: segmentation changes nothing, limits hold, heads end
//! where httparse ends them, and the receiver agrees with a plain model of itself.

mod model;
mod second;

use model::Model;
use proptest::collection::vec;
use proptest::prelude::*;
use second::head;
use underpass_framing::{HeadScan, Receiver, Scan, Side, State};

/// Bytes that look like a head, more often than any bytes would.
fn headlike() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b"GET / HTTP/1.1".to_vec()),
        2 => Just(b"A: b".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Feeds `input` in pieces of these lengths, again and again.
fn in_pieces(input: &[u8], lengths: &[usize], limit: u32) -> HeadScan {
    let mut scan = HeadScan::new(limit);
    let mut rest = input;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        scan.feed(piece);
        rest = after;
    }
    scan
}

/// Bytes that look like a PROXY protocol header and a head.
fn with_front() -> impl Strategy<Value = Vec<u8>> {
    let front = prop_oneof![
        Just(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec()),
        "PROXY [ -~]{90,110}\r\n".prop_map(String::into_bytes),
        (0..40u8, vec(any::<u8>(), 40)).prop_map(|(len, mut rest)| {
            rest.truncate(len.into());
            [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..], &[len], &rest].concat()
        }),
        Just(Vec::new()),
    ];
    let accident = (
        any::<prop::sample::Index>(),
        prop::sample::select(b"P\r\n \0x".to_vec()),
    );
    (front, headlike(), vec(accident, 0..2)).prop_map(|(front, head, accidents)| {
        let mut bytes = [front, head].concat();
        for (place, byte) in accidents {
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_verdict_of_the_whole(
        input in headlike(),
        lengths in vec(1usize..20, 1..8),
        limit in 1u32..200,
    ) {
        let mut whole = HeadScan::new(limit);
        let verdict = whole.feed(&input);
        let split = in_pieces(&input, &lengths, limit);
        prop_assert_eq!(split.verdict(), verdict);
        prop_assert_eq!(split.seen(), whole.seen());
        prop_assert_eq!(split.has_text(), whole.has_text());
    }

    #[test]
    fn verdicts_stay_and_limits_hold(
        input in headlike(),
        more in headlike(),
        limit in 1u32..200,
    ) {
        let mut scan = HeadScan::new(limit);
        let verdict = scan.feed(&input);
        prop_assert!(scan.seen() <= limit);
        match verdict {
            Scan::NeedMore => prop_assert_eq!(scan.seen() as usize, input.len()),
            Scan::Done { len } | Scan::OverLimit { len } => {
                prop_assert!(len <= limit && len as usize <= input.len());
                prop_assert_eq!(scan.feed(&more), verdict);
                prop_assert_eq!(scan.seen(), len);
            }
        }
    }

    #[test]
    fn a_head_ends_where_a_second_implementation_ends_it(
        input in with_front(),
        prelude in any::<bool>(),
        limit in 1u32..200,
    ) {
        let fresh = |limit| match prelude {
            true => HeadScan::with_prelude(limit),
            false => HeadScan::new(limit),
        };
        let expected = head::verdict(&input, limit, prelude);
        prop_assert_eq!(fresh(limit).feed(&input), expected);
        for cut in 0..=input.len() {
            let mut scan = fresh(limit);
            let verdict = head::verdict(&input[..cut], limit, prelude);
            prop_assert_eq!(scan.feed(&input[..cut]), verdict);
            if verdict == Scan::NeedMore {
                prop_assert_eq!(scan.has_text(), head::has_text(&input[..cut], prelude));
            }
            prop_assert_eq!(scan.feed(&input[cut..]), expected);
        }
        if let Scan::Done { len } = expected {
            prop_assert_eq!(fresh(len - 1).feed(&input), Scan::OverLimit { len: len - 1 });
            prop_assert_eq!(fresh(len).feed(&input), expected);
            prop_assert_eq!(fresh(len + 1).feed(&input), expected);
        }
    }

    /// Where httparse sees a whole request, this sees its end at the same byte; where
    /// httparse wants more, this does not end in the middle of what could still be good.
    #[test]
    fn heads_end_where_httparse_ends_them(
        blank in 0usize..3,
        names in vec("[A-Za-z-]{1,8}", 0..6),
        value in "[ -~]{0,20}",
        body in headlike(),
    ) {
        let mut head = b"\r\n".repeat(blank);
        head.extend_from_slice(b"PUT /x HTTP/1.1\r\n");
        for name in &names {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        let end = head.len();
        head.extend_from_slice(&body);
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let parsed = httparse::Request::new(&mut fields).parse(&head);
        prop_assert_eq!(parsed, Ok(httparse::Status::Complete(end)));
        let limit = head.len() as u32 + 1;
        prop_assert_eq!(HeadScan::new(limit).feed(&head), Scan::Done { len: end as u32 });
        for cut in 0..end {
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let parsed = httparse::Request::new(&mut fields).parse(&head[..cut]);
            prop_assert_eq!(parsed, Ok(httparse::Status::Partial));
            prop_assert_eq!(HeadScan::new(limit).feed(&head[..cut]), Scan::NeedMore);
        }
    }

    /// Also for bytes that are hardly a head: if httparse accepts, the ends agree.
    #[test]
    fn whatever_httparse_accepts_ends_at_the_same_byte(input in headlike()) {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let parsed = httparse::Request::new(&mut fields).parse(&input);
        if let Ok(httparse::Status::Complete(end)) = parsed {
            let limit = input.len() as u32 + 1;
            prop_assert_eq!(HeadScan::new(limit).feed(&input), Scan::Done { len: end as u32 });
        }
    }

    #[test]
    fn the_receiver_agrees_with_a_plain_model(
        front in any::<bool>(),
        operations in vec(model::operation(), 0..60),
    ) {
        let side = if front { Side::Front } else { Side::Back };
        let mut receiver = Receiver::new(side, model::LIMIT);
        let mut model = Model::new(front);
        for operation in &operations {
            let told = model::apply(&mut receiver, operation);
            let expected = model.apply(operation);
            prop_assert_eq!(told, expected, "{:?}", operation);
            prop_assert_eq!(receiver.generation(), model.generation);
            prop_assert_eq!(receiver.taken(), model.taken);
            prop_assert_eq!(receiver.next(), model.next());
            prop_assert_eq!(matches!(receiver.state(), State::Ended(_)), model.has_ended());
            let discards = match receiver.state() {
                State::Moving { discard, .. } => Some(discard),
                _ => None,
            };
            prop_assert_eq!(discards, model.discards());
        }
    }
}
