// SPDX-License-Identifier: GPL-2.0
//! Messages against bytes written down by hand from `linux/netlink.h`,
//! `linux/genetlink.h` and the numbers in `underpass.h` (little-endian). Encoder and
//! decoder could share a mistake; these bytes do not.

#![cfg(target_endian = "little")]

use underpass_proto::{
    family, messages, Body, Closed, Command, Content, DecodeError, Done, Event, ForwardResult,
    Framing, FramingKind, Head, Problem, QueueInfo, Reason, Refusal, Relay, Relayed, Reply, Side,
    State,
};

/// The family id in all vectors.
const FAMILY: u16 = 0x1d;

fn bytes_of(command: &Command, ack: bool) -> Vec<u8> {
    let mut out = Vec::new();
    command.append(FAMILY, 7, ack, &mut out).unwrap();
    out
}

fn only(datagram: &[u8]) -> Result<Content, DecodeError> {
    let mut all = messages(datagram, FAMILY);
    let first = all.next().expect("no message");
    assert_eq!(all.next(), None);
    first.map(|m| m.content)
}

#[rustfmt::skip]
#[test]
fn router_attach_with_both_attributes_and_ack() {
    let command = Command::RouterAttach { credit: Some(256), grace: Some(30_000), queues_max: None };
    assert_eq!(bytes_of(&command, true), [
        36, 0, 0, 0,  0x1d, 0,  0x05, 0,  7, 0, 0, 0,  0, 0, 0, 0, // REQUEST | ACK
        1, 1, 0, 0,                                                // command 1, version 1
        8, 0, 3, 0,  0, 1, 0, 0,                                   // credit
        8, 0, 4, 0,  0x30, 0x75, 0, 0,                             // grace
    ]);
}

#[rustfmt::skip]
#[test]
fn dumps_ask_for_root_and_match() {
    assert_eq!(bytes_of(&Command::QueueDump, false), [
        20, 0, 0, 0,  0x1d, 0,  0x01, 0x03,  7, 0, 0, 0,  0, 0, 0, 0, // REQUEST | DUMP
        11, 1, 0, 0,
    ]);
}

#[rustfmt::skip]
#[test]
fn route_pads_its_data() {
    let command = Command::Route {
        id: 5, generation: 2, to: 9, body: Framing::Length(1000).into(), data: b"GET /".to_vec(),
        if_quiet: false, relay: None,
    };
    assert_eq!(bytes_of(&command, false), [
        72, 0, 0, 0,  0x1d, 0,  0x01, 0,  7, 0, 0, 0,  0, 0, 0, 0,
        14, 1, 0, 0,
        8, 0, 1, 0,  5, 0, 0, 0,                           // id
        8, 0, 8, 0,  2, 0, 0, 0,                           // generation
        8, 0, 11, 0,  9, 0, 0, 0,                          // to
        8, 0, 12, 0,  1, 0, 0, 0,                          // framing length
        8, 0, 13, 0,  0xe8, 3, 0, 0,                       // length: 4 bytes are enough
        9, 0, 14, 0,  b'G', b'E', b'T', b' ', b'/', 0, 0, 0, // data, 3 bytes of padding
    ]);
}

#[rustfmt::skip]
#[test]
fn a_length_above_32_bits_takes_eight_bytes() {
    let command = Command::Forward {
        id: 5, generation: 2, to: None, body: Framing::Length(0x1_0000_0002).into(),
    };
    assert_eq!(bytes_of(&command, false), [
        56, 0, 0, 0,  0x1d, 0,  0x01, 0,  7, 0, 0, 0,  0, 0, 0, 0,
        13, 1, 0, 0,
        8, 0, 1, 0,  5, 0, 0, 0,
        8, 0, 8, 0,  2, 0, 0, 0,
        8, 0, 12, 0,  1, 0, 0, 0,
        12, 0, 13, 0,  2, 0, 0, 0, 1, 0, 0, 0,
    ]);
}

#[rustfmt::skip]
#[test]
fn what_a_forward_does_with_a_body() {
    let body = Body {
        framing: Framing::Chunked, leaves: Some(FramingKind::UntilClose),
        trailers: b"a,b".to_vec(), idle_ms: Some(256), idle_bytes: Some(3), note: Some(9),
    };
    let command = Command::Route {
        id: 5, generation: 2, to: 9, body, data: Vec::new(), if_quiet: true, relay: None,
    };
    assert_eq!(bytes_of(&command, false), [
        100, 0, 0, 0,  0x1d, 0,  0x01, 0,  7, 0, 0, 0,  0, 0, 0, 0,
        14, 1, 0, 0,
        8, 0, 1, 0,  5, 0, 0, 0,
        8, 0, 8, 0,  2, 0, 0, 0,
        8, 0, 11, 0,  9, 0, 0, 0,
        8, 0, 12, 0,  2, 0, 0, 0,          // framing chunked
        8, 0, 29, 0,  3, 0, 0, 0,          // to-framing until-close
        7, 0, 30, 0,  b'a', b',', b'b', 0, // trailers
        8, 0, 31, 0,  0, 1, 0, 0,          // idle-ms
        8, 0, 38, 0,  3, 0, 0, 0,          // idle-bytes
        8, 0, 40, 0,  9, 0, 0, 0,          // note
        4, 0, 14, 0,                       // no data
        4, 0, 32, 0,                       // if-quiet
    ]);
}

#[rustfmt::skip]
#[test]
fn what_a_route_allows_of_the_response() {
    let relay = Relay { lines: b"A:\r\n"[..].into(), of_head: true, idle_ms: Some(256), idle_bytes: Some(3) };
    let route = |relay| Command::Route {
        id: 5, generation: 2, to: 9, body: Framing::None.into(), data: Vec::new(),
        if_quiet: false, relay: Some(relay),
    };
    assert_eq!(bytes_of(&route(relay), false), [
        84, 0, 0, 0,  0x1d, 0,  0x01, 0,  7, 0, 0, 0,  0, 0, 0, 0,
        14, 1, 0, 0,
        8, 0, 1, 0,  5, 0, 0, 0,
        8, 0, 8, 0,  2, 0, 0, 0,
        8, 0, 11, 0,  9, 0, 0, 0,
        8, 0, 12, 0,  0, 0, 0, 0,                  // framing none
        4, 0, 14, 0,                               // no data
        8, 0, 33, 0,  b'A', b':', b'\r', b'\n',    // relay
        4, 0, 34, 0,                               // relay-head
        8, 0, 35, 0,  0, 1, 0, 0,                  // relay-idle-ms
        8, 0, 39, 0,  3, 0, 0, 0,                  // relay-idle-bytes
    ]);
    // Without lines it is allowed all the same.
    let bytes = bytes_of(&route(Relay::default()), false);
    assert_eq!(bytes[bytes.len() - 4..], [4, 0, 33, 0]);
}

#[rustfmt::skip]
#[test]
fn responses_that_were_not_shown() {
    let datagram = [
        // relayed: id 3, generation 4, to 5, status 206
        52, 0, 0, 0,  0x1d, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        21, 1, 0, 0,
        8, 0, 1, 0,  3, 0, 0, 0,
        8, 0, 8, 0,  4, 0, 0, 0,
        8, 0, 11, 0,  5, 0, 0, 0,
        6, 0, 36, 0,  206, 0, 0, 0,
        // done: the same, complete, taken 9
        76, 0, 0, 0,  0x1d, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        19, 1, 0, 0,
        8, 0, 1, 0,  3, 0, 0, 0,
        8, 0, 8, 0,  4, 0, 0, 0,
        8, 0, 11, 0,  5, 0, 0, 0,
        8, 0, 17, 0,  0, 0, 0, 0,
        8, 0, 19, 0,  0, 0, 0, 0,
        8, 0, 15, 0,  9, 0, 0, 0,
        6, 0, 36, 0,  206, 0, 0, 0,
    ];
    let got: Vec<_> = messages(&datagram, FAMILY).map(|m| m.unwrap().content).collect();
    assert_eq!(got, [
        Content::Event(Event::Relayed(Relayed { id: 3, generation: 4, to: 5, status: 206 })),
        Content::Event(Event::Done(Done {
            id: 3, generation: 4, to: Some(5), result: ForwardResult::Complete, error: 0, taken: 9,
            status: Some(206),
        })),
    ]);
}

#[test]
fn commands_follow_each_other_in_one_datagram() {
    let mut out = bytes_of(&Command::QueueDel { id: 1 }, false);
    Command::StatsGet
        .append(FAMILY, 8, false, &mut out)
        .unwrap();
    assert_eq!(out.len(), 28 + 20);
    assert_eq!(out[28..32], [20, 0, 0, 0]);
}

#[test]
fn data_that_no_attribute_can_hold_is_an_error_and_writes_nothing() {
    let mut out = vec![1];
    let send = |length| Command::Send {
        id: 1,
        data: vec![0; length],
        if_quiet: false,
        note: None,
    };
    let error = send(65_532).append(FAMILY, 1, false, &mut out).unwrap_err();
    assert_eq!((error.message, error.attribute), ("send", "data"));
    assert_eq!((error.length, error.max), (65_532, 65_531));
    assert_eq!(out, [1]);
    send(65_531).append(FAMILY, 1, false, &mut out).unwrap();
}

/// A `head` as the kernel sends it, with an attribute (99) that this version does not know.
#[rustfmt::skip]
const HEAD: &[u8] = &[
    128, 0, 0, 0,  0x1d, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
    18, 1, 0, 0,
    8, 0, 1, 0,  3, 0, 0, 0,                              // id
    8, 0, 8, 0,  1, 0, 0, 0,                              // generation
    8, 0, 3, 0,  1, 0, 0, 0,                              // side front
    8, 0, 5, 0,  2, 0, 0, 0,                              // listener
    7, 0, 9, 0,  b'G', b'\r', b'\n', 0,                   // head
    4, 0, 10, 0,                                          // over-limit
    12, 0, 16, 0,  1, 0, 0, 0, 0, 0, 0, 0,                // sent, by 8 bytes
    8, 0, 22, 0,  127, 0, 0, 1,                           // peer-address
    6, 0, 23, 0,  0x90, 0x1f, 0, 0,                       // peer-port 8080
    20, 0, 24, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // local-address ::1
    6, 0, 25, 0,  80, 0, 0, 0,                            // local-port
    5, 0, 99, 0,  1, 0, 0, 0,
];

#[test]
fn head_event() {
    let expected = Head {
        id: 3,
        generation: 1,
        side: Side::Front,
        listener: Some(2),
        head: b"G\r\n".to_vec(),
        over_limit: true,
        sent: 1,
        peer: Some("127.0.0.1:8080".parse().unwrap()),
        local: Some("[::1]:80".parse().unwrap()),
    };
    assert_eq!(only(HEAD), Ok(Content::Event(Event::Head(expected))));
}

#[rustfmt::skip]
#[test]
fn done_and_closed_in_one_datagram() {
    let datagram = [
        // done: id 3, generation 1, to 4, target-error, error 104, taken 70000
        68, 0, 0, 0,  0x1d, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        19, 1, 0, 0,
        8, 0, 1, 0,  3, 0, 0, 0,
        8, 0, 8, 0,  1, 0, 0, 0,
        8, 0, 11, 0,  4, 0, 0, 0,
        8, 0, 17, 0,  4, 0, 0, 0,
        8, 0, 19, 0,  104, 0, 0, 0,
        8, 0, 15, 0,  0x70, 0x11, 1, 0,
        // closed: id 3, generation 1, back, fin-in-head, no error, taken 0, sent 5
        68, 0, 0, 0,  0x1d, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        20, 1, 0, 0,
        8, 0, 1, 0,  3, 0, 0, 0,
        8, 0, 8, 0,  1, 0, 0, 0,
        8, 0, 3, 0,  2, 0, 0, 0,
        8, 0, 18, 0,  2, 0, 0, 0,
        8, 0, 15, 0,  0, 0, 0, 0,
        8, 0, 16, 0,  5, 0, 0, 0,
        // closed: id 4, generation 2, front, fin, no error, taken 0, sent 0, gone
        72, 0, 0, 0,  0x1d, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        20, 1, 0, 0,
        8, 0, 1, 0,  4, 0, 0, 0,
        8, 0, 8, 0,  2, 0, 0, 0,
        8, 0, 3, 0,  1, 0, 0, 0,
        8, 0, 18, 0,  1, 0, 0, 0,
        8, 0, 15, 0,  0, 0, 0, 0,
        8, 0, 16, 0,  0, 0, 0, 0,
        4, 0, 41, 0,
    ];
    let got: Vec<_> = messages(&datagram, FAMILY).map(|m| m.unwrap().content).collect();
    assert_eq!(got, [
        Content::Event(Event::Done(Done {
            id: 3, generation: 1, to: Some(4), result: ForwardResult::TargetError,
            error: 104, taken: 70_000, status: None,
        })),
        Content::Event(Event::Closed(Closed {
            id: 3, generation: 1, side: Side::Back, reason: Reason::FinInHead,
            error: 0, taken: 0, sent: 5, gone: false,
        })),
        Content::Event(Event::Closed(Closed {
            id: 4, generation: 2, side: Side::Front, reason: Reason::Fin,
            error: 0, taken: 0, sent: 0, gone: true,
        })),
    ]);
}

#[rustfmt::skip]
#[test]
fn a_router_that_belongs_to_another_socket() {
    let datagram = [
        36, 0, 0, 0,  0x1d, 0,  0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        22, 1, 0, 0,
        8, 0, 1, 0,  3, 0, 0, 0,             // id
        8, 0, 2, 0,  0x39, 0x30, 0, 0,       // port
    ];
    assert_eq!(only(&datagram), Ok(Content::Ousted { id: 3, port: 12_345 }));
    let mut short = datagram[..28].to_vec();
    short[0] = 28;
    let error = only(&short).unwrap_err();
    assert_eq!(error, DecodeError { message: "ousted", attribute: "port", problem: Problem::Missing });
}

#[rustfmt::skip]
#[test]
fn a_queue_without_forward_is_a_reply_to_cancel_too() {
    let datagram = [
        100, 0, 0, 0,  0x1d, 0,  0, 0,  9, 0, 0, 0,  0, 0, 0, 0,
        15, 1, 0, 0,
        8, 0, 1, 0,  3, 0, 0, 0,       // id
        8, 0, 3, 0,  2, 0, 0, 0,       // side back
        8, 0, 4, 0,  1, 0, 0, 0,       // router
        8, 0, 6, 0,  0, 0x80, 0, 0,    // head-limit
        8, 0, 7, 0,  3, 0, 0, 0,       // state parked
        8, 0, 8, 0,  1, 0, 0, 0,       // generation
        8, 0, 15, 0,  0, 0, 0, 0,      // taken
        8, 0, 16, 0,  0, 0, 0, 0,      // sent
        8, 0, 26, 0,  0, 0, 0, 0,      // rx-bytes
        8, 0, 27, 0,  0, 0, 0, 0,      // tx-bytes
    ];
    // `unsent` is not there, and must be.
    let error = only(&datagram).unwrap_err();
    assert_eq!(error, DecodeError { message: "cancel", attribute: "unsent", problem: Problem::Missing });

    let mut whole = datagram.to_vec();
    whole[0] = 108;
    whole.extend([8, 0, 28, 0, 6, 0, 0, 0]);
    assert_eq!(only(&whole), Ok(Content::Reply(Reply::Queue(QueueInfo {
        id: 3, side: Side::Back, router: 1, listener: None, head_limit: 32_768,
        state: State::Parked, generation: 1, to: None, framing: None, taken: 0, sent: 0,
        result: None, reason: Reason::None, error: 0, peer: None, local: None,
        rx_bytes: 0, tx_bytes: 0, unsent: 6, to_framing: None, idle_ms: None, idle_bytes: None, status: None, relay_to: None,
         note: 0,
    }))));
}

#[rustfmt::skip]
#[test]
fn refusals_carry_errno_text_and_place() {
    // NETLINK_CAP_ACK: the refused message's header only. EBUSY is 16.
    let datagram = [
        68, 0, 0, 0,  2, 0,  0, 0x03,  7, 0, 0, 0,  1, 0, 0, 0,    // CAPPED | ACK_TLVS
        0xf0, 0xff, 0xff, 0xff,
        28, 0, 0, 0,  0x1d, 0,  1, 0,  7, 0, 0, 0,  0, 0, 0, 0,
        10, 0, 1, 0,  b'b', b'u', b's', b'y', b'!', 0, 0, 0,       // NLMSGERR_ATTR_MSG
        8, 0, 2, 0,  20, 0, 0, 0,                                  // NLMSGERR_ATTR_OFFS
        8, 0, 5, 0,  14, 0, 0, 0,                                  // NLMSGERR_ATTR_MISS_TYPE
        4, 0, 0x63, 0,                                             // unknown
    ];
    let refusal = Refusal { errno: 16, text: "busy!".into(), offset: Some(20), missing: Some(14) };
    let mut all = messages(&datagram, FAMILY);
    let message = all.next().unwrap().unwrap();
    assert_eq!(message.sequence, 7);
    assert_eq!(message.content, Content::Refused(refusal));
    assert_eq!(all.next(), None);

    // Without it: the refused message whole (24 bytes), then the text.
    let datagram = [
        52, 0, 0, 0,  2, 0,  0, 0x02,  7, 0, 0, 0,  1, 0, 0, 0,    // ACK_TLVS
        0xf0, 0xff, 0xff, 0xff,
        24, 0, 0, 0,  0x1d, 0,  1, 0,  7, 0, 0, 0,  0, 0, 0, 0,
        11, 1, 0, 0, 4, 0, 1, 0,
        6, 0, 1, 0,  b'x', 0, 0, 0,
    ];
    let refusal = Refusal { errno: 16, text: "x".into(), offset: None, missing: None };
    assert_eq!(only(&datagram), Ok(Content::Refused(refusal)));
}

#[rustfmt::skip]
#[test]
fn acknowledgements_and_ends_of_dumps() {
    let ack = [
        36, 0, 0, 0,  2, 0,  0, 0x01,  7, 0, 0, 0,  1, 0, 0, 0,
        0, 0, 0, 0,
        28, 0, 0, 0,  0x1d, 0,  5, 0,  7, 0, 0, 0,  0, 0, 0, 0,
    ];
    assert_eq!(only(&ack), Ok(Content::Ack));
    let end = [20, 0, 0, 0,  3, 0,  2, 0,  7, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0];
    assert_eq!(only(&end), Ok(Content::DumpEnd));
    // A dump that failed: EPERM.
    let failed = [20, 0, 0, 0,  3, 0,  2, 0,  7, 0, 0, 0,  1, 0, 0, 0,  0xff, 0xff, 0xff, 0xff];
    assert!(matches!(only(&failed), Ok(Content::Refused(Refusal { errno: 1, .. }))));
}

#[test]
fn errors_name_message_and_attribute_and_cost_one_message() {
    let mut two = HEAD.to_vec();
    two[40] = 3; // side 3
    two.extend(HEAD);
    let mut all = messages(&two, FAMILY);
    let error = all.next().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "netlink message `head`, attribute `side`: 3 is no side that this version knows"
    );
    assert!(all.next().unwrap().is_ok());

    let mut short = HEAD.to_vec();
    short[20] = 6; // id of 2 bytes; the attribute behind it still stands 4-byte aligned
    let error = only(&short).unwrap_err();
    assert_eq!((error.attribute, error.problem), ("id", Problem::Length(2)));

    let mut alien = HEAD.to_vec();
    alien[4] = 0x1e;
    assert_eq!(only(&alien).unwrap_err().problem, Problem::Type(0x1e));

    let mut command = HEAD.to_vec();
    command[16] = 12;
    assert_eq!(only(&command).unwrap_err().problem, Problem::Command(12));

    let mut cut = HEAD.to_vec();
    cut[0] = 200;
    assert_eq!(only(&cut).unwrap_err().problem, Problem::Cut);
}

#[rustfmt::skip]
#[test]
fn the_familys_id() {
    assert_eq!(family::request(1), [
        36, 0, 0, 0,  0x10, 0,  1, 0,  1, 0, 0, 0,  0, 0, 0, 0,
        3, 2, 0, 0,                                                  // CTRL_CMD_GETFAMILY
        14, 0, 2, 0,  b'u', b'n', b'd', b'e', b'r', b'p', b'a', b's', b's', 0,  0, 0,
    ]);
    let mut answer = [
        52, 0, 0, 0,  0x10, 0,  0, 0,  1, 0, 0, 0,  1, 0, 0, 0,
        1, 2, 0, 0,                                                  // CTRL_CMD_NEWFAMILY
        14, 0, 2, 0,  b'u', b'n', b'd', b'e', b'r', b'p', b'a', b's', b's', 0,  0, 0,
        6, 0, 1, 0,  0x1d, 0, 0, 0,                                  // CTRL_ATTR_FAMILY_ID
        8, 0, 3, 0,  1, 0, 0, 0,                                     // CTRL_ATTR_VERSION
    ];
    assert_eq!(family::answer(&answer), Ok(0x1d));
    answer[48] = 2;
    let other = family::answer(&answer).unwrap_err();
    assert_eq!(other, family::FamilyError::Version(2));
    assert!(other.to_string().contains("speaks version 2 "), "{other}");
    answer[46] = 9;                                                  // no version at all
    assert_eq!(family::answer(&answer), Err(family::FamilyError::NoAnswer));
    let refused = [
        36, 0, 0, 0,  2, 0,  0, 0x01,  1, 0, 0, 0,  1, 0, 0, 0,
        0xfe, 0xff, 0xff, 0xff,                                      // ENOENT
        36, 0, 0, 0,  0x10, 0,  1, 0,  1, 0, 0, 0,  0, 0, 0, 0,
    ];
    let text = family::answer(&refused).unwrap_err().to_string();
    assert!(text.ends_with("load the module underpass"), "{text}");
    assert_eq!(family::answer(&[]), Err(family::FamilyError::NoAnswer));
}
