// SPDX-License-Identifier: GPL-2.0
//! The example: it is good, shows every key, and says what holds where a file says nothing.

use super::*;

const EXAMPLE: &str = include_str!("../../underpass.toml");

/// As little as a file may say.
const SHORT: &str = r#"engine = "kernel"
[[listener]]
address = "0.0.0.0:8080"
[pool.uploads]
backends = ["127.0.0.1:9001"]
[[route]]
pool = "uploads"
"#;

fn parse(text: &str) -> Config {
    Config::parse("f.toml", text).unwrap()
}

/// `text` with `from`, which it has, as `to`.
fn instead(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from}");
    text.replacen(from, to, 1)
}

/// A file with all that the example has in comments only.
fn uncommented() -> String {
    let is_toml = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        line.starts_with('[') || !key.is_empty() && !key.contains(|c: char| c.is_whitespace())
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_toml(rest) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn it_is_good_and_says_the_defaults() {
    let (example, short) = (parse(EXAMPLE), parse(SHORT));
    assert_eq!(
        (example.access_log, example.threads),
        (short.access_log, short.threads)
    );
    assert_eq!(example.limits, short.limits);
    assert_eq!(example.listeners, short.listeners);
    assert_eq!((example.routes.len(), short.routes.len()), (1, 1));
    let (route, other) = (&example.routes[0], &short.routes[0]);
    assert_eq!(
        (&route.matches, &route.terms),
        (&other.matches, &other.terms)
    );
    let (pool, other) = (&example.pools[0], &short.pools[0]);
    assert_eq!((&pool.balance, &pool.link), (&other.balance, &other.link));
    assert_eq!((&pool.eject, &pool.check), (&other.eject, &other.check));
    assert!(pool.members.iter().all(|member| member.weight == 1));
}

/// Where one setting gives another its sense.
#[test]
fn it_says_the_defaults_of_what_is_not_in_use() {
    let (ask, ask_over) = ("mode = \"ask\" ", "mode = \"ask-over\" ");
    let example = parse(&instead(EXAMPLE, ask, ask_over));
    let short = parse(&format!("{SHORT}{ask_over}"));
    assert_eq!(example.routes[0].terms, short.routes[0].terms);

    // Two that exclude each other, and one that needs another.
    let text = instead(&uncommented(), "\npath-exact = ", "\n# ");
    let text = instead(&text, "balance = \"round-robin\"", "balance = \"hash\"");
    let example = parse(&text);
    let short = "balance = \"hash\"\n[pool.uploads.check]\npath = \"/health\"\n[[route]]";
    let short = parse(&instead(SHORT, "[[route]]", short));
    let (pool, other) = (&example.pools[0], &short.pools[0]);
    assert_eq!(pool.balance, other.balance);
    // Of a check these two are the example's own.
    let check = pool.check.clone().map(|check| Check {
        host: None,
        status: Vec::new(),
        ..check
    });
    assert_eq!(check, other.check);
}

/// The keys that the parser knows in the table with this header, from what it says to a wrong one.
fn keys(header: &str) -> Vec<String> {
    let error = match header {
        "" => Config::parse("f.toml", &format!("nonsense = 1\n{SHORT}")),
        // What the short file has already.
        "[pool.uploads]" | "[[route]]" | "[[listener]]" => {
            let text = format!("{header}\nnonsense = 1");
            Config::parse("f.toml", &instead(SHORT, header, &text))
        }
        _ => Config::parse("f.toml", &format!("{SHORT}{header}\nnonsense = 1\n")),
    };
    let error = error.unwrap_err().to_string();
    let (_, known) = error.split_once("expected one of ").expect(&error);
    let names = known.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn it_shows_every_key() {
    let shown: toml::Table = toml::from_str(&uncommented()).unwrap();
    for (header, path) in [
        ("", &[][..]),
        ("[[listener]]", &["listener"]),
        ("[pool.uploads]", &["pool", "uploads"]),
        ("[pool.uploads.eject]", &["pool", "uploads", "eject"]),
        ("[pool.uploads.check]", &["pool", "uploads", "check"]),
        ("[[route]]", &["route"]),
        ("[route.heads]", &["route", "heads"]),
        ("[limits]", &["limits"]),
    ] {
        let mut table = &shown;
        for name in path {
            let value = &table[*name];
            // Of several tables the first one.
            let value = value.as_array().map_or(value, |tables| &tables[0]);
            table = value.as_table().unwrap();
        }
        let keys = keys(header);
        assert!(keys.len() > 3, "{header}: {keys:?}");
        for key in keys {
            assert!(table.contains_key(&key), "{header}: no {key}");
        }
    }
}

/// A route's own limits are named there, with values for two of them.
#[test]
fn it_names_every_limit_that_a_route_may_have() {
    let (_, behind) = EXAMPLE.split_once("# [route.limits]").unwrap();
    let (named, _) = behind.split_once("\n\n").unwrap();
    let named: Vec<_> = named.split([' ', ',', '\n']).collect();
    for key in keys("[limits]") {
        let text = format!("{SHORT}[route.limits]\n{key} = 300\n");
        let may = Config::parse("f.toml", &text).is_ok();
        assert_eq!(named.contains(&&*key), may, "{key}");
    }
}
