// SPDX-License-Identifier: GPL-2.0
//! What Prometheus finds: each figure is that of the requests that were made.

use std::net::TcpStream;

use crate::cli::with_file;
use crate::support::{decliner, engine, list, nobody, status, taker, Client, Router, LISTENER};

/// The answer to this request for a page.
fn ask(router: &Router, request: &str) -> (u16, String) {
    let address = router.metrics.expect("metrics");
    let mut client = Client::new(TcpStream::connect(address).expect("it listens"));
    client.send(request);
    let head = client.head();
    // It ends with the page.
    let page = String::from_utf8(client.rest()).expect("text");
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", page.len())),
        "{head}"
    );
    (status(&head), page)
}

fn page(router: &Router) -> String {
    let (status, page) = ask(router, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status, 200);
    page
}

#[test]
fn they_are_those_of_the_requests() {
    let [declines, down, takes] = [decliner(421), nobody(), taker()];
    let backends = list("backends", &[declines, down, takes]);
    let tables = format!("[pool.p]\n{backends}\n[[route]]\npath = \"/a\"\npool = \"p\"\n");
    for threads in [1, 2] {
        let first = format!("metrics = \"127.0.0.1:0\"\nthreads = {threads}");
        let router = Router::launch_as(&first, LISTENER, &tables, "");
        let put =
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let mut client = router.connect();
        client.send(put);
        assert_eq!(client.answer().0, 200);
        router.logged();
        assert_eq!(router.get("/b", "").0, 404);
        router.logged();
        let mut client = router.connect();
        client.send("GET\r\n\r\n");
        assert_eq!(client.answer().0, 400);
        router.logged();
        let page = page(&router);
        for line in [
            "requests_total{code=\"200\"} 1".to_owned(),
            "requests_total{code=\"400\"} 1".to_owned(),
            "requests_total{code=\"404\"} 1".to_owned(),
            "request_problems_total{reason=\"no-route\"} 1".to_owned(),
            "request_problems_total{reason=\"bad-request-line\"} 1".to_owned(),
            "request_seconds_count 3".to_owned(),
            "response_head_seconds_count 1".to_owned(),
            "bodies_bytes_total{direction=\"up\"} 5".to_owned(),
            format!("backend_asked_total{{backend=\"{takes}\",outcome=\"accepted\"}} 1"),
            format!("backend_responses_total{{backend=\"{takes}\",code=\"200\"}} 1"),
            format!("backend_up{{pool=\"p\",backend=\"{declines}\"}} 1"),
            format!("backend_outstanding{{pool=\"p\",backend=\"{takes}\"}} 0"),
        ] {
            let line = format!("\nunderpass_{line}\n");
            assert!(page.contains(&line), "no {line}in\n{page}");
        }
        // And what the module counts, where there is one.
        let module = page.contains("\nunderpass_forwards_total ");
        assert_eq!(module, engine() == "kernel", "{page}");
    }
}

#[test]
fn an_address_that_somebody_else_has_is_not_shared() {
    let tables = format!(
        "[pool.p]\n{}\n[[route]]\npool = \"p\"\n",
        list("backends", &[taker()])
    );
    let router = Router::launch_as("metrics = \"127.0.0.1:0\"", LISTENER, &tables, "");
    let address = router.metrics.expect("metrics");
    let engine = engine();
    let text = format!(
        "engine = \"{engine}\"\nmetrics = \"{address}\"\n[[listener]]\n{LISTENER}\n{tables}"
    );
    let (code, _, complained) = with_file("metrics", &text, "run");
    let why = format!("metrics: cannot listen on {address}: Address already in use");
    assert!(code == Some(1) && complained.contains(&why), "{complained}");
}

#[test]
fn nothing_else_is_served_there_and_who_is_slow_keeps_nobody_waiting() {
    let router = Router::launch_as(
        "metrics = \"127.0.0.1:0\"",
        LISTENER,
        &format!(
            "[pool.p]\n{}\n[[route]]\npool = \"p\"\n",
            list("backends", &[taker()])
        ),
        "",
    );
    let address = router.metrics.expect("metrics");
    let slow: Vec<_> = (0..15).map(|_| TcpStream::connect(address)).collect();
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "POST /metrics HTTP/1.1\r\n\r\n",
        "x\r\n\r\n",
    ] {
        assert_eq!(ask(&router, request).0, 404, "{request}");
    }
    page(&router);
    drop(slow);
    let mut client = Client::new(TcpStream::connect(address).expect("it listens"));
    client.send(vec![b'x'; 9000]);
    assert!(client.until_reset().is_none_or(|rest| rest.is_empty()));
    page(&router);
}
