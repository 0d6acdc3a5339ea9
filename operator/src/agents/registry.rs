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

/// What an agent's entry has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This.
    Entry(String),
    /// As it is: what the agent says cannot be told now.
    Keep,
    /// None: it may not run.
    Without,
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
    let stored = if verdicts.values().any(|verdict| *verdict == Verdict::Keep) {
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

fn desired(
    namespace: &str,
    verdicts: &BTreeMap<String, Verdict>,
    stored: &BTreeMap<String, String>,
) -> Value {
    let mut data = BTreeMap::new();
    for (name, verdict) in verdicts {
        let key = format!("{name}.json");
        let entry = match verdict {
            Verdict::Entry(entry) => Some(entry),
            Verdict::Keep => stored.get(&key),
            Verdict::Without => None,
        };
        if let Some(entry) = entry {
            data.insert(key, entry.clone());
        }
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
}
