//! Tool files as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One file of tools. Several files make one set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Tools in their order.
    #[serde(default)]
    pub tools: Vec<ToolEntry>,
    /// Routes by name, for tools that share one.
    #[serde(default)]
    pub routes: BTreeMap<String, Vec<String>>,
    /// What tools get that do not say otherwise.
    #[serde(default)]
    pub defaults: Option<Defaults>,
}

/// Defaults of all tools; the last file that has some wins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// See [`ToolEntry::progress`].
    pub progress: Option<bool>,
    /// See [`ToolEntry::timeout`].
    pub timeout: Option<f64>,
}

/// One tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolEntry {
    /// Name that callers use: 1 to 128 of `A-Z a-z 0-9 _ . -`, as the Model Context Protocol recommends.
    pub name: String,
    /// What it does, for people and models.
    #[serde(default)]
    pub description: String,
    /// Arguments by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// Actors in order, or the name of a route.
    pub route: RouteEntry,
    /// Whether the answer names a stream of updates.
    pub progress: Option<bool>,
    /// Seconds until an envelope that has not ended has failed.
    pub timeout: Option<f64>,
    /// Told to the caller as it is.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// Whether a call ends with the result instead of at once with a handle.
    #[serde(default)]
    pub wait: bool,
    /// Seconds that a waiting call lasts before it answers with the handle after all.
    pub wait_limit: Option<f64>,
    /// Whether arguments that are not declared are refused.
    #[serde(default)]
    pub strict: bool,
}

/// Where a tool's envelopes go.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum RouteEntry {
    /// Name of an entry of `routes`.
    Named(String),
    /// Actors in order.
    Actors(Vec<String>),
}

/// One argument, or a member of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// JSON type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it means.
    #[serde(default)]
    pub description: String,
    /// Whether a call without it is refused; a default makes it optional after all.
    #[serde(default)]
    pub required: bool,
    /// Taken when a call does not have it.
    pub default: Option<Value>,
    /// The values it may have; empty: any.
    #[serde(default)]
    pub options: Vec<Value>,
    /// Members of an object.
    #[serde(default)]
    pub properties: BTreeMap<String, Parameter>,
    /// What an array holds.
    pub items: Option<Box<Parameter>>,
}

/// A JSON type that a parameter may have.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text.
    String,
    /// Any number.
    Number,
    /// A number without a fraction.
    Integer,
    /// True or false.
    Boolean,
    /// Members by name.
    Object,
    /// Values in order.
    Array,
}

impl Kind {
    /// Its name in JSON Schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}
