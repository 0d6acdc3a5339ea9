//! What an agent is told, read into types. All errors are found before any is reported.

use asya_settings::{Errors, Reader, boolean, list, number};

use super::tools::Tool;
use crate::{asked, desk, shipped::Variables};

/// Answers of the model to one message: a task that takes more is one for a person to split.
pub const DEFAULT_TURNS: u64 = 40;
/// Tokens of one message, of all its questions and answers together.
pub const DEFAULT_TOKENS: u64 = 200_000;
/// Identical calls in a row that are made: who asks a third time for the same learns nothing by a fourth.
pub const DEFAULT_REPEATS: usize = 3;
/// Tokens of a question: what common models read, with room for an answer; local ones need less.
pub const DEFAULT_CONTEXT: u64 = 100_000;
/// Fewer tokens hold no conversation.
const LEAST_CONTEXT: u64 = 2_000;
/// Sessions that are worked on at the same time. Each holds what its model reads, up to a few MiB.
pub const DEFAULT_SESSIONS: usize = 16;
/// More are for another replica.
const MOST_SESSIONS: usize = 1000;
/// The actor that asks for approval.
pub const DEFAULT_APPROVAL: &str = "approval";
/// Longest system prompt, in bytes.
const PROMPT: usize = 64 * 1024;

/// What an agent is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where sessions are.
    pub desk: desk::Settings,
    /// Where the keys are with which who asked is checked.
    pub keys: asked::Source,
    /// Sessions that are worked on at the same time.
    pub sessions: usize,
    /// The model.
    pub model: asya_llm::Settings,
    /// Other models of it that a person may ask for.
    pub models: Vec<String>,
    /// What the model is told to be, without the rules that every model is told.
    pub prompt: String,
    /// What it may call.
    pub tools: Vec<Tool>,
    /// The actor that asks for approval.
    pub approval: String,
    /// Answers of the model to one message.
    pub turns: u64,
    /// Tokens that one message may take.
    pub tokens: u64,
    /// Identical calls in a row that are made.
    pub repeats: usize,
    /// Tokens of a question, above which a summary is made.
    pub context: u64,
    /// Whether answers are shown while they come.
    pub emit: bool,
    /// Whether questions are logged word by word, and not their length alone.
    pub log: bool,
}

impl Settings {
    /// Reads `ASYA_AGENT_…`, `ASYA_LLM_…` and where the gateway is.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let get = |name: &str| variables.get(name);
        let mut errors = Vec::new();
        let mut failed = |more: Vec<String>| errors.extend(more);
        let desk = desk::Settings::read(variables).map_err(&mut failed).ok();
        let keys = match (&desk, asked::Source::read(variables)) {
            // That the gateway is missing has been said.
            (None, Err(_)) => None,
            (_, keys) => keys.map_err(&mut failed).ok(),
        };
        let mut reader = Reader::default();
        let sessions = reader.or("ASYA_CONCURRENCY", get("ASYA_CONCURRENCY"), DEFAULT_SESSIONS, |text| {
            match number(text)? {
                n if (1..=MOST_SESSIONS).contains(&n) => Ok(n),
                _ => Err(format!("must be 1 to {MOST_SESSIONS}")),
            }
        });
        let model = match variables.model_at(Some(sessions)) {
            Ok(None) => {
                Err(vec!["ASYA_LLM_BACKEND: is required: an agent is nothing without a model".to_owned()])
            }
            Ok(Some(model)) => Ok(model),
            Err(Errors(more)) => Err(more),
        };
        let model = model.map_err(&mut failed).ok();
        let prompt = either(variables, "ASYA_AGENT_PROMPT").map_err(&mut failed).ok().flatten();
        let prompt = prompt.unwrap_or_else(|| include_str!("prompt.txt").to_owned());
        if prompt.len() > PROMPT {
            failed(vec![format!("ASYA_AGENT_PROMPT: has {} bytes, and {PROMPT} are the most", prompt.len())]);
        }
        let tools = match either(variables, "ASYA_AGENT_TOOLS") {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(text)) => Tool::parse(&text).map_err(|wrong| {
                wrong.into_iter().map(|wrong| format!("ASYA_AGENT_TOOLS: {wrong}")).collect()
            }),
            Err(wrong) => Err(wrong),
        };
        let tools = tools.map_err(&mut failed).unwrap_or_default();
        let positive = |text: &str| {
            number(text).and_then(|n: u64| match n {
                0 => Err("must be at least 1".to_owned()),
                n => Ok(n),
            })
        };
        let (turns, tokens) = ("ASYA_AGENT_MAX_TURNS", "ASYA_AGENT_MAX_TOKENS");
        let turns = reader.or(turns, get(turns), DEFAULT_TURNS, positive);
        let tokens = reader.or(tokens, get(tokens), DEFAULT_TOKENS, positive);
        let repeats = reader.or("ASYA_AGENT_REPEATS", get("ASYA_AGENT_REPEATS"), DEFAULT_REPEATS, |text| {
            positive(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX - 1))
        });
        let context = reader.or("ASYA_AGENT_CONTEXT", get("ASYA_AGENT_CONTEXT"), DEFAULT_CONTEXT, |text| {
            number(text).and_then(|n: u64| {
                let enough = n >= LEAST_CONTEXT;
                enough.then_some(n).ok_or_else(|| format!("must be at least {LEAST_CONTEXT}"))
            })
        });
        let approval = reader.or(
            "ASYA_AGENT_APPROVAL",
            get("ASYA_AGENT_APPROVAL"),
            DEFAULT_APPROVAL.to_owned(),
            |name| {
                asya_envelope::ActorName::parse(name)
                    .map(|_| name.to_owned())
                    .map_err(|error| error.to_string())
            },
        );
        let models = reader.or("ASYA_AGENT_MODELS", get("ASYA_AGENT_MODELS"), Vec::new(), list);
        let emit = reader.or("ASYA_AGENT_EMIT_TOKENS", get("ASYA_AGENT_EMIT_TOKENS"), true, boolean);
        let log =
            reader.or("ASYA_AGENT_LOG_PROMPTS", get("ASYA_AGENT_LOG_PROMPTS"), false, |text| match text {
                "redacted" => Ok(false),
                "full" => Ok(true),
                _ => Err(format!("{text:?} must be redacted or full")),
            });
        if let Err(Errors(more)) = reader.done(()) {
            failed(more);
        }
        match (desk, keys, model) {
            (Some(desk), Some(keys), Some(model)) if errors.is_empty() => Ok(Self {
                desk,
                keys,
                sessions,
                model,
                models,
                prompt,
                tools,
                approval,
                turns,
                tokens,
                repeats,
                context,
                emit,
                log,
            }),
            _ => Err(errors),
        }
    }
}

/// The text of a variable, or of the file that the one with `_FILE` names; not of both.
fn either(variables: &Variables<'_>, name: &str) -> Result<Option<String>, Vec<String>> {
    match (variables.get(name), variables.get(&format!("{name}_FILE"))) {
        (Some(_), Some(_)) => Err(vec![format!("{name} and {name}_FILE: only one of them can count")]),
        (Some(text), None) => Ok(Some(text)),
        (None, Some(file)) => {
            let path = variables.base.join(file);
            let text = std::fs::read_to_string(&path);
            text.map(Some).map_err(|error| vec![format!("{name}_FILE: {}: {error}", path.display())])
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Variables { find: &find, base: Path::new("/") })
    }

    #[test]
    fn a_gateway_and_a_model_are_enough() {
        let settings = read(&[("ASYA_GATEWAY_URL", "http://g"), ("ASYA_LLM_BACKEND", "noop")]).unwrap();
        assert_eq!((settings.turns, settings.approval.as_str()), (DEFAULT_TURNS, "approval"));
        assert!(settings.prompt.contains("assistant") && settings.tools.is_empty());
        assert_eq!(settings.keys, asked::Source::Gateway(settings.desk));
    }

    #[test]
    fn as_many_questions_are_asked_as_sessions_are_worked_on_unless_it_is_said() {
        let with = |more: &[(&str, &str)]| {
            let given = [("ASYA_GATEWAY_URL", "http://g"), ("ASYA_LLM_BACKEND", "noop")];
            read(&[&given, more].concat()).unwrap()
        };
        let (few, many) = (with(&[]), with(&[("ASYA_CONCURRENCY", "200")]));
        assert_eq!((few.sessions, many.sessions), (DEFAULT_SESSIONS, 200));
        assert_eq!(few.model, with(&[("ASYA_LLM_CONCURRENCY", "16")]).model);
        assert_eq!(many.model, with(&[("ASYA_LLM_CONCURRENCY", "200")]).model);
        let both = with(&[("ASYA_CONCURRENCY", "200"), ("ASYA_LLM_CONCURRENCY", "16")]);
        assert_eq!((both.sessions, &both.model), (200, &few.model));
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let errors = read(&[
            ("ASYA_GATEWAY_URL", "gateway"),
            ("ASYA_AGENT_PROMPT", "x"),
            ("ASYA_AGENT_PROMPT_FILE", "y"),
            ("ASYA_AGENT_TOOLS", r#"[{"use": "crystal-ball"}]"#),
            ("ASYA_CONCURRENCY", "1001"),
            ("ASYA_AGENT_MAX_TURNS", "0"),
            ("ASYA_AGENT_MAX_TOKENS", "many"),
            ("ASYA_AGENT_REPEATS", "-1"),
            ("ASYA_AGENT_CONTEXT", "7"),
            ("ASYA_AGENT_APPROVAL", "a b"),
            ("ASYA_AGENT_EMIT_TOKENS", "perhaps"),
            ("ASYA_AGENT_LOG_PROMPTS", "some"),
        ])
        .unwrap_err();
        let all = errors.join("\n");
        for name in [
            "ASYA_GATEWAY_URL",
            "LLM_BACKEND",
            "PROMPT",
            "TOOLS",
            "ASYA_CONCURRENCY",
            "MAX_TURNS",
            "MAX_TOKENS",
            "REPEATS",
            "CONTEXT",
            "APPROVAL",
            "EMIT_TOKENS",
            "LOG_PROMPTS",
        ] {
            assert!(all.contains(name), "{name} in {all}");
        }
        assert_eq!(errors.len(), 12, "{all}");
        assert!(
            read(&[("ASYA_AGENT_TOOLS_FILE", "/none/at/all")]).unwrap_err().join("").contains("/none/at/all")
        );
    }
}
