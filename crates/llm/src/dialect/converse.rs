//! Amazon Bedrock's Converse: one format for all of its models. Its streams have AWS's binary framing, which the feature
//! `bedrock` reads; without it a stream of this provider is its whole answer.

use serde_json::{Value, json};

use super::{Defaults, count, refused, set, text};
use crate::{
    error::Error,
    message::{Choice, Message, ToolCall},
    request::Request,
    response::{Event, Finish, Response, Usage},
};

pub(crate) fn address(base: &str, model: &str, stream: bool) -> String {
    let model = asya_settings::secret::percent_encoded(model);
    let what = if stream { "converse-stream" } else { "converse" };
    format!("{}/model/{model}/{what}", base.trim_end_matches('/'))
}

pub(crate) fn body(request: &Request, defaults: &Defaults) -> Value {
    let mut settings = json!({"maxTokens": request.max_tokens.unwrap_or(defaults.max_tokens)});
    // As at Anthropic, whose newer models refuse both.
    let temperature = request.temperature.or(defaults.temperature);
    set(&mut settings, "temperature", temperature.map(|value| value.min(1.0)));
    if temperature.is_none() {
        set(&mut settings, "topP", request.top_p.or(defaults.top_p));
    }
    if !request.stop.is_empty() {
        settings["stopSequences"] = json!(request.stop);
    }
    let mut body = json!({"messages": messages(&request.messages), "inferenceConfig": settings});
    if !request.system.is_empty() {
        body["system"] = json!([{"text": request.system}]);
    }
    // There is no choice "none": without tools none can be called.
    if !request.tools.is_empty() && request.choice != Choice::None {
        let tool = |tool: &crate::Tool| {
            json!({"toolSpec": {"name": tool.name, "description": tool.description,
                "inputSchema": {"json": tool.parameters}}})
        };
        let tools: Vec<_> = request.tools.iter().map(tool).collect();
        let choice = match &request.choice {
            Choice::Auto | Choice::None => json!({"auto": {}}),
            Choice::Required => json!({"any": {}}),
            Choice::Named(name) => json!({"tool": {"name": name}}),
        };
        body["toolConfig"] = json!({"tools": tools, "toolChoice": choice});
    }
    body
}

fn messages(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::User { text } => ("user", vec![json!({"text": text})]),
            Message::Assistant { text, calls } => {
                let mut blocks = Vec::new();
                if !text.is_empty() {
                    blocks.push(json!({"text": text}));
                }
                blocks.extend(calls.iter().map(|call| {
                    let input = if call.arguments.is_object() { call.arguments.clone() } else { json!({}) };
                    json!({"toolUse": {"toolUseId": call.id, "name": call.name, "input": input}})
                }));
                ("assistant", blocks)
            }
            Message::Tool { call, text, failed, .. } => {
                let status = if *failed { "error" } else { "success" };
                let result = json!({"toolUseId": call, "content": [{"text": text}], "status": status});
                ("user", vec![json!({"toolResult": result})])
            }
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
        .pointer("/output/message/content")
        .and_then(Value::as_array)
        .ok_or_else(|| Error::malformed(format!("it has no output: {value}")))?;
    let (mut words, mut calls) = (String::new(), Vec::new());
    for block in blocks {
        words.push_str(text(block, "/text"));
        if let Some(call) = block.get("toolUse") {
            calls.push(ToolCall {
                id: text(call, "/toolUseId").to_owned(),
                name: text(call, "/name").to_owned(),
                arguments: call.get("input").cloned().unwrap_or_else(|| json!({})),
                signature: None,
            });
        }
    }
    let finish = finish(text(value, "/stopReason"))?;
    Ok(Response { text: words, calls, finish, usage: value.get("usage").map(usage) })
}

fn finish(reason: &str) -> Result<Finish, Error> {
    match reason {
        "guardrail_intervened" | "content_filtered" => Err(refused(reason)),
        "max_tokens" | "model_context_window_exceeded" => Ok(Finish::Length),
        "tool_use" => Ok(Finish::Calls),
        _ => Ok(Finish::Stop),
    }
}

fn usage(usage: &Value) -> Usage {
    let cached = count(usage, "/cacheReadInputTokens");
    Usage {
        input: count(usage, "/inputTokens") + cached + count(usage, "/cacheWriteInputTokens"),
        output: count(usage, "/outputTokens"),
        cached,
    }
}

/// Reads a stream: blocks one after the other, `messageStop`, then `metadata` with the usage.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    reason: Option<String>,
    /// The call that is being written: id, name, JSON so far.
    call: Option<(String, String, String)>,
}

impl Decoder {
    pub(crate) fn push(&mut self, event: &str, value: &Value) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        match event {
            "contentBlockStart" => {
                if let Some(call) = value.pointer("/start/toolUse") {
                    let (id, name) = (text(call, "/toolUseId"), text(call, "/name"));
                    self.call = Some((id.to_owned(), name.to_owned(), String::new()));
                }
            }
            "contentBlockDelta" => {
                let words = text(value, "/delta/text");
                if !words.is_empty() {
                    events.push(Event::Text(words.to_owned()));
                }
                if let Some((.., json)) = &mut self.call {
                    json.push_str(text(value, "/delta/toolUse/input"));
                }
            }
            "contentBlockStop" => {
                if let Some((id, name, json)) = self.call.take() {
                    events.push(Event::Call(ToolCall::parse(id, name, &json)));
                }
            }
            "messageStop" => self.reason = Some(text(value, "/stopReason").to_owned()),
            "metadata" => {
                events.extend(value.get("usage").map(usage).map(Event::Usage));
                events.extend(self.finish()?);
            }
            _ => {}
        }
        Ok(events)
    }

    /// The end: of the message with its usage, or of the body.
    pub(crate) fn finish(&mut self) -> Result<Vec<Event>, Error> {
        let reason = self.reason.take().ok_or_else(Error::cut)?;
        Ok(vec![Event::End(finish(&reason)?)])
    }
}
