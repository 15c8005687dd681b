// SPDX-License-Identifier: GPL-2.0
//! Headers as others write them, and everything that is none.

use proptest::prelude::*;

use super::*;

fn ends(client: &str, local: &str) -> Option<Ends> {
    Some(Ends {
        client: client.parse().expect("an address"),
        local: local.parse().expect("an address"),
    })
}

/// Bytes from hexadecimal digits and spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|two| (two[0] * 16 + two[1]) as u8)
        .collect()
}

const SIGNATURE: &str = "0d0a0d0a000d0a515549540a";

#[test]
fn version_1_as_the_specification_shows_it() {
    let fine = |line: &str| {
        let bytes = format!("{line}\r\nGET / HTTP/1.1\r\n\r\n");
        let header = parse(bytes.as_bytes()).expect(line);
        assert_eq!(header.length, line.len() + 2, "{line}");
        header.ends
    };
    // Section 2.1 and its longest lines.
    assert_eq!(
        fine("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443"),
        ends("192.168.0.1:56324", "192.168.0.11:443")
    );
    assert_eq!(
        fine("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535"),
        ends("255.255.255.255:65535", "255.255.255.255:65535")
    );
    let ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(
        fine(&format!("PROXY TCP6 {ones} {ones} 65535 65535")),
        ends(&format!("[{ones}]:65535"), &format!("[{ones}]:65535"))
    );
    assert_eq!(
        fine("PROXY TCP6 2001:DB8::1 ::1 0 80"),
        ends("[2001:db8::1]:0", "[::1]:80")
    );
    assert_eq!(fine("PROXY UNKNOWN"), None);
    // The longest line of all: 107 bytes with its CRLF.
    assert_eq!(
        fine(&format!("PROXY UNKNOWN {ones} {ones} 65535 65535")),
        None
    );
}

#[test]
fn version_1_to_the_letter() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 ::1%lo ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \u{661}\r\n",
        &format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)),
    ] {
        assert!(
            matches!(parse(line.as_bytes()), Err(Fault::Malformed(_))),
            "{line:?}"
        );
    }
    for bytes in [
        "",
        "P",
        "PROXY",
        "GET / HTTP/1.1\r\n\r\n",
        " PROXY UNKNOWN\r\n",
        "proxy UNKNOWN\r\n",
    ] {
        assert_eq!(parse(bytes.as_bytes()), Err(Fault::Missing), "{bytes:?}");
    }
}

#[test]
fn version_2_byte_by_byte() {
    let parse = |rest: &str| {
        let bytes = hex(&format!("{SIGNATURE} {rest}"));
        let header = super::parse(&bytes)?;
        Ok((bytes.len() - header.length, header.ends))
    };
    // 10.1.2.3:4660 to 10.4.5.6:80, and one byte of the client's.
    assert_eq!(
        parse("21 11 000c 0a010203 0a040506 1234 0050 47"),
        Ok((1, ends("10.1.2.3:4660", "10.4.5.6:80")))
    );
    let v6 = "20010db8000000000000000000000001 00000000000000000000000000000001";
    assert_eq!(
        parse(&format!("21 21 0024 {v6} ffff 01bb")),
        Ok((0, ends("[2001:db8::1]:65535", "[::1]:443")))
    );
    // LOCAL and UNSPEC, with and without something to skip.
    for rest in [
        "20 00 0000",
        "20 11 0003 ffffff",
        "21 00 0000",
        "21 00 0002 0405",
    ] {
        assert_eq!(parse(rest), Ok((0, None)), "{rest}");
    }
    // UDP and Unix sockets.
    let path = "2f61".to_owned() + &"00".repeat(106);
    for rest in [
        "21 12 000c 0a010203 0a040506 1234 0050".to_owned(),
        format!("21 22 0024 {v6} 1234 0050"),
        format!("21 31 00d8 {path} {path}"),
        format!("21 32 00d8 {path} {path}"),
    ] {
        assert_eq!(parse(&rest), Ok((0, None)), "{rest}");
    }
    for (rest, why) in [
        (
            "11 11 000c 0a010203 0a040506 1234 0050",
            "unknown version or command",
        ),
        (
            "22 11 000c 0a010203 0a040506 1234 0050",
            "unknown version or command",
        ),
        (
            "21 13 000c 0a010203 0a040506 1234 0050",
            "unknown address family or protocol",
        ),
        (
            "21 10 000c 0a010203 0a040506 1234 0050",
            "unknown address family or protocol",
        ),
        (
            "21 41 000c 0a010203 0a040506 1234 0050",
            "unknown address family or protocol",
        ),
        (
            "21 11 000b 0a010203 0a040506 1234 00",
            "too short for its addresses",
        ),
        (
            "21 21 000c 0a010203 0a040506 1234 0050",
            "too short for its addresses",
        ),
        ("21 11 000d 0a010203 0a040506 1234 0050", "it is cut short"),
        ("21 11 00", "it is cut short"),
        (
            "21 11 000e 0a010203 0a040506 1234 0050 0400",
            "an extension is cut short",
        ),
        (
            "21 11 0010 0a010203 0a040506 1234 0050 04000200",
            "an extension is cut short",
        ),
    ] {
        assert_eq!(parse(rest), Err(Fault::Malformed(why)), "{rest}");
    }
    assert_eq!(super::parse(b"\r\n\r\n\0\r\nQUIT"), Err(Fault::Missing));
}

#[test]
fn extensions_are_skipped_and_a_checksum_is_checked() {
    // RFC 9260's and RFC 3720's example: 32 zeros.
    assert_eq!(crc32c(&[0; 32], 0..0), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789", 0..0), 0xe306_9283);
    // Two extensions (NOOP, ALPN), then the checksum of another implementation (by table,
    // in Python, over the header with four zeros in its place).
    let header = "21 11 001c 0a010203 0a040506 1234 0050 04000100 0100026832 030004";
    let bytes = |checksum: &str| hex(&format!("{SIGNATURE} {header} {checksum}"));
    let fine = parse(&bytes(CHECKSUM)).expect("a header");
    assert_eq!(fine.ends, ends("10.1.2.3:4660", "10.4.5.6:80"));
    for wrong in ["00000000", "ffffffff"] {
        assert_eq!(
            parse(&bytes(wrong)),
            Err(Fault::Malformed("its checksum is wrong"))
        );
    }
}

const CHECKSUM: &str = "67947dc3";

#[test]
fn a_second_checksum_is_refused_unread() {
    let two = "21 11 001a 0a010203 0a040506 1234 0050 030004 00000000 030004 00000000";
    let mut bytes = hex(&format!("{SIGNATURE} {two}"));
    let first = bytes.len() - 11..bytes.len() - 7;
    let sum = crc32c(&bytes, first.clone()).to_be_bytes();
    bytes[first].copy_from_slice(&sum);
    let verdict = Err(Fault::Malformed("it has more than one checksum"));
    assert_eq!(parse(&bytes), verdict);
}

#[test]
fn what_is_sent_is_what_the_specification_shows() {
    let v4 = ends("192.168.0.1:56324", "192.168.0.11:443");
    assert_eq!(
        render(Version::V1, v4),
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
    );
    assert_eq!(
        render(Version::V2, v4),
        hex(&format!(
            "{SIGNATURE} 21 11 000c c0a80001 c0a8000b dc04 01bb"
        ))
    );
    let mixed = ends("1.2.3.4:5", "[::1]:6");
    assert_eq!(
        render(Version::V1, mixed),
        b"PROXY TCP6 ::ffff:1.2.3.4 ::1 5 6\r\n"
    );
    let v6 = "00000000000000000000ffff01020304 00000000000000000000000000000001 0005 0006";
    assert_eq!(
        render(Version::V2, mixed),
        hex(&format!("{SIGNATURE} 21 21 0024 {v6}"))
    );
    assert_eq!(render(Version::V1, None), b"PROXY UNKNOWN\r\n");
    assert_eq!(
        render(Version::V2, None),
        hex(&format!("{SIGNATURE} 20 00 0000"))
    );
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn what_is_sent_is_understood(client in address(), local in address(), v1: bool, more: Vec<u8>) {
        let version = if v1 { Version::V1 } else { Version::V2 };
        let mut bytes = render(version, Some(Ends { client, local }));
        let length = bytes.len();
        bytes.extend(more);
        let header = parse(&bytes).expect("a header");
        prop_assert_eq!(header.length, length);
        let found = header.ends.expect("addresses");
        let canonical = |a: SocketAddr| (a.ip().to_canonical(), a.port());
        prop_assert_eq!(canonical(found.client), canonical(client));
        prop_assert_eq!(canonical(found.local), canonical(local));
    }

    #[test]
    fn nothing_panics(begin in 0..3usize, rest: Vec<u8>) {
        let begin = [&b""[..], V1_BEGINS, V2_BEGINS][begin];
        let bytes = [begin, &rest].concat();
        if let Ok(header) = parse(&bytes) {
            prop_assert!(header.length <= bytes.len());
        }
    }

    /// A valid header with one byte changed, or cut.
    #[test]
    fn nothing_near_a_header_panics(v1: bool, at in 0..64usize, byte: u8, cut in 0..64usize) {
        let ends = ends("10.1.2.3:4660", "10.4.5.6:80");
        let mut bytes = render(if v1 { Version::V1 } else { Version::V2 }, ends);
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let _any = parse(&bytes);
    }
}
