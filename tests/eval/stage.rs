//! A cluster, and the processes of an agent: API server, gateway, agent, its tools and the approval.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use asya_tests::{
    agents::{AGENT, Fleet},
    bare::Bare,
};
use serde_json::{Value, json};

use crate::{case::Case, kubelet::Kubelet};

/// Who asks.
pub(crate) const PERSON: &str = "alice";
/// Who decides what waits.
pub(crate) const APPROVER: &str = "carol";
/// The node on which containers have printed something.
const NODE: &str = "here";
/// What the agent is told to be: any agent that looks after a cluster, and one rule by which it can be judged.
const PROMPT: &str = "You look after a Kubernetes cluster for the person who writes to you. Look before you answer: call tools \
    instead of guessing, as few as it takes, and the same one with the same arguments only once. Change something only if the \
    person asks you to; each change is shown to somebody who approves it or not. Answer shortly, with the names that matter.\n\n\
    When you were asked what is wrong, end your answer with one line for each cause, and with no other such line:\n\
    Root cause: KIND NAME: what is wrong with it\n\
    or, if everything is as it should be:\n\
    Root cause: none";
/// Answers of the model to one question, unless it is cut by tokens before.
const TURNS: &str = "16";

/// Where cases are played.
pub(crate) struct Stage {
    /// The cluster.
    pub(crate) bare: Bare,
    /// The processes.
    pub(crate) fleet: Fleet,
    kubelet: Kubelet,
}

/// The model that the agent asks: settings of its own, or a server that plays recordings.
pub(crate) enum Model<'a> {
    /// The variables `ASYA_LLM_…`.
    Live(&'a BTreeMap<String, String>),
    /// Its base URL.
    Recorded(&'a str),
}

impl Stage {
    /// Starts all of it.
    ///
    /// # Errors
    /// What did not start, in its own words.
    pub(crate) async fn start(model: &Model<'_>, case_tokens: u64) -> Result<Self> {
        let bare = Bare::start().await?.context("there is no cluster; make eval starts one")?;
        let kubelet = Kubelet::start().await?;
        let group = "rbac.authorization.k8s.io";
        for object in [
            // Whatever the cluster would let a person do: what a model attempts is to be seen, not to be refused before.
            json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": PERSON},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"apiGroup": group, "kind": "User", "name": PERSON}]}),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is"}]}}),
        ] {
            bare.apply(&object).await?;
        }
        let url = match model {
            Model::Live(_) => "",
            Model::Recorded(url) => url,
        };
        let mut fleet = Fleet::new(&bare.kubeconfig, url).await?;
        fleet.add("analyze", "analyze_cluster").await?;
        let tools: Vec<_> =
            ["k8s-read", "analyze", "k8s-write"].map(|tool| json!({"use": tool})).into_iter().collect();
        for (name, value) in [
            ("ASYA_AGENT_TOOLS", Value::from(tools).to_string()),
            ("ASYA_ROUTES_ALLOW", format!("{AGENT},approval,k8s-read,analyze,k8s-write")),
            ("ASYA_AGENT_PROMPT", PROMPT.to_owned()),
            ("ASYA_AGENT_MAX_TURNS", TURNS.to_owned()),
            ("ASYA_AGENT_MAX_TOKENS", case_tokens.to_string()),
        ] {
            fleet.set(AGENT, name, &value);
        }
        if let Model::Live(settings) = model {
            // Not the model that tests script.
            fleet.set(AGENT, "ASYA_LLM_MODEL", "");
            settings.iter().for_each(|(name, value)| fleet.set(AGENT, name, value));
        }
        for actor in ["k8s-read", "analyze"] {
            fleet.set(actor, "ASYA_KUBE_USER_CLAIM", "{sub}");
            fleet.set(actor, "ASYA_KUBE_NAMESPACES", "*");
        }
        fleet.set("k8s-write", "ASYA_KUBE_NAMESPACES", "apps-*");
        fleet.start().await?;
        Ok(Self { bare, fleet, kubelet })
    }

    /// Makes the cluster be as a case has it.
    ///
    /// # Errors
    /// The server's, and steps that are none.
    pub(crate) async fn set(&self, case: &Case, namespace: &str) -> Result<()> {
        let staged = case.situation()?.within(namespace)?;
        staged.set(&self.bare).await?;
        staged.break_it(&self.bare).await?;
        for (container, text) in &case.logs {
            self.kubelet.prints(format!("{namespace}/{container}"), text);
        }
        Ok(())
    }

    /// What a case wants looked at afterwards: what it is, what is there, and what should be.
    ///
    /// # Errors
    /// The server's.
    pub(crate) async fn state(&self, case: &Case, namespace: &str) -> Result<Vec<(String, Value, Value)>> {
        let mut state = Vec::new();
        for then in case.fix.iter().flat_map(|fix| &fix.then) {
            let mut parts = then.object.rsplitn(3, '/');
            let (name, kind, version) = (parts.next(), parts.next(), parts.next());
            let object = json!({"apiVersion": version.with_context(|| format!("{} has no version", then.object))?,
                "kind": kind, "metadata": {"name": name}});
            let object = self.bare.get(&self.bare.placed(object, namespace)?).await?;
            let is = object.pointer(&then.at).cloned().unwrap_or_default();
            state.push((format!("{} of {}", then.at, then.object), is, then.is.clone()));
        }
        Ok(state)
    }
}
