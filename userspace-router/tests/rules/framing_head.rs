// SPDX-License-Identifier: GPL-2.0
//! Framing 1, 2, 3 and 11: what a request's head says about its body.

use crate::cases::{passed_on, passes, post, refused};
use crate::scene::Scene;

#[test]
fn framing_01_content_that_looks_like_messages_is_content() {
    let scene = Scene::plain();
    for content in [
        "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "\r\n",
        "\n",
        "\0",
    ] {
        let length = format!("Content-Length: {}", content.len());
        let lines = ["POST / HTTP/1.1", "Host: a", &length];
        passes(
            &scene,
            post(&format!("{length}\r\n"), content),
            &passed_on(&lines, &["Expect: 100-continue"]),
            content,
        );
    }
}

#[test]
fn framing_02_length_and_coding_exclude_each_other() {
    let scene = Scene::plain();
    // CL.TE and TE.CL: whichever of them a back-end took, the other half is a request.
    for (fields, body) in [
        (
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\nG",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "8\r\nSMUGGLED\r\n0\r\n\r\n",
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "transfer-encoding: chunked\r\nCONTENT-LENGTH: 5\r\n",
            "0\r\n\r\n",
        ),
        (
            "Content-Length: 5\r\nX: y\r\nTransfer-Encoding: gzip\r\n",
            "0\r\n\r\n",
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            "0\r\n\r\n",
        ),
        ("Content-Length: 5\r\nTransfer-Encoding:\r\n", "0\r\n\r\n"),
        (
            "Connection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "Connection: Transfer-Encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
    ] {
        refused(&scene, post(fields, body), 400, "length-and-coding");
    }
}

#[test]
fn framing_02_no_coding_in_http10() {
    let scene = Scene::plain();
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\nConnection: keep-alive\r\n",
    ] {
        let request = format!("POST / HTTP/1.0\r\nHost: a\r\n{fields}\r\n0\r\n\r\n");
        refused(&scene, request, 400, "coding-in-http10");
    }
}

#[test]
fn framing_02_only_chunked_once() {
    let scene = Scene::plain();
    for (value, status, reason) in [
        ("", 400, "bad-transfer-encoding"),
        (" ", 400, "bad-transfer-encoding"),
        (",", 400, "bad-transfer-encoding"),
        ("chunked,", 400, "bad-transfer-encoding"),
        (",chunked", 400, "bad-transfer-encoding"),
        (", chunked", 400, "bad-transfer-encoding"),
        ("chunked,,chunked", 400, "bad-transfer-encoding"),
        ("chunked, chunked", 400, "bad-transfer-encoding"),
        (
            "chunked\r\nTransfer-Encoding: chunked",
            400,
            "bad-transfer-encoding",
        ),
        (
            "chunked\r\nTransfer-Encoding:",
            400,
            "bad-transfer-encoding",
        ),
        (
            "chunked\r\ntransfer-ENCODING: Chunked",
            400,
            "bad-transfer-encoding",
        ),
        ("gzip", 501, "unknown-transfer-coding"),
        ("gzip, chunked", 501, "unknown-transfer-coding"),
        ("chunked, gzip", 501, "unknown-transfer-coding"),
        ("chunked, identity", 501, "unknown-transfer-coding"),
        ("identity", 501, "unknown-transfer-coding"),
        ("identity, chunked", 501, "unknown-transfer-coding"),
        ("xchunked", 501, "unknown-transfer-coding"),
        ("chunkedx", 501, "unknown-transfer-coding"),
        ("chunke", 501, "unknown-transfer-coding"),
        ("chunked;q=1", 501, "unknown-transfer-coding"),
        ("chunked; a=b", 501, "unknown-transfer-coding"),
        ("\"chunked\"", 501, "unknown-transfer-coding"),
        ("'chunked'", 501, "unknown-transfer-coding"),
        ("x chunked", 501, "unknown-transfer-coding"),
        ("chunked x", 501, "unknown-transfer-coding"),
        ("chunk\u{e9}d", 501, "unknown-transfer-coding"),
        (
            "gzip\r\nTransfer-Encoding: chunked",
            501,
            "unknown-transfer-coding",
        ),
        (
            "chunked\r\nTransfer-Encoding: x",
            501,
            "unknown-transfer-coding",
        ),
        // TE.TE: what one peer strips and the other does not.
        ("\x0bchunked", 400, "control-character"),
        ("chunked\x0b", 400, "control-character"),
        ("chunked\x0c", 400, "control-character"),
        ("\0chunked", 400, "control-character"),
        ("chunked\0", 400, "control-character"),
        ("chunked\x7f", 400, "control-character"),
        ("chu\r\n nked", 400, "obs-fold"),
        ("\r\n chunked", 400, "obs-fold"),
        ("\r\n\tchunked", 400, "obs-fold"),
        ("chunked\r", 400, "bare-cr"),
        ("chunked\rX: y", 400, "bare-cr"),
        ("chunked\nX: y", 400, "bare-lf"),
    ] {
        let request = post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
        refused(&scene, request, status, reason);
    }
    for (line, reason) in [
        ("Transfer-Encoding : chunked", "bad-field-name"),
        ("Transfer-Encoding\t: chunked", "bad-field-name"),
        ("Transfer Encoding: chunked", "bad-field-name"),
        ("Transfer-Encoding\0: chunked", "control-character"),
        ("\x0bTransfer-Encoding: chunked", "control-character"),
        (" Transfer-Encoding: chunked", "obs-fold"),
        ("X: y\rTransfer-Encoding: chunked", "bare-cr"),
        ("X: y\nTransfer-Encoding: chunked", "bare-lf"),
        ("X: y\r\rTransfer-Encoding: chunked", "bare-cr"),
    ] {
        let request = post(&format!("{line}\r\n"), "0\r\n\r\n");
        refused(&scene, request, 400, reason);
    }
}

#[test]
fn framing_02_chunked_leaves_in_one_spelling() {
    let scene = Scene::plain();
    // A back-end that looks for `chunked` alone would see no body here, and a request in it.
    for value in ["chunked", "Chunked", "CHUNKED", "\tchunkeD \t"] {
        passes(
            &scene,
            post(
                &format!("transfer-Encoding: {value}\r\n"),
                "2\r\nhi\r\n0\r\n\r\n",
            ),
            &passed_on(
                &["POST / HTTP/1.1", "Host: a", "transfer-Encoding: chunked"],
                &["Expect: 100-continue"],
            ),
            "hi",
        );
    }
}

#[test]
fn framing_02_what_a_back_end_may_take_for_length_or_coding_is_not_passed_on() {
    let scene = Scene::plain();
    // CGI and its kind tell `_` from `-` no more than lower from upper case: one of these would be a second length or
    // coding there, or the only one, and the next request its content.
    for disguise in [
        "Content_Length: 38",
        "content_length: 0",
        "CONTENT_LENGTH: 1",
        "Transfer_Encoding: chunked",
        "transfer_ENCODING: identity",
        "Content.Length: 5",
    ] {
        for (lines, body) in [
            (vec!["GET / HTTP/1.1", "Host: a"], ""),
            (
                vec!["POST / HTTP/1.1", "Host: a", "Content-Length: 2"],
                "hi",
            ),
        ] {
            let asked = ["Expect: 100-continue"];
            let added = if body.is_empty() { &[][..] } else { &asked };
            let head = [lines[0], disguise]
                .iter()
                .chain(&lines[1..])
                .fold(String::new(), |all, line| all + line + "\r\n");
            passes(
                &scene,
                format!("{head}\r\n{body}"),
                &passed_on(&lines, added),
                body,
            );
        }
    }
}

#[test]
fn framing_03_content_length_is_digits() {
    let scene = Scene::plain();
    for value in [
        "",
        " ",
        "+1",
        "-1",
        "-0",
        "1,1",
        "1, 1",
        "1,",
        ",1",
        "0x1",
        "0X1",
        "x1",
        "1x",
        "1 1",
        "1.0",
        "1e1",
        "1_000",
        "'1'",
        "\"1\"",
        "1;",
        "1;a",
        "1 \t1",
        "\u{0661}",
        "\u{ff11}",
        "$1",
        "a",
        "NaN",
        "true",
        "18446744073709551616",
        "18446744073709551617",
        "99999999999999999999",
        "340282366920938463463374607431768211457",
    ] {
        let request = post(&format!("Content-Length: {value}\r\n"), "x");
        refused(&scene, request, 400, "bad-content-length");
    }
    for (fields, reason) in [
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "many-content-lengths",
        ),
        (
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "many-content-lengths",
        ),
        (
            "Content-Length: 1\r\nX: y\r\ncontent-length: 1\r\n",
            "many-content-lengths",
        ),
        (
            "Content-Length: 1\r\nContent-Length:\r\n",
            "many-content-lengths",
        ),
        ("Content-Length : 1\r\n", "bad-field-name"),
        ("Content-Length\t: 1\r\n", "bad-field-name"),
        (" Content-Length: 1\r\n", "obs-fold"),
        ("Content-Length: 1\r\n 1\r\n", "obs-fold"),
        ("Content-Length: \x0b1\r\n", "control-character"),
        ("Content-Length: 1\0\r\n", "control-character"),
        ("Content-Length: 1\r1\r\n", "bare-cr"),
        ("X: y\nContent-Length: 1\r\n", "bare-lf"),
    ] {
        refused(&scene, post(fields, "x"), 400, reason);
    }
}

#[test]
fn framing_03_what_is_a_content_length() {
    let scene = Scene::plain();
    for (value, content) in [
        ("0", ""),
        ("00", ""),
        ("1", "x"),
        ("0001", "x"),
        ("00000000000000000000000000000010", "0123456789"),
        // White space around a value is no part of it (RFC 9112 section 5).
        ("\t1 \t", "x"),
    ] {
        // It leaves as whoever reads octal, or only so many digits, understands it, too.
        let line = format!("Content-Length: {}", content.len());
        let ask: &[&str] = if content.is_empty() {
            &[]
        } else {
            &["Expect: 100-continue"]
        };
        passes(
            &scene,
            post(&format!("Content-Length: {value}\r\n"), content),
            &passed_on(&["POST / HTTP/1.1", "Host: a", &line], ask),
            content,
        );
    }
}

#[test]
fn framing_11_framing_does_not_depend_on_the_method() {
    let scene = Scene::plain();
    for method in [
        "GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "QUERY", "x-get", "X-%",
    ] {
        let start = format!("{method} / HTTP/1.1");
        passes(
            &scene,
            format!("{start}\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"),
            &passed_on(
                &[&start, "Host: a", "Content-Length: 5"],
                &["Expect: 100-continue"],
            ),
            "GET /",
        );
        passes(
            &scene,
            format!("{start}\r\nHost: a\r\n\r\n"),
            &passed_on(&[&start, "Host: a"], &[]),
            "",
        );
    }
}
