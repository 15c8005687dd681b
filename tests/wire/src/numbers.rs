// SPDX-License-Identifier: GPL-2.0
//! Numbers of the family, copied by hand from `netlink-proto/underpass.h`, and the errnos
//! that are expected. Nothing here may come from the crate under test.

#![allow(missing_docs)]

pub const NAME: &str = "underpass";
pub const VERSION: u8 = 1;
pub const SEND_LIMIT: usize = 131_072;

pub mod cmd {
    pub const ROUTER_ATTACH: u8 = 1;
    pub const ROUTER_DETACH: u8 = 2;
    pub const ROUTER_TAKEOVER: u8 = 3;
    pub const ROUTER_GET: u8 = 4;
    pub const LISTENER_ADD: u8 = 5;
    pub const LISTENER_DEL: u8 = 6;
    pub const LISTENER_GET: u8 = 7;
    pub const QUEUE_ADD: u8 = 8;
    pub const QUEUE_DEL: u8 = 9;
    pub const QUEUE_ABORT: u8 = 10;
    pub const QUEUE_GET: u8 = 11;
    pub const SEND: u8 = 12;
    pub const FORWARD: u8 = 13;
    pub const ROUTE: u8 = 14;
    pub const CANCEL: u8 = 15;
    pub const DRAIN: u8 = 16;
    pub const STATS_GET: u8 = 17;
    pub const HEAD: u8 = 18;
    pub const DONE: u8 = 19;
    pub const CLOSED: u8 = 20;
    pub const RELAYED: u8 = 21;
    pub const OUSTED: u8 = 22;
}

pub mod router {
    pub const ID: u16 = 1;
    pub const PORT: u16 = 2;
    pub const CREDIT: u16 = 3;
    pub const GRACE: u16 = 4;
    pub const PROTOCOL: u16 = 5;
    pub const HEADS_OUT: u16 = 6;
    pub const WAITING: u16 = 7;
    pub const OVERFLOWS: u16 = 8;
    pub const QUEUES: u16 = 9;
    pub const LISTENERS: u16 = 10;
    pub const QUEUES_MAX: u16 = 11;
}

pub mod listener {
    pub const ID: u16 = 1;
    pub const FD: u16 = 2;
    pub const ROUTER: u16 = 3;
    pub const HEAD_LIMIT: u16 = 4;
    pub const ACCEPTED: u16 = 5;
    pub const ADDRESS: u16 = 6;
    pub const PORT: u16 = 7;
    pub const PROXY_PROTOCOL: u16 = 8;
    pub const HEAD_MS: u16 = 9;
    pub const CONNECTIONS: u16 = 10;
    pub const OPEN: u16 = 11;
}

pub mod queue {
    pub const ID: u16 = 1;
    pub const FD: u16 = 2;
    pub const SIDE: u16 = 3;
    pub const ROUTER: u16 = 4;
    pub const LISTENER: u16 = 5;
    pub const HEAD_LIMIT: u16 = 6;
    pub const STATE: u16 = 7;
    pub const GENERATION: u16 = 8;
    pub const HEAD: u16 = 9;
    pub const OVER_LIMIT: u16 = 10;
    pub const TO: u16 = 11;
    pub const FRAMING: u16 = 12;
    pub const LENGTH: u16 = 13;
    pub const DATA: u16 = 14;
    pub const TAKEN: u16 = 15;
    pub const SENT: u16 = 16;
    pub const RESULT: u16 = 17;
    pub const REASON: u16 = 18;
    pub const ERROR: u16 = 19;
    pub const LIMIT_BYTES: u16 = 20;
    pub const LIMIT_MS: u16 = 21;
    pub const PEER_ADDRESS: u16 = 22;
    pub const PEER_PORT: u16 = 23;
    pub const LOCAL_ADDRESS: u16 = 24;
    pub const LOCAL_PORT: u16 = 25;
    pub const RX_BYTES: u16 = 26;
    pub const TX_BYTES: u16 = 27;
    pub const UNSENT: u16 = 28;
    pub const TO_FRAMING: u16 = 29;
    pub const TRAILERS: u16 = 30;
    pub const IDLE_MS: u16 = 31;
    pub const IF_QUIET: u16 = 32;
    pub const RELAY: u16 = 33;
    pub const RELAY_HEAD: u16 = 34;
    pub const RELAY_IDLE_MS: u16 = 35;
    pub const STATUS: u16 = 36;
    pub const RELAY_TO: u16 = 37;
    pub const IDLE_BYTES: u16 = 38;
    pub const RELAY_IDLE_BYTES: u16 = 39;
    pub const NOTE: u16 = 40;
}

pub mod stats {
    pub const ACCEPTED: u16 = 1;
    pub const ADDED: u16 = 2;
    pub const HEADS: u16 = 3;
    pub const FORWARDS: u16 = 4;
    pub const FRONT_TO_BACK: u16 = 5;
    pub const BACK_TO_FRONT: u16 = 6;
    pub const DISCARDED: u16 = 7;
    pub const OVERFLOWS: u16 = 8;
    pub const REFUSED: u16 = 9;
    pub const QUEUES: u16 = 10;
    pub const RELAYED: u16 = 11;
    pub const LATE: u16 = 12;
}

pub mod side {
    pub const FRONT: u64 = 1;
    pub const BACK: u64 = 2;
}

pub mod framing {
    pub const NONE: u64 = 0;
    pub const LENGTH: u64 = 1;
    pub const CHUNKED: u64 = 2;
    pub const UNTIL_CLOSE: u64 = 3;
    pub const TUNNEL: u64 = 4;
}

pub mod state {
    pub const COLLECTING: u64 = 0;
    pub const READY: u64 = 1;
    pub const MOVING: u64 = 2;
    pub const PARKED: u64 = 3;
    pub const ENDED: u64 = 4;
}

pub mod result {
    pub const COMPLETE: u64 = 0;
    pub const CANCELLED: u64 = 1;
    pub const TRUNCATED: u64 = 2;
    pub const SOURCE_ERROR: u64 = 3;
    pub const TARGET_ERROR: u64 = 4;
    pub const MALFORMED: u64 = 5;
    pub const SOURCE_STALLED: u64 = 6;
    pub const TARGET_STALLED: u64 = 7;
    pub const SOURCE_SLOW: u64 = 8;
}

pub mod reason {
    pub const FIN: u64 = 1;
    pub const FIN_IN_HEAD: u64 = 2;
    pub const FIN_IN_BODY: u64 = 3;
    pub const RESET: u64 = 4;
    pub const BODY_END: u64 = 5;
    pub const MALFORMED: u64 = 6;
}

/// Linux errnos (asm-generic/errno.h), by their names.
pub mod errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const EBADF: i32 = 9;
    pub const EBUSY: i32 = 16;
    pub const EEXIST: i32 = 17;
    pub const EXDEV: i32 = 18;
    pub const EINVAL: i32 = 22;
    pub const ENOSPC: i32 = 28;
    pub const EPIPE: i32 = 32;
    pub const ERANGE: i32 = 34;
    pub const ENOTEMPTY: i32 = 39;
    pub const EBADE: i32 = 52;
    pub const ENODATA: i32 = 61;
    pub const EPROTO: i32 = 71;
    pub const ENOTSOCK: i32 = 88;
    pub const EMSGSIZE: i32 = 90;
    pub const EPROTONOSUPPORT: i32 = 93;
    pub const EOPNOTSUPP: i32 = 95;
    pub const ECONNRESET: i32 = 104;
    pub const ENOBUFS: i32 = 105;
    pub const ENOTCONN: i32 = 107;
    pub const ESTALE: i32 = 116;
}
