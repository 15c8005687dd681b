// SPDX-License-Identifier: GPL-2.0
//! An engine between real sockets, driven by its trait: what `docs/netlink.md` promises
//! about bodies.
//!
//! `UNDERPASS_ENGINE` chooses the engine (default `user`; `kernel` needs root and the
//! module). So the same tests hold for both engines.

mod arrivals;
mod chunked;
mod conversions;
mod ends;
mod huge;
mod idle;
mod leaves;
mod overflow;
mod pace;
mod passing;
mod peer;
mod prelude;
mod quiet;
mod refusals;
mod relay;
mod scene;
mod small;
mod tunnel;
mod unix;
