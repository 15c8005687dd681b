// SPDX-License-Identifier: GPL-2.0
//! Shows bytes to the crate's decoder the way an engine does, in pieces, and checks what
//! must hold at every step.

use super::chunked::{End, Seen};
use underpass_framing::{Body, Framing, Next, Trailers};

/// Reads a body that comes in pieces which end at `cuts`, in order. Of trailers, those named
/// in `allow`, separated by commas, are kept in `room` bytes.
pub fn chunked(bytes: &[u8], cuts: &[usize], allow: &[u8], room: usize) -> Seen {
    let mut body = Body::new(Framing::Chunked);
    let (mut memory, mut len) = (vec![0; room], 0);
    let (mut content, mut used) = (Vec::new(), 0);
    let mut bad = None;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        while used < cut && bad.is_none() {
            let piece = &bytes[used..cut];
            let step = match body.next() {
                Next::Over => break,
                Next::Content(most) => {
                    let n = piece.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                    content.extend_from_slice(&piece[..n]);
                    body.take(n as u64);
                    n
                }
                Next::Look => {
                    let mut trailers = Trailers::new(allow, &mut memory, &mut len);
                    match body.look(piece, &mut trailers) {
                        Ok(n) => n,
                        Err(why) => {
                            bad = Some(why);
                            // It stays, whatever comes.
                            assert_eq!(body.look(b"\r\n", &mut trailers), Err(why));
                            assert_eq!(body.next(), Next::Look);
                            break;
                        }
                    }
                }
            };
            assert!((1..=piece.len()).contains(&step), "{step} of {piece:?}");
            used += step;
            assert_eq!(body.taken(), used as u64);
            assert!(len <= room);
        }
    }
    let end = match (bad, body.next()) {
        (Some(why), _) => End::Bad(why),
        (None, Next::Over) => End::Whole,
        (None, Next::Look) => End::More(0),
        (None, Next::Content(most)) => End::More(most),
    };
    assert_eq!(body.is_complete(), end == End::Whole);
    assert_eq!(body.fin_completes(), end == End::Whole);
    // What was kept of a section that has no end, nobody uses.
    memory.truncate(if end == End::Whole { len } else { 0 });
    Seen {
        content,
        used,
        kept: memory,
        end,
    }
}
