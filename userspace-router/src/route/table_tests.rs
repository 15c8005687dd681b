// SPDX-License-Identifier: GPL-2.0
//! Tables of routes and requests, and what becomes of a pool whose members fail.

use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::route::Failure;

fn table(text: &str) -> Table {
    let text = format!("engine = \"user\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n{text}");
    let config = Config::parse("f.toml", &text).expect("a configuration");
    Table::new(config.routes, &config.pools)
}

fn request(method: &str, host: &str, path: &str, fields: &str) -> Request {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    Request::parse(head.as_bytes(), 1_000).expect("a request")
}

fn client(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The last digits of the ports, in order.
fn plan(table: &Table, request: &Request, now: Instant) -> String {
    match table.plan(request, client("10.0.0.1:5"), now) {
        Ok(plan) => plan
            .backends
            .iter()
            .filter_map(|backend| backend.to_string().chars().last())
            .collect(),
        Err(problem) => problem.name.to_owned(),
    }
}

#[test]
fn the_most_specific_route_that_fits() {
    // In the order of precedence, turned round in the file.
    let routes = [
        "host = \"a.example\"\npath-exact = \"/x\"",
        "host = \"a.example\"\npath = \"/x/y\"",
        "host = \"a.example\"\npath = \"/x\"\nmethods = [\"PUT\", \"POST\"]\nheaders = [\"X-A: 1\", \"X-B\"]",
        "host = \"a.example\"\npath = \"/x\"\nmethods = [\"PUT\", \"POST\"]",
        "host = \"a.example\"\npath = \"/x\"\nheaders = [\"X-A: 1\"]",
        "host = \"a.example\"\npath = \"/x\"",
        "host = \"*.b.example\"",
        "host = \"*.example\"\npath = \"/only/\"",
        "path = \"/z\"",
        "headers = [\"x-a\"]",
    ];
    let mut text = String::new();
    for (nth, route) in routes.iter().enumerate().rev() {
        text += &format!("[[route]]\npool = \"p{nth}\"\n{route}\n");
        text += &format!("[pool.p{nth}]\nbackends = [\"127.0.0.1:1{nth}\"]\n");
    }
    let table = table(&text);
    for (method, host, path, fields, expected) in [
        ("GET", "a.example", "/x", "", "0"),
        ("PUT", "A.Example:80", "/x?q", "X-A: 1\r\n", "0"),
        ("PUT", "a.example.", "/x/y", "X-A: 1\r\n", "1"),
        ("PUT", "a.example", "/x/y/z", "", "1"),
        (
            "PUT",
            "a.example",
            "/x/yy",
            "x-a: 2\r\nx-a: 1\r\nx-b: any\r\n",
            "2",
        ),
        ("POST", "a.example", "/x/", "X-A: 1\r\n", "3"),
        ("LOCK", "a.example", "/x/", "X-A: 1\r\n", "4"),
        ("GET", "a.example", "/x/", "X-A: 1\r\n", "4"),
        ("GET", "a.example", "/x/", "X-A: 11\r\n", "5"),
        ("GET", "a.example", "/X/", "", "no-route"),
        ("GET", "a.example", "/xy", "", "no-route"),
        ("GET", "a.example", "/%78/", "", "no-route"),
        ("GET", "c.b.example", "/", "", "6"),
        ("GET", "d.c.B.EXAMPLE:1", "/only/", "", "6"),
        ("GET", "b.example", "/only/", "", "7"),
        ("GET", "b.example", "/only/a", "", "7"),
        ("GET", "b.example", "/only", "", "no-route"),
        ("GET", "xb.example", "/", "", "no-route"),
        ("GET", "[::1]:80", "/z", "", "8"),
        // A host that fits with a path that does not: the next route.
        ("GET", "a.example", "/z", "", "8"),
        ("GET", "example", "/", "X-A:\r\n", "9"),
        (
            "GET",
            "example",
            "/",
            "X-A: 1\r\nConnection: x-a\r\n",
            "no-route",
        ),
        ("OPTIONS", "a.example", "*", "X-A: 1\r\n", "9"),
    ] {
        let request = request(method, host, path, fields);
        let found = plan(&table, &request, Instant::now());
        assert_eq!(found, expected, "{method} {host} {path} {fields:?}");
    }
}

const POOL: &str = "[[route]]\npool = \"p\"\n[pool.p]\n\
    backends = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\"]\n";

fn attempt(port: u16, began: Instant) -> Attempt {
    Attempt {
        tag: 0,
        backend: Address::Tcp(([127, 0, 0, 1], port).into()),
        began,
    }
}

#[test]
fn keys_of_the_hash() {
    for (by, same, other) in [
        ("client", "X-User: b\r\n", ""),
        ("header:X-User", "x-user: a\r\n", "X-User: b\r\n"),
        (
            "cookie:sid",
            "X-User: b\r\nCookie: x=1; sid=a\r\n",
            "Cookie: sid=b\r\n",
        ),
    ] {
        let table = table(&format!("{POOL}balance = \"hash\"\nhash-by = \"{by}\"\n"));
        let first = |fields: &str, from: &str| {
            let request = request("GET", "a", "/", fields);
            let plan = table.plan(&request, client(from), Instant::now());
            plan.expect("a plan").backends.remove(0)
        };
        let base = "X-User: a\r\nCookie: sid=a\r\n";
        let mut moved = 0;
        for n in 0..64 {
            let from = format!("10.0.0.{n}:1");
            let again = format!("[::ffff:10.0.0.{n}]:2");
            if by == "client" {
                assert_eq!(first(base, &from), first(same, &again));
                moved += u32::from(first(base, &from) != first(base, "10.0.0.1:1"));
            } else {
                assert_eq!(first(base, &from), first(same, "10.9.9.9:1"));
                // Without the key: by address.
                moved += u32::from(first("", &from) != first("", "10.0.0.1:1"));
            }
        }
        assert!((20..64).contains(&moved), "{by}: {moved}");
        let _none = other;
    }
}

#[test]
fn one_that_fails_is_left_out_and_returns_by_a_trial() {
    let table = table(&format!(
        "{POOL}[pool.p.eject]\nfailures = 2\nms = 1000\nstatus = [503]\n"
    ));
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let get = request("GET", "a", "/", "");
    let told = |port, outcome, ms| {
        table.asked(&attempt(port, at(ms)));
        table.ended(&attempt(port, at(ms)), outcome, at(ms));
    };
    let firsts = |ms| -> String {
        let first = |_| plan(&table, &get, at(ms)).remove(0);
        (0..6).map(first).collect()
    };
    // Neither declines nor what others did counts.
    for outcome in [
        Outcome::Declined(503),
        Outcome::Abandoned,
        Outcome::Answered(500),
    ] {
        told(2, outcome, 0);
        told(2, outcome, 0);
    }
    assert_eq!(firsts(0), "123123");
    told(2, Outcome::Answered(503), 1);
    told(2, Outcome::Answered(200), 1);
    told(2, Outcome::Failed(Failure::Broke), 1);
    assert_eq!(firsts(1), "123123");
    told(2, Outcome::Answered(503), 1);
    assert_eq!(firsts(1), "131313");
    assert_eq!(plan(&table, &get, at(1)).len(), 2);
    // One that never asks anybody is no trial.
    assert_eq!(firsts(1_001).matches('2').count(), 2);
    // Its trial is one request, and it is nobody's second choice.
    let asked = |_| {
        let plan = plan(&table, &get, at(1_001));
        let first = plan.chars().next().and_then(|c| c.to_digit(10));
        table.asked(&attempt(first.expect("a back-end") as u16, at(1_001)));
        plan
    };
    let plans: Vec<_> = (0..6).map(asked).collect();
    assert_eq!(plans.iter().filter(|p| p.starts_with('2')).count(), 1);
    assert_eq!(plans.iter().filter(|p| p.contains('2')).count(), 1);
    told(2, Outcome::Failed(Failure::Silent), 1_002);
    assert!(!firsts(3_001).contains('2'));
    assert!(firsts(3_002).contains('2'));
    told(2, Outcome::Answered(200), 3_003);
    assert_eq!(firsts(3_003).matches('2').count(), 2);
}

#[test]
fn the_last_one_stays_and_if_all_are_down_all_are_asked() {
    let text = format!(
        "{POOL}[pool.p.eject]\nfailures = 1\nms = 1000\n[pool.p.check]\npath = \"/\"\nfall = 1\nrise = 1\n"
    );
    let table = table(&text);
    let now = Instant::now();
    let get = request("GET", "a", "/", "");
    for port in [1, 2, 3] {
        table.ended(
            &attempt(port, now),
            Outcome::Failed(Failure::Unreachable),
            now,
        );
    }
    // It failed as well, so nobody is better than the others.
    assert_eq!(plan(&table, &get, now).len(), 3);
    table.ended(&attempt(3, now), Outcome::Answered(200), now);
    assert_eq!(plan(&table, &get, now), "3");
    let check = |port, outcome| table.checked(0, &attempt(port, now).backend, outcome);
    check(3, Err("refused".to_owned()));
    assert_eq!(plan(&table, &get, now).len(), 3);
    check(3, Ok(()));
    assert_eq!(plan(&table, &get, now), "3");
}

#[test]
fn the_fewest_outstanding_are_counted_by_the_trait() {
    let table = table(&format!("{POOL}balance = \"least-outstanding\"\n"));
    let now = Instant::now();
    let get = request("GET", "a", "/", "");
    table.asked(&attempt(1, now));
    table.asked(&attempt(3, now));
    for _ in 0..3 {
        assert!(plan(&table, &get, now).starts_with('2'));
    }
    table.asked(&attempt(2, now));
    table.asked(&attempt(2, now));
    table.ended(&attempt(3, now), Outcome::Abandoned, now);
    assert_eq!(plan(&table, &get, now), "312");
}

#[test]
fn who_is_not_trusted_chooses_no_route_by_who_it_says_it_is() {
    let routes = |heads: &str| {
        table(&format!(
            "[pool.p]\nbackends = [\"127.0.0.1:1\"]\n[pool.q]\nbackends = [\"127.0.0.1:2\"]\n\
             [[route]]\npool = \"p\"\n[[route]]\npool = \"q\"\nheaders = [\"X_Forwarded-Proto: https\"]\n\
             [route.heads]\n{heads}\n"
        ))
    };
    let says = request("GET", "a", "/", "X_Forwarded-Proto: https\r\n");
    let now = Instant::now();
    // The client is 10.0.0.1.
    for (heads, chosen) in [
        ("trust = [\"10.0.0.0/8\"]", "2"),
        ("trust = [\"192.0.2.0/24\"]", "1"),
        ("forwarded = \"none\"", "2"),
    ] {
        assert_eq!(plan(&routes(heads), &says, now), chosen, "{heads}");
    }
}

#[test]
fn nor_a_back_end() {
    let by = |trust: &str| {
        table(&format!(
            "[pool.p]\nbackends = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\"]\nbalance = \"hash\"\n\
             hash-by = \"header:X-Forwarded-For\"\n[[route]]\npool = \"p\"\n[route.heads]\n{trust}\n"
        ))
    };
    let now = Instant::now();
    let choices = |table: &Table| -> String {
        let says = |n| {
            request(
                "GET",
                "a",
                "/",
                &format!("X-Forwarded-For: 192.0.2.{n}\r\n"),
            )
        };
        let first = |n| plan(table, &says(n), now).remove(0);
        let mut all: Vec<_> = (0..32).map(first).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().collect()
    };
    assert_eq!(choices(&by("trust = [\"10.0.0.0/8\"]")), "123");
    assert_eq!(choices(&by("trust = [\"192.0.2.0/24\"]")).len(), 1);
}

#[test]
fn a_trial_counts_when_it_ends() {
    let get = request("GET", "a", "/", "");
    // It takes longer than a trial is waited for, and comes to its end each time.
    let trials = |outcome| {
        let table = table(&format!(
            "{POOL}[pool.p.eject]\nfailures = 1\nms = 10000\nmax-ms = 300000\n"
        ));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        table.ended(&attempt(2, start), Outcome::Failed(Failure::Silent), start);
        let (mut running, mut trials) = (Vec::new(), 0);
        for second in 1..3_600 {
            running.retain(|&began| {
                let over = began + 60 <= second;
                if over {
                    table.ended(&attempt(2, at(began)), outcome, at(second));
                }
                !over
            });
            let plan = plan(&table, &get, at(second));
            if plan.starts_with('2') {
                table.asked(&attempt(2, at(second)));
                running.push(second);
                trials += 1;
            }
        }
        trials
    };
    let bad = trials(Outcome::Failed(Failure::ResponseTimeout));
    assert!(bad < 40, "{bad} trials in an hour");
    let good = trials(Outcome::Answered(200));
    assert!(good > 1_000, "not back after {good} trials");
}

#[test]
fn where_the_last_one_fails_those_that_were_left_out_are_asked() {
    let table = table(&format!(
        "{POOL}[pool.p.eject]\nfailures = 2\nms = 300000\n"
    ));
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let get = request("GET", "a", "/", "");
    let down = Outcome::Failed(Failure::Unreachable);
    for port in [1, 1, 2, 2, 3] {
        table.ended(&attempt(port, start), down, start);
    }
    assert_eq!(plan(&table, &get, at(1)), "3");
    table.ended(&attempt(3, at(1)), down, at(1));
    assert_eq!(plan(&table, &get, at(2)).len(), 3);
    // One of them is well again: its time is over, and the one that was the last is left out.
    table.asked(&attempt(1, at(3)));
    table.ended(&attempt(1, at(3)), Outcome::Answered(200), at(3));
    assert!(!plan(&table, &get, at(4)).contains('2'));
    table.ended(&attempt(3, at(4)), down, at(4));
    assert_eq!(plan(&table, &get, at(5)), "1");
}

#[test]
fn a_trial_is_not_all_there_is() {
    let text = format!("{POOL}[pool.p.eject]\nfailures = 1\nms = 1000\n[pool.p.check]\npath = \"/\"\nfall = 1\nrise = 1\n");
    let table = table(&text);
    let start = Instant::now();
    let get = request("GET", "a", "/", "");
    table.ended(
        &attempt(1, start),
        Outcome::Failed(Failure::Unreachable),
        start,
    );
    for port in [2, 3] {
        table.checked(0, &attempt(port, start).backend, Err("refused".to_owned()));
    }
    for ms in [0, 1_000] {
        let plan = plan(&table, &get, start + Duration::from_millis(ms));
        assert_eq!(plan.len(), 3, "after {ms} ms");
    }
}

#[test]
fn the_work_of_one_that_declines_is_spread() {
    for (weights, expected) in [
        ("", [0, 400, 400, 400]),
        ("weights = [1, 1, 2, 3]\n", [0, 200, 400, 600]),
    ] {
        let table = table(&format!(
            "[[route]]\npool = \"p\"\n[pool.p]\n{weights}\
             backends = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\", \"127.0.0.1:4\"]\n"
        ));
        let get = request("PUT", "a", "/", "");
        let mut taken = [0_i32; 4];
        for _ in 0..1_200 {
            let plan = plan(&table, &get, Instant::now());
            let mut asked = plan.bytes().map(|port| usize::from(port - b'1'));
            taken[asked
                .find(|&member| member != 0)
                .expect("one that takes it")] += 1;
        }
        let near = |(taken, wanted): (&i32, i32)| (taken - wanted).abs() <= 12;
        assert!(taken.iter().zip(expected).all(near), "{weights}: {taken:?}");
    }
}
