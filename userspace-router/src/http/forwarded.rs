// SPDX-License-Identifier: GPL-2.0
//! Who the client is, told to the back-end: `X-Forwarded-*`, and `Forwarded` of RFC 7239.
//!
//! Invariant: what a client says about itself reaches a back-end only if the client is one
//! of ours (a proxy in a trusted network), or if the route has nothing to do with these
//! fields. `_`, like any other punctuation, counts as `-` here: for many back-ends these are the same name.

use std::net::IpAddr;

use super::fields::{self, Line, Lines};

/// Which fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// None; what comes in passes.
    None,
    /// X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.
    XForwarded,
    /// Forwarded.
    Forwarded,
    /// All of them.
    Both,
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// True if `address` is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        fn same(a: u128, b: u128, width: u8, prefix: u8) -> bool {
            let shift = u32::from(width.saturating_sub(prefix));
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        }
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same(a.to_bits().into(), b.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = ();

    /// `10.0.0.0/8`, `fd00::/8`, or one address.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| ())?
            }
            Some(_) => return Err(()),
        };
        if prefix > width {
            return Err(());
        }
        // Clients of IPv4 are known by its addresses, whatever the socket calls them.
        Ok(match (address.to_canonical(), prefix.checked_sub(96)) {
            (mapped @ IpAddr::V4(_), Some(prefix)) if width == 128 => Self {
                address: mapped,
                prefix,
            },
            _ => Self { address, prefix },
        })
    }
}

/// What is told, and whose word is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Which fields are written.
    pub style: Style,
    /// Clients whose fields are kept and added to; those of others are dropped.
    pub trust: Vec<Network>,
}

impl Forwarded {
    /// True if a field that this client sent is passed on as it is.
    pub(super) fn passes(&self, line: &Line, client: IpAddr) -> bool {
        if self.style == Style::None || !is_about_the_client(line.name) {
            return true;
        }
        // X-Forwarded-For is written anew, with what it held.
        self.trusts(client) && !(self.writes_x() && is_same(line.name, "x-forwarded-for"))
    }

    /// True if what this client says in a field of this name counts: it may be anybody's word about who it is.
    pub fn believes(&self, name: &str, client: IpAddr) -> bool {
        self.style == Style::None || !is_about_the_client(name.as_bytes()) || self.trusts(client)
    }

    /// True if what some client says in a field of this name counts.
    pub fn believes_anybody(&self, name: &str) -> bool {
        self.style == Style::None || !is_about_the_client(name.as_bytes()) || !self.trust.is_empty()
    }

    /// Writes the fields of this hop. `kept` is what came in, `host` what the client asked for; what the route
    /// says by itself, as `said` tells, stands for X-Forwarded-Proto and X-Forwarded-Host.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        kept: &Lines,
        host: &str,
        client: IpAddr,
        said: impl Fn(&str) -> bool,
    ) {
        let trusted = self.trusts(client);
        let client = client.to_canonical();
        let came = |name| trusted && kept.iter().any(|line| is_same(line.name, name));
        if self.writes_x() {
            out.extend_from_slice(b"X-Forwarded-For: ");
            if trusted {
                for line in kept.iter() {
                    if is_same(line.name, "x-forwarded-for") {
                        out.extend_from_slice(line.value);
                        out.extend_from_slice(b", ");
                    }
                }
            }
            put_address(out, client);
            out.extend_from_slice(b"\r\n");
            if !came("x-forwarded-proto") && !said("x-forwarded-proto") {
                out.extend_from_slice(b"X-Forwarded-Proto: http\r\n");
            }
            if !came("x-forwarded-host") && !said("x-forwarded-host") && !host.is_empty() {
                fields::put(out, "X-Forwarded-Host", host.as_bytes());
            }
        }
        if matches!(self.style, Style::Forwarded | Style::Both) {
            // RFC 7239 section 6: an IPv6 address stands in brackets and quotes.
            let node = match client {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("\"[{address}]\""),
            };
            let host = match host {
                "" => String::new(),
                host if fields::is_token(host.as_bytes()) => format!(";host={host}"),
                // A checked host has neither quotes nor backslashes.
                host => format!(";host=\"{host}\""),
            };
            let element = format!("for={node}{host};proto=http");
            fields::put(out, "Forwarded", element.as_bytes());
        }
    }

    fn writes_x(&self) -> bool {
        matches!(self.style, Style::XForwarded | Style::Both)
    }

    fn trusts(&self, client: IpAddr) -> bool {
        self.trust.iter().any(|network| network.contains(client))
    }
}

/// By such fields a proxy tells of its client.
pub fn is_about_the_client(name: &[u8]) -> bool {
    is_same(name, "forwarded")
        || name
            .get(.."x-forwarded-".len())
            .is_some_and(|start| is_same(start, "x-forwarded-"))
}

fn is_same(name: &[u8], lower: &str) -> bool {
    fields::is_alike(name, lower.as_bytes())
}

/// Writes an address as text. That of IPv4 is in every request, and formatting it the general way
/// costs as much as parsing a field.
fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        return out.extend_from_slice(address.to_string().as_bytes());
    };
    for (at, byte) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        if byte >= 100 {
            out.push(b'0' + byte / 100);
        }
        if byte >= 10 {
            out.push(b'0' + byte / 10 % 10);
        }
        out.push(b'0' + byte % 10);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::{LinesRoom, Taken};
    use super::*;

    #[test]
    fn addresses_are_written_as_everywhere() {
        for byte in 0..=255u8 {
            let address = IpAddr::from([byte, 0, 10, byte]);
            let mut out = Vec::new();
            put_address(&mut out, address);
            assert_eq!(out, address.to_string().into_bytes());
        }
    }

    #[test]
    fn networks() {
        for (network, address, within) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::ffff:10.0.0.0/104", "10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "::ffff:10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("::ffff:0:0/96", "255.1.2.3", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.2", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            let address = address.parse().unwrap();
            assert_eq!(parsed.contains(address), within, "{network} {address}");
        }
        for bad in [
            "",
            "a",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(()), "{bad}");
        }
    }

    fn told(style: Style, trust: &str, came: &[(&str, &str)], client: &str) -> String {
        let forwarded = Forwarded {
            style,
            trust: trust.parse().into_iter().collect(),
        };
        let client = client.parse().unwrap();
        let mut kept = Taken::of(b"", LinesRoom::default());
        for (name, value) in came {
            kept.put(name, value.as_bytes());
        }
        let kept = kept.end().in_head(Vec::new());
        let mut out = Vec::new();
        for line in kept.iter().filter(|line| forwarded.passes(line, client)) {
            out.extend_from_slice(line.bytes);
        }
        forwarded.write(&mut out, &kept, "a:80", client, |_| false);
        String::from_utf8(out).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn what_a_back_end_is_told() {
        let came = [
            ("X_Forwarded_For", "6.6.6.6"),
            ("x.forwarded.for", "7.7.7.7"),
            ("x-forwarded-proto", "https"),
            ("X-Forwarded-Port", "1"),
            ("Forwarded", "for=6.6.6.6"),
            ("X", "y"),
        ];
        let ours = "X-Forwarded-For: 10.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a:80|";
        let rfc = "Forwarded: for=10.0.0.1;host=\"a:80\";proto=http|";
        for (style, trust, told_then) in [
            (Style::XForwarded, "", format!("X: y|{ours}")),
            (Style::Forwarded, "", format!("X: y|{rfc}")),
            (Style::Both, "", format!("X: y|{ours}{rfc}")),
            (
                Style::None,
                "",
                "X_Forwarded_For: 6.6.6.6|x.forwarded.for: 7.7.7.7|x-forwarded-proto: https|X-Forwarded-Port: 1|\
                 Forwarded: for=6.6.6.6|X: y|"
                    .to_owned(),
            ),
            (
                Style::Both,
                "10.0.0.0/8",
                format!(
                    "x-forwarded-proto: https|X-Forwarded-Port: 1|Forwarded: for=6.6.6.6|X: y|\
                     X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.0.0.1|X-Forwarded-Host: a:80|{rfc}"
                ),
            ),
        ] {
            assert_eq!(
                told(style, trust, &came, "10.0.0.1"),
                told_then,
                "{style:?}"
            );
        }
    }

    #[test]
    fn ipv6_is_quoted_where_the_rfc_says() {
        assert_eq!(
            told(Style::Both, "", &[], "2001:db8::1"),
            "X-Forwarded-For: 2001:db8::1|X-Forwarded-Proto: http|X-Forwarded-Host: a:80|\
             Forwarded: for=\"[2001:db8::1]\";host=\"a:80\";proto=http|"
        );
    }
}
