//! What an agent may call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(feature = "schema")]
use crate::k8sgpt::sink::NAME_PATTERN;

/// What an agent may call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tools {
    /// Tools that may be called, shipped and declared ones: names, and patterns in which * stands for any characters. Empty
    /// means none.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = MAX_PATTERNS), inner(length(min = 1, max = MAX_TOOL_NAME), regex(pattern = GLOB_PATTERN)))
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Tools that may not be called, written in the same way. It wins over allow.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = MAX_PATTERNS), inner(length(min = 1, max = MAX_TOOL_NAME), regex(pattern = GLOB_PATTERN)))
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Tools besides the shipped ones. Each is an actor: it gets the arguments of a call as its payload, and what it returns is
    /// the result. Declared is not allowed yet.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = MAX_DECLARED),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
        )
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<Declared>,
}

/// A tool that is not shipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Declared {
    /// Its name for the model.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = MAX_TOOL_NAME), regex(pattern = TOOL_PATTERN))
    )]
    pub name: String,
    /// What it does and when to use it, for the model.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_TOOL_DESCRIPTION)))]
    pub description: String,
    /// JSON Schema of its arguments, whose type is object. Absent means that it takes none.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::arguments"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// The actor that is called, in this namespace.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN)))]
    pub actor: String,
    /// How bad a call can get.
    #[serde(default = "Risk::unknown")]
    pub risk: Risk,
    /// Whether somebody must approve each call.
    #[serde(default)]
    pub approval: bool,
    /// The name of the tool on an MCP server, where the actor is one of mcp-call: it gets {"tool", "arguments"} as its payload.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_MCP_NAME)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_tool: Option<String>,
}

/// How bad it can get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// It only reads, or is undone by the opposite.
    #[default]
    Low,
    /// Undone by somebody who knows what was there before.
    Medium,
    /// Lost or down for everybody.
    High,
}

impl Risk {
    /// That of a tool that says nothing.
    fn unknown() -> Self {
        Self::High
    }

    /// As it is written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Form of a tool's name: what every provider takes.
pub const TOOL_PATTERN: &str = "^[A-Za-z0-9_-]+$";
/// Form of a pattern over names of tools.
pub const GLOB_PATTERN: &str = "^[A-Za-z0-9_*-]+$";
/// Longest name of a tool: what every provider takes.
#[cfg(feature = "schema")]
const MAX_TOOL_NAME: u32 = 64;
/// Longest name of a tool on an MCP server.
#[cfg(feature = "schema")]
const MAX_MCP_NAME: u32 = 128;
/// Most patterns of one list.
#[cfg(feature = "schema")]
const MAX_PATTERNS: u32 = 128;
/// Most declared tools: each is sent to the model with every call, and the agent actor takes 64 with the shipped ones.
#[cfg(feature = "schema")]
const MAX_DECLARED: u32 = 56;
/// Longest description of a tool.
#[cfg(feature = "schema")]
const MAX_TOOL_DESCRIPTION: u32 = 4096;

/// Whether a text is what [`TOOL_PATTERN`] says.
pub(crate) fn is_tool(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether a text is what [`GLOB_PATTERN`] says.
pub(crate) fn is_glob(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-*".contains(&byte))
}
