// SPDX-License-Identifier: GPL-2.0
//! Turns a byte position in the file into line and key.

use std::ops::Range;

/// What is wrong, and where.
#[derive(Debug)]
pub struct Fault {
    /// Byte range in the text, where known.
    pub span: Option<Range<usize>>,
    /// One sentence with the value and what to do.
    pub text: String,
}

impl Fault {
    /// A fault of the value at `span`.
    pub fn at(span: Range<usize>, text: impl Into<String>) -> Self {
        Self {
            span: Some(span),
            text: text.into(),
        }
    }
}

/// `name:line: key: text`.
pub fn describe(name: &str, text: &str, fault: &Fault) -> String {
    let Some(start) = fault.span.as_ref().map(|span| span.start) else {
        return format!("{name}: {}", fault.text);
    };
    let before = text.get(..start).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    match key(text, number) {
        Some(key) => format!("{name}:{number}: {key}: {}", fault.text),
        None => format!("{name}:{number}: {}", fault.text),
    }
}

/// The key of the assignment (or the table header) that the line belongs to.
fn key(text: &str, number: usize) -> Option<&str> {
    let lines: Vec<_> = text.lines().take(number).collect();
    lines.iter().rev().find_map(|line| {
        let line = line.trim();
        if let Some(header) = header(line) {
            return Some(header);
        }
        let (key, _) = line.split_once('=')?;
        let key = key.trim();
        let is_key = !key.is_empty()
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.\"".contains(&b));
        is_key.then_some(key)
    })
}

/// The table's header, without the comment behind it. One that is not closed is what is wrong, and shown as it is; a
/// line of an array that goes on is none.
fn header(line: &str) -> Option<&str> {
    if !line.starts_with('[') {
        return None;
    }
    let mut ends = line.match_indices(']').filter_map(|(at, end)| {
        let (header, behind) = line.split_at_checked(at + end.len())?;
        let behind = behind.trim_start();
        (behind.is_empty() || behind.starts_with('#')).then_some(header)
    });
    ends.next().or((!line.ends_with(',')).then_some(line))
}
