//! Agents on this machine: what an operator would make of them, and the shipped tools that they are granted.
//!
//! On a cluster a chart brings the actors of tools, with accounts of their own. Here one process has the rights of whoever
//! started it, so a tool that no manifest declares is started as it is: `k8s-write` then changes nothing, because no
//! namespace is open to it.

use std::collections::BTreeMap;

use asya_crew::Kind;
use asya_resources::{
    API_VERSION, AsyncActor, KIND,
    agent::{Agent, Around, Granted, compile},
};
use serde_json::{Value, json};

use crate::manifest::{AgentManifest, Loaded, Manifest};

/// What is known of this place: no image is pulled, and nothing needs to be kept up for lack of a scaler.
const HERE: Around<'_> = Around { image: "asya-crew", pull_policy: None, keda: true };

/// What becomes of the agents of manifests.
#[derive(Debug, Default)]
pub(super) struct Agents {
    /// Their actors.
    pub(super) actors: Vec<Manifest>,
    /// Those of shipped tools that no manifest declares, and of the approval.
    pub(super) tools: Vec<Manifest>,
    /// What the gateway is told of each: the content of `<agent>.json`.
    pub(super) entries: BTreeMap<String, Value>,
    /// What somebody should know.
    pub(super) notes: Vec<String>,
}

impl Agents {
    /// Compiles them.
    ///
    /// # Errors
    /// Everything that stands in the way, one sentence each.
    pub(super) fn of(loaded: &Loaded) -> Result<Self, Vec<String>> {
        let (mut agents, mut problems) = (Self::default(), Vec::new());
        for manifest in &loaded.agents {
            if let Err(more) = agents.add(manifest, loaded) {
                problems.extend(more.into_iter().map(|why| format!("agent {}: {why}", manifest.name())));
            }
        }
        if problems.is_empty() { Ok(agents) } else { Err(problems) }
    }

    fn add(&mut self, manifest: &AgentManifest, loaded: &Loaded) -> Result<(), Vec<String>> {
        let name = manifest.name();
        if loaded.actors.iter().chain(&self.actors).any(|actor| actor.name() == name) {
            return Err(vec!["there is an actor of that name".to_owned()]);
        }
        let agent = resolved(&manifest.agent, loaded).map_err(|why| vec![why])?;
        let said = |why: &dyn ToString| vec![why.to_string()];
        let compiled =
            compile(&agent, &HERE).map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let actor = AsyncActor::read(&compiled.actor).map_err(|error| said(&error))?;
        self.actors.push(Manifest { actor, file: manifest.file.clone() });
        self.entries.insert(name.to_owned(), compiled.entry);
        let tools = agent.spec.tools.clone().unwrap_or_default();
        let approval = agent.spec.approval.clone().unwrap_or_default();
        let granted = tools.granted();
        let mut needed: Vec<_> = granted.iter().map(|tool| (tool.actor(), shipped(tool))).collect();
        if granted.iter().any(Granted::approval) {
            needed.push((approval.actor(), Some((Kind::Approval, false))));
        }
        for (actor, shipped) in needed {
            if loaded.actors.iter().chain(&self.tools).any(|known| known.name() == actor) {
                continue;
            }
            let Some((kind, asks)) = shipped else {
                self.notes.push(format!(
                    "agent {name}: no manifest declares the actor {actor}, and calls of it fail"
                ));
                continue;
            };
            let ways = if asks { vec![approval.actor(), actor] } else { Vec::new() };
            let actor = tool(actor, kind, &ways);
            let actor = AsyncActor::read(&actor).map_err(|error| said(&error))?;
            self.tools.push(Manifest { actor, file: manifest.file.clone() });
        }
        Ok(())
    }
}

/// The agent with its text in place, which a ConfigMap of the same manifests holds.
fn resolved(agent: &Agent, loaded: &Loaded) -> Result<Agent, String> {
    let text = match agent.spec.source() {
        None => None,
        Some((name, key)) => {
            let text = loaded.texts.get(&(name.to_owned(), key.to_owned()));
            Some(text.ok_or_else(|| {
                format!("its text is the key {key:?} of the ConfigMap {name:?}: add that ConfigMap to the manifests")
            })?)
        }
    };
    agent.resolved(text.map(String::as_str)).map_err(|objection| objection.to_string())
}

/// What runs as a shipped tool, and whether it leads envelopes to the approval itself.
fn shipped(tool: &Granted<'_>) -> Option<(Kind, bool)> {
    match tool {
        Granted::Shipped(shipped) => Some((Kind::of_name(shipped.actor)?, shipped.asks)),
        Granted::Declared(_) => None,
    }
}

/// The actor of a shipped tool, as the chart asya-agents says it; `ways` is where it may lead envelopes besides.
fn tool(name: &str, kind: Kind, ways: &[&str]) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": { "name": name },
        "spec": { "transport": "local", "handler": kind.handler(), "embedded": true, "routes": { "allow": ways } },
    })
}
