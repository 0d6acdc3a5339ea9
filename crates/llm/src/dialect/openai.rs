//! Chat completions: OpenAI, Azure OpenAI, and the many that are compatible (LocalAI, Ollama, vLLM, Groq, LiteLLM, …).
//! Read leniently: fields that one of them leaves out or adds are no error.

use serde_json::{Value, json};

use super::{Defaults, KeyHeader, count, joined, refused, set, text};
use crate::{
    error::Error,
    message::{Choice, Message, ToolCall},
    request::Request,
    response::{Event, Finish, Response, Usage},
};

/// The last event of a stream.
pub(crate) const DONE: &str = "[DONE]";

/// A variety of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenAi {
    /// Azure's addresses and header.
    pub(crate) azure: Option<Azure>,
    /// `max_completion_tokens`, which OpenAI's newer models insist on, instead of `max_tokens`, which others know.
    pub(crate) completion_tokens: bool,
    /// `stream_options` is not understood: no usage is reported for streams.
    pub(crate) no_stream_options: bool,
}

/// What is different at Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Azure {
    /// `api-version`.
    pub(crate) version: String,
    /// The deployment; `None`: the base URL already ends in it (Cloudflare's gateway).
    pub(crate) deployment: Option<String>,
    /// The key is a token of Entra ID.
    pub(crate) token: bool,
}

impl OpenAi {
    pub(crate) fn address(&self, base: &str) -> String {
        let Some(Azure { version, deployment, .. }) = &self.azure else {
            return joined(base, "/v1", "/chat/completions");
        };
        let base = base.trim_end_matches('/');
        let path = match deployment {
            Some(name) => {
                format!("/openai/deployments/{}", asya_settings::secret::percent_encoded(name))
            }
            None => String::new(),
        };
        format!("{base}{path}/chat/completions?api-version={version}")
    }

    pub(crate) fn key_header(&self) -> KeyHeader {
        match &self.azure {
            Some(azure) if !azure.token => KeyHeader::Named("api-key"),
            _ => KeyHeader::Bearer,
        }
    }

    pub(crate) fn body(&self, request: &Request, defaults: &Defaults, stream: bool) -> Value {
        let mut messages = Vec::new();
        if !request.system.is_empty() {
            messages.push(json!({"role": "system", "content": request.system}));
        }
        messages.extend(request.messages.iter().map(message));
        let mut body = json!({"model": defaults.model(request), "messages": messages});
        let most = request.max_tokens.unwrap_or(defaults.max_tokens);
        body[if self.completion_tokens { "max_completion_tokens" } else { "max_tokens" }] = most.into();
        set(&mut body, "temperature", request.temperature.or(defaults.temperature));
        set(&mut body, "top_p", request.top_p.or(defaults.top_p));
        if !request.stop.is_empty() {
            body["stop"] = json!(request.stop);
        }
        if !request.tools.is_empty() {
            let tool = |tool: &crate::Tool| json!({"type": "function", "function": tool});
            body["tools"] = request.tools.iter().map(tool).collect();
            body["tool_choice"] = match &request.choice {
                Choice::Auto => json!("auto"),
                Choice::Required => json!("required"),
                Choice::None => json!("none"),
                Choice::Named(name) => json!({"type": "function", "function": {"name": name}}),
            };
        }
        if stream {
            body["stream"] = true.into();
            if !self.no_stream_options {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        body
    }
}

fn message(message: &Message) -> Value {
    match message {
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Assistant { text, calls } if calls.is_empty() => {
            json!({"role": "assistant", "content": text})
        }
        Message::Assistant { text, calls } => {
            let calls: Vec<_> = calls
                .iter()
                .map(|call| {
                    let arguments = match &call.arguments {
                        Value::String(invalid) => invalid.clone(),
                        arguments => arguments.to_string(),
                    };
                    json!({"id": call.id, "type": "function",
                        "function": {"name": call.name, "arguments": arguments}})
                })
                .collect();
            let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
        Message::Tool { call, text, .. } => json!({"role": "tool", "tool_call_id": call, "content": text}),
    }
}

/// Reads a whole answer.
pub(crate) fn response(value: &Value) -> Result<Response, Error> {
    let choice = value.pointer("/choices/0").ok_or_else(|| missing("choices", value))?;
    let said = choice.get("message").ok_or_else(|| missing("message", value))?;
    let refusal = text(said, "/refusal");
    if !refusal.is_empty() {
        return Err(refused(refusal));
    }
    let words = content(said.get("content"));
    let mut calls: Vec<ToolCall> = said
        .get("tool_calls")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|call| {
            let arguments = match call.pointer("/function/arguments") {
                Some(Value::String(text)) => text.clone(),
                Some(object) => object.to_string(),
                None => String::new(),
            };
            ToolCall::parse(text(call, "/id").to_owned(), text(call, "/function/name").to_owned(), &arguments)
        })
        .collect();
    named(&mut calls);
    let finish = finish(text(choice, "/finish_reason"), !calls.is_empty())?;
    Ok(Response { text: words, calls, finish, usage: usage(value) })
}

/// Calls that a server gave no id get one: their answers are matched by it.
fn named(calls: &mut [ToolCall]) {
    for (index, call) in calls.iter_mut().enumerate() {
        if call.id.is_empty() {
            call.id = format!("call_{index}");
        }
    }
}

fn missing(what: &str, value: &Value) -> Error {
    Error::malformed(format!("it has no {what}: {value}"))
}

/// Plain, or in parts.
fn content(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| text(part, "/text")).collect(),
        _ => String::new(),
    }
}

fn finish(reason: &str, calls: bool) -> Result<Finish, Error> {
    match reason {
        "content_filter" => Err(refused("the content filter stopped it")),
        "length" | "max_tokens" => Ok(Finish::Length),
        _ if calls => Ok(Finish::Calls),
        _ => Ok(Finish::Stop),
    }
}

fn usage(value: &Value) -> Option<Usage> {
    let usage = value.get("usage").filter(|usage| usage.is_object())?;
    Some(Usage {
        input: count(usage, "/prompt_tokens"),
        output: count(usage, "/completion_tokens"),
        cached: count(usage, "/prompt_tokens_details/cached_tokens"),
    })
}

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    calls: Vec<Call>,
    refusal: String,
    reason: Option<String>,
    usage: Option<Usage>,
    ended: bool,
}

#[derive(Debug)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Decoder {
    pub(crate) fn push(&mut self, value: &Value) -> Result<Vec<Event>, Error> {
        if let Some(usage) = usage(value) {
            self.usage = Some(usage);
        }
        let mut events = Vec::new();
        let Some(choice) = value.pointer("/choices/0") else { return Ok(events) };
        let words = content(choice.pointer("/delta/content"));
        if !words.is_empty() {
            events.push(Event::Text(words));
        }
        self.refusal.push_str(text(choice, "/delta/refusal"));
        for piece in choice.pointer("/delta/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.piece(piece);
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.reason = Some(reason.to_owned());
        }
        Ok(events)
    }

    /// A piece of a call: by its index; where a server gives none, a new id begins a new call.
    fn piece(&mut self, piece: &Value) {
        let index = piece.get("index").and_then(Value::as_u64);
        let id = text(piece, "/id");
        let known = match index {
            Some(_) => self.calls.iter().position(|call| call.index == index),
            None => {
                self.calls.len().checked_sub(1).filter(|last| id.is_empty() || self.calls[*last].id == id)
            }
        };
        let at = known.unwrap_or_else(|| {
            self.calls.push(Call { index, id: id.to_owned(), name: String::new(), arguments: String::new() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at];
        call.name.push_str(text(piece, "/function/name"));
        match piece.pointer("/function/arguments") {
            Some(Value::String(text)) => call.arguments.push_str(text),
            Some(Value::Null) | None => {}
            Some(object) => call.arguments = object.to_string(),
        }
    }

    /// The end: `[DONE]`, or that of the body.
    pub(crate) fn finish(&mut self) -> Result<Vec<Event>, Error> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(Vec::new());
        }
        let reason = self.reason.take().ok_or_else(Error::cut)?;
        if !self.refusal.is_empty() {
            return Err(refused(&self.refusal));
        }
        let mut calls: Vec<_> = std::mem::take(&mut self.calls)
            .into_iter()
            .map(|call| ToolCall::parse(call.id, call.name, &call.arguments))
            .collect();
        named(&mut calls);
        let finish = finish(&reason, !calls.is_empty())?;
        let mut events: Vec<_> = calls.into_iter().map(Event::Call).collect();
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::End(finish));
        Ok(events)
    }
}
