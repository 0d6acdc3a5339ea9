//! From the runtime's words to [`End`]s and [`Item`]s, for both protocols.

use std::time::Duration;

use asya_envelope::{
    Headers, Raw, Route,
    envelope::{parse_headers, parse_route},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Code, End, Failure, Fault, Item,
    message::{ErrorBody, Mode, Part},
};

/// Members of a result's `meta`, of an envelope that a handler returned, and of an item of a one-shot answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Members<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    route: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

/// What a one-shot runtime says about an error.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Details {
    pub(crate) message: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) type_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traceback: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mro: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

/// Whose fault a code is when nobody says otherwise.
pub(crate) fn fault_of(code: Code) -> Fault {
    match code {
        Code::Processing | Code::Timeout | Code::WorkerDied | Code::InvalidResult => Fault::Handler,
        Code::Parsing | Code::ReplyTooLarge | Code::Validation | Code::Rejected => Fault::Final,
        Code::Connection => Fault::Infrastructure,
    }
}

/// The item that one section pair of a streaming answer describes.
///
/// # Errors
/// An [`Code::InvalidResult`] failure that names what is wrong.
pub fn item(mode: Mode, part: &Part) -> Result<Item, Failure> {
    let payload =
        Raw::parse(part.payload.clone()).map_err(|e| invalid(format!("the result is not JSON: {e}")))?;
    match mode {
        Mode::Payload if part.meta.is_empty() => Ok(Item::payload(payload)),
        Mode::Payload => {
            let meta: Members<'_> = serde_json::from_slice(&part.meta)
                .map_err(|e| invalid(format!("the metadata of the result cannot be read: {e}")))?;
            Ok(Item {
                payload,
                route: route(&part.meta, meta.route)?,
                headers: headers(&part.meta, meta.headers)?,
            })
        }
        Mode::Envelope => envelope_item(payload.as_bytes()),
    }
}

/// How a request ends that a worker answers with a RESULT.
pub fn result(mode: Mode, parts: &[Part]) -> End {
    match parts.iter().map(|part| item(mode, part)).collect() {
        Ok(items) => End::Done(items),
        Err(failure) => End::Failed(failure),
    }
}

/// How a request ends that a worker answers with an ERROR.
pub fn error(body: ErrorBody) -> End {
    let code = match body.action.as_str() {
        "retry" => {
            return End::Retry { after: body.delay_ms.map(Duration::from_millis), reason: body.message };
        }
        "drop" => return End::Drop { reason: body.message },
        "reject" => Code::Rejected,
        _ => Code::parse(&body.code),
    };
    End::Failed(Failure {
        code,
        fault: fault_of(code),
        message: body.message,
        type_name: body.type_name,
        mro: body.mro,
        traceback: body.traceback,
    })
}

/// How a request ends that a one-shot runtime answers with this body.
///
/// The contract says that the answer is an array. A bare object counts as an array of one and `null` as an empty one,
/// because documents of the protocol show them. `[{}]`, the answer of end actors, is one item with payload `null`. An
/// error anywhere in the array fails the whole answer: nothing of it is sent on.
pub fn one_shot(body: &Bytes) -> End {
    match one_shot_items(body) {
        Ok(items) => End::Done(items),
        Err(failure) => End::Failed(failure),
    }
}

fn one_shot_items(body: &Bytes) -> Result<Vec<Item>, Failure> {
    let unreadable = |e: serde_json::Error| invalid(format!("the runtime's answer cannot be read: {e}"));
    let values: Vec<&RawValue> = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => serde_json::from_slice(body).map_err(unreadable)?,
        _ => {
            let value: &RawValue = serde_json::from_slice(body).map_err(unreadable)?;
            if value.get() == "null" { Vec::new() } else { vec![value] }
        }
    };
    let mut items = Vec::with_capacity(values.len());
    for value in values {
        items.push(envelope_item(&body.slice_ref(value.get().as_bytes()))?);
    }
    Ok(items)
}

/// The item in an envelope that a handler or a one-shot runtime returned: `payload`, `route` and `headers` of it.
fn envelope_item(whole: &Bytes) -> Result<Item, Failure> {
    if whole.first() != Some(&b'{') {
        return Err(invalid("an item of the result is not a JSON object".to_owned()));
    }
    let members: Members<'_> = serde_json::from_slice(whole)
        .map_err(|e| invalid(format!("an item of the result cannot be read: {e}")))?;
    if let Some(error) = members.error {
        return Err(reported(error, members.details));
    }
    Ok(Item {
        payload: members.payload.map_or_else(Raw::null, |value| raw(whole, value)),
        route: route(whole, members.route)?,
        headers: headers(whole, members.headers)?,
    })
}

fn reported(error: &RawValue, details: Option<&RawValue>) -> Failure {
    let text = serde_json::from_str::<String>(error.get()).unwrap_or_else(|_| error.get().to_owned());
    let details: Details =
        details.and_then(|details| serde_json::from_str(details.get()).ok()).unwrap_or_default();
    let code = Code::parse(details.code.as_deref().unwrap_or(&text));
    Failure {
        code,
        fault: fault_of(code),
        message: if details.message.is_empty() { text } else { details.message },
        type_name: details.type_name,
        mro: details.mro,
        traceback: details.traceback,
    }
}

fn raw(whole: &Bytes, value: &RawValue) -> Raw {
    Raw::parse(whole.slice_ref(value.get().as_bytes())).expect("a RawValue is valid JSON")
}

fn route(whole: &Bytes, value: Option<&RawValue>) -> Result<Option<Route>, Failure> {
    value.map(|value| parse_route(&raw(whole, value)).map_err(|e| invalid(e.to_string()))).transpose()
}

fn headers(whole: &Bytes, value: Option<&RawValue>) -> Result<Option<Headers>, Failure> {
    value.map(|value| parse_headers(&raw(whole, value)).map_err(|e| invalid(e.to_string()))).transpose()
}

fn invalid(message: String) -> Failure {
    Failure::new(Code::InvalidResult, Fault::Handler, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(body: &'static str) -> Vec<Item> {
        match one_shot(&Bytes::from_static(body.as_bytes())) {
            End::Done(items) => items,
            other => panic!("{other:?}"),
        }
    }

    fn failed(body: &'static str) -> Failure {
        match one_shot(&Bytes::from_static(body.as_bytes())) {
            End::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_shot_items_keep_their_bytes() {
        let items =
            done(r#"[{"payload":{"n":1e400},"route":{"actors":["a","b"],"current":1},"headers":{"t":1}}]"#);
        assert_eq!(items[0].payload.as_str(), r#"{"n":1e400}"#);
        assert_eq!(items[0].route.as_ref().unwrap().current, 1);
        assert_eq!(items[0].headers.as_ref().unwrap().get("t").unwrap().as_str(), "1");
    }

    #[test]
    fn empty_answers_and_bare_values_are_understood() {
        assert!(done("[]").is_empty());
        assert!(done(" null ").is_empty());
        assert_eq!(done(r#"{"payload":1}"#).len(), 1);
        assert_eq!(done("[{}]"), [Item::payload(Raw::null())]);
    }

    #[test]
    fn an_error_anywhere_fails_the_whole_answer() {
        let failure = failed(
            r#"[{"payload":1},{"error":"processing_error","details":{"message":"x","type":"ValueError","traceback":"tb"}}]"#,
        );
        assert_eq!((failure.code, failure.fault), (Code::Processing, Fault::Handler));
        assert_eq!((failure.message.as_str(), failure.type_name.as_deref()), ("x", Some("ValueError")));
    }

    #[test]
    fn the_finer_code_in_the_details_counts() {
        let failure =
            failed(r#"[{"error":"processing_error","details":{"message":"x","code":"validation_error"}}]"#);
        assert_eq!((failure.code, failure.fault), (Code::Validation, Fault::Final));
    }

    #[test]
    fn garbage_and_wrong_types_are_invalid_results() {
        for body in [
            "",
            "[1]",
            "[{\"payload\":NaN}]",
            "[[]]",
            r#"[{"payload":1,"route":{"actors":[]}}]"#,
            r#"[{"headers":[]}]"#,
        ] {
            assert_eq!(failed(body).code, Code::InvalidResult, "{body}");
        }
    }
}
