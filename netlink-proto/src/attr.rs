// SPDX-License-Identifier: GPL-2.0
//! Attributes as bytes: writing a message's attributes one after the other, and finding
//! them in what was received.
//!
//! Both are done in one pass, by hand: every request of every client passes through here, and the
//! general encoder and iterator of `netlink-packet-core` took three times as long. The tests
//! compare the result with theirs byte for byte. Reading fills a table indexed by attribute number, as
//! the kernel does; the last of two equal ones counts.

use crate::error::{DecodeError, EncodeError, Problem, UnknownValue};
use crate::gen::{listener, queue, router, stats};
use netlink_packet_core::{NLA_HEADER_SIZE, NLA_TYPE_MASK};
use std::net::{IpAddr, SocketAddr};

/// Bytes that one attribute can hold: its length field has 16 bits and counts its header.
const VALUE_MAX: usize = u16::MAX as usize - NLA_HEADER_SIZE;

/// The largest attribute set has its table filled to here.
const SLOTS: usize = queue::MAX as usize + 1;
const _: () = assert!(
    router::NAMES.len() <= SLOTS && listener::NAMES.len() <= SLOTS && stats::NAMES.len() <= SLOTS
);

/// A message that consists of attributes.
pub(crate) trait Attributes {
    /// Writes each attribute that the message has.
    fn attributes(&self, put: &mut Put<'_>);
}

/// Writes attributes behind what is in a buffer.
pub(crate) struct Put<'o> {
    out: &'o mut Vec<u8>,
    /// Number and length of the first value that no attribute can hold.
    too_long: Option<(u16, usize)>,
}

impl<'o> Put<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            too_long: None,
        }
    }

    /// An error if a value was too long for the wire; what was written is of no use then.
    pub(crate) fn finish(
        self,
        message: &'static str,
        names: &'static [&'static str],
    ) -> Result<(), EncodeError> {
        match self.too_long {
            None => Ok(()),
            Some((kind, length)) => Err(EncodeError {
                message,
                attribute: names.get(usize::from(kind)).copied().unwrap_or(""),
                length,
                max: VALUE_MAX,
            }),
        }
    }

    pub(crate) fn flag(&mut self, kind: u16) {
        self.head(kind, 0);
    }

    pub(crate) fn u16(&mut self, kind: u16, value: u16) {
        let [a, b] = value.to_ne_bytes();
        self.small(kind, 2, [a, b, 0, 0]);
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.small(kind, 4, value.to_ne_bytes());
    }

    /// `uint`: 4 bytes on the wire if the number fits, 8 if not.
    pub(crate) fn uint(&mut self, kind: u16, value: u64) {
        match u32::try_from(value) {
            Ok(small) => self.u32(kind, small),
            Err(_) => self.bytes(kind, &value.to_ne_bytes()),
        }
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        if value.len() > VALUE_MAX {
            self.too_long = self.too_long.or(Some((kind, value.len())));
            return;
        }
        self.head(kind, value.len() as u16);
        self.out.extend_from_slice(value);
        // As much as may be needed, since a number of bytes that is known is written at once.
        let end = self.out.len() + value.len().wrapping_neg() % 4;
        self.out.extend_from_slice(&[0; 3]);
        self.out.truncate(end);
    }

    /// Address and port as two attributes.
    pub(crate) fn address(&mut self, address: u16, port: u16, value: Option<SocketAddr>) {
        let Some(value) = value else { return };
        match value.ip() {
            IpAddr::V4(ip) => self.bytes(address, &ip.octets()),
            IpAddr::V6(ip) => self.bytes(address, &ip.octets()),
        }
        self.u16(port, value.port());
    }

    /// `length` is that of the value, [`VALUE_MAX`] at the most.
    fn head(&mut self, kind: u16, length: u16) {
        let [a, b] = (length + NLA_HEADER_SIZE as u16).to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        self.out.extend_from_slice(&[a, b, c, d]);
    }

    /// A value of up to four bytes, with its padding.
    fn small(&mut self, kind: u16, length: u16, [e, f, g, h]: [u8; 4]) {
        let [a, b] = (length + NLA_HEADER_SIZE as u16).to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        self.out.extend_from_slice(&[a, b, c, d, e, f, g, h]);
    }
}

/// The attributes of one received message, by number.
pub(crate) struct Table<'a> {
    message: &'static str,
    names: &'static [&'static str],
    payload: &'a [u8],
    /// Where each value stands in the payload: its beginning, or zero, and its end.
    slots: [(u32, u32); SLOTS],
}

impl<'a> Table<'a> {
    /// An empty one, for the attributes of the set whose names are given.
    pub(crate) fn new(message: &'static str, names: &'static [&'static str]) -> Self {
        Self {
            message,
            names,
            payload: &[],
            slots: [(0, 0); SLOTS],
        }
    }

    /// Finds the attributes in the payload of a message.
    /// The error is [`Problem::Cut`], if their lengths make no sense.
    pub(crate) fn read(&mut self, payload: &'a [u8]) -> Result<(), DecodeError> {
        self.payload = payload;
        let mut at = 0;
        while let Some(&[a, b, c, d]) = payload.get(at..).and_then(|rest| rest.first_chunk()) {
            let length = usize::from(u16::from_ne_bytes([a, b]));
            // Without the bits that say how it is to be understood.
            let kind = usize::from(u16::from_ne_bytes([c, d]) & NLA_TYPE_MASK);
            let (begin, end) = (at + NLA_HEADER_SIZE, at + length);
            if begin > end || end > payload.len() {
                return Err(self.error(0, Problem::Cut));
            }
            if kind < self.names.len() {
                // A datagram has far less than 4 GiB.
                self.slots[kind] = (begin as u32, end as u32);
            }
            at = end.next_multiple_of(4);
        }
        // The last one may lack its padding.
        if at < payload.len() {
            return Err(self.error(0, Problem::Cut));
        }
        Ok(())
    }

    fn error(&self, attribute: u16, problem: Problem) -> DecodeError {
        DecodeError {
            message: self.message,
            attribute: self
                .names
                .get(usize::from(attribute))
                .copied()
                .unwrap_or(""),
            problem,
        }
    }

    pub(crate) fn need<T>(&self, attribute: u16, value: Option<T>) -> Result<T, DecodeError> {
        value.ok_or_else(|| self.error(attribute, Problem::Missing))
    }

    fn fixed<const N: usize>(&self, attribute: u16) -> Result<Option<[u8; N]>, DecodeError> {
        let Some(bytes) = self.bytes(attribute) else {
            return Ok(None);
        };
        match bytes.try_into() {
            Ok(array) => Ok(Some(array)),
            Err(_) => Err(self.error(attribute, Problem::Length(bytes.len()))),
        }
    }

    pub(crate) fn bytes(&self, attribute: u16) -> Option<&'a [u8]> {
        match self.slots[usize::from(attribute)] {
            (0, _) => None,
            (begin, end) => self.payload.get(begin as usize..end as usize),
        }
    }

    pub(crate) fn need_bytes(&self, attribute: u16) -> Result<&'a [u8], DecodeError> {
        self.need(attribute, self.bytes(attribute))
    }

    pub(crate) fn flag(&self, attribute: u16) -> bool {
        self.bytes(attribute).is_some()
    }

    pub(crate) fn u16(&self, attribute: u16) -> Result<Option<u16>, DecodeError> {
        Ok(self.fixed(attribute)?.map(u16::from_ne_bytes))
    }

    pub(crate) fn u32(&self, attribute: u16) -> Result<Option<u32>, DecodeError> {
        Ok(self.fixed(attribute)?.map(u32::from_ne_bytes))
    }

    pub(crate) fn need_u32(&self, attribute: u16) -> Result<u32, DecodeError> {
        self.need(attribute, self.u32(attribute)?)
    }

    pub(crate) fn uint(&self, attribute: u16) -> Result<Option<u64>, DecodeError> {
        match self.bytes(attribute).map(<[u8]>::len) {
            Some(4) => Ok(self.u32(attribute)?.map(u64::from)),
            _ => Ok(self.fixed(attribute)?.map(u64::from_ne_bytes)),
        }
    }

    pub(crate) fn need_uint(&self, attribute: u16) -> Result<u64, DecodeError> {
        self.need(attribute, self.uint(attribute)?)
    }

    /// A number of one of the spec's enums.
    pub(crate) fn number<T>(&self, attribute: u16) -> Result<Option<T>, DecodeError>
    where
        T: TryFrom<u32, Error = UnknownValue>,
    {
        match self.u32(attribute)? {
            None => Ok(None),
            Some(number) => match T::try_from(number) {
                Ok(value) => Ok(Some(value)),
                Err(unknown) => Err(self.error(attribute, Problem::Value(unknown))),
            },
        }
    }

    pub(crate) fn need_number<T>(&self, attribute: u16) -> Result<T, DecodeError>
    where
        T: TryFrom<u32, Error = UnknownValue>,
    {
        self.need(attribute, self.number(attribute)?)
    }

    /// Address and port; both are there or none.
    pub(crate) fn address(
        &self,
        address: u16,
        port: u16,
    ) -> Result<Option<SocketAddr>, DecodeError> {
        let number = self.fixed(port)?.map(u16::from_ne_bytes);
        let ip: Option<IpAddr> = match self.bytes(address).map(<[u8]>::len) {
            Some(4) => self.fixed::<4>(address)?.map(IpAddr::from),
            _ => self.fixed::<16>(address)?.map(IpAddr::from),
        };
        if ip.is_none() && number.is_none() {
            return Ok(None);
        }
        Ok(Some(SocketAddr::new(
            self.need(address, ip)?,
            self.need(port, number)?,
        )))
    }
}
