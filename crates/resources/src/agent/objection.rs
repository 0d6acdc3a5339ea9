//! Why an agent is not compiled.

use std::fmt;

use super::{Risk, catalogue::SHIPPED};
use crate::k8sgpt::Backend;

/// One reason why an agent is not compiled. `Display` says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// `tools.allow` names a tool that there is not.
    UnknownTool(String),
    /// A declared tool has the name of a shipped one.
    NameTaken(String),
    /// A granted tool is worse than the agent's tier.
    TierExceeded {
        /// The tool.
        tool: String,
        /// How bad it can get.
        risk: Risk,
        /// What the agent may at most.
        tier: Risk,
    },
    /// A declared tool's actor is the agent itself, or the actor that asks for approval.
    ActorTaken {
        /// The tool.
        tool: String,
        /// Its actor.
        actor: String,
    },
    /// The provider has no client here, or none that holds a conversation: and what to use instead.
    NotSpoken(Backend, &'static str),
    /// The provider needs a key.
    NoKey(Backend),
    /// The provider has no usual address.
    NoAddress(Backend),
    /// The ConfigMap with prompt or definition is not there.
    ConfigMapMissing(String),
    /// The ConfigMap has no such key.
    KeyMissing {
        /// The ConfigMap.
        name: String,
        /// The key.
        key: String,
    },
    /// What the key holds is no definition, or no prompt: a sentence.
    DefinitionInvalid(String),
    /// A text is longer than what reads it takes.
    TooLong {
        /// The field.
        field: &'static str,
        /// What is taken, in KiB.
        kib: usize,
    },
    /// What was stored cannot be an agent, or what it becomes cannot be an actor: a sentence with a path.
    InvalidSpec(String),
}

/// What an objection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Prompt, tools or model are not known.
    Definition,
    /// It would be granted what it may not have.
    Policy,
    /// A Secret is needed that it does not name.
    Secrets,
}

impl Objection {
    /// What it is about.
    pub fn about(&self) -> About {
        match self {
            Self::UnknownTool(_)
            | Self::NameTaken(_)
            | Self::TierExceeded { .. }
            | Self::ActorTaken { .. } => About::Policy,
            Self::NoKey(_) => About::Secrets,
            Self::NotSpoken(..)
            | Self::NoAddress(_)
            | Self::ConfigMapMissing(_)
            | Self::KeyMissing { .. }
            | Self::DefinitionInvalid(_)
            | Self::TooLong { .. }
            | Self::InvalidSpec(_) => About::Definition,
        }
    }

    /// Its word in conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownTool(_) => "UnknownTool",
            Self::NameTaken(_) | Self::ActorTaken { .. } => "NameTaken",
            Self::TierExceeded { .. } => "TierExceeded",
            Self::NotSpoken(..) => "ProviderUnsupported",
            Self::NoKey(_) => "KeyNotNamed",
            Self::NoAddress(_) => "ModelIncomplete",
            Self::ConfigMapMissing(_) => "ConfigMapMissing",
            Self::KeyMissing { .. } => "KeyMissing",
            Self::DefinitionInvalid(_) => "DefinitionInvalid",
            Self::TooLong { .. } => "TooLong",
            Self::InvalidSpec(_) => "InvalidSpec",
        }
    }

    /// The field that is to be looked at.
    pub fn field(&self) -> &'static str {
        match self {
            Self::UnknownTool(_) | Self::TierExceeded { .. } => "spec.tools.allow",
            Self::NameTaken(_) | Self::ActorTaken { .. } => "spec.tools.declared",
            Self::NotSpoken(..) => "spec.model.provider",
            Self::NoKey(_) => "spec.apiKey",
            Self::NoAddress(_) => "spec.model.baseUrl",
            Self::TooLong { field, .. } => field,
            Self::ConfigMapMissing(_)
            | Self::KeyMissing { .. }
            | Self::DefinitionInvalid(_)
            | Self::InvalidSpec(_) => "spec",
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTool(tool) => {
                let shipped: Vec<_> = SHIPPED.iter().map(|tool| tool.name).collect();
                write!(
                    f,
                    "tools.allow names {tool:?}, which is neither shipped ({}) nor declared: declare it or remove it",
                    shipped.join(", ")
                )
            }
            Self::NameTaken(tool) => {
                write!(f, "tools.declared has {tool:?}, which is the name of a shipped tool: rename it")
            }
            Self::TierExceeded { tool, risk, tier } => write!(
                f,
                "{tool} has the risk {} and riskTier is {}: deny it in tools.deny or raise riskTier",
                risk.as_str(),
                tier.as_str()
            ),
            Self::ActorTaken { tool, actor } => write!(
                f,
                "the tool {tool:?} calls {actor:?}, which is the agent itself or asks for its approvals: name the actor that \
                 does the work"
            ),
            Self::NotSpoken(provider, instead) => {
                write!(f, "{} is not spoken here; {instead}", provider.as_str())
            }
            Self::NoKey(provider) => write!(
                f,
                "{} needs a key: set apiKey.secretRef with name and key, or provider localai for a server without keys",
                provider.as_str()
            ),
            Self::NoAddress(provider) => {
                write!(f, "{} has no public address: set model.baseUrl", provider.as_str())
            }
            Self::ConfigMapMissing(name) => {
                write!(f, "the ConfigMap {name:?} does not exist in this namespace: make it, or name another")
            }
            Self::KeyMissing { name, key } => {
                write!(f, "the ConfigMap {name:?} has no key {key:?}: add it, or name another")
            }
            Self::DefinitionInvalid(sentence) | Self::InvalidSpec(sentence) => f.write_str(sentence),
            Self::TooLong { field, kib } => {
                write!(f, "{field} is longer than the {kib} KiB that the agent's actor takes: shorten it")
            }
        }
    }
}
