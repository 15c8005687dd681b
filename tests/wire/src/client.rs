// SPDX-License-Identifier: GPL-2.0
//! A netlink socket that speaks the family through the crate `neli`: one command at a
//! time, each with an acknowledgement, and the events that came meanwhile.

use crate::numbers::errno::ENOBUFS;
use crate::numbers::{cmd, queue, NAME, VERSION};
use neli::consts::genl::{CtrlAttr, CtrlCmd};
use neli::consts::nl::{NlmF, NlmsgerrAttr};
use neli::consts::socket::{Msg, NlFamily};
use neli::genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, Nlattr, NlattrBuilder};
use neli::nl::{NlPayload, Nlmsghdr, NlmsghdrBuilder};
use neli::socket::NlSocket;
use neli::types::{Buffer, GenlBuffer, NlBuffer};
use neli::utils::Groups;
use neli::{FromBytesWithInput, Size, ToBytes};
use std::collections::{BTreeMap, VecDeque};
use std::io::Cursor;

/// Netlink's own message types.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The generic netlink controller.
const GENL_ID_CTRL: u16 = 16;
/// Room for a datagram with the largest head.
const ROOM: usize = 1 << 18;

/// What could go wrong that is not the kernel's refusal: the test itself is broken.
pub type Failure = Box<dyn std::error::Error>;

type Wire = Nlmsghdr<u16, Buffer>;

/// An attribute to send. Any bytes can be sent under any number.
pub type Attr = Nlattr<u16, Buffer>;

/// A `u32` attribute.
pub fn u32(number: u16, value: u32) -> Attr {
    bytes(number, &value.to_ne_bytes())
}

/// A `uint` attribute of 8 bytes.
pub fn u64(number: u16, value: u64) -> Attr {
    bytes(number, &value.to_ne_bytes())
}

/// An attribute of any bytes.
pub fn bytes(number: u16, value: &[u8]) -> Attr {
    attribute(number, value, false)
}

/// An attribute with the flag that says that it holds others.
pub fn nested(number: u16, value: &[u8]) -> Attr {
    attribute(number, value, true)
}

fn attribute(number: u16, value: &[u8], is_nested: bool) -> Attr {
    let kind = AttrTypeBuilder::default()
        .nla_type(number)
        .nla_nested(is_nested)
        .build()
        .expect("all fields are given");
    NlattrBuilder::default()
        .nla_type(kind)
        .nla_payload(Buffer::from(value.to_vec()))
        .build()
        .expect("all fields are given")
}

/// A message of the family as the kernel sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Command or event.
    pub number: u8,
    /// Attributes by number.
    pub attrs: BTreeMap<u16, Vec<u8>>,
}

impl Message {
    /// A number of 2, 4 or 8 bytes; `None` if the attribute is absent.
    pub fn get(&self, attr: u16) -> Option<u64> {
        let value = self.attrs.get(&attr)?;
        let mut wide = [0; 8];
        // Little-endian hosts only, as the kernels under test.
        wide.get_mut(..value.len())?.copy_from_slice(value);
        Some(u64::from_le_bytes(wide))
    }

    /// The object's id, which all sets have as their first attribute.
    pub fn id(&self) -> u32 {
        self.get(queue::ID).unwrap_or(0) as u32
    }
}

/// The kernel's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Positive.
    pub errno: i32,
    /// The extended acknowledgement's text.
    pub text: String,
}

/// What a command was answered with.
pub type Answer = Result<Vec<Message>, Refusal>;

/// See the file's head.
pub struct Client {
    socket: NlSocket,
    family: u16,
    sequence: u32,
    events: VecDeque<Message>,
    /// Of the family, as its commands say.
    pub version: u8,
}

impl Client {
    /// Opens a socket and finds the family.
    pub fn new() -> Result<Self, Failure> {
        let socket = NlSocket::connect(NlFamily::Generic, None, Groups::empty())?;
        socket.enable_ext_ack(true)?;
        let mut client = Self {
            socket,
            family: GENL_ID_CTRL,
            sequence: 0,
            events: VecDeque::new(),
            version: VERSION,
        };
        let name = bytes(
            CtrlAttr::FamilyName.into(),
            &[NAME.as_bytes(), &[0]].concat(),
        );
        let found = client
            .call(CtrlCmd::Getfamily.into(), &[name])?
            .map_err(|r| format!("no family {NAME} (errno {}); load the module", r.errno))?;
        let id = found.first().and_then(|m| m.get(CtrlAttr::FamilyId.into()));
        client.family = u16::try_from(id.ok_or("the controller told no family id")?)?;
        Ok(client)
    }

    /// The netlink port of this socket.
    pub fn port(&self) -> Result<u32, Failure> {
        Ok(self.socket.pid()?)
    }

    /// One command and its answer.
    pub fn call(&mut self, number: u8, attrs: &[Attr]) -> Result<Answer, Failure> {
        let datagram = self.encode(number, attrs, NlmF::REQUEST | NlmF::ACK)?;
        self.socket.send(datagram, Msg::empty())?;
        self.answer(self.sequence)
    }

    /// A dump and all that it tells.
    pub fn dump(&mut self, number: u8) -> Result<Answer, Failure> {
        let datagram = self.encode(number, &[], NlmF::REQUEST | NlmF::DUMP)?;
        self.socket.send(datagram, Msg::empty())?;
        self.answer(self.sequence)
    }

    /// Several commands in one datagram, and the answer of each.
    pub fn call_all(&mut self, commands: &[(u8, Vec<Attr>)]) -> Result<Vec<Answer>, Failure> {
        let mut datagram = Vec::new();
        let first = self.sequence + 1;
        for (number, attrs) in commands {
            datagram.extend(self.encode(*number, attrs, NlmF::REQUEST | NlmF::ACK)?);
        }
        self.socket.send(datagram, Msg::empty())?;
        (first..=self.sequence).map(|s| self.answer(s)).collect()
    }

    /// The next event of that number about queue `id`; waits for it. Others wait for their
    /// turn.
    pub fn event(&mut self, number: u8, id: u32) -> Result<Message, Failure> {
        self.event_where(|e| e.number == number && e.id() == id)
    }

    /// The next event for which `wanted` holds; waits for it.
    pub fn event_where(&mut self, wanted: impl Fn(&Message) -> bool) -> Result<Message, Failure> {
        loop {
            if let Some(at) = self.events.iter().position(&wanted) {
                return Ok(self.events.remove(at).expect("just found"));
            }
            for message in self.receive()? {
                match self.event_of(&message)? {
                    Some(event) => self.events.push_back(event),
                    None => return Err(format!("not an event: {message:?}").into()),
                }
            }
        }
    }

    /// Makes the socket's buffer as small as the kernel lets it be.
    pub fn shrink(&self) -> Result<(), Failure> {
        Ok(self.socket.set_recv_buffer_size(1)?)
    }

    /// How many events for which `wanted` holds came with answers and were not looked at.
    pub fn events_waiting(&self, wanted: impl Fn(&Message) -> bool) -> usize {
        self.events.iter().filter(|e| wanted(e)).count()
    }

    fn encode(&mut self, number: u8, attrs: &[Attr], flags: NlmF) -> Result<Vec<u8>, Failure> {
        self.sequence += 1;
        let generic = GenlmsghdrBuilder::<u8, u16>::default()
            .cmd(number)
            .version(self.version)
            .attrs(attrs.iter().cloned().collect::<GenlBuffer<u16, Buffer>>())
            .build()?;
        let message = NlmsghdrBuilder::default()
            .nl_type(self.family)
            .nl_flags(flags)
            .nl_seq(self.sequence)
            .nl_payload(NlPayload::Payload(generic))
            .build()?;
        let mut out = Cursor::new(vec![0; message.padded_size()]);
        message.to_bytes(&mut out)?;
        Ok(out.into_inner())
    }

    fn receive(&mut self) -> Result<Vec<Wire>, Failure> {
        let mut room = vec![0; ROOM];
        let length = loop {
            match self.socket.recv(&mut room[..], Msg::empty()) {
                Ok((length, _)) => break length,
                // The socket was full for a while. What was lost is the kernel's to repeat.
                Err(e) if e.raw_os_error() == Some(ENOBUFS) => {}
                Err(e) => return Err(e.into()),
            }
        };
        room.truncate(length);
        let all = NlBuffer::<u16, Buffer>::from_bytes_with_input(&mut Cursor::new(room), length)?;
        Ok(all.into_iter().collect())
    }

    fn answer(&mut self, sequence: u32) -> Result<Answer, Failure> {
        let mut content = Vec::new();
        loop {
            let mut end = None;
            for message in self.receive()? {
                if let Some(event) = self.event_of(&message)? {
                    self.events.push_back(event);
                    continue;
                }
                if *message.nl_seq() != sequence {
                    return Err(format!("answer to another command: {message:?}").into());
                }
                match (*message.nl_type(), message.nl_payload()) {
                    (NLMSG_ERROR, NlPayload::Ack(_)) => end = Some(Ok(())),
                    (NLMSG_ERROR, NlPayload::Err(error)) => {
                        let mut found = error.ext_ack().iter();
                        let text = found.find(|a| *a.nla_type().nla_type() == NlmsgerrAttr::Msg);
                        let text = text.map_or(&[][..], |attr| attr.nla_payload().as_ref());
                        let text = String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text));
                        end = Some(Err(Refusal {
                            errno: -error.error(),
                            text: text.into_owned(),
                        }));
                    }
                    (NLMSG_DONE, NlPayload::DumpExtAck(error)) if *error.error() != 0 => {
                        let errno = -error.error();
                        let text = String::new();
                        end = Some(Err(Refusal { errno, text }));
                    }
                    (NLMSG_DONE, _) => end = Some(Ok(())),
                    _ => content.push(decode(&message)?),
                }
            }
            // Other messages of the same datagram were looked at, too.
            match end {
                Some(Ok(())) => return Ok(Ok(content)),
                Some(Err(refusal)) => return Ok(Err(refusal)),
                None => {}
            }
        }
    }

    fn event_of(&self, message: &Wire) -> Result<Option<Message>, Failure> {
        if *message.nl_type() != self.family {
            return Ok(None);
        }
        let decoded = decode(message)?;
        let is_event = matches!(
            decoded.number,
            cmd::HEAD | cmd::DONE | cmd::CLOSED | cmd::RELAYED | cmd::OUSTED
        );
        Ok(is_event.then_some(decoded))
    }
}

fn decode(message: &Wire) -> Result<Message, Failure> {
    let payload = message.get_payload().ok_or("message without payload")?;
    let bytes = payload.as_ref().to_vec();
    let length = bytes.len();
    let generic = Genlmsghdr::<u8, u16>::from_bytes_with_input(&mut Cursor::new(bytes), length)?;
    let attrs = generic
        .attrs()
        .iter()
        .map(|attr| {
            let value = attr.nla_payload().as_ref().to_vec();
            (*attr.nla_type().nla_type(), value)
        })
        .collect();
    Ok(Message {
        number: *generic.cmd(),
        attrs,
    })
}
