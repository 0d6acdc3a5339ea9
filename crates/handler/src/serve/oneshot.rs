//! The server of the one-shot protocol: one message per connection.

use std::sync::{Arc, Mutex};

use asya_envelope::{Envelope, ParseError, Raw};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::{
    Error, Output,
    call::{Call, headers_raw, part_of, put_object},
    connection::{Function, run},
    outlet::Outlet,
};
use crate::{Code, Item, answer::Details, message::Part};

/// Runs the handler on one message and returns the body of the answer.
pub(super) async fn reply(function: &Function, body: Bytes) -> Bytes {
    let envelope = match Envelope::parse(body) {
        Ok(envelope) => envelope,
        Err(error) => return parse_error(&error),
    };
    let yielded = Arc::new(Mutex::new(Vec::new()));
    let call = Call {
        payload: envelope.payload.clone(),
        meta: meta(&envelope),
        outlet: Outlet::List(Arc::clone(&yielded)),
    };
    match run(function, call).await {
        Ok(Output(items)) => {
            let mut parts =
                std::mem::take(&mut *yielded.lock().expect("nothing panics while it holds the list"));
            parts.extend(items.iter().map(part_of));
            array(&envelope, &parts)
        }
        Err(error) => failure(error),
    }
}

/// What a streaming sidecar would have said about the envelope.
fn meta(envelope: &Envelope) -> Bytes {
    let mut members = vec![("id", Raw::of(&envelope.id)), ("route", envelope.route.to_raw())];
    if let Some(parent) = &envelope.parent_id {
        members.push(("parent_id", Raw::of(parent)));
    }
    if !envelope.headers.is_empty() {
        members.push(("headers", headers_raw(&envelope.headers)));
    }
    if let Some(deadline) = &envelope.deadline {
        members.push(("deadline", deadline.as_raw().clone()));
    }
    members.push(("actor", Raw::of(&envelope.route.current_actor().unwrap_or_default())));
    let mut out = BytesMut::new();
    put_object(&mut out, members.iter().map(|(name, value)| (*name, value)));
    out.freeze()
}

fn array(input: &Envelope, parts: &[Part]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'[');
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        let item = crate::answer::item(crate::message::Mode::Payload, part)
            .expect("an item of our own handler is one that can be read");
        let Item { payload, route, headers } = item;
        let route = route.unwrap_or_else(|| input.route.advanced()).to_raw();
        let headers = headers.as_ref().unwrap_or(&input.headers);
        let mut members = vec![("payload", payload), ("route", route)];
        if !headers.is_empty() {
            members.push(("headers", headers_raw(headers)));
        }
        put_object(&mut out, members.iter().map(|(name, value)| (*name, value)));
    }
    out.put_u8(b']');
    out.freeze()
}

fn parse_error(error: &ParseError) -> Bytes {
    let details = Details {
        message: error.to_string(),
        type_name: Some("ValueError".to_owned()),
        ..Details::default()
    };
    error_array(ParseError::CODE, &details)
}

fn failure(error: Error) -> Bytes {
    let body = error.into_body();
    // The one-shot protocol knows three codes and no actions: the finer words are in the details.
    let code = if body.action == "reject" { Code::Rejected.as_str().to_owned() } else { body.code };
    let details = Details {
        message: body.message,
        type_name: body.type_name,
        traceback: body.traceback,
        mro: body.mro,
        code: Some(code),
    };
    error_array(Code::Processing.as_str(), &details)
}

fn error_array(error: &str, details: &Details) -> Bytes {
    #[derive(Serialize)]
    struct Reported<'a> {
        error: &'a str,
        details: &'a Details,
    }
    serde_json::to_vec(&[Reported { error, details }]).expect("strings encode as JSON").into()
}
