//! Google's generateContent (Gemini API, with a key).

use serde_json::{Value, json};

use super::{Defaults, count, joined, refused, set, text};
use crate::{
    error::Error,
    message::{Choice, Message, ToolCall},
    request::Request,
    response::{Event, Finish, Response, Usage},
};

pub(crate) fn address(base: &str, model: &str, stream: bool) -> String {
    let model = asya_settings::secret::percent_encoded(model.trim_start_matches("models/"));
    let what = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    joined(base, "/v1beta", &format!("/models/{model}:{what}"))
}

pub(crate) fn body(request: &Request, defaults: &Defaults) -> Value {
    let mut settings = json!({"maxOutputTokens": request.max_tokens.unwrap_or(defaults.max_tokens)});
    set(&mut settings, "temperature", request.temperature.or(defaults.temperature));
    set(&mut settings, "topP", request.top_p.or(defaults.top_p));
    set(&mut settings, "topK", defaults.top_k);
    if !request.stop.is_empty() {
        settings["stopSequences"] = json!(request.stop);
    }
    let mut body = json!({"contents": contents(&request.messages), "generationConfig": settings});
    if !request.system.is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": request.system}]});
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::Tool| {
            json!({"name": tool.name, "description": tool.description,
                "parametersJsonSchema": tool.parameters})
        };
        let tools: Vec<_> = request.tools.iter().map(tool).collect();
        body["tools"] = json!([{"functionDeclarations": tools}]);
        let choice = match &request.choice {
            Choice::Auto => json!({"mode": "AUTO"}),
            Choice::Required => json!({"mode": "ANY"}),
            Choice::None => json!({"mode": "NONE"}),
            Choice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        };
        body["toolConfig"] = json!({"functionCallingConfig": choice});
    }
    body
}

fn contents(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, parts) = match message {
            Message::User { text } => ("user", vec![json!({"text": text})]),
            Message::Assistant { text, calls } => {
                let mut parts = Vec::new();
                if !text.is_empty() {
                    parts.push(json!({"text": text}));
                }
                parts.extend(calls.iter().map(|call| {
                    let args = if call.arguments.is_object() { call.arguments.clone() } else { json!({}) };
                    let mut part = json!({"functionCall": {"name": call.name, "args": args}});
                    set(&mut part, "thoughtSignature", call.signature.as_deref());
                    part
                }));
                ("model", parts)
            }
            Message::Tool { name, text, failed, .. } => {
                let answer = match serde_json::from_str(text) {
                    Ok(answer @ Value::Object(_)) if !failed => answer,
                    _ if *failed => json!({"error": text}),
                    _ => json!({"result": text}),
                };
                ("user", vec![json!({"functionResponse": {"name": name, "response": answer}})])
            }
        };
        match turns.last_mut() {
            Some((last, before)) if *last == role => before.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    let turns = turns.into_iter().filter(|(_, parts)| !parts.is_empty());
    turns.map(|(role, parts)| json!({"role": role, "parts": parts})).collect()
}

/// Reads a whole answer: a stream of one event.
pub(crate) fn response(value: &Value) -> Result<Response, Error> {
    let mut decoder = Decoder::default();
    let mut whole = crate::response::Partial::default();
    for event in decoder.push(value)?.iter().chain(&decoder.finish()?) {
        whole.push(event);
    }
    whole.done().ok_or_else(Error::cut)
}

fn usage(value: &Value) -> Option<Usage> {
    let usage = value.get("usageMetadata").filter(|usage| usage.is_object())?;
    Some(Usage {
        input: count(usage, "/promptTokenCount") + count(usage, "/toolUsePromptTokenCount"),
        output: count(usage, "/candidatesTokenCount") + count(usage, "/thoughtsTokenCount"),
        cached: count(usage, "/cachedContentTokenCount"),
    })
}

/// Reads a stream: each event is a whole answer with the next parts; the last one says why it ended.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    calls: usize,
    reason: Option<String>,
    usage: Option<Usage>,
}

impl Decoder {
    pub(crate) fn push(&mut self, value: &Value) -> Result<Vec<Event>, Error> {
        let blocked = text(value, "/promptFeedback/blockReason");
        if !blocked.is_empty() {
            return Err(refused(&format!("the question was blocked: {blocked}")));
        }
        if let Some(usage) = usage(value) {
            self.usage = Some(usage);
        }
        let mut events = Vec::new();
        let Some(candidate) = value.pointer("/candidates/0") else {
            // Only usage, in the middle of a stream; but an answer with neither is another API's.
            let known = value.get("usageMetadata").is_some();
            return if known {
                Ok(events)
            } else {
                Err(Error::malformed(format!("it has no candidates: {value}")))
            };
        };
        for part in candidate.pointer("/content/parts").and_then(Value::as_array).into_iter().flatten() {
            if part.get("thought").and_then(Value::as_bool).unwrap_or_default() {
                continue;
            }
            if let Some(call) = part.get("functionCall") {
                let id = text(call, "/id");
                let id = if id.is_empty() { format!("call_{}", self.calls) } else { id.to_owned() };
                self.calls += 1;
                events.push(Event::Call(ToolCall {
                    id,
                    name: text(call, "/name").to_owned(),
                    arguments: call.get("args").cloned().unwrap_or_else(|| json!({})),
                    signature: part.get("thoughtSignature").and_then(Value::as_str).map(str::to_owned),
                }));
            }
            let words = text(part, "/text");
            if !words.is_empty() {
                events.push(Event::Text(words.to_owned()));
            }
        }
        if let Some(reason) = candidate.get("finishReason").and_then(Value::as_str) {
            self.reason = Some(reason.to_owned());
        }
        Ok(events)
    }

    pub(crate) fn finish(&mut self) -> Result<Vec<Event>, Error> {
        let finish = match self.reason.take().as_deref() {
            None => return Err(Error::cut()),
            Some("MAX_TOKENS") => Finish::Length,
            Some(
                reason @ ("SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"),
            ) => {
                return Err(refused(reason));
            }
            Some(reason @ ("MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL")) => {
                return Err(Error::malformed(format!("the model's call is wrong: {reason}")));
            }
            Some(_) if self.calls > 0 => Finish::Calls,
            Some(_) => Finish::Stop,
        };
        let mut events: Vec<_> = self.usage.take().map(Event::Usage).into_iter().collect();
        events.push(Event::End(finish));
        Ok(events)
    }
}
