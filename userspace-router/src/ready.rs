// SPDX-License-Identifier: GPL-2.0
//! Tells systemd that this program listens, where that started it (sd_notify(3)): so `systemctl start` waits for
//! it, and fails where it cannot begin.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use underpass::say;

/// It listens.
pub fn tell() {
    let Some(to) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&to, b"READY=1") {
        say!("systemd was not told that all is ready: {error}");
    }
}

/// The name of an abstract address begins with `@`.
fn send(to: &OsStr, words: &[u8]) -> io::Result<()> {
    let address = match to.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(to),
    }?;
    let sent = UnixDatagram::unbound()?.send_to_addr(words, &address);
    sent.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_path_and_by_abstract_name() {
        let name = format!("underpass-ready-{}", std::process::id());
        let path = env::temp_dir().join(&name);
        for (to, address) in [
            (
                path.clone().into_os_string(),
                SocketAddr::from_pathname(&path),
            ),
            (
                format!("@{name}").into(),
                SocketAddr::from_abstract_name(&name),
            ),
        ] {
            let socket = UnixDatagram::bind_addr(&address.unwrap()).unwrap();
            send(&to, b"READY=1").unwrap();
            let mut heard = [0; 16];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(send(path.as_os_str(), b"READY=1").is_err());
    }
}
