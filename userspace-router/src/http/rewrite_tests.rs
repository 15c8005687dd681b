// SPDX-License-Identifier: GPL-2.0
//! Heads that come in, and what leaves.

use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn plain() -> Rewrite {
    let mut rewrite = Rewrite::default();
    rewrite.forwarded.style = Style::None;
    rewrite
}

fn forwarded(head: &str, rewrite: &Rewrite) -> String {
    let request = Request::parse(head.as_bytes(), 1_000).unwrap();
    let hop = Hop {
        client: CLIENT,
        local: SocketAddr::new([192, 0, 2, 2].into(), 80),
        backend: &Address::Tcp(([10, 0, 0, 1], 8080).into()),
    };
    String::from_utf8(request.render(&hop, rewrite, false)).unwrap()
}

#[test]
fn order_and_case_are_kept_and_the_hop_ends() {
    assert_eq!(
        forwarded(
            "POST /x HTTP/1.1\r\nX-one: 1\r\nhOsT: a\r\nConnection: x-hop, host, content-length\r\n\
             X-Hop: 2\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Forwarded-For: 10.0.0.1\r\n\
             Keep-Alive: 5\r\nProxy-Connection: close\r\n\
             Content-Length: 3\r\nExpect: 100-continue\r\nVia: 1.0 a\r\n\r\n",
            &Rewrite::default()
        ),
        "POST /x HTTP/1.1\r\nX-one: 1\r\nhOsT: a\r\nContent-Length: 3\r\nVia: 1.0 a\r\n\
         X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\
         Via: 1.1 underpass\r\n\r\n"
    );
    assert_eq!(
        forwarded(
            "P / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\
             Connection: Transfer-Encoding\r\nX: y\r\n\r\n",
            &plain()
        ),
        "P / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\nX: y\r\nVia: 1.1 underpass\r\n\r\n"
    );
}

#[test]
fn hosts() {
    let of = |head, host| {
        let rewrite = Rewrite { host, ..plain() };
        let whole = forwarded(head, &rewrite);
        whole.strip_suffix("\r\n\r\n").unwrap().replace("\r\n", "|")
    };
    let get = "GET /y HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let absolute = "GET http://b:8/y HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let old = "GET /y HTTP/1.0\r\nX: y\r\n\r\n";
    for (head, host, leaves) in [
        (get, Host::Client, "Host: a|X: y|Via: 1.1 underpass"),
        (absolute, Host::Client, "Host: b:8|X: y|Via: 1.1 underpass"),
        (
            old,
            Host::Client,
            "X: y|Host: 192.0.2.2:80|Via: 1.0 underpass",
        ),
        (
            get,
            Host::Backend,
            "Host: 10.0.0.1:8080|X: y|Via: 1.1 underpass",
        ),
        (
            old,
            Host::Fixed("f".into()),
            "X: y|Host: f|Via: 1.0 underpass",
        ),
        (
            absolute,
            Host::Fixed("f".into()),
            "Host: f|X: y|Via: 1.1 underpass",
        ),
    ] {
        assert_eq!(
            of(head, host),
            format!("GET /y HTTP/1.1|{leaves}"),
            "{head}"
        );
    }
}

#[test]
fn an_address_is_a_host_without_its_interface() {
    let backend = "[fe80::2%3]:8080".parse().unwrap();
    let hop = Hop {
        client: [192, 0, 2, 1].into(),
        local: "[fe80::1%3]:80".parse().unwrap(),
        backend: &backend,
    };
    for (host, named) in [
        (Host::Backend, "[fe80::2]:8080"),
        (Host::Client, "[fe80::1]:80"),
    ] {
        let rewrite = Rewrite { host, ..plain() };
        let request = Request::parse("GET / HTTP/1.0\r\n\r\n", 64).unwrap();
        let text = String::from_utf8(request.render(&hop, &rewrite, false)).unwrap();
        assert!(text.contains(&format!("\r\nHost: {named}\r\n")), "{text}");
    }
}

#[test]
fn asking_upgrading_and_trailers() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, Trailers\r\nConnection: upgrade\r\n\
                   Upgrade: h2c, WebSocket\r\n\r\n";
    let ends = |rewrite: &Rewrite| {
        let whole = forwarded(request, rewrite);
        let (_, end) = whole.split_once("Via: 1.1 underpass\r\n").unwrap();
        end.to_owned()
    };
    let mut rewrite = plain();
    assert_eq!(
        ends(&rewrite),
        "Connection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    );
    rewrite.trailers = "grpc-status,x".to_owned();
    assert_eq!(
        ends(&rewrite),
        "Connection: upgrade, TE\r\nUpgrade: WebSocket\r\nTE: trailers\r\n\r\n"
    );
    rewrite.upgrade.clear();
    assert_eq!(ends(&rewrite), "Connection: TE\r\nTE: trailers\r\n\r\n");
    rewrite.trailers.clear();
    assert_eq!(ends(&rewrite), "\r\n");
    // Trailer announces only what may come, where it can come.
    let chunked = "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                   Trailer: X, Secret\r\nTrailer: other\r\n\r\n";
    assert!(!forwarded(chunked, &rewrite).contains("Trailer"));
    rewrite.trailers = "x".to_owned();
    assert!(forwarded(chunked, &rewrite).contains("\r\nTrailer: X\r\nVia"));
    let sized = "P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTrailer: X\r\n\r\n";
    assert!(!forwarded(sized, &rewrite).contains("Trailer"));
}

#[test]
fn max_forwards_is_counted_down_where_it_counts() {
    for (method, leaves) in [("OPTIONS", "4"), ("TRACE", "4"), ("GET", "5")] {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n");
        let leaves = format!("\r\nMax-Forwards: {leaves}\r\n");
        assert!(forwarded(&head, &plain()).contains(&leaves), "{method}");
    }
}

#[test]
fn a_loop_is_seen() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 underpass, 1.0 b\r\n\
                Via: HTTP/1.1 Underpass (x), underpass, 1.1 underpass:80\r\n\r\n";
    let request = Request::parse(head.as_bytes(), 1_000).unwrap();
    assert_eq!(plain().times_seen(&request), 2);
}

#[test]
fn a_routes_own_additions_and_removals() {
    let mut rewrite = plain();
    rewrite.request.remove("X-Secret").unwrap();
    rewrite.request.add("X-New", "1").unwrap();
    rewrite.request.add("x-new", "").unwrap();
    assert_eq!(
        forwarded("GET / HTTP/1.1\r\nx-secret: 1\r\nHost: a\r\nX-New: 0\r\n\r\n", &rewrite),
        "GET / HTTP/1.1\r\nHost: a\r\nX-New: 0\r\nVia: 1.1 underpass\r\nX-New: 1\r\nx-new: \r\n\r\n"
    );
    for name in NOT_EDITABLE {
        let mut edit = Edit::default();
        assert_eq!(edit.remove(&name.to_uppercase()), Err(BadEdit::NotEditable));
        assert_eq!(edit.add(name, "x"), Err(BadEdit::NotEditable));
        // What is removed is removed in any spelling.
        let alike = name.replace('-', "_").to_uppercase();
        assert_eq!(edit.remove(&alike), Err(BadEdit::NotEditable), "{alike}");
        assert_eq!(edit.add(&alike, "x"), Err(BadEdit::NotEditable), "{alike}");
    }
    let mut edit = Edit::default();
    for name in ["", "a b", "a:", "a\r\n"] {
        assert_eq!(edit.remove(name), Err(BadEdit::Name), "{name}");
        assert_eq!(edit.add(name, "x"), Err(BadEdit::Name), "{name}");
    }
    for value in ["a\r\nB: c", "a\n", "\0", " a", "\x7f"] {
        assert_eq!(edit.add("a", value), Err(BadEdit::Value), "{value}");
    }
    assert_eq!(edit, Edit::default());
}

fn relayed(head: &str, method: &str, version: Version, close: bool, leaves: Length) -> String {
    let mut rewrite = plain();
    rewrite.trailers = "x-t".to_owned();
    rewrite.response.remove("Server").unwrap();
    rewrite.response.add("X-Added", "1").unwrap();
    let response = Response::parse(head.as_bytes(), method).unwrap();
    let onward = Onward {
        version,
        close,
        leaves,
        time: SystemTime::UNIX_EPOCH,
    };
    let whole = String::from_utf8(response.render(onward, &rewrite)).unwrap();
    let dated = whole.replace("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "D\r\n");
    dated.strip_suffix("\r\n\r\n").unwrap().replace("\r\n", "|")
}

#[test]
fn responses() {
    use Length::{Chunked, Exact, UntilClose};
    use Version::{Http10, Http11};
    let sized =
        "HTTP/1.0 200 Fine\r\nX-b : 1\r\nServer: x\r\nConnection: x-hop, Content-Length\r\n\
                 X-Hop: 1\r\nKeep-Alive: 5\r\ncontent-LENGTH: 3\r\n\r\n";
    let kept = "HTTP/1.1 200 Fine|X-b: 1|content-LENGTH: 3|D|Via: 1.0 underpass";
    let added = "X-Added: 1";
    let relay = |head, version, close, leaves| relayed(head, "GET", version, close, leaves);
    assert_eq!(
        relay(sized, Http11, false, Exact(3)),
        format!("{kept}|{added}")
    );
    assert_eq!(
        relay(sized, Http11, true, Exact(3)),
        format!("{kept}|Connection: close|{added}")
    );
    assert_eq!(
        relay(sized, Http10, false, Exact(3)),
        format!("{kept}|Connection: keep-alive|{added}")
    );
    // A fold becomes a space.
    let folded = "HTTP/1.1 200 \r\nA: b\r\n\t c\r\n\r\n";
    let whole = relay(folded, Http11, true, UntilClose);
    assert!(whole.starts_with("HTTP/1.1 200 |A: b c|D|Via"), "{whole}");
    // Chunks for whom they are for.
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nTrailer: x-t, y\r\nB: c\r\n\r\n";
    assert_eq!(
        relay(chunked, Http11, false, Chunked),
        format!("HTTP/1.1 200 OK|transfer-encoding: chunked|Trailer: x-t|B: c|D|Via: 1.1 underpass|{added}")
    );
    assert_eq!(
        relay(chunked, Http10, true, UntilClose),
        format!("HTTP/1.1 200 OK|B: c|D|Via: 1.1 underpass|Connection: close|{added}")
    );
    assert_eq!(
        relay("HTTP/1.1 200 OK\r\nB: c\r\n\r\n", Http11, false, Chunked),
        format!("HTTP/1.1 200 OK|B: c|Transfer-Encoding: chunked|D|Via: 1.1 underpass|{added}")
    );
    // What would be, had there been a body.
    for (version, coding) in [(Http11, "transfer-encoding: chunked|"), (Http10, "")] {
        let whole = relayed(chunked, "HEAD", version, true, Length::None);
        assert!(
            whole.starts_with(&format!("HTTP/1.1 200 OK|{coding}B: c|")),
            "{whole}"
        );
    }
    // A Date stays as it is.
    let dated = "HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: 0\r\n\r\n";
    let whole = relay(dated, Http11, false, Length::None);
    assert!(whole.contains("|date: x|Content-Length: 0|Via"), "{whole}");
    // No length where it could only mislead.
    for head in [
        "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let whole = relay(head, Http11, false, Length::None);
        assert!(
            !whole.contains("-Length") && !whole.contains("Transfer"),
            "{whole}"
        );
    }
}

#[test]
fn switching() {
    let switch = "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\nS: t\r\n\r\n";
    assert_eq!(
        relayed(switch, "GET", Version::Http11, false, Length::None),
        "HTTP/1.1 101 Go|S: t|D|Via: 1.1 underpass|Connection: upgrade|Upgrade: websocket|X-Added: 1"
    );
    let wants = "HTTP/1.1 426 Up\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        relayed(wants, "GET", Version::Http11, true, Length::None),
        "HTTP/1.1 426 Up|Content-Length: 0|D|Via: 1.1 underpass|Connection: upgrade, close|Upgrade: x|X-Added: 1"
    );
    let offers = "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n";
    let whole = relayed(offers, "GET", Version::Http11, false, Length::None);
    assert!(!whole.contains("Upgrade"), "{whole}");
}

#[test]
fn what_trace_shows() {
    let head = "TRACE /x HTTP/1.1\r\nHost: a\r\nCookie: c\r\nauthorization: d\r\nX: y\r\n\
                Connection: x-hop\r\nX-Hop: 1\r\n\r\n";
    let request = Request::parse(head.as_bytes(), 1_000).unwrap();
    let shown = String::from_utf8(request.reflected()).unwrap();
    assert_eq!(shown, "TRACE /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
}

#[test]
fn what_a_back_end_may_take_for_a_removed_field_is_removed_too() {
    let mut rewrite = plain();
    rewrite.request.remove("X-Remote-User").unwrap();
    let head = forwarded(
        "GET / HTTP/1.1\r\nHost: a\r\nX_Remote_User: root\r\nx-remote_user: root\r\nX-Remote: b\r\n\
         X.Remote.User: root\r\nx+remote~user: root\r\n\r\n",
        &rewrite,
    );
    assert!(
        !head.contains("root") && head.contains("X-Remote: b\r\n"),
        "{head}"
    );
}
