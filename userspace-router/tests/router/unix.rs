// SPDX-License-Identifier: GPL-2.0
//! Back-ends on Unix sockets: the engine `user` carries them, the other says that it cannot.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use crate::cli::with_file;
use crate::support::*;

#[test]
fn a_unix_back_end_or_a_clear_refusal() {
    let path = std::env::temp_dir().join(format!("underpass-test-{}.sock", std::process::id()));
    let _old = std::fs::remove_file(&path);
    let backend = format!("unix:{}", path.display());
    let tables = format!(
        "[pool.p]\nbackends = [\"{backend}\"]\n[pool.p.check]\npath = \"/health\"\n\
         interval-ms = 20\n[[route]]\npool = \"p\"\n"
    );
    let (tell, told) = std::sync::mpsc::channel();
    if engine() == "kernel" {
        let text = format!("engine = \"kernel\"\n[[listener]]\n{LISTENER}\n{tables}");
        for command in ["check", "run"] {
            let (code, _, complained) = with_file("unix", &text, command);
            assert_eq!(code, Some(1));
            assert!(
                complained.contains(&format!(
                    ".toml:5: backends: `{backend}`: the engine \"kernel\" carries TCP only"
                )),
                "{complained}"
            );
        }
        return;
    }
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut read = Vec::new();
            let mut byte = [0];
            while !read.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                read.push(byte[0]);
            }
            if read.starts_with(b"GET /health ") {
                // The test may be over and not care.
                let _over = tell.send(String::from_utf8(read.clone()).expect("text"));
            }
            if read.starts_with(b"PUT") {
                stream
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .expect("sent");
                let mut body = vec![0; 100_000];
                stream.read_exact(&mut body).expect("a body");
                stream
                    .write_all(ok(&sha256(&body)).as_bytes())
                    .expect("sent");
            } else {
                stream.write_all(ok("unix").as_bytes()).expect("sent");
            }
        }
    });
    let router = Router::launch(LISTENER, &tables, "");
    assert_eq!(router.get("/", ""), (200, "unix".to_owned()));
    assert!(router
        .logged()
        .contains(&format!(" asked={backend}=accepted ")));
    let check = told.recv_timeout(PATIENCE).expect("a check");
    assert_eq!(field(&check, "Host"), Some("localhost"));
    let body = noise(100_000);
    let mut client = router.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(&body);
    assert_eq!(client.answer(), (200, sha256(&body)));
    std::fs::remove_file(&path).expect("the socket is there");
}
