//! Status, head and body of a refusal -> `Outcome` and `Retry-After`.

use crate::base::time::Nanos;
use crate::record::outcome::Outcome;
use http::HeaderMap;
use serde_json::Value;

/// A refusal, classified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub outcome: Outcome,
    /// How long the endpoint asks to be left alone: `retry-after-ms`, else `retry-after` in whole seconds, else `retry_after` of the body.
    pub retry_after: Option<Nanos>,
    /// What the endpoint said, at most [`MESSAGE_CHARS`] characters on one line.
    pub message: String,
}

/// Characters of an endpoint's own words that are kept.
pub const MESSAGE_CHARS: usize = 300;

/// Classifies an answer whose status is not 2xx. `body` may be cut short.
#[must_use]
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
    let outcome = match status {
        300..=399 => Outcome::Redirect,
        401 | 403 => Outcome::Unauthorized,
        404 => Outcome::NotFound,
        429 => throttle(body),
        400..=499 => Outcome::BadRequest,
        500..=599 => Outcome::ServerError,
        _ => Outcome::Malformed,
    };
    Failure { outcome, retry_after: retry_after(headers, body), message: message(status, headers, body) }
}

/// What a limit of the workspace, the account or the user says (lower case); anything else is the endpoint's own capacity.
const LIMIT_WORDS: [&str; 6] = [
    "exceeded max number of parallel requests",
    "limit_type",
    "rate_limit_exceeded",
    "request_limit_exceeded",
    "rate limit reached",
    "insufficient_quota",
];

/// What the endpoint's own capacity says (lower case). It wins over the words of a limit: more chunks would help.
const CAPACITY_WORDS: [&str; 2] = ["too many concurrent requests", "provisioned concurrency"];

fn throttle(body: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&LIMIT_WORDS) && !says(&CAPACITY_WORDS) { Outcome::ThrottledLimit } else { Outcome::ThrottledCapacity }
}

fn retry_after(headers: &HeaderMap, body: &[u8]) -> Option<Nanos> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    // A date in `retry-after` is left alone: it needs the wall clocks of two machines to agree.
    number("retry-after-ms").map(Nanos::from_millis).or_else(|| number("retry-after").map(Nanos::from_secs)).or_else(|| retry_after_of_body(body))
}

fn retry_after_of_body(body: &[u8]) -> Option<Nanos> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let seconds = document.get("retry_after").or_else(|| document.get("error")?.get("retry_after"))?.as_f64()?;
    (seconds >= 0.0).then(|| Nanos::from_secs_f64(seconds))
}

fn message(status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    let said = one_line(body);
    match (said.is_empty(), headers.get(http::header::LOCATION)) {
        (_, Some(place)) if (300..=399).contains(&status) => {
            format!("redirect to {}, which is never followed", one_line(place.as_bytes()))
        }
        (true, _) => format!("status {status} with an empty body"),
        (false, _) => said,
    }
}

/// The beginning of `text` on one line: control characters become spaces, invalid UTF-8 is replaced.
#[must_use]
pub fn one_line(text: &[u8]) -> String {
    let head = &text[..text.len().min(MESSAGE_CHARS * 4)];
    let text = String::from_utf8_lossy(head);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn outcome(status: u16, body: &str) -> Outcome {
        classify(status, &HeaderMap::new(), body.as_bytes()).outcome
    }

    #[test]
    fn every_status_has_its_class() {
        for (status, class) in [
            (301, Outcome::Redirect),
            (307, Outcome::Redirect),
            (400, Outcome::BadRequest),
            (401, Outcome::Unauthorized),
            (403, Outcome::Unauthorized),
            (404, Outcome::NotFound),
            (408, Outcome::BadRequest),
            (422, Outcome::BadRequest),
            (429, Outcome::ThrottledCapacity),
            (500, Outcome::ServerError),
            (503, Outcome::ServerError),
            (504, Outcome::ServerError),
            (777, Outcome::Malformed),
        ] {
            assert_eq!(outcome(status, ""), class, "{status}");
        }
    }

    #[test]
    fn a_limit_of_the_workspace_is_not_the_capacity_of_the_endpoint() {
        for (body, class) in [
            ("Exceeded max number of parallel requests for this workspace", Outcome::ThrottledLimit),
            (r#"{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"slow down"}"#, Outcome::ThrottledLimit),
            (r#"{"error":{"type":"rate_limit_exceeded","limit_type":"input_tokens_per_minute","retry_after":15}}"#, Outcome::ThrottledLimit),
            ("Too many concurrent requests. Consider increasing the provisioned concurrency of the served entity.", Outcome::ThrottledCapacity),
            (r#"{"error_code":"RESOURCE_EXHAUSTED"}"#, Outcome::ThrottledCapacity),
            ("", Outcome::ThrottledCapacity),
        ] {
            assert_eq!(outcome(429, body), class, "{body}");
        }
    }

    #[test]
    fn retry_after_comes_from_header_or_body() {
        let asked = |name: &'static str, value: &'static str, body: &str| {
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))]);
            classify(429, &headers, body.as_bytes()).retry_after
        };
        assert_eq!(asked("retry-after", "3", ""), Some(Nanos::from_secs(3)));
        assert_eq!(asked("retry-after-ms", "250", ""), Some(Nanos::from_millis(250)));
        assert_eq!(asked("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", ""), None);
        assert_eq!(asked("x-other", "3", r#"{"error":{"retry_after":15}}"#), Some(Nanos::from_secs(15)));
        assert_eq!(asked("x-other", "3", r#"{"retry_after":0.5}"#), Some(Nanos::from_millis(500)));
        assert_eq!(asked("x-other", "3", r#"{"retry_after":-1}"#), None);
    }

    #[test]
    fn the_message_is_short_and_on_one_line() {
        let long = format!("a\nb\u{1b}[31m{}", "x".repeat(10_000));
        let failure = classify(500, &HeaderMap::new(), long.as_bytes());
        assert_eq!(failure.message.chars().count(), MESSAGE_CHARS);
        assert!(!failure.message.chars().any(char::is_control));
        assert_eq!(classify(502, &HeaderMap::new(), b"").message, "status 502 with an empty body");
        let headers = HeaderMap::from_iter([(http::header::LOCATION, HeaderValue::from_static("https://other/"))]);
        assert!(classify(302, &headers, b"<html>").message.contains("https://other/"));
    }
}
