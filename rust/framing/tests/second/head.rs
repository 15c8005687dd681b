// SPDX-License-Identifier: GPL-2.0
//! Where a head ends (RFC 9112 sections 2.1 and 2.2), with or without a PROXY protocol
//! header in front.

use underpass_framing::Scan;

/// The verdict on all these bytes.
pub fn verdict(bytes: &[u8], limit: u32, prelude: bool) -> Scan {
    let front = if prelude {
        proxy(bytes)
    } else {
        Front::Ends(0)
    };
    let end = match front {
        Front::Ends(start) => bytes
            .get(start..)
            .and_then(end_of_head)
            .map(|end| start + end),
        Front::IsNone(end) => Some(end),
        Front::Unknown => None,
    };
    match end {
        Some(end) if end <= limit as usize => Scan::Done { len: end as u32 },
        _ if bytes.len() >= limit as usize => Scan::OverLimit { len: limit },
        _ => Scan::NeedMore,
    }
}

/// Whether these bytes, which hold no end of a head, hold more than empty lines.
pub fn has_text(bytes: &[u8], prelude: bool) -> bool {
    let front = if prelude {
        proxy(bytes)
    } else {
        Front::Ends(0)
    };
    match front {
        Front::Ends(start) => bytes[start..].iter().any(|b| !b"\r\n".contains(b)),
        Front::IsNone(_) | Front::Unknown => !bytes.is_empty(),
    }
}

/// The first empty line after a line with text; bare LF ends lines too. A control
/// character in front of everything ends it at once.
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let start = bytes.iter().position(|b| !b"\r\n".contains(b))?;
    if bytes[start] < b' ' {
        return Some(start + 1);
    }
    let mut line = start;
    loop {
        let end = line + bytes.get(line..)?.iter().position(|&b| b == b'\n')?;
        let text = bytes.get(line..end)?;
        if line > start && (text.is_empty() || text == b"\r") {
            return Some(end + 1);
        }
        line = end + 1;
    }
}

enum Front {
    /// So many bytes are a PROXY protocol header.
    Ends(usize),
    /// After so many bytes it is clear that they begin none.
    IsNone(usize),
    /// They may begin one.
    Unknown,
}

/// The PROXY protocol, sections 2.1 and 2.2.
fn proxy(bytes: &[u8]) -> Front {
    let signature: &[u8] = match bytes.first() {
        None => return Front::Unknown,
        Some(b'P') => b"PROXY ",
        Some(_) => b"\r\n\r\n\0\r\nQUIT\n",
    };
    let same = bytes
        .iter()
        .zip(signature)
        .take_while(|(a, b)| a == b)
        .count();
    if same < signature.len() {
        return match bytes.len() > same {
            true => Front::IsNone(same + 1),
            false => Front::Unknown,
        };
    }
    if bytes[0] == b'P' {
        let line = &bytes[..bytes.len().min(107)];
        let text = line.iter().take_while(|b| (b' '..=b'~').contains(b));
        let end = text.count();
        match (line.get(end), line.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => Front::Ends(end + 2),
            (Some(b'\r'), Some(_)) => Front::IsNone(end + 2),
            (Some(b'\r'), None) if end + 1 < 107 => Front::Unknown,
            (Some(_), _) => Front::IsNone(end + 1),
            (None, _) if end == 107 => Front::IsNone(107),
            (None, _) => Front::Unknown,
        }
    } else {
        let Some(&[high, low]) = bytes.get(14..16) else {
            return Front::Unknown;
        };
        let end = 16 + usize::from(u16::from_be_bytes([high, low]));
        match bytes.len() >= end {
            true => Front::Ends(end),
            false => Front::Unknown,
        }
    }
}
