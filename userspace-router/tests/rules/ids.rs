// SPDX-License-Identifier: GPL-2.0
//! docs/rules.md and the tests' names, held against each other.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/rules.md");

/// Where tests of rules are; `every_file_is_looked_at` sees to it that none is missing.
const FILES: [(&str, &str); 8] = [
    ("accept.rs", include_str!("accept.rs")),
    ("framing_body.rs", include_str!("framing_body.rs")),
    ("framing_head.rs", include_str!("framing_head.rs")),
    ("framing_response.rs", include_str!("framing_response.rs")),
    ("heads.rs", include_str!("heads.rs")),
    ("responses.rs", include_str!("responses.rs")),
    ("rewriting.rs", include_str!("rewriting.rs")),
    ("tunnels.rs", include_str!("tunnels.rs")),
];

/// Files without tests of rules.
const OTHERS: [&str; 9] = [
    "cases", "cut", "left", "ids", "scene", "segments", "sockets", "support", "wire",
];

#[test]
fn every_rule_has_a_test_and_every_test_a_rule() {
    // `id` | rule | RFC | `file`
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let ruled: BTreeSet<_> = rows
        .map(|row| {
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            (cells[1].to_owned(), cells[4])
        })
        .collect();
    let mut tested = BTreeSet::new();
    for (file, text) in FILES {
        for test in text.split("#[test]\nfn ").skip(1) {
            let name = test.split('(').next().expect("a name");
            let mut words = name.split('_');
            let section = words.next().expect("a section");
            let number = words.next().expect("a number");
            assert_eq!(number.len(), 2, "{name} has no id");
            tested.insert((format!("{section}_{number}"), file));
        }
    }
    assert_eq!(ruled, tested);
}

#[test]
fn every_file_is_looked_at() {
    let of_main = include_str!("main.rs").lines().filter_map(|line| {
        line.strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
    });
    let known = FILES.iter().map(|(file, _)| file.trim_end_matches(".rs"));
    assert_eq!(
        of_main.collect::<BTreeSet<_>>(),
        known.chain(OTHERS).collect::<BTreeSet<_>>()
    );
}
