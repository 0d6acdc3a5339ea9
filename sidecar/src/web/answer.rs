//! From an HTTP answer to the end of a run.

use std::time::{Duration, SystemTime};

use asya_envelope::Raw;
use asya_handler::{
    Code, End, Failure, Fault, Item, answer,
    message::{Mode, Part},
};
use asya_transport::MAX_DELAY;
use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header};

/// The type of a stream of results: one JSON value per line.
const STREAM: &str = "application/x-ndjson";
/// Bytes of an error's body that are kept: what a person reads of it.
pub(super) const EXCERPT: usize = 2048;

/// What an answer's head says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One result.
    One,
    /// One result per line.
    Stream,
    /// No result.
    Nothing,
    /// Not a result.
    Error,
}

/// Reads status and content type.
pub(super) fn shape(status: StatusCode, headers: &HeaderMap) -> Shape {
    match status {
        StatusCode::OK | StatusCode::CREATED if is_stream(headers) => Shape::Stream,
        StatusCode::OK | StatusCode::CREATED => Shape::One,
        StatusCode::NO_CONTENT => Shape::Nothing,
        _ => Shape::Error,
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

fn is_stream(headers: &HeaderMap) -> bool {
    let essence = content_type(headers).and_then(|text| text.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(STREAM)
}

/// The end of a run with one whole body. Nothing, or `null`, is no result.
pub(super) fn one(mode: Mode, headers: &HeaderMap, body: Bytes) -> End {
    match body.trim_ascii() {
        b"" | b"null" => return End::Done(Vec::new()),
        _ => {}
    }
    if let Err(error) = Raw::parse(body.clone()) {
        let named = content_type(headers).unwrap_or("no content type");
        return End::Failed(invalid(format!("the server's answer ({named}) is not JSON: {error}")));
    }
    match item(mode, body) {
        Ok(item) => End::Done(vec![item]),
        Err(failure) => End::Failed(failure),
    }
}

/// The item in one body or line.
///
/// # Errors
/// A [`Code::InvalidResult`] failure that names what is wrong.
pub(super) fn item(mode: Mode, payload: Bytes) -> Result<Item, Failure> {
    answer::item(mode, &Part { meta: Bytes::new(), payload })
}

/// The end of a run whose answer is not a result. `excerpt` is the beginning of its body.
pub(super) fn error(status: StatusCode, headers: &HeaderMap, excerpt: &[u8]) -> End {
    let later = retry_after(headers, SystemTime::now());
    let reason = sentence(status, headers, excerpt);
    let fault = match status {
        // The server asks for it: not a fault of this payload.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            return End::Retry { after: later, reason };
        }
        StatusCode::SERVICE_UNAVAILABLE if later.is_some() => return End::Retry { after: later, reason },
        status if status.is_server_error() => Fault::Handler,
        _ => Fault::Final,
    };
    let mut failure = Failure::new(Code::Processing, fault, reason);
    // What ASYA_RETRY_NON_RETRYABLE can name.
    failure.type_name = Some(format!("HTTP{}", status.as_u16()));
    End::Failed(failure)
}

fn sentence(status: StatusCode, headers: &HeaderMap, excerpt: &[u8]) -> String {
    let mut text = format!("the server answers {status}");
    if status.is_redirection() {
        let target = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        text =
            format!("{text} to {target}, and redirections are not followed: set the path to what it names");
    } else if status.is_success() {
        text.push_str(", which is no result: 200 or 201 with one, or 204 without, was expected");
    }
    let excerpt = String::from_utf8_lossy(&excerpt[..excerpt.len().min(EXCERPT)]);
    match excerpt.trim() {
        "" => text,
        body => format!("{text}: {body}"),
    }
}

/// What `Retry-After` asks for, in either of its forms, bounded by what queues can delay.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            SystemTime::from(at).duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_DELAY))
}

pub(super) fn invalid(message: String) -> Failure {
    Failure::new(Code::InvalidResult, Fault::Handler, message)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    fn failed(end: End) -> Failure {
        match end {
            End::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_a_date_and_is_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (text, seconds) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999", Some(MAX_DELAY.as_secs())),
            ("soon", None),
        ] {
            let found = retry_after(&with(header::RETRY_AFTER, text), now);
            assert_eq!(found.map(|wait| wait.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn statuses_decide_whose_fault_it_is() {
        let none = HeaderMap::new();
        for (status, fault) in [
            (400, Fault::Final),
            (404, Fault::Final),
            (422, Fault::Final),
            (500, Fault::Handler),
            (503, Fault::Handler),
            (307, Fault::Final),
            (202, Fault::Final),
        ] {
            let failure = failed(error(StatusCode::from_u16(status).unwrap(), &none, b"why"));
            assert_eq!(failure.fault, fault, "{status}");
            assert!(failure.message.contains(&status.to_string()) && failure.message.ends_with(": why"));
        }
        for status in [408, 425, 429] {
            let end = error(StatusCode::from_u16(status).unwrap(), &none, b"");
            assert!(matches!(end, End::Retry { after: None, .. }), "{end:?}");
        }
        let end = error(StatusCode::SERVICE_UNAVAILABLE, &with(header::RETRY_AFTER, "7"), b"");
        assert!(matches!(end, End::Retry { after: Some(wait), .. } if wait.as_secs() == 7), "{end:?}");
    }

    #[test]
    fn only_the_beginning_of_an_errors_body_is_kept() {
        let failure = failed(error(StatusCode::BAD_REQUEST, &HeaderMap::new(), &[b'x'; 10_000]));
        assert_eq!(failure.message.matches('x').count(), EXCERPT);
    }

    #[test]
    fn a_page_is_not_a_result() {
        let html = with(header::CONTENT_TYPE, "text/html");
        let failure = failed(one(Mode::Payload, &html, Bytes::from_static(b"<html>")));
        assert_eq!(failure.code, Code::InvalidResult);
        assert!(failure.message.contains("text/html") && failure.message.contains("not JSON"));
    }
}
