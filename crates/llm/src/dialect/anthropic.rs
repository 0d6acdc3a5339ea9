//! Anthropic's messages (`/v1/messages`).

use serde_json::{Value, json};

use super::{Defaults, count, joined, refused, set, text};
use crate::{
    error::Error,
    message::{Choice, Message, ToolCall},
    request::Request,
    response::{Event, Finish, Response, Usage},
};

/// The version of the format, as Anthropic asks for it in a header.
pub(crate) const VERSION: &str = "2023-06-01";

pub(crate) fn address(base: &str) -> String {
    joined(base, "/v1", "/messages")
}

pub(crate) fn body(request: &Request, defaults: &Defaults, stream: bool) -> Value {
    let mut body = json!({
        "model": defaults.model(request),
        "max_tokens": request.max_tokens.unwrap_or(defaults.max_tokens),
        "messages": messages(&request.messages),
    });
    set(&mut body, "system", Some(request.system.as_str()).filter(|system| !system.is_empty()));
    // The newer models refuse both at once; temperature is what people set on purpose.
    let temperature = request.temperature.or(defaults.temperature);
    set(&mut body, "temperature", temperature.map(|value| value.min(1.0)));
    if temperature.is_none() {
        set(&mut body, "top_p", request.top_p.or(defaults.top_p));
    }
    set(&mut body, "top_k", defaults.top_k);
    if !request.stop.is_empty() {
        body["stop_sequences"] = json!(request.stop);
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::Tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters});
        body["tools"] = request.tools.iter().map(tool).collect();
        body["tool_choice"] = match &request.choice {
            Choice::Auto => json!({"type": "auto"}),
            Choice::Required => json!({"type": "any"}),
            Choice::None => json!({"type": "none"}),
            Choice::Named(name) => json!({"type": "tool", "name": name}),
        };
    }
    if stream {
        body["stream"] = true.into();
    }
    body
}

/// Roles must take turns, so that answers of tools that follow each other are one message.
fn messages(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::User { text } => ("user", vec![json!({"type": "text", "text": text})]),
            Message::Assistant { text, calls } => {
                let mut blocks = Vec::new();
                if !text.is_empty() {
                    blocks.push(json!({"type": "text", "text": text}));
                }
                blocks.extend(calls.iter().map(|call| {
                    let input = if call.arguments.is_object() { call.arguments.clone() } else { json!({}) };
                    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
                }));
                ("assistant", blocks)
            }
            Message::Tool { call, text, failed, .. } => (
                "user",
                vec![
                    json!({"type": "tool_result", "tool_use_id": call, "content": text, "is_error": failed}),
                ],
            ),
        };
        match turns.last_mut() {
            Some((last, before)) if *last == role => before.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    let turns = turns.into_iter().filter(|(_, blocks)| !blocks.is_empty());
    turns.map(|(role, blocks)| json!({"role": role, "content": blocks})).collect()
}

/// Reads a whole answer.
pub(crate) fn response(value: &Value) -> Result<Response, Error> {
    let blocks = value
        .get("content")
        .and_then(Value::as_array)
        .ok_or_else(|| Error::malformed(format!("it has no content: {value}")))?;
    let (mut words, mut calls) = (String::new(), Vec::new());
    for block in blocks {
        match text(block, "/type") {
            "text" => words.push_str(text(block, "/text")),
            "tool_use" => calls.push(ToolCall {
                id: text(block, "/id").to_owned(),
                name: text(block, "/name").to_owned(),
                arguments: block.get("input").cloned().unwrap_or_else(|| json!({})),
                signature: None,
            }),
            _ => {}
        }
    }
    let finish = finish(text(value, "/stop_reason"))?;
    Ok(Response { text: words, calls, finish, usage: value.get("usage").map(usage) })
}

fn finish(reason: &str) -> Result<Finish, Error> {
    match reason {
        "refusal" => Err(refused("the model refused")),
        "max_tokens" | "model_context_window_exceeded" => Ok(Finish::Length),
        "tool_use" => Ok(Finish::Calls),
        _ => Ok(Finish::Stop),
    }
}

/// `input_tokens` leaves out what came from the cache or went into it.
fn usage(usage: &Value) -> Usage {
    let cached = count(usage, "/cache_read_input_tokens");
    Usage {
        input: count(usage, "/input_tokens") + cached + count(usage, "/cache_creation_input_tokens"),
        output: count(usage, "/output_tokens"),
        cached,
    }
}

/// Reads a stream: `message_start`, blocks by index, `message_delta`, `message_stop`.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    usage: Option<Usage>,
    reason: String,
    /// The call that is being written: id, name, JSON so far.
    call: Option<(String, String, String)>,
}

impl Decoder {
    pub(crate) fn push(&mut self, value: &Value) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        match text(value, "/type") {
            "message_start" => self.usage = value.pointer("/message/usage").map(usage),
            "content_block_start" => {
                let block = &value["content_block"];
                match text(block, "/type") {
                    "tool_use" => {
                        self.call = Some((
                            text(block, "/id").to_owned(),
                            text(block, "/name").to_owned(),
                            String::new(),
                        ));
                    }
                    "text" if !text(block, "/text").is_empty() => {
                        events.push(Event::Text(text(block, "/text").to_owned()));
                    }
                    _ => {}
                }
            }
            "content_block_delta" => match (text(value, "/delta/type"), &mut self.call) {
                ("text_delta", _) => events.push(Event::Text(text(value, "/delta/text").to_owned())),
                ("input_json_delta", Some((.., json))) => json.push_str(text(value, "/delta/partial_json")),
                _ => {}
            },
            "content_block_stop" => {
                if let Some((id, name, json)) = self.call.take() {
                    events.push(Event::Call(ToolCall::parse(id, name, &json)));
                }
            }
            "message_delta" => {
                text(value, "/delta/stop_reason").clone_into(&mut self.reason);
                if let Some(usage) = &mut self.usage {
                    usage.output = count(value, "/usage/output_tokens").max(usage.output);
                }
            }
            "message_stop" => {
                let finish = finish(&self.reason)?;
                events.extend(self.usage.take().map(Event::Usage));
                events.push(Event::End(finish));
            }
            // ping, and whatever comes later: "new event types may be added, handle unknown ones gracefully".
            _ => {}
        }
        Ok(events)
    }
}
