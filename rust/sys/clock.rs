// SPDX-License-Identifier: GPL-2.0
//! Monotonic time in milliseconds, the module's only unit of time.

use kernel::bindings;

/// Milliseconds since boot.
pub fn now_ms() -> u64 {
    // SAFETY: `ktime_get` has no preconditions once time keeping runs, which is long before
    // a module can be loaded.
    let ns = unsafe { bindings::ktime_get() };
    (ns.max(0) as u64) / 1_000_000
}
