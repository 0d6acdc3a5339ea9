//! The tools that an agent may call, and the check of what a model wants called.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use asya_envelope::{ActorName, Raw};
use asya_session::{Call, Risk};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::tool;

/// Most tools of one agent: a model is told of all of them with each question.
const MOST: usize = 64;
/// Longest name of a tool that every provider takes.
const NAME: usize = 64;
/// What a model is told of what is wrong with its arguments, in characters.
const WRONG: usize = 600;

/// A tool, as the settings say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What the model calls it.
    pub name: String,
    /// What the model is told of it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// The actor that it is.
    pub actor: String,
    /// How bad a call can get.
    pub risk: Risk,
    /// Whether somebody is asked before each call.
    pub approval: bool,
    /// Its name on an MCP server, where the actor is one that calls tools of it.
    pub mcp_tool: Option<String>,
}

/// One element of `ASYA_AGENT_TOOLS`. What is not set of a shipped tool is as it is shipped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(rename = "use")]
    shipped: Option<String>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    actor: Option<String>,
    risk: Option<Risk>,
    approval: Option<bool>,
    #[serde(rename = "mcpTool")]
    mcp_tool: Option<String>,
    /// For the compiler of an `Agent`, which writes grants from it.
    #[serde(default, rename = "allow")]
    _allow: Vec<String>,
}

impl Tool {
    /// The tools of a JSON list.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn parse(text: &str) -> Result<Vec<Self>, Vec<String>> {
        let given: Vec<Given> = serde_json::from_str(text).map_err(|error| vec![error.to_string()])?;
        let (mut tools, mut errors, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        if given.len() > MOST {
            errors.push(format!("{} tools, and {MOST} are the most", given.len()));
        }
        for (index, given) in given.into_iter().enumerate() {
            match Self::of(given) {
                Ok(tool) if names.insert(tool.name.clone()) => tools.push(tool),
                Ok(tool) => errors.push(format!("two tools are called {:?}", tool.name)),
                Err(error) => errors.push(format!("tool {}: {error}", index + 1)),
            }
        }
        if errors.is_empty() { Ok(tools) } else { Err(errors) }
    }

    /// The tools of a file.
    ///
    /// # Errors
    /// As [`Tool::parse`]; with the file's name if it cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Self>, Vec<String>> {
        let text = std::fs::read_to_string(path);
        Self::parse(&text.map_err(|error| vec![format!("{}: {error}", path.display())])?)
    }

    fn of(given: Given) -> Result<Self, String> {
        let Given { shipped, name, description, parameters, actor, risk, approval, mcp_tool, _allow } = given;
        let spec = match &shipped {
            Some(shipped) => {
                Some(tool::builtin(shipped).ok_or_else(|| format!("{shipped:?} is no shipped tool"))?)
            }
            None => None,
        };
        let missing = |what: &str| format!("{what} is required, unless it is a shipped one (use)");
        let spec = spec.as_ref();
        let name = name.or(spec.map(|spec| spec.name.to_owned())).ok_or_else(|| missing("name"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.is_empty() || name.len() > NAME || !name.bytes().all(plain) {
            return Err(format!("the name {name:?} must be of letters, digits, _ and -, at most {NAME}"));
        }
        let description = description.or(spec.map(|spec| spec.description.to_owned()));
        let parameters = parameters.or(spec.map(|spec| spec.parameters.clone()));
        let parameters = parameters.ok_or_else(|| missing("parameters"))?;
        if parameters.get("type") != Some(&Value::from("object")) {
            return Err("parameters must be a JSON schema of an object: \"type\": \"object\"".to_owned());
        }
        jsonschema::draft202012::new(&parameters).map_err(|error| format!("parameters: {error}"))?;
        let actor = actor.or(shipped).ok_or_else(|| missing("actor"))?;
        ActorName::parse(&actor).map_err(|error| error.to_string())?;
        if mcp_tool.as_ref().is_some_and(String::is_empty) {
            return Err("mcpTool is empty: name the tool on the server, or leave it out".to_owned());
        }
        Ok(Self {
            name,
            description: description.ok_or_else(|| missing("description"))?,
            parameters,
            actor,
            risk: risk.or(spec.map(|spec| spec.risk)).unwrap_or_default(),
            // Who asks by itself knows better what it is about to do.
            approval: approval.unwrap_or(false) && !spec.is_some_and(|spec| spec.asks),
            mcp_tool,
        })
    }

    /// The payload of a call with these arguments. The name on an MCP server is part of it, so that it is part of what
    /// somebody approves.
    pub(super) fn payload(&self, arguments: &Value) -> Raw {
        match &self.mcp_tool {
            Some(tool) => Raw::of(&json!({"tool": tool, "arguments": arguments})),
            None => Raw::of(arguments),
        }
    }
}

/// Tools, with what checks their arguments.
#[derive(Clone, Debug)]
pub struct Toolbox(Arc<Vec<(Tool, jsonschema::Validator)>>);

impl Toolbox {
    /// These tools.
    ///
    /// # Errors
    /// A sentence: a schema is none.
    pub fn new(tools: &[Tool]) -> Result<Self, String> {
        let checked = |tool: &Tool| {
            let validator = jsonschema::draft202012::new(&tool.parameters);
            validator.map(|validator| (tool.clone(), validator)).map_err(|error| error.to_string())
        };
        Ok(Self(Arc::new(tools.iter().map(checked).collect::<Result<_, _>>()?)))
    }

    /// What a model is told.
    pub fn told(&self) -> Vec<asya_llm::Tool> {
        let told = |(tool, _): &(Tool, _)| asya_llm::Tool {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
        };
        self.0.iter().map(told).collect()
    }

    /// The tool of a call, whose arguments fit it.
    ///
    /// # Errors
    /// What the model is told instead of an answer.
    pub fn check(&self, call: &Call) -> Result<&Tool, String> {
        let Some((tool, validator)) = self.0.iter().find(|(tool, _)| tool.name == call.name) else {
            let names: Vec<_> = self.0.iter().map(|(tool, _)| tool.name.as_str()).collect();
            return Err(format!("there is no such tool; there are: {}", names.join(", ")));
        };
        if !call.arguments.is_object() {
            return Err("the arguments are no JSON object; nothing was done".to_owned());
        }
        let wrong: Vec<_> = validator
            .iter_errors(&call.arguments)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("{path}: {error}"),
            })
            .collect();
        if wrong.is_empty() {
            return Ok(tool);
        }
        let wrong: String = wrong.join("; ").chars().take(WRONG).collect();
        Err(format!("the arguments do not fit the tool's schema, and nothing was done: {wrong}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipped_tool_needs_its_name_only_and_one_of_ones_own_needs_all() {
        let own = json!({"name": "orders", "description": "Looks up an order", "actor": "orders", "risk": "low",
            "parameters": {"type": "object"}, "approval": true, "allow": ["orders"]});
        let tools = Tool::parse(&json!([{"use": "http-get", "actor": "pages"}, own]).to_string()).unwrap();
        assert_eq!((tools[0].name.as_str(), tools[0].actor.as_str()), ("http_get", "pages"));
        assert_eq!((tools[1].risk, tools[1].approval), (Risk::Low, true));
        assert_eq!(tools[1].payload(&json!({"n": 1})).as_str(), r#"{"n":1}"#);
    }

    #[test]
    fn a_tool_of_an_mcp_server_is_called_by_its_name_there() {
        let tool = json!({"name": "create_issue", "description": "", "actor": "tracker", "parameters": {"type": "object"},
            "mcpTool": "issues.create"});
        let tools = Tool::parse(&json!([tool]).to_string()).unwrap();
        // What the model writes cannot name another.
        let payload = tools[0].payload(&json!({"tool": "issues.delete", "arguments": {"n": 1}}));
        let payload: Value = serde_json::from_str(payload.as_str()).unwrap();
        let arguments = json!({"tool": "issues.delete", "arguments": {"n": 1}});
        assert_eq!(payload, json!({"tool": "issues.create", "arguments": arguments}));
        let mut empty = tool;
        empty["mcpTool"] = "".into();
        assert!(Tool::parse(&json!([empty]).to_string()).unwrap_err()[0].contains("mcpTool is empty"));
    }

    #[test]
    fn all_that_is_wrong_with_tools_is_told_at_once() {
        let schema = json!({"type": "object"});
        let errors = Tool::parse(
            &json!([
                {"use": "crystal-ball"},
                {"name": "a b", "description": "", "actor": "x", "parameters": schema},
                {"name": "b", "description": "", "actor": "no actor", "parameters": schema},
                {"name": "c", "description": "", "actor": "x", "parameters": {"type": "string"}},
                {"name": "d", "description": "", "actor": "x", "parameters": {"type": "object", "required": 7}},
                {"name": "e", "description": "", "parameters": schema},
                {"name": "f", "description": "", "actor": "x", "parameters": schema},
                {"name": "f", "description": "", "actor": "x", "parameters": schema},
            ])
            .to_string(),
        )
        .unwrap_err();
        let all = errors.join("\n");
        for word in [
            "crystal-ball",
            "\"a b\"",
            "no actor",
            "of an object",
            "tool 5",
            "actor is required",
            "two tools",
        ] {
            assert!(all.contains(word), "{word} in {all}");
        }
        assert!(Tool::parse("{}").is_err());
        assert!(Tool::parse(r#"[{"nam": "x"}]"#).unwrap_err()[0].contains("unknown field"));
    }
}
