// SPDX-License-Identifier: GPL-2.0
//! How kawa reads a message, in this project's words.
//!
//! Its differences that every user of it meets: it takes no empty lines before the start
//! line (RFC 9112 section 2.2: a server SHOULD ignore one); none of the bytes 0x80 to 0x9f
//! anywhere (section 5.5 of RFC 9110 lets values have them: obs-text); and it takes Cookie
//! apart, by the syntax of RFC 6265, where a tab is none of a value's characters.

use kawa::h1::{parse, ParserCallbacks};
use kawa::{Block, BodySize, Buffer, Kawa, Kind, ParsingErrorKind, ParsingPhase, SliceBuffer};

/// What kawa sees.
#[derive(Debug)]
pub struct Read {
    /// Where the head ends, if it does, and how long it says the body is.
    pub head: Option<(usize, BodySize)>,
    /// The content so far.
    pub content: Vec<u8>,
    /// How it ends.
    pub end: End,
}

/// How it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// After so many bytes the message is whole.
    Whole(usize),
    /// It goes on.
    More,
    /// It is refused for what stands at this place.
    Bad(usize),
    /// The head is whole, and refused for what it means.
    Meaning,
}

struct HeadEnd(Option<(usize, BodySize)>);

impl ParserCallbacks<SliceBuffer<'_>> for HeadEnd {
    fn on_headers(&mut self, kawa: &mut Kawa<SliceBuffer<'_>>) {
        self.0 = Some((kawa.storage.head, kawa.body_size));
    }
}

/// Reads a message from its first byte.
pub fn read(kind: Kind, bytes: &[u8]) -> Read {
    let mut copy = bytes.to_vec();
    let mut buffer = Buffer::new(SliceBuffer(&mut copy));
    buffer.fill(bytes.len());
    let mut kawa = Kawa::new(kind, buffer);
    let mut head = HeadEnd(None);
    parse(&mut kawa, &mut head);
    let data = kawa.storage.buffer();
    let content = kawa.blocks.iter().filter_map(|block| match block {
        Block::Chunk(chunk) => Some(chunk.data.data(data)),
        _ => None,
    });
    Read {
        head: head.0,
        content: content.collect::<Vec<_>>().concat(),
        end: match kawa.parsing_phase {
            ParsingPhase::Terminated => End::Whole(kawa.storage.head),
            ParsingPhase::Error { kind, .. } => match kind {
                ParsingErrorKind::Consuming { index } => End::Bad(index as usize),
                ParsingErrorKind::Processing { .. } => End::Meaning,
            },
            _ => End::More,
        },
    }
}

/// What kawa begins with: no empty lines.
pub fn without_empty_lines(mut head: &[u8]) -> &[u8] {
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    head
}

/// True if what stands here is not to kawa's liking, and RFC 9110 has nothing against it:
/// an obs-text byte, or a tab in what is taken for cookies.
pub fn refuses(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at) {
        Some(0x80..=0x9f) => true,
        Some(b'\t') => {
            let start = bytes[..at].iter().rposition(|&b| b == b'\n');
            let line = &bytes[start.map_or(0, |end| end + 1)..at];
            line.get(..7)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"cookie:"))
        }
        _ => false,
    }
}
