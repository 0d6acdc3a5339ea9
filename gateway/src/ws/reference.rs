//! `asya.v0`: the messages of ThothScript, for clients that are there. A conversation is one all the same, kept as every
//! other: what is new in a message stands beside what these clients know.

use asya_session::{Body, Entry, Options};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{line::Form, talk::Talk};
use crate::{
    agents::Agent,
    rest::api::Refusal,
    service::chat::{
        follow::Happening,
        sessions::{Beginning, Message},
    },
};

/// The form.
pub(super) struct Reference {
    /// With whom a conversation is begun.
    agent: Option<String>,
    /// Whether the conversation has an answer already.
    answered: bool,
}

/// What a client says. What else stands in it is not looked at, as the reference does not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    r#type: Option<String>,
    input: Option<String>,
    tool_config: Option<ToolConfig>,
}

/// What a client wants of the model.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ToolConfig {
    max_tokens: Option<u32>,
    model_name: Option<String>,
    temperature: Option<f64>,
    run_opts: Option<IgnoredAny>,
}

/// Names of events.
mod event {
    pub(super) const INITIAL: &str = "Initial";
    pub(super) const NEXT: &str = "Next";
    pub(super) const PROGRESS: &str = "CallProgress";
    pub(super) const CONTINUE: &str = "CallContinue";
    pub(super) const FINISH: &str = "CallFinish";
    pub(super) const CLOSE: &str = "Close";
    pub(super) const ERROR: &str = "Error";
}

impl Reference {
    /// A conversation that is begun with this agent, or goes on.
    pub(super) fn new(agent: Option<String>, answered: bool) -> Self {
        Self { agent, answered }
    }

    async fn chat(&mut self, talk: &mut Talk, said: Said) -> Result<Vec<Value>, Refusal> {
        talk.pace()?;
        let text = said.input.ok_or_else(|| Refusal::field("input", "input is missing: what is said"))?;
        let agent = if talk.session().is_some() { talk.agent() } else { Some(self.partner(talk)?) };
        let (options, notices) = wishes(said.tool_config.unwrap_or_default(), agent.as_deref());
        let message = Message { text, options, id: None };
        if talk.session().is_some() {
            talk.say(message).await?;
        } else {
            let agent = agent.map(|agent| agent.name.clone()).unwrap_or_default();
            talk.begin(Beginning { agent, title: None, message: Some(message) }).await?;
            self.answered = false;
        }
        let notice = |text| json!({"type": "notice", "text": text});
        Ok(notices.into_iter().map(|text| told(talk.session(), event::PROGRESS, notice(text))).collect())
    }

    /// With whom a conversation is begun.
    fn partner(&self, talk: &Talk) -> Result<std::sync::Arc<Agent>, Refusal> {
        let agents = talk.agents()?;
        let mut fitting =
            agents.iter().filter(|agent| self.agent.as_ref().is_none_or(|own| *own == agent.name));
        match (fitting.next(), fitting.next()) {
            (Some(agent), None) => Ok(agent.clone()),
            _ => {
                let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
                let text =
                    format!("say whom you talk with, by /ws/?agent=NAME; there are: {}", names.join(", "));
                Err(Refusal::field("agent", text))
            }
        }
    }

    fn entry(&mut self, session: &str, entry: Entry) -> Option<Value> {
        let (event, message, error) = match entry.body {
            Body::User { .. } | Body::Summary { .. } => return None,
            Body::Assistant { text, calls, .. } if calls.is_empty() => {
                let first = !std::mem::replace(&mut self.answered, true);
                (if first { event::INITIAL } else { event::NEXT }, Value::from(text), None)
            }
            Body::Assistant { text, calls, .. } => {
                let call = |call: &asya_session::Call| json!({"id": call.id, "name": call.name, "arguments": call.arguments});
                let calls: Vec<_> = calls.iter().map(call).collect();
                (event::CONTINUE, json!({"type": "calls", "text": text, "calls": calls}), None)
            }
            Body::Tool { call, name, text, failed } => {
                let answer =
                    json!({"type": "answer", "call": call, "name": name, "text": text, "failed": failed});
                (event::FINISH, answer, None)
            }
            Body::Notice { code, text } => (event::ERROR, Value::from(text), Some(json!({"code": code}))),
        };
        let mut told = told(Some(session), event, message);
        told["entry"] = entry.n.into();
        if let Some(error) = error {
            told["output"]["error"] = error;
        }
        Some(told)
    }
}

impl Form for Reference {
    const NAME: &'static str = super::door::ASYA_V0;

    fn hello(&mut self, _: &Talk) -> Option<Value> {
        None
    }

    async fn heard(&mut self, talk: &mut Talk, said: Result<&str, Refusal>) -> Vec<Value> {
        let read = said.and_then(|text| {
            serde_json::from_str::<Said>(text)
                .map_err(|error| Refusal::field("", format!("it cannot be read: {error}")))
        });
        let answer = match read {
            Ok(Said { r#type: Some(kind), .. }) if kind == "ping" => return vec![json!({"type": "pong"})],
            Ok(Said { r#type: Some(kind), .. }) => {
                let text =
                    format!("{kind:?} is not known: say {{\"type\": \"ping\"}}, or something in input");
                Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid", text))
            }
            Ok(said) => self.chat(talk, said).await,
            Err(refusal) => Err(refusal),
        };
        answer.unwrap_or_else(|refusal| {
            let problem = refusal.problem();
            let mut told = told(talk.session(), event::ERROR, Value::from(problem.detail.as_str()));
            told["output"]["error"] = json!(problem);
            vec![told]
        })
    }

    fn told(&mut self, session: &str, happening: Happening) -> Option<Value> {
        let (event, message) = match happening {
            Happening::Entry(entry) => return self.entry(session, entry),
            Happening::Delta(delta) => {
                let piece =
                    json!({"type": "delta", "n": delta.n, "offset": delta.offset, "text": delta.text});
                (event::PROGRESS, piece)
            }
            Happening::Session(session) => {
                (event::PROGRESS, json!({"type": "state", "state": session.state}))
            }
            Happening::Operation(operation) => {
                (event::CONTINUE, json!({"type": "operation", "operation": operation}))
            }
        };
        Some(told(Some(session), event, message))
    }

    fn gone(&mut self, session: &str) -> Value {
        told(Some(session), event::CLOSE, Value::from("the session is not there any more, or not yours"))
    }

    fn last(&mut self, why: &str) -> Option<Value> {
        Some(told(None, event::CLOSE, Value::from(why)))
    }
}

/// What a client is told.
fn told(session: Option<&str>, event: &str, message: Value) -> Value {
    let now = Timestamp::now().as_millisecond();
    let mut told = json!({"id": now, "author": "System", "output": {"event": event, "message": message}});
    if let Some(session) = session {
        told["session"] = session.into();
    }
    told
}

/// What a turn is asked for, and what is not taken.
fn wishes(config: ToolConfig, agent: Option<&Agent>) -> (Options, Vec<String>) {
    let ToolConfig { max_tokens, model_name, temperature, run_opts } = config;
    let mut options = Options { model: model_name, max_tokens, temperature };
    let mut notices = Vec::new();
    let listed = |model: &String| agent.is_some_and(|agent| agent.models.contains(model));
    if let Some(model) = options.model.take_if(|model| !listed(model)) {
        let models = agent.map(|agent| agent.models.join(", ")).unwrap_or_default();
        notices.push(format!("modelName {model:?} is not taken; the agent lets you choose: {models}"));
    }
    if run_opts.is_some() {
        notices.push("runOpts is not looked at".to_owned());
    }
    (options, notices)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn read(config: Value) -> (Options, Vec<String>) {
        let agent: Agent = serde_json::from_value(json!({"name": "a", "models": ["x/one"]})).unwrap();
        let said: Said = serde_json::from_value(json!({"input": "hi", "toolConfig": config})).unwrap();
        wishes(said.tool_config.unwrap(), Some(&agent))
    }

    #[test]
    fn of_the_configuration_three_things_are_taken_and_the_rest_is_told() {
        let shipped = json!({"maxTokens": 1000, "modelName": "gpt-4o", "temperature": 0.7, "chat": true,
            "runOpts": {"workspace": "/", "chdir": "/etc", "subTool": "sys.exec"}});
        let (options, notices) = read(shipped);
        assert_eq!(
            options,
            Options { model: None, max_tokens: Some(1000), temperature: Some(0.7) },
            "a model that the agent does not list is none"
        );
        assert!(notices.len() == 2 && notices[0].contains("gpt-4o") && notices[1].contains("runOpts"));
        let (options, notices) = read(json!({"modelName": "x/one"}));
        assert_eq!((options.model.as_deref(), notices.len()), (Some("x/one"), 0));
        assert_eq!(read(json!({})).1.len(), 0);
    }
}
