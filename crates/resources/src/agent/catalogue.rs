//! The tools there are, and which of them an agent is granted.

use serde_json::{Value, json};

use super::{Declared, Objection, Risk, Tools};
use crate::k8sgpt::glob::matches;

/// A tool that is shipped: an actor of asya-crew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Its name for the model.
    pub name: &'static str,
    /// Its actor, which is also what the agent actor knows its description by.
    pub actor: &'static str,
    /// How bad a call can get.
    pub risk: Risk,
    /// It asks for approval itself, of exactly what it is about to do.
    pub asks: bool,
}

/// Every shipped tool.
pub const SHIPPED: [Shipped; 6] = [
    Shipped { name: "k8s_read", actor: "k8s-read", risk: Risk::Low, asks: false },
    Shipped { name: "k8s_write", actor: "k8s-write", risk: Risk::High, asks: true },
    Shipped { name: "helm", actor: "helm", risk: Risk::High, asks: true },
    Shipped { name: "http_get", actor: "http-get", risk: Risk::Low, asks: false },
    Shipped { name: "analyze", actor: "analyze", risk: Risk::Low, asks: false },
    Shipped { name: "notify", actor: "notify", risk: Risk::Medium, asks: false },
];

/// A tool that an agent may call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Granted<'a> {
    /// A shipped one.
    Shipped(Shipped),
    /// One that the agent declares.
    Declared(&'a Declared),
}

impl<'a> Granted<'a> {
    /// Its name for the model.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Shipped(tool) => tool.name,
            Self::Declared(tool) => &tool.name,
        }
    }

    /// The actor that is called.
    pub fn actor(&self) -> &'a str {
        match self {
            Self::Shipped(tool) => tool.actor,
            Self::Declared(tool) => &tool.actor,
        }
    }

    /// How bad a call can get.
    pub fn risk(&self) -> Risk {
        match self {
            Self::Shipped(tool) => tool.risk,
            Self::Declared(tool) => tool.risk,
        }
    }

    /// Whether somebody must approve what it changes.
    pub fn approval(&self) -> bool {
        match self {
            Self::Shipped(tool) => tool.asks,
            Self::Declared(tool) => tool.approval,
        }
    }

    /// What the agent actor is told of it.
    pub(super) fn told(&self) -> Value {
        match self {
            Self::Shipped(tool) => json!({ "use": tool.actor, "actor": tool.actor }),
            Self::Declared(tool) => {
                let mut told = json!({
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters.clone().unwrap_or_else(|| json!({ "type": "object", "properties": {} })),
                    "actor": tool.actor,
                    "risk": tool.risk,
                    "approval": tool.approval,
                });
                if let Some(name) = &tool.mcp_tool {
                    told["mcpTool"] = json!(name);
                }
                told
            }
        }
    }

    /// The same for the gateway.
    pub(super) fn entry(&self) -> Value {
        json!({ "name": self.name(), "risk": self.risk(), "approval": self.approval() })
    }
}

impl Tools {
    /// Every tool there is for this agent: the shipped ones, then the declared ones.
    fn catalogue(&self) -> impl Iterator<Item = Granted<'_>> {
        SHIPPED.into_iter().map(Granted::Shipped).chain(self.declared.iter().map(Granted::Declared))
    }

    /// The tools that are allowed and not denied, in the order of the catalogue.
    pub fn granted(&self) -> Vec<Granted<'_>> {
        let named = |list: &[String], name: &str| list.iter().any(|pattern| matches(pattern, name));
        let granted = |tool: &Granted<'_>| named(&self.allow, tool.name()) && !named(&self.deny, tool.name());
        self.catalogue().filter(granted).collect()
    }

    /// What is wrong with the lists themselves. A declared tool cannot have the name of a shipped one: it would take over
    /// what was said about that.
    pub(super) fn objections(&self) -> impl Iterator<Item = Objection> {
        let plain = self.allow.iter().filter(|pattern| !pattern.contains('*'));
        let unknown = plain
            .filter(|name| !self.catalogue().any(|tool| tool.name() == name.as_str()))
            .map(|name| Objection::UnknownTool(name.clone()));
        let taken = self
            .declared
            .iter()
            .filter(|tool| SHIPPED.iter().any(|shipped| shipped.name == tool.name))
            .map(|tool| Objection::NameTaken(tool.name.clone()));
        unknown.chain(taken)
    }
}
