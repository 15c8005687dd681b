// SPDX-License-Identifier: GPL-2.0
//! Back-ends by name: the addresses that the system's resolver has for `name:port`.
//!
//! They are looked up when the file is read, and not again until it is read again: a router's
//! thread never waits for a resolver. Each address is a back-end of its own.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Looks `name:port` up.
pub type Resolve<'a> = &'a dyn Fn(&str) -> io::Result<Vec<SocketAddr>>;

/// Bytes of the longest name, without the final dot (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 253;

/// Whether this is `name:port`, and no address in one of its odd spellings, such as `127.1`, which
/// resolvers read as such (`inet_aton`(3)).
pub fn is_name(text: &str) -> bool {
    let Some((name, port)) = text.rsplit_once(':') else {
        return false;
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    name.len() <= NAME_MAX && name.split('.').all(is_label) && !is_number && is_port
}

/// By the system's resolver: `/etc/hosts`, DNS, and whatever `nsswitch.conf`(5) says.
///
/// # Errors
/// As the resolver says.
pub fn system(text: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(text.to_socket_addrs()?.collect())
}

/// In an order of their own, so that all routers and each reload have the same.
///
/// # Errors
/// If there is none.
pub fn addresses(text: &str, resolve: Resolve) -> io::Result<Vec<SocketAddr>> {
    let mut found = resolve(text)?;
    found.sort_unstable();
    found.dedup();
    match found.is_empty() {
        true => Err(io::Error::other("it has no address")),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::check;
    use super::*;
    use crate::address::Address;

    #[test]
    fn names() {
        for text in ["a:1", "localhost:80", "b-1.example.:8080", "1a._x.y2:65535"] {
            assert!(is_name(text), "{text}");
        }
        let long = format!("{}:1", ["x"; 128].join("."));
        for text in [
            "a", "a:", "a:x", "a:+1", "a:65536", ":1", ".:1", "a..b:1", "a b:1", "ä:1", "1.2.3:1",
            "127.1:80", "a.0x7f:1", "[::1]:1", "a:1:1", "a/b:1", &long,
        ] {
            assert!(!is_name(text), "{text}");
        }
    }

    fn members(backends: &str, more: &str) -> Result<Vec<(String, u32)>, String> {
        let text = format!(
            "engine = \"kernel\"\n[[listener]]\naddress = \"0.0.0.0:80\"\n[pool.a]\n\
             backends = [{backends}]\n{more}\n[[route]]\npool = \"a\"\n"
        );
        let resolve = |name: &str| {
            let found: &[&str] = match name {
                "two.example:81" => &["[2001:db8::2]:81", "10.0.0.2:81", "10.0.0.2:81"],
                "one.example:81" => &["10.0.0.2:81"],
                "none.example:81" => &[],
                "none.example:0" => &["10.0.0.2:0"],
                _ => return Err(io::Error::other("Name or service not known")),
            };
            Ok(found.iter().map(|a| a.parse().unwrap()).collect())
        };
        let config = check(&text, &resolve).map_err(|fault| fault.text)?;
        let member = |member: &super::super::Member| match &member.address {
            Address::Tcp(address) => (address.to_string(), member.weight),
            Address::Unix(path) => panic!("{path}"),
        };
        Ok(config.pools[0].members.iter().map(member).collect())
    }

    #[test]
    fn each_address_of_a_name_is_a_backend() {
        let (v4, v6) = ("10.0.0.2:81".to_owned(), "[2001:db8::2]:81".to_owned());
        let first = "10.0.0.1:81".to_owned();
        for (backends, weights, expected) in [
            ("'two.example:81'", "", vec![(&v4, 1), (&v6, 1)]),
            (
                "'10.0.0.1:81', 'two.example:81'",
                "weights = [2, 3]",
                vec![(&first, 2), (&v4, 3), (&v6, 3)],
            ),
            // What entries have in common is one back-end: the first counts.
            (
                "'one.example:81', 'two.example:81'",
                "weights = [2, 3]",
                vec![(&v4, 2), (&v6, 3)],
            ),
            ("'10.0.0.2:81', 'one.example:81'", "", vec![(&v4, 1)]),
            ("'one.example:81', '10.0.0.2:81'", "", vec![(&v4, 1)]),
        ] {
            let expected = expected.iter().map(|(a, weight)| ((*a).clone(), *weight));
            assert_eq!(
                members(backends, weights),
                Ok(expected.collect()),
                "{backends}"
            );
        }
    }

    #[test]
    fn a_name_without_address_is_refused() {
        for (backends, expected) in [
            ("'none.example:81'", "`none.example:81`: it has no address"),
            (
                "'x.example:81'",
                "`x.example:81`: Name or service not known",
            ),
            (
                "'none.example:0'",
                "`none.example:0`: nobody listens at port 0",
            ),
        ] {
            let text = members(backends, "").unwrap_err();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
