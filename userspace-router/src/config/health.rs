// SPDX-License-Identifier: GPL-2.0
//! `[pool.NAME.eject]` and `[pool.NAME.check]`: when a back-end is left out, and when it
//! is back.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::place::Fault;
use super::value::{number, DAY};
use crate::http::check_host;

/// When a back-end that fails requests is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eject {
    /// After so many failures in a row.
    pub failures: u32,
    /// For so long at first; twice as long each time that its trial fails.
    pub time: Duration,
    /// But never for longer.
    pub time_max: Duration,
    /// Responses that are failures, beside broken connections and silence.
    pub status: Vec<u16>,
}

/// How a back-end is asked for its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Target of the GET.
    pub path: String,
    /// Value of Host; the back-end's address where there is none.
    pub host: Option<String>,
    /// From the start of one check to that of the next, give or take a tenth.
    pub interval: Duration,
    /// For connecting and the response's head together.
    pub timeout: Duration,
    /// Good answers; if empty, 200 to 399 are.
    pub status: Vec<u16>,
    /// Good checks in a row after which it is up.
    pub rise: u32,
    /// Bad checks in a row after which it is down.
    pub fall: u32,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EjectTable {
    failures: Option<Spanned<i64>>,
    ms: Option<Spanned<i64>>,
    max_ms: Option<Spanned<i64>>,
    #[serde(default)]
    status: Vec<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CheckTable {
    path: Spanned<String>,
    host: Option<Spanned<String>>,
    interval_ms: Option<Spanned<i64>>,
    timeout_ms: Option<Spanned<i64>>,
    #[serde(default)]
    status: Vec<Spanned<i64>>,
    rise: Option<Spanned<i64>>,
    fall: Option<Spanned<i64>>,
}

/// Checks one table.
pub(super) fn eject(table: &EjectTable) -> Result<Option<Eject>, Fault> {
    let failures = number(table.failures.as_ref(), 5, 0..=1_000)?;
    let time = number(table.ms.as_ref(), 10_000, 1..=DAY)?;
    let time_max = number(table.max_ms.as_ref(), 300_000.max(time), 1..=DAY)?;
    if let Some(max) = table.max_ms.as_ref().filter(|_| time_max < time) {
        let text = format!("{time_max} must not be below ms = {time}");
        return Err(Fault::at(max.span(), text));
    }
    let status = codes(&table.status, 500..=599)?;
    Ok((failures > 0).then(|| Eject {
        failures: failures as u32,
        time: Duration::from_millis(time),
        time_max: Duration::from_millis(time_max),
        status,
    }))
}

/// Checks one table.
pub(super) fn check(table: &CheckTable) -> Result<Check, Fault> {
    let path = table.path.get_ref();
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !path.starts_with('/') || !plain {
        let text = format!("`{path}` must be a path, beginning with / and without spaces and #");
        return Err(Fault::at(table.path.span(), text));
    }
    if let Some(host) = &table.host {
        if check_host(host.get_ref()).is_err() {
            let text = format!(
                "`{}` must be a host, such as example.com or example.com:8080",
                host.get_ref()
            );
            return Err(Fault::at(host.span(), text));
        }
    }
    let count = |value: &Option<Spanned<i64>>, default| {
        number(value.as_ref(), default, 1..=1_000).map(|n| n as u32)
    };
    Ok(Check {
        path: path.clone(),
        host: table.host.as_ref().map(|host| host.get_ref().clone()),
        interval: Duration::from_millis(number(table.interval_ms.as_ref(), 2_000, 10..=DAY)?),
        timeout: Duration::from_millis(number(table.timeout_ms.as_ref(), 1_000, 1..=DAY)?),
        status: codes(&table.status, 200..=599)?,
        rise: count(&table.rise, 2)?,
        fall: count(&table.fall, 3)?,
    })
}

fn codes(list: &[Spanned<i64>], range: std::ops::RangeInclusive<i64>) -> Result<Vec<u16>, Fault> {
    list.iter()
        .map(|code| number(Some(code), 0, range.clone()).map(|code| code as u16))
        .collect()
}
