// SPDX-License-Identifier: GPL-2.0
//! Good files, and bad ones with the error that a person gets.

mod together;

use super::*;

const GOOD: &str = r#"engine = "user"
[[listener]]
address = "127.0.0.1:8080"
[pool.a]
backends = [
  "127.0.0.1:1",
  "[::1]:2",
]
[[route]]
pool = "a"
"#;

fn error(text: &str) -> String {
    match Config::parse("f.toml", text) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn threads_share_what_is_limited() {
    let kernel = GOOD.replacen("\"user\"", "\"kernel\"\nthreads = 4", 1);
    let whole = Config::parse("f.toml", &kernel).unwrap();
    assert_eq!(whole.threads, 4);
    let part = whole.clone().part(4);
    assert_eq!(part.listeners, whole.listeners);
    let link = &part.pools[0].link;
    assert_eq!((link.connections, link.waiting), (2_500, 0));
    let (limits, all) = (&part.limits, &whole.limits);
    assert_eq!((limits.queues, limits.idle_connections), (32_768, 8));
    assert_eq!(
        (limits.stall, limits.drain_bytes),
        (all.stall, all.drain_bytes)
    );
    // More routers than the file knows of, where such were taken over: none has nothing.
    let part = whole.part(100_000);
    let link = &part.pools[0].link;
    assert_eq!((link.connections, link.waiting), (1, 0));
    assert_eq!(part.limits.queues, 1);
    for (text, parts) in [
        (
            kernel.replacen("]\n[[route]]", "]\nconnections = 2\n[[route]]", 1),
            "f.toml:10: connections: 2 is less than one for each of 4 threads",
        ),
        (
            format!("{kernel}[limits]\nqueues = 1\n"),
            "f.toml:13: queues: 1 is less than one for each of 4 threads",
        ),
        (
            kernel.replacen("threads = 4", "threads = 0", 1),
            "f.toml:2: threads: 0 must be between 1 and 64",
        ),
    ] {
        assert_eq!(error(&text), parts);
    }
}

#[test]
fn a_route_and_a_listener_have_limits_of_their_own() {
    let text = format!("{GOOD}[route.limits]\nask-ms = 7\n[limits]\nhead-ms = 5\nstall-ms = 6\n");
    let config = Config::parse("f.toml", &text).unwrap();
    let own = config.routes[0].terms.limits.as_ref().unwrap();
    let ms = std::time::Duration::from_millis;
    assert_eq!((own.ask, own.stall), (ms(7), ms(6)));
    assert_eq!(config.limits.ask, Limits::default().ask);
    assert_eq!(config.listeners[0].head, ms(5));
    let text = text.replacen("[pool.a]", "head-ms = 8\n[pool.a]", 1);
    let config = Config::parse("f.toml", &text).unwrap();
    assert_eq!(config.listeners[0].head, ms(8));
}

#[test]
fn the_most_specific_route_stands_first() {
    let text = format!(
        "{GOOD}path = \"/a\"\n[[route]]\npool = \"a\"\nhost = \"X\"\n[[route]]\npool = \"a\"\npath = \"/a/b\"\n"
    );
    let config = Config::parse("f.toml", &text).unwrap();
    let order: Vec<_> = config
        .routes
        .iter()
        .map(|route| (route.matches.host.clone(), route.matches.path.clone()))
        .collect();
    let prefix = |path: &str| Path::Prefix(path.to_owned());
    assert_eq!(
        order,
        [
            (Host::Exact("x".to_owned()), prefix("/")),
            (Host::Any, prefix("/a/b")),
            (Host::Any, prefix("/a"))
        ]
    );
}

#[test]
fn routes_that_match_the_same_in_another_spelling_are_found() {
    for (one, other) in [
        ("host = \"A.example\"", "host = \"a.EXAMPLE\""),
        (
            "methods = [\"PUT\", \"GET\"]",
            "methods = [\"GET\", \"PUT\", \"GET\"]",
        ),
        ("headers = [\"X-A: 1\"]", "headers = [\"x-a:1 \"]"),
        (
            "headers = [\"X-A\", \"X-B\"]",
            "headers = [\"X-B\", \"X-A\", \"x-b\"]",
        ),
        ("headers = [\"X-A: 1\"]", "headers = [\"X-A\", \"X-A: 1\"]"),
    ] {
        let text = format!("{GOOD}{one}\n[[route]]\npool = \"a\"\n{other}\n");
        let message = error(&text);
        let refused =
            "f.toml:12: [[route]]: this route matches exactly the requests of an earlier one";
        assert!(message.starts_with(refused), "{message}\nfor {other}");
    }
    for (one, other) in [
        ("path = \"/a\"", "path = \"/A\""),
        ("path = \"/a\"", "path = \"/%61\""),
        ("methods = [\"COPY\"]", "methods = [\"copy\"]"),
        ("headers = [\"X-A: a\"]", "headers = [\"X-A: A\"]"),
        (
            "headers = [\"X-A: 1\"]",
            "headers = [\"X-A: 1\", \"X-A: 2\"]",
        ),
    ] {
        let text = format!("{GOOD}{one}\n[[route]]\npool = \"a\"\n{other}\n");
        assert_eq!(error(&text), "fine", "{other}");
    }
}

#[test]
fn errors_name_file_line_and_key() {
    for (from, to, parts) in [
        (
            "engine = \"user\"",
            "engine = \"usr\"",
            "f.toml:1: engine: `usr` must be one of \"kernel\", \"user\"",
        ),
        (
            "engine = \"user\"",
            "engine = 1",
            "f.toml:1: engine: invalid type",
        ),
        (
            "engine = \"user\"",
            "engin = \"user\"",
            "f.toml:1: engin: unknown field `engin`",
        ),
        (
            "engine = \"user\"",
            "engine = \"user\"\nengine = \"user\"",
            "f.toml:2: engine: duplicate key",
        ),
        ("engine = \"user\"", "", "f.toml:1: missing field `engine`"),
        (
            "127.0.0.1:8080",
            "localhost:80",
            "f.toml:3: address: `localhost:80` must be an IP address",
        ),
        (
            "127.0.0.1:8080",
            "[::ffff:127.0.0.1]:80",
            "f.toml:3: address: `[::ffff:127.0.0.1]:80` is an IPv4 address: write 127.0.0.1:80",
        ),
        (
            "[::1]:2",
            "[::1]",
            "f.toml:7: backends: `[::1]` must be an IP address",
        ),
        (
            "pool = \"a\"",
            "pool = \"b\"",
            "f.toml:10: pool: no pool is named `b`",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\npath = \"x\"",
            "f.toml:11: path: `x` must begin with /",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nhost = \"x:1\"",
            "f.toml:11: host: `x:1` must be a host",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nmode = \"maybe\"",
            "f.toml:11: mode: `maybe` must be one of",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\ndecline = [421, 200]",
            "f.toml:11: decline: 200 cannot decline",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nupgrade = [\"a b\"]",
            "f.toml:11: upgrade: `a b` must be a protocol",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\ntrailers = [\"x\", \"Content-Length\"]",
            "f.toml:11: trailers: `Content-Length` cannot be a trailer",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\nvia = \"a b\"",
            "f.toml:12: via: `a b` must be a token",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\nhost = \"a b\"",
            "f.toml:12: host: `a b` must be \"client\"",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\nforwarded = \"x\"",
            "f.toml:12: forwarded: `x` must be one of \"x-forwarded\"",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\ntrust = [\"10.0.0.0/33\"]",
            "f.toml:12: trust: `10.0.0.0/33` must be a network",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\nrequest-remove = [\"host\"]",
            "f.toml:12: request-remove: `host` frames or routes",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\nresponse-add = [\"X\"]",
            "f.toml:12: response-add: `X` must be a field line",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\nrequest-add = [\"X: a\\r\\nB: c\"]",
            "f.toml:12: request-add: `X: a\\r\\nB: c` must be a field line",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[limits]\nhead-bytes = 9",
            "f.toml:12: head-bytes: 9 must be between",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[limits]\nask-ms = -1",
            "f.toml:12: ask-ms: -1 must be between",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.limits]\nstall-bytes = -1",
            "f.toml:12: stall-bytes: -1 must be between 0 and",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.limits]\nask-ms = 1\nclient-idle-ms = 1",
            "f.toml:13: client-idle-ms: a route cannot override this limit: set it in [limits]",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[limits]\nask = 1",
            "f.toml:12: ask: unknown field `ask`",
        ),
        ("[[route]]\npool = \"a\"", "", "f.toml: no [[route]]"),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[[route]]\npool = \"a\"",
            "f.toml:11: [[route]]: this route matches exactly the requests of an earlier one",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nhost = \"a.*.b\"",
            "f.toml:11: host: `a.*.b` must be a host name",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nhost = \"a@b\"",
            "f.toml:11: host: `a@b` must be a host name",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nhost = \"a\\tb\"",
            "f.toml:11: host: `a\\tb` must be a host name",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nhost = \"*.[::1]\"",
            "f.toml:11: host: `*.[::1]` must be a host name",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nhost = \"[::x]\"",
            "f.toml:11: host: `[::x]` must be a host name",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nhost = \"a..b\"",
            "f.toml:11: host: `a..b` must be a host name",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\npath = \"/\"\npath-exact = \"/\"",
            "f.toml:12: path-exact: a route has `path` or `path-exact`",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\npath = \"/a/..\"",
            "f.toml:11: path: `/a/..` has dot segments",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\npath = \"/a b\"",
            "f.toml:11: path: `/a b` must be as in a request",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nmethods = []",
            "f.toml:11: methods: the list is empty",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nmethods = [\"GET \"]",
            "f.toml:11: methods: `GET ` is not a method",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nmethods = [\"PUT\", \"get\"]",
            "f.toml:11: methods: `get` is not a method",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nheaders = [\"X Y: 1\"]",
            "f.toml:11: headers: `X Y: 1` must be a field's",
        ),
        (
            "[pool.a]",
            "[[listener]]\naddress = \"[::1]:3\"\n[[listener]]\naddress = \"[::1]:3\"\n[pool.a]",
            "f.toml:6: [[listener]]: `[::1]:3` is listed twice",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\nheaders = [\"Upgrade: websocket\"]",
            "f.toml:11: headers: `Upgrade` is about the connection",
        ),
        (
            "]\n[[route]]",
            "]\nbalance = \"hash\"\nhash-by = \"header:TE\"\n[[route]]",
            "f.toml:10: hash-by: `TE` is about the connection",
        ),
        (
            "127.0.0.1:1\",",
            "[::1]:2\",",
            "f.toml:7: backends: `[::1]:2` stands here twice",
        ),
        (
            "]\n[[route]]",
            "]\nweights = [1]\n[[route]]",
            "f.toml:9: weights: 1 weights for 2 back-ends",
        ),
        (
            "]\n[[route]]",
            "]\nweights = [1, 0]\n[[route]]",
            "f.toml:9: weights: 0 must be between 1 and 1000",
        ),
        (
            "]\n[[route]]",
            "]\nhash-by = \"client\"\n[[route]]",
            "f.toml:9: hash-by: this needs balance = \"hash\"",
        ),
        (
            "]\n[[route]]",
            "]\nbalance = \"hash\"\nhash-by = \"cookie:\"\n[[route]]",
            "f.toml:10: hash-by: `cookie:` must be \"client\"",
        ),
        (
            "]\n[[route]]",
            "]\nproxy-protocol = \"v3\"\n[[route]]",
            "f.toml:9: proxy-protocol: `v3` must be one of",
        ),
        (
            "]\n[[route]]",
            "]\n[pool.a.eject]\nms = 10\nmax-ms = 5\n[[route]]",
            "f.toml:11: max-ms: 5 must not be below ms = 10",
        ),
        (
            "]\n[[route]]",
            "]\n[pool.a.eject]\nstatus = [404]\n[[route]]",
            "f.toml:10: status: 404 must be between 500 and 599",
        ),
        (
            "]\n[[route]]",
            "]\n[pool.a.check]\n[[route]]",
            "f.toml:9: [pool.a.check]: missing field `path`",
        ),
        (
            "]\n[[route]]",
            "]\n[pool.a.check]\npath = \"health\"\n[[route]]",
            "f.toml:10: path: `health` must be a path",
        ),
        (
            "]\n[[route]]",
            "]\n[pool.a.check]\npath = \"/a#b\"\n[[route]]",
            "f.toml:10: path: `/a#b` must be a path",
        ),
        (
            "]\n[[route]]",
            "]\n[pool.a.check]\npath = \"/\"\nhost = \"http://a/b\"\n[[route]]",
            "f.toml:11: host: `http://a/b` must be a host",
        ),
        (
            "\"user\"",
            "\"user\"\nmetrics = \"0.0.0.0:8080\"",
            "f.toml:2: metrics: `0.0.0.0:8080` is where the listener `127.0.0.1:8080` is",
        ),
        (
            "pool = \"a\"",
            "pool = \"a\"\n[route.heads]\npath = \"v1\"",
            "f.toml:12: path: `v1` must begin with /",
        ),
        (
            "[::1]:2",
            "[::1]:0",
            "f.toml:7: backends: `[::1]:0`: nobody listens at port 0",
        ),
        ("pool = \"a\"", "pool = \"a", "f.toml:10: pool: "),
        (
            "[[route]]\npool = \"a\"",
            "[[route]] # such as [1], or\n",
            "f.toml:9: [[route]]: missing field `pool`",
        ),
        (
            "]\n[[route]]",
            "]\n[pool.a.check] # of [pool.a],\n[[route]]",
            "f.toml:9: [pool.a.check]: missing field `path`",
        ),
        (
            "[pool.a]",
            "[pool.\"a]b\"] # one\n[pool.a]",
            "f.toml:4: [pool.\"a]b\"]: missing field `backends`",
        ),
    ] {
        let text = GOOD.replacen(from, to, 1);
        let message = error(&text);
        assert!(message.starts_with(parts), "{message}\nfor {to}");
    }
    assert_eq!(error(GOOD), "fine");
    let check = "]\n[pool.a.check]\npath = \"/a?b\"\nhost = \"a.example:80\"\n[[route]]";
    assert_eq!(error(&GOOD.replacen("]\n[[route]]", check, 1)), "fine");
    let missing = Config::load(FilePath::new("/nonexistent.toml"))
        .unwrap_err()
        .to_string();
    assert!(missing.starts_with("/nonexistent.toml: cannot be read: No such file"));
}

#[test]
fn unix_back_ends_need_the_engine_user() {
    let text = GOOD.replacen("[::1]:2", "unix:/run/a.sock", 1);
    assert_eq!(error(&text), "fine");
    let text = text.replacen("\"user\"", "\"kernel\"", 1);
    assert_eq!(
        error(&text),
        "f.toml:7: backends: `unix:/run/a.sock`: the engine \"kernel\" carries TCP only: give the \
         back-end a TCP address such as 127.0.0.1:8080, or set engine = \"user\""
    );
}
