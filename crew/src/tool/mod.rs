//! Tools that agents call: what they are for a model, and those that are shipped.
//!
//! A tool is an actor: it gets the arguments of a call as its payload, and what it returns is the result. Ours answer what
//! the model can do something about as `{"error": "…"}`, and fail the envelope only for the rest.

mod analyze;
#[cfg(feature = "helm")]
pub mod helm;
mod http_get;
mod k8s_read;
#[cfg(feature = "k8s-write")]
pub mod k8s_write;
mod notify;

use asya_session::Risk;
use serde_json::Value;

/// What a model is told about a tool, and what an agent knows about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name for models: letters, digits, `_` and `-`, at most 64.
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// JSON Schema of its arguments: an object.
    pub parameters: Value,
    /// How bad a call can get.
    pub risk: Risk,
    /// It asks for approval itself, of what it is about to do: nobody is to ask before it.
    pub asks: bool,
}

/// The tool of a shipped actor, by the name that the actor's handler has on the command line: `k8s-read`.
pub fn builtin(name: &str) -> Option<ToolSpec> {
    match name {
        "http-get" => Some(http_get::spec()),
        #[cfg(feature = "helm")]
        "helm" => Some(helm::spec()),
        #[cfg(feature = "k8s-write")]
        "k8s-write" => Some(k8s_write::spec()),
        "k8s-read" => Some(k8s_read::spec()),
        "analyze" => Some(analyze::spec()),
        "notify" => Some(notify::spec()),
        _ => None,
    }
}

#[cfg(all(test, feature = "remedy", feature = "helm"))]
mod tests {
    use asya_resources::agent::SHIPPED;

    use super::*;

    #[test]
    fn what_agents_are_granted_is_there() {
        for shipped in SHIPPED {
            let spec = builtin(shipped.actor).unwrap_or_else(|| panic!("{} is no tool", shipped.actor));
            assert_eq!((spec.name, spec.asks), (shipped.name, shipped.asks));
        }
    }
}
