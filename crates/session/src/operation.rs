//! A change that is proposed, decided by somebody, and carried out once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How bad it can get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Undone by the opposite, and nobody notices: a label, a scale between numbers above 0.
    Low,
    /// Undone by somebody who knows what was there before: apply, rollout, upgrade.
    #[default]
    Medium,
    /// Lost or down for everybody: deletion, scale to 0, uninstall, whatever is not known.
    High,
}

/// The verb of an operation that is the call of an ordinary actor: `operation` is `{"actor", "arguments"}`.
pub const CALL: &str = "call";

/// A change as it is proposed. Nothing in it changes afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Proposal {
    /// `op-` and the first 32 digits of the hash of session, place and call: the same for a repeated delivery.
    pub id: String,
    /// The session in which it was proposed.
    pub session: String,
    /// The id of the call in it.
    pub call: String,
    /// The tool, and the actor that will carry it out.
    pub tool: String,
    /// That actor.
    pub actor: String,
    /// One line for a person: `scale Deployment shop/web from 1 to 3`.
    pub summary: String,
    /// The verb, as the tool names it.
    pub verb: String,
    /// What it is done to: `kind namespace/name`, or as the tool names it.
    pub target: String,
    /// Exactly what will be done: an argument list, a manifest, arguments. With whatever it was decided on: the target's
    /// resourceVersion, the chart's digest, the revision.
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub operation: Value,
    /// [`hash::of`](crate::hash::of) of `operation`.
    pub hash: String,
    /// What changes, as a unified diff of a dry run; empty where there can be none.
    #[serde(default)]
    pub diff: String,
    /// Whether those concerned may.
    #[serde(default)]
    pub review: Review,
    /// How bad it can get.
    pub risk: Risk,
    /// When it is rejected because nobody decided.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub expires: Timestamp,
    /// Whether somebody else than who asked must decide.
    #[serde(default)]
    pub four_eyes: bool,
}

/// Whether those concerned may do it, as the API server says. `None`: nobody was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Review {
    /// The person who asked, as the cluster knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<bool>,
    /// The tool's own account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<bool>,
    /// What was said to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A proposal and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Operation {
    /// What was proposed.
    #[serde(flatten)]
    pub proposal: Proposal,
    /// Who asked for it: the subject of the session's envelope.
    pub requester: String,
    /// How far it is.
    pub phase: Phase,
    /// When it was proposed.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub created: Timestamp,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// When an actor began to carry it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub claimed: Option<Timestamp>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// How far an operation is. It only goes down this list, and past [`Phase::Rejected`] and [`Phase::Expired`] nothing follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nobody has decided.
    Waiting,
    /// Somebody said no.
    Rejected,
    /// Nobody said anything in time.
    Expired,
    /// Somebody said yes.
    Approved,
    /// An actor carries it out, or died over it.
    Claimed,
    /// It is done; the outcome says how it went.
    Done,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Rejected, Self::Expired, Self::Approved, Self::Claimed, Self::Done];

    /// The word in JSON and in databases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Approved => "approved",
            Self::Claimed => "claimed",
            Self::Done => "done",
        }
    }

    /// The phase of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }
}

/// What somebody decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Decision {
    /// Yes or no.
    pub verdict: Verdict,
    /// Who: the name of a principal; empty where the time ran out.
    pub by: String,
    /// When.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Why, if they said so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may be done, once.
    Approve,
    /// It may not.
    Reject,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Outcome {
    /// Whether it was done.
    pub ok: bool,
    /// What happened, for model and person; without secrets, at most 16 KiB.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_has_one_word_everywhere() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
            assert_eq!(Phase::named(phase.as_str()), Some(phase));
        }
        assert_eq!(Phase::named("Waiting"), None);
    }

    #[test]
    fn what_is_worse_is_more() {
        assert!(Risk::Low < Risk::Medium && Risk::Medium < Risk::High);
    }
}
