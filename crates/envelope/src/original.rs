//! What failed, back from the envelope that `error-end` received.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{Envelope, Raw};

/// Why an error envelope does not hold what failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOriginal {
    /// It was too large to be wrapped.
    #[error(
        "the error envelope holds only the beginning of what failed; the whole is on the actor's dead-letter queue"
    )]
    Excerpt,
    /// It was not an envelope, so there is no route to send it along again.
    #[error("what failed was not an envelope: there is no route to send it along")]
    Unparsed,
}

/// The envelope as it was before it failed: same id, route and headers, with the payload it had. An envelope that does
/// not wrap one (error reports of the Go system for some failures do not) comes back as it is.
///
/// # Errors
/// [`NoOriginal`] when the error envelope does not hold it.
pub fn original(mut failed: Envelope) -> Result<Envelope, NoOriginal> {
    #[derive(Deserialize)]
    struct Wrapper<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        details: Option<Details>,
        #[serde(borrow, default, deserialize_with = "there")]
        original_payload: Option<&'a RawValue>,
    }
    /// A member that is null is there all the same.
    fn there<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
        <&RawValue>::deserialize(value).map(Some)
    }
    #[derive(Deserialize)]
    struct Details {
        original_encoding: Option<String>,
    }
    let bytes = failed.payload.as_bytes().clone();
    let Ok(Wrapper { error: Some(_), details, original_payload: Some(payload) }) =
        serde_json::from_slice::<Wrapper<'_>>(&bytes)
    else {
        return Ok(failed);
    };
    match details.and_then(|details| details.original_encoding).as_deref() {
        None => {}
        Some("excerpt") => return Err(NoOriginal::Excerpt),
        Some(_) => return Err(NoOriginal::Unparsed),
    }
    failed.payload =
        Raw::parse(bytes.slice_ref(payload.get().as_bytes())).expect("part of a JSON value that was parsed");
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::{ErrorReport, Limits, Route, Wrapped};

    fn wrapped(payload: &str, limits: &Limits) -> Envelope {
        let payload = Raw::parse(Bytes::copy_from_slice(payload.as_bytes())).unwrap();
        let before = Envelope::new("1", Route::new(["a", "b"]), payload);
        let report = ErrorReport::new("processing_error", "no", "a", 1, Timestamp::UNIX_EPOCH);
        let (Wrapped::Whole(body) | Wrapped::Excerpt(body)) = report.wrap(&before, limits);
        Envelope::parse(body).unwrap()
    }

    #[test]
    fn the_original_comes_back_byte_by_byte() {
        let back = original(wrapped(r#"{"n": 1.0, "big":1e400}"#, &Limits::default())).unwrap();
        assert_eq!(back.payload.as_str(), r#"{"n": 1.0, "big":1e400}"#);
        assert_eq!(back.route, Route::new(["a", "b"]));
        assert_eq!(original(wrapped("null", &Limits::default())).unwrap().payload, Raw::null());
    }

    #[test]
    fn what_was_too_large_or_no_envelope_is_not_made_up() {
        let limits = Limits { max_envelope: 20_000, ..Limits::default() };
        let large = format!("\"{}\"", "x".repeat(20_000));
        assert_eq!(original(wrapped(&large, &limits)), Err(NoOriginal::Excerpt));
        let report = ErrorReport::new("msg_parsing_error", "no", "a", 1, Timestamp::UNIX_EPOCH);
        let Wrapped::Whole(body) = report.wrap_unparsed(&Bytes::from_static(b"no json"), &Limits::default())
        else {
            panic!("it is small");
        };
        assert_eq!(original(Envelope::parse(body).unwrap()), Err(NoOriginal::Unparsed));
    }

    #[test]
    fn an_envelope_that_wraps_nothing_is_its_own_original() {
        let plain = Envelope::new("1", Route::new(["a"]), Raw::of(&"text"));
        assert_eq!(original(plain.clone()), Ok(plain));
    }
}
