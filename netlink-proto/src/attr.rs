// SPDX-License-Identifier: GPL-2.0
//! Attributes as bytes: writing a message's attributes one after the other, and finding
//! them in what was received.
//!
//! A message says what its attributes are by calling a function for each ([`Attributes`]),
//! so that measuring and writing follow the same list and nothing is collected. Reading
//! fills a table indexed by attribute number, as the kernel does; the last of two equal
//! ones counts.

use crate::error::{DecodeError, EncodeError, Problem, UnknownValue};
use crate::gen::{listener, queue, router, stats};
use netlink_packet_core::{Emitable, Nla, NlasIterator, NLA_HEADER_SIZE};
use std::net::{IpAddr, SocketAddr};

/// Bytes that one attribute can hold: its length field has 16 bits and counts its header.
const VALUE_MAX: usize = u16::MAX as usize - NLA_HEADER_SIZE;

/// The largest attribute set has its table filled to here.
const SLOTS: usize = queue::MAX as usize + 1;
const _: () = assert!(
    router::NAMES.len() <= SLOTS && listener::NAMES.len() <= SLOTS && stats::NAMES.len() <= SLOTS
);

/// The value of an attribute, by the spec's types.
pub(crate) enum Value<'a> {
    U16(u16),
    U32(u32),
    /// `uint`: 4 bytes on the wire if the number fits, 8 if not.
    Uint(u64),
    Bytes(&'a [u8]),
    Flag,
}

/// Called for each attribute of a message, with its number.
pub(crate) type Put<'p> = &'p mut dyn FnMut(u16, Value<'_>);

/// A message that consists of attributes.
pub(crate) trait Attributes {
    /// Calls `put` for each attribute that the message has.
    fn attributes(&self, put: Put<'_>);
}

struct Attr<'a> {
    kind: u16,
    value: Value<'a>,
}

impl Nla for Attr<'_> {
    fn value_len(&self) -> usize {
        match self.value {
            Value::U16(_) => 2,
            Value::U32(_) => 4,
            Value::Uint(v) => match u32::try_from(v) {
                Ok(_) => 4,
                Err(_) => 8,
            },
            Value::Bytes(b) => b.len(),
            Value::Flag => 0,
        }
    }

    fn kind(&self) -> u16 {
        self.kind
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self.value {
            Value::U16(v) => buffer.copy_from_slice(&v.to_ne_bytes()),
            Value::U32(v) => buffer.copy_from_slice(&v.to_ne_bytes()),
            Value::Uint(v) => match u32::try_from(v) {
                Ok(small) => buffer.copy_from_slice(&small.to_ne_bytes()),
                Err(_) => buffer.copy_from_slice(&v.to_ne_bytes()),
            },
            Value::Bytes(b) => buffer.copy_from_slice(b),
            Value::Flag => {}
        }
    }
}

/// Bytes of all attributes with their padding.
pub(crate) fn buffer_len(message: &dyn Attributes) -> usize {
    let mut sum = 0;
    message.attributes(&mut |kind, value| sum += Attr { kind, value }.buffer_len());
    sum
}

/// Writes all attributes. `buffer` must have [`buffer_len`] bytes, and no value may be longer
/// than the wire takes.
pub(crate) fn emit(message: &dyn Attributes, buffer: &mut [u8]) {
    let mut start = 0;
    message.attributes(&mut |kind, value| {
        let attr = Attr { kind, value };
        let end = start + attr.buffer_len();
        attr.emit(&mut buffer[start..end]);
        start = end;
    });
}

/// Appends all attributes of a message, whose name and attribute names are given for the error:
/// a value is too long for the wire. That leaves a part in `out`.
pub(crate) fn append(
    message: &impl Attributes,
    name: &'static str,
    names: &'static [&'static str],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut result = Ok(());
    message.attributes(&mut |kind, value| {
        let attr = Attr { kind, value };
        let length = attr.value_len();
        if length > VALUE_MAX {
            result = Err(EncodeError {
                message: name,
                attribute: names.get(usize::from(kind)).copied().unwrap_or(""),
                length,
                max: VALUE_MAX,
            });
            return;
        }
        let head = [(NLA_HEADER_SIZE + length) as u16, kind].map(u16::to_ne_bytes);
        out.extend_from_slice(head.as_flattened());
        match attr.value {
            Value::U16(v) => out.extend_from_slice(&v.to_ne_bytes()),
            Value::U32(v) => out.extend_from_slice(&v.to_ne_bytes()),
            Value::Uint(v) => match u32::try_from(v) {
                Ok(small) => out.extend_from_slice(&small.to_ne_bytes()),
                Err(_) => out.extend_from_slice(&v.to_ne_bytes()),
            },
            Value::Bytes(b) => out.extend_from_slice(b),
            Value::Flag => {}
        }
        out.extend_from_slice(&[0; 3][..length.wrapping_neg() % 4]);
    });
    result
}

/// Address and port as two attributes.
pub(crate) fn put_address(put: Put<'_>, address: u16, port: u16, value: Option<SocketAddr>) {
    let Some(value) = value else { return };
    match value.ip() {
        IpAddr::V4(ip) => put(address, Value::Bytes(&ip.octets())),
        IpAddr::V6(ip) => put(address, Value::Bytes(&ip.octets())),
    }
    put(port, Value::U16(value.port()));
}

/// The attributes of one received message, by number.
pub(crate) struct Table<'a> {
    message: &'static str,
    names: &'static [&'static str],
    slots: [Option<&'a [u8]>; SLOTS],
}

impl<'a> Table<'a> {
    /// Finds the attributes of the set whose names are given in the payload of `message`.
    /// The error is [`Problem::Cut`], if their lengths make no sense.
    pub(crate) fn read(
        payload: &'a [u8],
        message: &'static str,
        names: &'static [&'static str],
    ) -> Result<Self, DecodeError> {
        let mut table = Self {
            message,
            names,
            slots: [None; SLOTS],
        };
        for nla in NlasIterator::new(payload) {
            let nla = nla.map_err(|_| table.error(0, Problem::Cut))?;
            let (kind, length) = (usize::from(nla.kind()), usize::from(nla.length()));
            if kind < names.len() {
                table.slots[kind] = nla.into_inner().get(NLA_HEADER_SIZE..length);
            }
        }
        Ok(table)
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
        self.slots[usize::from(attribute)]
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
