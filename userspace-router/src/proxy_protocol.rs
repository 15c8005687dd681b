// SPDX-License-Identifier: GPL-2.0
//! The PROXY protocol, versions 1 and 2, by the specification of HAProxy's authors: who the client of a
//! connection is, as a proxy in front tells us, or as we tell a back-end.
//!
//! Invariants: only what complies exactly is taken for a header; anything doubtful is a
//! `Fault`. The section numbers are those of the specification.
//! It must not decide whom to trust: that is a setting of the listener.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which form a header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The two ends of the connection that the sender stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub client: SocketAddr,
    /// What it connected to.
    pub local: SocketAddr,
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes; what follows is the client's.
    pub length: usize,
    /// None where the sender speaks for itself (UNKNOWN, LOCAL), or of a connection that is
    /// not TCP over IP: then the socket's own addresses count.
    pub ends: Option<Ends>,
}

/// Why there is no header to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes begin otherwise.
    Missing,
    /// It begins like one. What is wrong with it is the text.
    Malformed(&'static str),
}

impl Fault {
    /// Name for the access log; never changes its meaning.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "proxy-header-missing",
            Self::Malformed(_) => "proxy-header-malformed",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no PROXY protocol header"),
            Self::Malformed(what) => write!(f, "malformed PROXY protocol header: {what}"),
        }
    }
}

const V1_BEGINS: &[u8] = b"PROXY ";
/// With CRLF (section 2.1).
const V1_MAX: usize = 107;
const V2_BEGINS: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length (section 2.2).
const V2_FIXED: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const TCP4_BYTES: usize = 12;
const TCP6_BYTES: usize = 36;
/// UDP over IPv4 and IPv6, Unix stream and datagram, with the bytes of their addresses.
const OTHERS: [(u8, usize); 4] = [
    (0x12, TCP4_BYTES),
    (0x22, TCP6_BYTES),
    (0x31, 216),
    (0x32, 216),
];
/// Section 2.2.3.
const TLV_CRC32C: u8 = 0x03;

/// Reads the header at the beginning of `bytes`, which must hold it whole.
pub fn parse(bytes: &[u8]) -> Result<Header, Fault> {
    if bytes.starts_with(V1_BEGINS) {
        return v1(bytes);
    }
    if bytes.starts_with(V2_BEGINS) {
        return v2(bytes);
    }
    Err(Fault::Missing)
}

fn v1(bytes: &[u8]) -> Result<Header, Fault> {
    let malformed = Fault::Malformed;
    let end = bytes.windows(2).take(V1_MAX - 1).position(|w| w == b"\r\n");
    let end = end.ok_or(malformed("no CRLF within 107 bytes"))?;
    let line = bytes.get(V1_BEGINS.len()..end).unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|_| malformed("it is not ASCII"))?;
    let mut words = text.split(' ');
    let protocol = words.next().unwrap_or_default();
    let ends = match protocol {
        // Whatever follows is to be ignored.
        "UNKNOWN" => None,
        "TCP4" => Some(v1_ends(words, |word| {
            word.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        })?),
        "TCP6" => Some(v1_ends(words, |word| {
            word.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        })?),
        _ => return Err(malformed("neither TCP4, TCP6 nor UNKNOWN")),
    };
    Ok(Header {
        length: end + 2,
        ends,
    })
}

fn v1_ends<'a>(
    mut words: impl Iterator<Item = &'a str>,
    address: impl Fn(&str) -> Option<IpAddr>,
) -> Result<Ends, Fault> {
    let mut next = || words.next().unwrap_or_default();
    let texts = [next(), next(), next(), next()];
    if words.next().is_some() {
        return Err(Fault::Malformed("more than two addresses and two ports"));
    }
    let [client, local, client_port, local_port] = texts;
    let address = |text| address(text).ok_or(Fault::Malformed("bad address"));
    let port = |text| port(text).ok_or(Fault::Malformed("bad port"));
    Ok(Ends {
        client: SocketAddr::new(address(client)?, port(client_port)?),
        local: SocketAddr::new(address(local)?, port(local_port)?),
    })
}

/// Decimal, without sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn v2(bytes: &[u8]) -> Result<Header, Fault> {
    let malformed = Fault::Malformed;
    let cut = malformed("it is cut short");
    let Some(&[command, family, high, low]) = bytes.get(V2_BEGINS.len()..V2_FIXED) else {
        return Err(cut);
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    let header = bytes.get(..length).ok_or(cut)?;
    let block = header.get(V2_FIXED..).unwrap_or_default();
    let ends = match (command, family) {
        // A receiver must not look any further (section 2.2).
        (LOCAL, _) | (PROXY, 0) => None,
        (PROXY, TCP4) => {
            let (block, tlvs) = split(block, TCP4_BYTES)?;
            check_tlvs(header, tlvs)?;
            Some(v4_ends(block)?)
        }
        (PROXY, TCP6) => {
            let (block, tlvs) = split(block, TCP6_BYTES)?;
            check_tlvs(header, tlvs)?;
            Some(v6_ends(block)?)
        }
        (PROXY, family) => {
            let known = OTHERS.iter().find(|(other, _)| *other == family);
            let (_, size) = known.ok_or(malformed("unknown address family or protocol"))?;
            let (_, tlvs) = split(block, *size)?;
            check_tlvs(header, tlvs)?;
            None
        }
        _ => return Err(malformed("unknown version or command")),
    };
    Ok(Header { length, ends })
}

fn split(block: &[u8], at: usize) -> Result<(&[u8], &[u8]), Fault> {
    let short = Fault::Malformed("too short for its addresses");
    block.split_at_checked(at).ok_or(short)
}

fn v4_ends(block: &[u8]) -> Result<Ends, Fault> {
    let (client, rest) = take::<4>(block)?;
    let (local, rest) = take::<4>(rest)?;
    ends(client.into(), local.into(), rest)
}

fn v6_ends(block: &[u8]) -> Result<Ends, Fault> {
    let (client, rest) = take::<16>(block)?;
    let (local, rest) = take::<16>(rest)?;
    ends(client.into(), local.into(), rest)
}

fn ends(client: IpAddr, local: IpAddr, ports: &[u8]) -> Result<Ends, Fault> {
    let (client_port, rest) = take::<2>(ports)?;
    let (local_port, _) = take::<2>(rest)?;
    Ok(Ends {
        client: SocketAddr::new(client, u16::from_be_bytes(client_port)),
        local: SocketAddr::new(local, u16::from_be_bytes(local_port)),
    })
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Fault> {
    let short = Fault::Malformed("too short for its addresses");
    let (taken, rest) = bytes.split_first_chunk().ok_or(short)?;
    Ok((*taken, rest))
}

/// Skips the extensions behind the addresses, `tlvs`, of this header; if there is a checksum among them, it
/// must be right.
fn check_tlvs(header: &[u8], tlvs: &[u8]) -> Result<(), Fault> {
    let cut = Fault::Malformed("an extension is cut short");
    let mut rest = tlvs;
    let mut sums = 0;
    while let Some((&kind, after)) = rest.split_first() {
        let (size, after) = after.split_first_chunk().ok_or(cut)?;
        let size = usize::from(u16::from_be_bytes(*size));
        let (value, after) = after.split_at_checked(size).ok_or(cut)?;
        if kind == TLV_CRC32C {
            // Each costs a pass over the whole header.
            sums += 1;
            if sums > 1 {
                return Err(Fault::Malformed("it has more than one checksum"));
            }
            let at = header.len() - after.len() - size;
            let fine = value == crc32c(header, at..at + size).to_be_bytes();
            if !fine {
                return Err(Fault::Malformed("its checksum is wrong"));
            }
        }
        rest = after;
    }
    Ok(())
}

/// RFC 9260 appendix A, with these bytes taken for zeros.
fn crc32c(bytes: &[u8], zeros: std::ops::Range<usize>) -> u32 {
    let mut crc = u32::MAX;
    for (at, &byte) in bytes.iter().enumerate() {
        let byte = if zeros.contains(&at) { 0 } else { byte };
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (0x82f6_3b78 * low);
        }
    }
    !crc
}

/// The header for a connection between these ends, or one that speaks for ourselves.
pub fn render(version: Version, ends: Option<Ends>) -> Vec<u8> {
    // Both of one family: IPv4 becomes IPv6 beside IPv6.
    let ends = ends.map(|ends| match (ends.client, ends.local) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)) => ends,
        (client, local) => Ends {
            client: mapped(client),
            local: mapped(local),
        },
    });
    match version {
        Version::V1 => render_v1(ends).into_bytes(),
        Version::V2 => render_v2(ends),
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn render_v1(ends: Option<Ends>) -> String {
    let Some(Ends { client, local }) = ends else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        client.ip(),
        local.ip(),
        client.port(),
        local.port()
    )
}

fn render_v2(ends: Option<Ends>) -> Vec<u8> {
    let mut out = V2_BEGINS.to_vec();
    let Some(Ends { client, local }) = ends else {
        out.extend_from_slice(&[LOCAL, 0, 0, 0]);
        return out;
    };
    let (family, size) = match client {
        SocketAddr::V4(_) => (TCP4, TCP4_BYTES as u8),
        SocketAddr::V6(_) => (TCP6, TCP6_BYTES as u8),
    };
    out.extend_from_slice(&[PROXY, family, 0, size]);
    for ip in [client.ip(), local.ip()] {
        match ip {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    out.extend_from_slice(&client.port().to_be_bytes());
    out.extend_from_slice(&local.port().to_be_bytes());
    out
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
