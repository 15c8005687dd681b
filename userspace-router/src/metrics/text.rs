// SPDX-License-Identifier: GPL-2.0
//! Counters as text for Prometheus (exposition format, version 0.0.4).
//!
//! Invariant: no value of a label can end it, whatever a configuration calls a pool.

use std::fmt::{self, Display, Write as _};
use std::iter::once;

use super::{Counts, Times, BOUNDS};
use crate::route::MemberState;

/// Labels of one value, as `{name="value",…}`; nothing if there are none.
pub struct Labels<'a>(pub &'a [(&'a str, &'a dyn Display)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        for (nth, (name, value)) in self.0.iter().enumerate() {
            f.write_char(if nth == 0 { '{' } else { ',' })?;
            let value = value.to_string();
            let value = value.replace('\\', r"\\").replace('"', "\\\"");
            write!(f, "{name}=\"{}\"", value.replace('\n', r"\n"))?;
        }
        f.write_char('}')
    }
}

/// One metric: what it is, its kind, and its values with their labels.
pub fn metric<V: Display>(out: &mut String, name: &str, help: &str, values: &[(String, V)]) {
    let kind = match name.ends_with("_total") {
        true => "counter",
        false => "gauge",
    };
    begin(out, name, help, kind);
    for (labels, value) in values {
        line(out, format_args!("underpass_{name}{labels} {value}"));
    }
}

fn line(out: &mut String, line: fmt::Arguments<'_>) {
    // A `String` takes everything.
    let _always = writeln!(out, "{line}");
}

fn begin(out: &mut String, name: &str, help: &str, kind: &str) {
    line(out, format_args!("# HELP underpass_{name} {help}"));
    line(out, format_args!("# TYPE underpass_{name} {kind}"));
}

/// How long something took, as a histogram in seconds.
fn histogram(out: &mut String, name: &str, help: &str, times: &Times) {
    begin(out, name, help, "histogram");
    let bounds = BOUNDS.iter().map(|&ms| (ms as f64 / 1e3).to_string());
    let bounds = bounds.chain(once("+Inf".to_owned()));
    let mut sum = 0;
    for (bound, count) in bounds.zip(times.counts) {
        sum += count;
        line(
            out,
            format_args!("underpass_{name}_bucket{{le=\"{bound}\"}} {sum}"),
        );
    }
    let seconds = times.sum.as_secs_f64();
    line(out, format_args!("underpass_{name}_sum {seconds}"));
    line(out, format_args!("underpass_{name}_count {sum}"));
}

/// Everything that routers count, and what is known of the back-ends now.
pub(super) fn render(counts: &Counts, members: &[MemberState]) -> String {
    let mut out = String::new();
    let one = |name: &str, value: &dyn Display| Labels(&[(name, value)]).to_string();
    let statuses = counts.statuses.iter();
    let statuses: Vec<_> = statuses.map(|(s, n)| (one("code", s), *n)).collect();
    let help = "Requests that are over, by the status that the client got; 0: none.";
    metric(&mut out, "requests_total", help, &statuses);
    let problems = counts.problems.iter();
    let problems: Vec<_> = problems.map(|(p, n)| (one("reason", p), *n)).collect();
    let help = "Those of them in which something went wrong, by the access log's reason.";
    metric(&mut out, "request_problems_total", help, &problems);
    let help = "From a request's head to the end of its exchange.";
    histogram(&mut out, "request_seconds", help, &counts.total);
    let help = "From a request's head to its response's.";
    histogram(&mut out, "response_head_seconds", help, &counts.head);
    let bytes = [("up", counts.up), ("down", counts.down)];
    let bytes = bytes.map(|(direction, n)| (one("direction", &direction), n));
    let help = "Bytes of bodies, taken from clients (up) and from back-ends (down).";
    metric(&mut out, "bodies_bytes_total", help, &bytes);
    backends(&mut out, counts);
    let of_member = |value: fn(&MemberState) -> u64| -> Vec<_> {
        let labels =
            |m: &MemberState| Labels(&[("pool", &m.pool), ("backend", &m.address)]).to_string();
        members.iter().map(|m| (labels(m), value(m))).collect()
    };
    let up = of_member(|member| member.is_up.into());
    let help = "Whether it gets requests: it is not left out by checks or failures.";
    metric(&mut out, "backend_up", help, &up);
    let outstanding = of_member(|member| member.outstanding);
    let help = "Requests that it has now.";
    metric(&mut out, "backend_outstanding", help, &outstanding);
    out
}

fn backends(out: &mut String, counts: &Counts) {
    let mut backends: Vec<_> = counts.backends.iter().collect();
    backends.sort_unstable_by_key(|(backend, _)| *backend);
    let two = |backend: &dyn Display, name: &str, value: &dyn Display| {
        Labels(&[("backend", backend), (name, value)]).to_string()
    };
    let (mut verdicts, mut responses) = (Vec::new(), Vec::new());
    for (backend, asked) in backends {
        for (verdict, n) in &asked.verdicts {
            verdicts.push((two(backend, "outcome", verdict), *n));
        }
        for (status, n) in &asked.responses {
            responses.push((two(backend, "code", status), *n));
        }
    }
    let help = "Times that it was asked for a request, by the access log's outcome.";
    metric(out, "backend_asked_total", help, &verdicts);
    let help = "Its responses, by the status that the client got.";
    metric(out, "backend_responses_total", help, &responses);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_within_their_quotes() {
        let pool = "a\"} 1\n\\";
        let labels = Labels(&[("pool", &pool), ("n", &1)]).to_string();
        assert_eq!(labels, r#"{pool="a\"} 1\n\\",n="1"}"#);
        assert_eq!(Labels(&[]).to_string(), "");
    }
}
