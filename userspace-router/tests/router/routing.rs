// SPDX-License-Identifier: GPL-2.0
//! Which requests go where: `src/route/table_tests.rs` has the whole table; here is some of each kind.

use crate::support::*;

fn request(method: &str, host: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

#[test]
fn hosts_paths_methods_and_fields() {
    let mut tables = String::new();
    for (name, lines) in [
        ("exact", "host = \"a.example\""),
        ("wild", "host = \"*.example\""),
        ("path", "path = \"/deep\""),
        ("leaf", "path-exact = \"/deep/leaf\""),
        (
            "method",
            "path = \"/deep\"\nmethods = [\"OPTIONS\", \"DELETE\"]",
        ),
        (
            "field",
            "path = \"/deep\"\nheaders = [\"X-Tenant: blue\", \"X-Beta\"]",
        ),
    ] {
        let pool = list("backends", &[named(name)]);
        tables += &format!("[pool.{name}]\n{pool}\n[[route]]\npool = \"{name}\"\n{lines}\n");
    }
    let router = Router::launch(LISTENER, &tables, "");
    let mut client = router.connect();
    let both = "x-tenant: blue\r\nx-beta:\r\n";
    for (method, host, path, fields, expected) in [
        ("GET", "A.example:81", "/deep", both, "exact"),
        ("GET", "b.a.example", "/deep", both, "wild"),
        ("GET", "example", "/deep?x", "", "path"),
        ("GET", "[::1]", "/deep/leaf?x", "", "leaf"),
        ("DELETE", "c", "/deep/x", both, "method"),
        ("GET", "c", "/deep/x", both, "field"),
        ("GET", "c", "/deep/x", "X-Tenant: blue\r\n", "path"),
    ] {
        client.send(request(method, host, path, fields));
        let (status, body) = client.answer();
        assert_eq!((status, body.as_str()), (200, expected), "{host} {path}");
    }
    client.send(request("GET", "c", "/shallow", both));
    assert_eq!(client.answer().0, 404);
    assert!(router.logged().contains(" host=A.example:81 "));
}

/// What one of two servers takes for `/private/` must not pass as `/public/`.
#[test]
fn dot_segments_are_refused_and_nothing_is_decoded() {
    let (tell, told) = std::sync::mpsc::channel();
    let backend = backend(move |mut peer, _| loop {
        let head = peer.head();
        if head.is_empty() {
            return;
        }
        let target = head.split(' ').nth(1).expect("a target").to_owned();
        tell.send(target).expect("the test waits");
        peer.send(ok(""));
    });
    let router = Router::start(&[backend], "path = \"/public\"", "");
    let mut client = router.connect();
    for target in [
        "/public/../private",
        "/public/%2e%2E/private",
        "/public/..%2fprivate",
        "/public/..;/private",
        "/public/.",
    ] {
        let (status, body) = client.get(target, "");
        assert_eq!(status, 400, "{target}");
        assert!(body.contains("RFC 3986"), "{body}");
        assert!(router.logged().contains(" reason=dot-segments "));
    }
    for target in ["/public/%2Fa%20b//c/...", "/public?../x"] {
        assert_eq!(client.get(target, "").0, 200);
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok(target));
    }
    assert_eq!(client.get("/%70ublic/", "").0, 404);
}

#[test]
fn ipv6_in_front_and_behind() {
    let backend = backend_at("[::1]:0", |mut peer, _| {
        let head = peer.head();
        peer.send(ok(field(&head, "X-Forwarded-For").expect("a field")));
    });
    assert!(backend.is_ipv6());
    let tables = format!(
        "[pool.p]\n{}\n[[route]]\npool = \"p\"\n",
        list("backends", &[backend])
    );
    let router = Router::launch("address = \"[::1]:0\"", &tables, "");
    assert_eq!(router.get("/", ""), (200, "::1".to_owned()));
    let log = router.logged();
    assert!(
        log.starts_with("client=[::1]:") && log.contains(" asked=[::1]:"),
        "{log}"
    );
}
