// SPDX-License-Identifier: GPL-2.0
//! Every error that the router answers itself: status, name, and a sentence for a person.
//!
//! Invariant: a name appears in the access log and in `Proxy-Status`, and never changes
//! its meaning. Texts are constants: nothing that a client sent is ever echoed.

use std::time::SystemTime;

use super::date;

/// A reason to answer a request without a back-end's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status code of the answer.
    pub status: u16,
    /// Kebab-case name, for the log and the `details` of `Proxy-Status`.
    pub name: &'static str,
    /// Error type of RFC 9209 section 2.3.
    pub error: &'static str,
    /// One sentence for a person.
    pub text: &'static str,
}

const fn request(status: u16, name: &'static str, text: &'static str) -> Problem {
    Problem {
        status,
        name,
        error: "http_request_error",
        text,
    }
}

const fn other(
    status: u16,
    name: &'static str,
    error: &'static str,
    text: &'static str,
) -> Problem {
    Problem {
        status,
        name,
        error,
        text,
    }
}

/// A line ends by LF without CR.
pub const BARE_LF: Problem = request(400, "bare-lf", "A line must end with CR LF.");
/// A CR is not followed by LF.
pub const BARE_CR: Problem = request(400, "bare-cr", "CR may only stand before LF.");
/// A control character, NUL among them.
pub const CONTROL: Problem = request(
    400,
    "control-character",
    "Control characters are not allowed.",
);
/// A field is continued on the next line.
pub const OBS_FOLD: Problem = request(
    400,
    "obs-fold",
    "A field must stand on one line (RFC 9112 section 5.2).",
);
/// It begins with a control character.
pub const NOT_HTTP: Problem = request(
    400,
    "not-http",
    "No HTTP request begins like this. TLS is not spoken here.",
);
/// The start line is no request line.
pub const BAD_REQUEST_LINE: Problem = request(
    400,
    "bad-request-line",
    "The first line must be METHOD SP TARGET SP HTTP/1.1.",
);
/// The method is no token.
pub const BAD_METHOD: Problem = request(
    400,
    "bad-method",
    "The method must be a token, and in upper case if it is a usual one.",
);
/// The target has none of the four forms.
pub const BAD_TARGET: Problem = request(
    400,
    "bad-target",
    "The target must be a path, an http:// URI, or * with OPTIONS.",
);
/// The path has `.` or `..` segments, plain or in disguise.
pub const DOT_SEGMENTS: Problem = request(
    400,
    "dot-segments",
    "The path must have no . or .. segments (RFC 3986 section 5.2.4), encoded ones neither.",
);
/// Another version than 1.0 or 1.1.
pub const BAD_VERSION: Problem = request(
    505,
    "unknown-version",
    "HTTP/1.1 and HTTP/1.0 are understood.",
);
/// A field name is empty, no token, or followed by a space.
pub const BAD_FIELD_NAME: Problem = request(
    400,
    "bad-field-name",
    "A field name must be a token with the colon right after it.",
);
/// A field value holds bytes that it may not.
pub const BAD_FIELD_VALUE: Problem = request(
    400,
    "bad-field-value",
    "A field value has a forbidden byte.",
);
/// No Host in HTTP/1.1.
pub const NO_HOST: Problem = request(400, "no-host", "HTTP/1.1 needs one Host field.");
/// More than one Host.
pub const MANY_HOSTS: Problem = request(400, "many-hosts", "Exactly one Host field is allowed.");
/// Host is no host with an optional port.
pub const BAD_HOST: Problem = request(400, "bad-host", "Host must be a host name and a port.");
/// Content-Length is no number of 64 bits.
pub const BAD_LENGTH: Problem = request(
    400,
    "bad-content-length",
    "Content-Length must be digits below 2^64.",
);
/// More than one Content-Length.
pub const MANY_LENGTHS: Problem = request(
    400,
    "many-content-lengths",
    "Exactly one Content-Length is allowed, equal ones too.",
);
/// Transfer-Encoding beside Content-Length.
pub const LENGTH_AND_CODING: Problem = request(
    400,
    "length-and-coding",
    "Content-Length and Transfer-Encoding exclude each other.",
);
/// Transfer-Encoding in HTTP/1.0.
pub const CODING_IN_10: Problem = request(
    400,
    "coding-in-http10",
    "HTTP/1.0 has no Transfer-Encoding.",
);
/// Transfer-Encoding is empty or has stray commas.
pub const BAD_CODING: Problem = request(
    400,
    "bad-transfer-encoding",
    "Transfer-Encoding must be `chunked`, once.",
);
/// Another transfer coding than chunked.
pub const UNKNOWN_CODING: Problem = request(
    501,
    "unknown-transfer-coding",
    "Only the transfer coding chunked is known.",
);
/// More Connection options than anybody needs.
pub const MANY_OPTIONS: Problem = request(
    431,
    "many-connection-options",
    "Connection names too many fields.",
);
/// More fields than the limit.
pub const MANY_FIELDS: Problem = request(431, "many-fields", "The head has too many fields.");
/// The head is over its limit.
pub const HEAD_TOO_LONG: Problem = request(431, "head-too-long", "The head is too long.");
/// The target is over its limit.
pub const TARGET_TOO_LONG: Problem = request(414, "target-too-long", "The target is too long.");
/// CONNECT or TRACE where the route does not serve it.
pub const METHOD_NOT_SERVED: Problem = other(
    501,
    "method-not-served",
    "http_request_denied",
    "CONNECT and TRACE are not served here.",
);
/// CONNECT has no body: what follows its head is the tunnel's.
pub const CONNECT_BODY: Problem = request(400, "connect-with-body", "CONNECT has no body.");
/// The target of CONNECT is no authority.
pub const BAD_AUTHORITY: Problem = request(
    400,
    "bad-authority",
    "The target of CONNECT must be a host and a port.",
);
/// TRACE has no body (RFC 9110 section 9.3.8).
pub const TRACE_BODY: Problem = request(400, "trace-with-body", "TRACE has no body.");
/// Max-Forwards is no number, or stands there twice.
pub const BAD_MAX_FORWARDS: Problem = request(
    400,
    "bad-max-forwards",
    "Max-Forwards must be digits, once.",
);
/// Upgrade is no list of protocols, or names more than anybody needs.
pub const BAD_UPGRADE: Problem = request(
    400,
    "bad-upgrade",
    "Upgrade must be a list of protocols, 16 at the most.",
);
/// The request came through here too often.
pub const LOOP: Problem = other(
    502,
    "loop-detected",
    "proxy_loop_detected",
    "The request has come through here before.",
);
/// An expectation other than 100-continue.
pub const UNKNOWN_EXPECTATION: Problem = request(
    417,
    "unknown-expectation",
    "Only the expectation 100-continue is known.",
);
/// The client's FIN came before the end of its head or body.
pub const REQUEST_TRUNCATED: Problem = request(
    400,
    "request-truncated",
    "The connection ended before the message did.",
);
/// The chunked coding of a request is broken.
pub const BAD_CHUNK: Problem = request(400, "bad-chunk", "The chunked body is malformed.");
/// The client stopped sending in mid-body.
pub const REQUEST_STALLED: Problem = request(
    408,
    "request-stalled",
    "Nothing more of the body came for too long.",
);
/// The client sent too little for too long.
pub const REQUEST_SLOW: Problem = request(
    408,
    "request-slow",
    "Too little of the body came for too long.",
);
/// No route for this host and path.
pub const NO_ROUTE: Problem = other(
    404,
    "no-route",
    "destination_not_found",
    "Nothing is served at this host and path.",
);
/// Nobody took the request, and a back-end that was asked declined it.
pub const ALL_DECLINED: Problem = other(
    503,
    "all-declined",
    "destination_unavailable",
    "No back-end takes this request now.",
);
/// The last back-end could not be connected to.
pub const NONE_REACHABLE: Problem = other(
    502,
    "none-reachable",
    "destination_unavailable",
    "No back-end could be reached.",
);
/// Nobody took the request or declined it, and a back-end that was asked has as many connections as it may have.
pub const ALL_FULL: Problem = other(
    503,
    "all-full",
    "connection_limit_reached",
    "Every back-end is busy.",
);
/// The last back-end's connection took too long.
pub const CONNECT_TIMEOUT: Problem = other(
    504,
    "connect-timeout",
    "connection_timeout",
    "No connection to a back-end was made in time.",
);
/// A back-end stayed silent where it should have accepted or declined.
pub const SILENT: Problem = other(
    504,
    "no-verdict",
    "http_response_timeout",
    "No back-end said in time whether it takes the request.",
);
/// A back-end took the request and did not answer in time.
pub const RESPONSE_TIMEOUT: Problem = other(
    504,
    "response-timeout",
    "http_response_timeout",
    "The back-end did not answer in time.",
);
/// The back-end's connection broke before a response.
pub const BACKEND_BROKE: Problem = other(
    502,
    "backend-broke",
    "connection_terminated",
    "The back-end's connection broke before its response.",
);
/// The router that took the request is gone, and this one does not know its route's rules for responses.
pub const ROUTER_CHANGED: Problem = other(
    502,
    "router-changed",
    "proxy_internal_error",
    "The proxy's rules changed before the response.",
);
/// The back-end stopped taking the request's body.
pub const BACKEND_STALLED: Problem = other(
    504,
    "backend-stalled",
    "connection_write_timeout",
    "The back-end took nothing more of the body for too long.",
);
/// The back-end took too little of the request's body for too long.
pub const BACKEND_SLOW: Problem = other(
    504,
    "backend-slow",
    "connection_write_timeout",
    "The back-end took too little of the body for too long.",
);
/// A response that breaks the rules of HTTP.
pub const BAD_RESPONSE: Problem = other(
    502,
    "bad-response",
    "http_protocol_error",
    "The back-end's response was malformed.",
);
/// A response head over the limit.
pub const RESPONSE_HEAD_TOO_LONG: Problem = other(
    502,
    "response-head-too-long",
    "http_response_header_section_size",
    "The back-end's response head is too long.",
);
/// Another transfer coding than chunked, or a broken Transfer-Encoding.
pub const RESPONSE_CODING: Problem = other(
    502,
    "response-transfer-coding",
    "http_response_transfer_coding",
    "The back-end answered with a transfer coding that is not known here.",
);
/// A 101 that nobody asked for, or to a protocol that nobody offered.
pub const UNASKED_UPGRADE: Problem = other(
    502,
    "unasked-upgrade",
    "http_upgrade_failed",
    "The back-end switched protocols unasked.",
);
/// More interim responses than the limit.
pub const MANY_INTERIM: Problem = other(
    502,
    "many-interim-responses",
    "http_protocol_error",
    "The back-end sent too many interim responses.",
);
/// The engine refused a command that should have worked.
pub const ENGINE_REFUSED: Problem = other(
    502,
    "engine-refused",
    "proxy_internal_error",
    "The forwarding engine refused a command.",
);
/// The router is stopping.
pub const STOPPING: Problem = other(
    503,
    "stopping",
    "destination_unavailable",
    "The front end is stopping.",
);

impl Problem {
    /// The whole answer: head and, unless the request was a HEAD, one line of text.
    pub fn render(&self, head_only: bool, close: bool, time: SystemTime) -> Vec<u8> {
        let Problem {
            status,
            name,
            error,
            text,
        } = self;
        let phrase = phrase(*status);
        let connection = if close { "Connection: close\r\n" } else { "" };
        let length = text.len() + 1;
        let date = date::imf(time);
        let mut out = format!(
            "HTTP/1.1 {status} {phrase}\r\nDate: {date}\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\nProxy-Status: underpass; error={error}; \
             details=\"{name}\"\r\n{connection}\r\n"
        );
        if !head_only {
            out.push_str(text);
            out.push('\n');
        }
        out.into_bytes()
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_find_each_name() {
        let page = include_str!("../../../docs/operating.md");
        let code = include_str!("problem.rs").split("#[cfg(test)]").next();
        let constants = code.into_iter().flat_map(|code| code.split(": Problem ="));
        let named = constants.skip(1);
        // The name is the first text that is neither status nor error.
        let names: Vec<_> = named.filter_map(|text| text.split('"').nth(1)).collect();
        assert!(names.len() > 50, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "{name} is not there");
        }
    }

    #[test]
    fn an_answer_names_its_reason_and_its_exact_length() {
        let whole =
            String::from_utf8(NO_ROUTE.render(false, true, SystemTime::UNIX_EPOCH)).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 404 Not Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
        );
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(head.contains(
            "Proxy-Status: underpass; error=destination_not_found; details=\"no-route\""
        ));
        assert!(head.ends_with("Connection: close"));
        assert!(NO_ROUTE
            .render(true, false, SystemTime::UNIX_EPOCH)
            .ends_with(b"\r\n\r\n"));
    }
}
