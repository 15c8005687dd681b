// SPDX-License-Identifier: GPL-2.0
//! The PROXY protocol in front of a connection: the router reads it, and the framing crate
//! has found its end before. They agree on it, or a client could put a request into it.

use underpass::proxy_protocol::{parse, render, Fault, Header, Version};
use underpass_framing::{HeadScan, Scan};

/// The input is what a connection begins with.
pub fn check(input: &[u8]) {
    // As it is, also where no scan would hand it over.
    told(parse(input));
    let Scan::Done { len } = HeadScan::with_prelude(u32::MAX).feed(input) else {
        return;
    };
    let head = &input[..len as usize];
    let Some(header) = told(parse(head)) else {
        return;
    };
    assert_eq!(prelude_end(&head[..header.length]), Some(header.length));
    for version in [Version::V1, Version::V2] {
        let rendered = render(version, header.ends);
        assert_eq!(prelude_end(&rendered), Some(rendered.len()));
        let again = Header {
            length: rendered.len(),
            ends: header.ends,
        };
        assert_eq!(parse(&rendered), Ok(again));
    }
}

fn told(outcome: Result<Header, Fault>) -> Option<Header> {
    outcome
        .map_err(|fault| format!("{fault} {}", fault.name()))
        .ok()
}

/// Where the scan sees the end of a header that these bytes end with.
fn prelude_end(bytes: &[u8]) -> Option<usize> {
    const HEAD: &[u8] = b"A\n\n";
    match HeadScan::with_prelude(u32::MAX).feed(&[bytes, HEAD].concat()) {
        Scan::Done { len } => (len as usize).checked_sub(HEAD.len()),
        _ => None,
    }
}
