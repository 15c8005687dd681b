// SPDX-License-Identifier: GPL-2.0
//! What is fine by itself, and not together with something else.

use super::{error, GOOD};

#[test]
fn a_field_about_the_client_that_nobody_is_trusted_with() {
    let route = |name: &str, heads: &str| {
        let text =
            format!("{GOOD}headers = [\"X-A\", \"{name}: https\"]\n[route.heads]\n{heads}\n");
        error(&text)
    };
    for name in ["X-Forwarded-Proto", "x_forwarded-proto", "Forwarded"] {
        let refused = format!(
            "f.toml:11: headers: `{name}` is dropped, because nobody is trusted with it: name the networks of your \
             proxies in `trust` of [route.heads], or set forwarded = \"none\""
        );
        for heads in ["", "trust = []", "forwarded = \"both\""] {
            assert_eq!(route(name, heads), refused, "{heads}");
        }
        for heads in ["trust = [\"10.0.0.0/8\"]", "forwarded = \"none\""] {
            assert_eq!(route(name, heads), "fine", "{heads}");
        }
    }
    assert_eq!(route("X-Forward", ""), "fine");
}

#[test]
fn a_key_about_the_client_that_no_route_trusts_anybody_with() {
    let pool = |by: &str, routes: &str| {
        let pool = format!("]\nbalance = \"hash\"\nhash-by = \"{by}\"\n[[route]]");
        error(&(GOOD.replacen("]\n[[route]]", &pool, 1) + routes))
    };
    let refused = "f.toml:10: hash-by: `X-Forwarded-For` is dropped, because no route to this pool trusts anybody with it: name \
                   the networks of your proxies in `trust` of [route.heads], or set forwarded = \"none\"";
    let by = "header:X-Forwarded-For";
    for routes in ["", "[route.heads]\nforwarded = \"forwarded\"\n"] {
        assert_eq!(pool(by, routes), refused, "{routes}");
    }
    for routes in [
        "[route.heads]\ntrust = [\"10.0.0.0/8\"]\n",
        "[route.heads]\nforwarded = \"none\"\n",
        // One of two is enough.
        "[[route]]\npool = \"a\"\npath = \"/b\"\n[route.heads]\ntrust = [\"10.0.0.0/8\"]\n",
    ] {
        assert_eq!(pool(by, routes), "fine", "{routes}");
    }
    for by in ["header:X-User", "cookie:forwarded", "client"] {
        assert_eq!(pool(by, ""), "fine", "{by}");
    }
}

#[test]
fn listeners_of_which_one_has_all_addresses() {
    let listeners = |engine: &str, addresses: [&str; 2]| {
        let [one, other] =
            addresses.map(|address| format!("[[listener]]\naddress = \"{address}\"\n"));
        let text = GOOD.replacen("engine = \"user\"", engine, 1);
        error(&text.replacen("[pool.a]", &format!("{one}{other}[pool.a]"), 1))
    };
    let (alone, shared) = (
        "engine = \"user\"",
        ["engine = \"user\"\nthreads = 2", "engine = \"kernel\""],
    );
    for (one, other) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "0.0.0.0:80"),
        ("[::]:80", "[::1]:80"),
        ("[fe80::1%1]:80", "[::]:80"),
    ] {
        let refused = format!(
            "f.toml:6: [[listener]]: `{other}` cannot be used together with the listener `{one}` with the engine \"user\" \
             and one thread: remove one of them, or list single addresses"
        );
        assert_eq!(listeners(alone, [one, other]), refused);
        for engine in shared {
            assert_eq!(
                listeners(engine, [one, other]),
                "fine",
                "{engine} {one} {other}"
            );
        }
    }
    for addresses in [
        ["0.0.0.0:80", "127.0.0.1:81"],
        ["0.0.0.0:80", "[::]:80"],
        ["127.0.0.1:80", "127.0.0.2:80"],
        // Of two links.
        ["[fe80::1%1]:80", "[fe80::1%2]:80"],
        ["0.0.0.0:0", "127.0.0.1:0"],
    ] {
        assert_eq!(listeners(alone, addresses), "fine", "{addresses:?}");
    }
}
