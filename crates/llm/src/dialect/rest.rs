//! The plain JSON of K8sGPT's backend `customrest`: one question, one answer, no conversation, no tools.

use serde_json::{Value, json};

use super::{Defaults, text};
use crate::{
    error::Error,
    message::Message,
    request::Request,
    response::{Finish, Response},
};

pub(crate) fn body(request: &Request, defaults: &Defaults) -> Value {
    let mut prompt = vec![request.system.as_str()];
    prompt.extend(request.messages.iter().map(|message| match message {
        Message::User { text } | Message::Assistant { text, .. } | Message::Tool { text, .. } => {
            text.as_str()
        }
    }));
    prompt.retain(|text| !text.is_empty());
    let mut options = json!({"message": prompt.last()});
    super::set(&mut options, "temperature", request.temperature.or(defaults.temperature));
    super::set(&mut options, "top_p", request.top_p.or(defaults.top_p));
    super::set(&mut options, "top_k", defaults.top_k);
    json!({"model": defaults.model(request), "prompt": prompt.join("\n\n"), "options": options})
}

pub(crate) fn response(value: &Value) -> Result<Response, Error> {
    if !value.get("response").is_some_and(Value::is_string) {
        return Err(Error::malformed(format!("it has no response: {value}")));
    }
    let words = text(value, "/response").to_owned();
    Ok(Response { text: words, calls: Vec::new(), finish: Finish::Stop, usage: None })
}
