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
    /// This, and the accounts that gateways know: some of its pods may still run as those. Not with its own account where
    /// that is not `its`, nor at all where no account is left.
    Moving {
        /// The entry.
        entry: String,
        /// Whether nobody else has the account that it names.
        its: bool,
    },
    /// As it is: what the agent says cannot be told now.
    Keep,
    /// None: it may not run.
    Without,
}

impl Verdict {
    /// Whether it takes what gateways are told now.
    fn needs_stored(&self) -> bool {
        matches!(self, Self::Keep | Self::Moving { .. })
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

/// The accounts that an entry tells gateways, the one before the others first.
pub fn accounts(entry: &str) -> Vec<String> {
    let Ok(Value::Object(entry)) = serde_json::from_str(entry) else { return Vec::new() };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match entry.get("accounts").and_then(Value::as_array) {
        Some(accounts) => accounts.iter().filter_map(text).collect(),
        None => vec![entry.get("account").and_then(text).unwrap_or_else(|| UNNAMED.to_owned())],
    }
}

/// An entry with the accounts of the one before it. Gateways that know no list take the first.
fn moving(entry: &str, its: bool, before: Option<&String>) -> Option<String> {
    let mut entry: Value = serde_json::from_str(entry).ok()?;
    let account = entry["account"].as_str()?;
    let mut accounts = before.map_or_else(Vec::new, |before| accounts(before));
    if !its {
        accounts.retain(|before| before != account);
    } else if !accounts.iter().any(|before| before == account) {
        accounts.push(account.to_owned());
    }
    entry["account"] = json!(accounts.first()?);
    entry["accounts"] = json!(accounts);
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
            Verdict::Moving { entry, its } => moving(entry, *its, stored.get(&key)),
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
    fn both_accounts_are_told_while_pods_run_as_either() {
        let entry = |accounts: &[&str]| {
            json!({"name": "a", "turns": 2, "account": accounts[0], "accounts": accounts}).to_string()
        };
        let told = |its: bool, stored: Option<&str>| {
            let verdicts = [("a".to_owned(), Verdict::Moving { entry: entry(&["asya-a"]), its })].into();
            let stored = stored.map(|stored| ("a.json".to_owned(), stored.to_owned())).into_iter().collect();
            desired("shop", &verdicts, &stored)["data"].clone()
        };
        // Of an operator that listed none.
        let before = json!({"name": "a", "turns": 1, "account": "bedrock"}).to_string();
        assert_eq!(told(true, Some(&before)), json!({"a.json": entry(&["bedrock", "asya-a"])}));
        assert_eq!(told(true, Some(r#"{"name": "a"}"#)), json!({"a.json": entry(&["default", "asya-a"])}));
        // Of one that moved while it moved; and once more the same.
        let twice = entry(&["default", "bedrock", "asya-a"]);
        assert_eq!(told(true, Some(&entry(&["default", "bedrock"]))), json!({"a.json": twice}));
        assert_eq!(told(true, Some(&twice)), json!({"a.json": twice}));
        // New ones, and what cannot be read.
        assert_eq!(told(true, None), json!({"a.json": entry(&["asya-a"])}));
        assert_eq!(told(true, Some("not json")), json!({"a.json": entry(&["asya-a"])}));
        // An account that is somebody else's is not told, nor any longer.
        assert_eq!(told(false, Some(&before)), json!({"a.json": entry(&["bedrock"])}));
        assert_eq!(told(false, Some(&entry(&["bedrock", "asya-a"]))), json!({"a.json": entry(&["bedrock"])}));
        assert_eq!(told(false, Some(&entry(&["asya-a"]))), json!({}));
        assert_eq!(told(false, None), json!({}));
        assert!(Verdict::Entry(entry(&["asya-a"])).tells_account("asya-a"));
        assert!(!Verdict::Entry(entry(&["default"])).tells_account("asya-a"));
        assert!(!Verdict::Moving { entry: entry(&["asya-a"]), its: true }.tells_account("asya-a"));
    }
}
