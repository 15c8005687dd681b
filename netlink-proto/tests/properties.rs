// SPDX-License-Identifier: GPL-2.0
//! What must hold for every message: what was encoded is decoded the same, and no bytes
//! make the decoder panic.

use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_generic::GenlMessage;
use proptest::option::of;
use proptest::prelude::*;
use std::net::SocketAddr;
use underpass_proto::gen::{cmd, queue};
use underpass_proto::{
    family, messages, Body, Closed, Command, Content, DecodeError, Done, Event, ForwardResult,
    Framing, FramingKind, Head, ListenerInfo, Problem, QueueInfo, Reason, Relay, Relayed, Reply,
    RouterInfo, Side, State, Stats, UnknownValue,
};

const FAMILY: u16 = 29;

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Front), Just(Side::Back)]
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::None),
        any::<u64>().prop_map(Framing::Length),
        Just(Framing::Chunked),
        Just(Framing::UntilClose),
        Just(Framing::Tunnel),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let leaves = of(number::<FramingKind>(4));
    let numbers = (of(any::<u32>()), of(any::<u32>()), of(any::<u64>()));
    (framing(), leaves, data(), numbers).prop_map(
        |(framing, leaves, trailers, (idle_ms, idle_bytes, note))| Body {
            framing,
            leaves,
            trailers,
            idle_ms,
            idle_bytes,
            note,
        },
    )
}

fn number<T>(max: u32) -> impl Strategy<Value = T>
where
    T: TryFrom<u32, Error = UnknownValue> + std::fmt::Debug,
{
    (0..=max).prop_map(|n| T::try_from(n).unwrap())
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (of(any::<u32>()), of(any::<u32>()), of(any::<u32>())).prop_map(
            |(credit, grace, queues_max)| Command::RouterAttach {
                credit,
                grace,
                queues_max
            }
        ),
        of(any::<u32>()).prop_map(|grace| Command::RouterDetach { grace }),
        (
            any::<u32>(),
            of(any::<u32>()),
            of(any::<u32>()),
            of(any::<u32>())
        )
            .prop_map(|(id, credit, grace, queues_max)| Command::RouterTakeover {
                id,
                credit,
                grace,
                queues_max
            }),
        any::<u32>().prop_map(|id| Command::RouterGet { id }),
        Just(Command::RouterDump),
        (
            any::<i32>(),
            of(any::<u32>()),
            any::<bool>(),
            any::<[Option<u32>; 2]>()
        )
            .prop_map(|(fd, head_limit, proxy_protocol, [head_ms, connections])| {
                Command::ListenerAdd {
                    fd,
                    head_limit,
                    proxy_protocol,
                    head_ms,
                    connections,
                }
            }),
        any::<u32>().prop_map(|id| Command::ListenerDel { id }),
        any::<u32>().prop_map(|id| Command::ListenerGet { id }),
        Just(Command::ListenerDump),
        (any::<i32>(), side(), of(any::<u32>())).prop_map(|(fd, side, head_limit)| {
            Command::QueueAdd {
                fd,
                side,
                head_limit,
            }
        }),
        any::<u32>().prop_map(|id| Command::QueueDel { id }),
        any::<u32>().prop_map(|id| Command::QueueAbort { id }),
        any::<u32>().prop_map(|id| Command::QueueGet { id }),
        Just(Command::QueueDump),
        (any::<u32>(), data(), any::<bool>(), of(any::<u64>())).prop_map(
            |(id, data, if_quiet, note)| Command::Send {
                id,
                data,
                if_quiet,
                note,
            }
        ),
        (any::<u32>(), any::<u32>(), of(any::<u32>()), body()).prop_map(
            |(id, generation, to, body)| Command::Forward {
                id,
                generation,
                to,
                body
            }
        ),
        (any::<Numbers>(), body(), data(), any::<bool>(), of(relay())).prop_map(
            |((n, _), body, data, if_quiet, relay)| Command::Route {
                id: n[0],
                generation: n[1],
                to: n[2],
                body,
                data,
                if_quiet,
                relay
            }
        ),
        (any::<u32>(), any::<u32>())
            .prop_map(|(id, generation)| Command::Cancel { id, generation }),
        (any::<u32>(), of(any::<u64>()), of(any::<u32>())).prop_map(
            |(id, limit_bytes, limit_ms)| Command::Drain {
                id,
                limit_bytes,
                limit_ms
            }
        ),
        Just(Command::StatsGet),
    ]
}

fn relay() -> impl Strategy<Value = Relay> {
    (data(), any::<bool>(), of(any::<u32>()), of(any::<u32>())).prop_map(
        |(lines, of_head, idle_ms, idle_bytes)| Relay {
            lines: lines.into(),
            of_head,
            idle_ms,
            idle_bytes,
        },
    )
}

type Numbers = ([u32; 8], [u64; 4]);

fn event() -> impl Strategy<Value = Event> {
    let addresses = (of(any::<SocketAddr>()), of(any::<SocketAddr>()));
    let head = (any::<Numbers>(), side(), data(), any::<bool>(), addresses).prop_map(
        |((n, wide), side, head, over_limit, (peer, local))| {
            Event::Head(Head {
                id: n[0],
                generation: n[1],
                side,
                listener: (n[3] > 9).then_some(n[2]),
                head,
                over_limit,
                sent: wide[0],
                peer: peer.map(plain),
                local: local.map(plain),
            })
        },
    );
    let done = (any::<Numbers>(), number::<ForwardResult>(7)).prop_map(|((n, wide), result)| {
        Event::Done(Done {
            id: n[0],
            generation: n[1],
            to: (n[3] > 9).then_some(n[2]),
            result,
            error: n[4],
            taken: wide[0],
            status: (n[5] > 9).then_some(n[5] as u16),
        })
    });
    let relayed = any::<([u32; 3], u16)>().prop_map(|(n, status)| {
        Event::Relayed(Relayed {
            id: n[0],
            generation: n[1],
            to: n[2],
            status,
        })
    });
    let closed = (any::<Numbers>(), side(), number::<Reason>(6), any::<bool>()).prop_map(
        |((n, wide), side, reason, gone)| {
            Event::Closed(Closed {
                id: n[0],
                generation: n[1],
                side,
                reason,
                error: n[2],
                taken: wide[0],
                sent: wide[1],
                gone,
            })
        },
    );
    prop_oneof![head, done, closed, relayed]
}

/// Scope and flow label of an IPv6 address are not on the wire.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

fn reply() -> impl Strategy<Value = Reply> {
    let router = any::<(Numbers, u32, u32)>().prop_map(|((n, wide), listeners, queues_max)| {
        Reply::Router(RouterInfo {
            id: n[0],
            port: n[1],
            credit: n[2],
            grace: n[3],
            protocol: n[4],
            heads_out: n[5],
            waiting: n[6],
            overflows: wide[0],
            queues: n[7],
            listeners,
            queues_max,
        })
    });
    let listener = any::<(Numbers, Option<SocketAddr>)>().prop_map(|((n, wide), local)| {
        Reply::Listener(ListenerInfo {
            id: n[0],
            router: n[1],
            head_limit: n[2],
            accepted: wide[0],
            local: local.map(|address| match plain(address) {
                SocketAddr::V6(mut address) => {
                    address.set_scope_id(n[7]);
                    address.into()
                }
                address => address,
            }),
            proxy_protocol: n[3] > 9,
            head_ms: n[4],
            connections: n[5],
            open: n[6],
        })
    });
    let queue = (
        any::<Numbers>(),
        side(),
        number::<State>(5),
        of(framing()),
        of(number::<ForwardResult>(7)),
        number::<Reason>(6),
        any::<(Option<SocketAddr>, Option<SocketAddr>)>(),
        any::<(Option<u32>, Option<u32>, Option<u16>, Option<u32>)>(),
    )
        .prop_map(
            |((n, wide), side, state, framing, result, reason, (peer, local), rest)| {
                let (listener, to, status, relay_to) = rest;
                Reply::Queue(QueueInfo {
                    id: n[0],
                    side,
                    router: n[1],
                    listener,
                    head_limit: n[2],
                    state,
                    generation: n[3],
                    to,
                    framing,
                    taken: wide[0],
                    sent: wide[1],
                    result,
                    reason,
                    error: n[4],
                    peer: peer.map(plain),
                    local: local.map(plain),
                    rx_bytes: wide[2],
                    tx_bytes: wide[3],
                    unsent: n[5],
                    to_framing: FramingKind::try_from(n[6] % 6).ok(),
                    idle_ms: (n[7] > 9).then_some(n[7]),
                    idle_bytes: (n[6] > 9).then_some(n[6]),
                    status,
                    relay_to,
                    note: wide[1].rotate_left(7),
                })
            },
        );
    let stats = any::<(Numbers, [u64; 5])>().prop_map(|((n, a), b)| {
        Reply::Stats(Stats {
            accepted: a[0],
            added: a[1],
            heads: a[2],
            forwards: a[3],
            front_to_back: b[0],
            back_to_front: b[1],
            discarded: b[2],
            overflows: b[3],
            refused: b[4],
            queues: n[0],
            relayed: b[0] ^ a[1],
            late: b[1] ^ a[2],
        })
    });
    prop_oneof![router, listener, queue, stats]
}

/// Everything that reads bytes from outside.
fn read_all(bytes: &[u8]) {
    for message in messages(bytes, FAMILY) {
        if let Err(error) = message {
            assert!(!error.to_string().is_empty());
        }
    }
    if let Err(error) = family::answer(bytes) {
        assert!(!error.to_string().is_empty());
    }
    for number in 0..=255 {
        let command = Command::decode(number, bytes);
        let event = Event::decode(number, bytes);
        let reply = Reply::decode(number, bytes);
        assert!(
            u8::from(command.is_ok()) + u8::from(event.is_ok()) <= 1,
            "{number} is a command and an event: {reply:?}"
        );
    }
}

proptest! {
    #[test]
    fn commands_come_back(
        commands in prop::collection::vec(command(), 1..6),
        ack in any::<bool>(),
    ) {
        let mut out = Vec::new();
        for command in &commands {
            command.append(FAMILY, 3, ack, &mut out).unwrap();
        }
        let mut rest = &out[..];
        for command in &commands {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            let decoded = Command::decode(rest[16], &rest[20..length]).unwrap();
            prop_assert_eq!(&decoded, command);
            rest = &rest[length..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn what_the_kernel_says_comes_back(
        said in prop::collection::vec(
            prop_oneof![event().prop_map(Content::Event), reply().prop_map(Content::Reply)],
            1..6,
        ),
    ) {
        let mut out = Vec::new();
        for content in &said {
            match content {
                Content::Event(event) => event.append(FAMILY, &mut out).unwrap(),
                Content::Reply(reply) => reply.append(FAMILY, 5, &mut out).unwrap(),
                _ => unreachable!("not generated"),
            }
        }
        let heard: Vec<_> = messages(&out, FAMILY).map(|m| m.unwrap().content).collect();
        prop_assert_eq!(heard, said);
    }

    // Encoder and decoder are written by hand, for speed: netlink-packet-core's say the same.
    #[test]
    fn the_general_encoder_writes_the_same(command in command()) {
        let mut out = Vec::new();
        command.append(FAMILY, 3, true, &mut out).unwrap();
        let mut message: GenlMessage<Command> = GenlMessage::from_payload(command);
        message.set_resolved_family_id(FAMILY);
        let mut header = NetlinkHeader::default();
        header.message_type = FAMILY;
        header.flags = u16::from_ne_bytes([out[6], out[7]]);
        header.sequence_number = 3;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut whole = vec![0; message.buffer_len()];
        message.serialize(&mut whole);
        prop_assert_eq!(whole, &out[..]);
        let mut attributes = Vec::new();
        for nla in NlasIterator::new(&out[20..]) {
            let nla = nla.unwrap();
            let again = DefaultNla::new(nla.kind(), nla.value().to_vec());
            let mut bytes = vec![0; again.buffer_len()];
            again.emit(&mut bytes);
            attributes.extend(bytes);
        }
        prop_assert_eq!(&attributes, &out[20..]);
    }

    #[test]
    fn the_general_iterator_finds_the_same(
        mut bytes in prop::collection::vec(prop_oneof![0u8..12, any::<u8>()], 0..64),
        lengths in prop::collection::vec(0u8..16, 4),
    ) {
        // Lengths that make sense, mostly: zeros of the high bytes come seldom by themselves.
        let mut at = 0;
        for length in lengths {
            if let Some(header) = bytes.get_mut(at..at + 4) {
                header[..2].copy_from_slice(&u16::from(length).to_ne_bytes());
                header[3] = 0;
                at += usize::from(length).next_multiple_of(4).max(4);
            }
        }
        let all: Result<Vec<_>, _> = NlasIterator::new(&bytes[..]).collect();
        let cut = |error: DecodeError| error.problem == Problem::Cut;
        match (all, Command::decode(cmd::SEND, &bytes)) {
            (Err(_), decoded) => prop_assert!(decoded.is_err_and(cut)),
            (Ok(_), Err(error)) => prop_assert!(!cut(error)),
            (Ok(all), Ok(Command::Send { data, .. })) => {
                let last = all.iter().rfind(|nla| nla.kind() == queue::DATA);
                prop_assert_eq!(last.map(|nla| nla.value()), Some(&data[..]));
            }
            (Ok(_), other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    // Random bytes rarely get past the first length field; these do.
    #[test]
    fn broken_messages_do_not_panic(
        said in prop_oneof![event().prop_map(Content::Event), reply().prop_map(Content::Reply)],
        faults in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut out = Vec::new();
        match &said {
            Content::Event(event) => event.append(FAMILY, &mut out).unwrap(),
            Content::Reply(reply) => reply.append(FAMILY, 5, &mut out).unwrap(),
            _ => unreachable!("not generated"),
        }
        for (at, value) in faults {
            let at = at.index(out.len());
            out[at] = value;
        }
        read_all(&out);
        read_all(&out[20..]);
        read_all(&out[..cut.index(out.len())]);
    }

    // The same for netlink's own messages: types 1 to 4, with a right first length.
    #[test]
    fn broken_control_messages_do_not_panic(
        sort in prop_oneof![1u16..=4, Just(16), Just(FAMILY)],
        flags in any::<u16>(),
        payload in prop::collection::vec(prop_oneof![0u8..40, any::<u8>()], 0..80),
    ) {
        let mut out = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        out.extend(sort.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend([0; 8]);
        out.extend(payload);
        read_all(&out);
    }
}
