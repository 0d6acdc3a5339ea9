//! One agent, as its file is written. An operator of another version may have written it: names that are not known here
//! are left alone.

use asya_envelope::ActorName;
use asya_resources::ACCOUNT_PREFIX;
use asya_session::{Options, Proposal, Risk};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tools::Wrong;

/// Hottest that a model is asked for.
const HOTTEST: f64 = 2.0;

/// An agent: who it is, and what it may.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Its name, which is that of its actor.
    #[schema(example = "operator")]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Models that a message may ask for, the one that it takes by itself first.
    #[serde(default)]
    pub models: Vec<String>,
    /// What one message may use up.
    #[serde(default)]
    pub budget: Budget,
    /// What it can do.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// How what it proposes is approved, where that is stricter than the tool's own settings.
    #[serde(default)]
    pub approval: Approval,
    /// The service account that its actor runs as, where no list says it.
    #[serde(default = "unnamed", skip_serializing)]
    #[schema(ignore)]
    account: String,
    /// Those that its pods may run as: two while it moves from one to another.
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    accounts: Option<Vec<String>>,
}

/// The account of pods that name none.
fn unnamed() -> String {
    "default".to_owned()
}

/// How what an agent proposes is approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentApproval)]
#[serde(rename_all = "camelCase", default)]
pub struct Approval {
    /// Seconds until it is rejected because nobody decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// Whether somebody else than who asked must decide.
    pub four_eyes: bool,
}

impl Approval {
    /// Makes a proposal of `now` as strict.
    pub fn tighten(self, proposal: &mut Proposal, now: Timestamp) {
        proposal.four_eyes |= self.four_eyes;
        let latest =
            self.timeout.and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds.into())).ok());
        if let Some(latest) = latest {
            proposal.expires = proposal.expires.min(latest);
        }
    }
}

/// What the turns of one message may use up. What is not said is not bounded here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    /// Calls of a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
    /// Tokens, read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Actors in a route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<u64>,
    /// Levels of fan-outs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// Seconds, without those that an approval takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_clock: Option<u64>,
}

/// Something that an agent can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentTool)]
pub struct Tool {
    /// Its name, as the model knows it.
    #[schema(example = "k8s_write")]
    pub name: String,
    /// How bad it can get.
    #[serde(default)]
    pub risk: Risk,
    /// Whether somebody must approve each call.
    #[serde(default)]
    pub approval: bool,
}

impl Agent {
    /// An agent from its file.
    ///
    /// # Errors
    /// A sentence: what is wrong with it.
    pub(super) fn parse(stem: &str, text: &[u8]) -> Result<Self, String> {
        let agent: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        ActorName::parse(&agent.name).map_err(|error| error.to_string())?;
        if agent.name != stem {
            return Err(format!("agent {:?} belongs into a file {0}.json", agent.name));
        }
        Ok(agent)
    }

    /// Whether it runs as a service account of this name: one that its file lists, or, where that lists none, the one that it
    /// names and the one that the operator makes for it.
    pub fn runs_as(&self, account: &str) -> bool {
        match &self.accounts {
            Some(accounts) => accounts.iter().any(|listed| listed == account),
            None => self.account == account || account.strip_prefix(ACCOUNT_PREFIX) == Some(&self.name),
        }
    }

    /// What is wrong with wishes for a turn.
    pub fn wrong(&self, options: &Options) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut is = |field: &str, reason: String| {
            wrong.push(Wrong { field: format!("options.{field}"), reason, missing: false });
        };
        if let Some(model) = options.model.as_ref().filter(|model| !self.models.contains(model)) {
            is(
                "model",
                match self.models.as_slice() {
                    [] => format!("agent {:?} lets nobody choose a model, so not {model:?}", self.name),
                    models => {
                        format!("agent {:?} has no model {model:?}, but {}", self.name, models.join(", "))
                    }
                },
            );
        }
        if options.max_tokens == Some(0) {
            is("max_tokens", "an answer has at least 1 token".to_owned());
        }
        if options.temperature.is_some_and(|heat| !(0.0..=HOTTEST).contains(&heat)) {
            is("temperature", format!("a temperature is from 0 to {HOTTEST}"));
        }
        wrong
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wishes_are_refused_by_name_of_field_and_with_what_there_is() {
        let agent: Agent =
            serde_json::from_value(json!({"name": "a", "models": ["x/one", "x/two"]})).unwrap();
        assert_eq!(agent.wrong(&Options::default()), []);
        let good = Options { model: Some("x/two".to_owned()), max_tokens: Some(1), temperature: Some(2.0) };
        assert_eq!(agent.wrong(&good), []);
        for heat in [-0.1, 2.1, f64::NAN] {
            let bad = Options { model: Some("y".to_owned()), max_tokens: Some(0), temperature: Some(heat) };
            let wrong = agent.wrong(&bad);
            let fields: Vec<_> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
            assert_eq!(fields, ["options.model", "options.max_tokens", "options.temperature"]);
            assert!(wrong[0].reason.contains("x/one, x/two"), "{}", wrong[0].reason);
        }
    }

    #[test]
    fn an_agent_runs_as_the_accounts_that_its_file_lists_and_as_no_other() {
        let runs_as = |file: serde_json::Value| {
            let agent = Agent::parse("ops", file.to_string().as_bytes()).unwrap();
            let accounts = ["default", "bedrock", "asya-ops", "asya-other", ""];
            accounts.into_iter().filter(|account| agent.runs_as(account)).collect::<Vec<_>>()
        };
        assert_eq!(runs_as(json!({"name": "ops"})), ["default", "asya-ops"]);
        assert_eq!(runs_as(json!({"name": "ops", "account": "bedrock"})), ["bedrock", "asya-ops"]);
        let listed = |accounts| json!({"name": "ops", "account": "default", "accounts": accounts});
        assert_eq!(runs_as(listed(json!(["bedrock"]))), ["bedrock"]);
        assert_eq!(runs_as(listed(json!(["default", "asya-ops"]))), ["default", "asya-ops"]);
        assert_eq!(runs_as(listed(json!([]))), [""; 0]);
    }

    #[test]
    fn a_file_of_another_version_is_read_and_one_of_another_name_is_not() {
        let text = br#"{"name": "a", "colour": "red", "budget": {"wallClock": 60}, "tools": [{"name": "t", "risk": "high"}]}"#;
        let agent = Agent::parse("a", text).unwrap();
        assert_eq!((agent.budget.wall_clock, agent.tools[0].risk), (Some(60), Risk::High));
        assert!(Agent::parse("b", text).unwrap_err().contains("a.json"));
        assert!(Agent::parse("A!", br#"{"name": "A!"}"#).is_err());
    }
}
