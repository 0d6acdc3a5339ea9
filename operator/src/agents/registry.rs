//! The ConfigMap `asya-agents` of a namespace, which tells gateways which agents there are: one key each. It is applied as a
//! whole by one field manager, so that the key of an agent that is gone goes without a finalizer, also after a restart; keys
//! that somebody else wrote into it stay theirs.

use std::collections::BTreeMap;

use asya_resources::agent::REGISTRY;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};
use tracing::info;

use super::{REGISTRY_LABEL, run::Context};
use crate::controllers::{
    apply::{Written, timely},
    live::Kind,
};

/// The account of an entry that names none.
const UNNAMED: &str = "default";

/// What an agent's entry has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This.
    Entry(String),
    /// This, but with the account that gateways know: some of its pods may still run as that. Where they know none, none.
    Moving(String),
    /// As it is: what the agent says cannot be told now.
    Keep,
    /// None: it may not run.
    Without,
}

impl Verdict {
    /// Whether it takes what gateways are told now.
    fn needs_stored(&self) -> bool {
        matches!(self, Self::Keep | Self::Moving(_))
    }

    /// Whether it is an entry that names this account.
    pub fn tells_account(&self, account: &str) -> bool {
        let Self::Entry(entry) = self else { return false };
        serde_json::from_str::<Value>(entry).is_ok_and(|entry| entry["account"] == account)
    }
}

/// Looks at the entries of a namespace.
///
/// # Errors
/// What the API server said.
pub async fn reconcile(context: &Context, namespace: &str) -> anyhow::Result<()> {
    let Some(verdicts) = context.known.verdicts(namespace) else { return Ok(()) };
    let key = (namespace.to_owned(), REGISTRY.to_owned());
    // Where there are no agents none is made; and one that is there is emptied, not deleted.
    if verdicts.is_empty() && context.known.cache.object(Kind::ConfigMap, &key).is_none() {
        return Ok(());
    }
    let stored = if verdicts.values().any(Verdict::needs_stored) {
        let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
        timely(api.get_opt(REGISTRY)).await?.and_then(|map| map.data).unwrap_or_default()
    } else {
        BTreeMap::new()
    };
    let desired = desired(namespace, &verdicts, &stored);
    if context.applier.apply(&desired, None).await? == Written::Applied {
        info!(
            namespace,
            agents = desired["data"].as_object().map_or(0, serde_json::Map::len),
            "told gateways"
        );
    }
    Ok(())
}

/// An entry with the account that another one names.
fn with_account_of(entry: &str, other: &str) -> Option<String> {
    let mut entry: Value = serde_json::from_str(entry).ok()?;
    let other: Value = serde_json::from_str(other).ok()?;
    entry["account"] = json!(other["account"].as_str().unwrap_or(UNNAMED));
    Some(entry.to_string())
}

fn desired(
    namespace: &str,
    verdicts: &BTreeMap<String, Verdict>,
    stored: &BTreeMap<String, String>,
) -> Value {
    let mut data = BTreeMap::new();
    for (name, verdict) in verdicts {
        let key = format!("{name}.json");
        let entry = match verdict {
            Verdict::Entry(entry) => Some(entry.clone()),
            Verdict::Moving(entry) => stored.get(&key).and_then(|stored| with_account_of(entry, stored)),
            Verdict::Keep => stored.get(&key).cloned(),
            Verdict::Without => None,
        };
        data.extend(entry.map(|entry| (key, entry)));
    }
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": REGISTRY,
            "namespace": namespace,
            "labels": {REGISTRY_LABEL: "true", "app.kubernetes.io/managed-by": "asya-operator"},
        },
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_told_now_stays_and_what_may_not_run_goes() {
        let verdicts = [
            ("a", Verdict::Entry("new".to_owned())),
            ("b", Verdict::Keep),
            ("c", Verdict::Keep),
            ("d", Verdict::Without),
        ];
        let verdicts = verdicts.map(|(name, verdict)| (name.to_owned(), verdict)).into();
        let stored = [("a.json", "old"), ("b.json", "kept"), ("d.json", "old"), ("gone.json", "old")];
        let stored = stored.map(|(key, entry)| (key.to_owned(), entry.to_owned())).into();
        let desired = desired("shop", &verdicts, &stored);
        assert_eq!(desired["data"], json!({"a.json": "new", "b.json": "kept"}));
    }

    #[test]
    fn a_new_account_is_told_when_nothing_runs_as_the_one_before() {
        let entry = |account: &str| json!({"name": "a", "turns": 2, "account": account}).to_string();
        let told = |verdict: Verdict, stored: &str| {
            let verdicts = [("a".to_owned(), verdict)].into();
            let stored = [("a.json".to_owned(), stored.to_owned())].into();
            desired("shop", &verdicts, &stored)["data"].clone()
        };
        let moving = || Verdict::Moving(entry("asya-a"));
        let before = json!({"name": "a", "turns": 1, "account": "bedrock"}).to_string();
        assert_eq!(told(moving(), &before), json!({"a.json": entry("bedrock")}));
        assert_eq!(told(moving(), r#"{"name": "a"}"#), json!({"a.json": entry("default")}));
        assert_eq!(told(moving(), &entry("asya-a")), json!({"a.json": entry("asya-a")}));
        // What cannot be read tells gateways nothing, and what is not there neither.
        assert_eq!(told(moving(), "not json"), json!({}));
        let verdicts = [("a".to_owned(), moving())].into();
        assert_eq!(desired("shop", &verdicts, &BTreeMap::new())["data"], json!({}));
        assert!(Verdict::Entry(entry("asya-a")).tells_account("asya-a"));
        assert!(!Verdict::Entry(entry("default")).tells_account("asya-a"));
        assert!(!moving().tells_account("asya-a"));
    }
}
