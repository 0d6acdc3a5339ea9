//! One AsyncActor as it is stored.

use asya_resources::{AsyncActorSpec, AsyncActorStatus};
use serde_json::Value;

use super::{Cluster, resource::ACTORS};

/// One AsyncActor.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) generation: i64,
    /// Whether it is being deleted.
    pub(crate) deleting: bool,
    /// `None` when it is older than a rule that it breaks, or newer than this program.
    pub(crate) spec: Option<AsyncActorSpec>,
    pub(crate) status: AsyncActorStatus,
    /// All of it.
    pub(crate) object: Value,
}

impl Actor {
    /// Reads an object of the API server.
    pub(crate) fn of(object: Value) -> Self {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            namespace: text("namespace"),
            generation: object["metadata"]["generation"].as_i64().unwrap_or_default(),
            deleting: object["metadata"]["deletionTimestamp"].is_string(),
            spec: AsyncActorSpec::read(&object["spec"]).ok(),
            status: AsyncActorStatus::read(&object),
            object,
        }
    }

    /// Whether the operator has seen the spec as it is now.
    pub(crate) fn is_current(&self) -> bool {
        self.status.observed_generation.is_some_and(|seen| seen >= self.generation)
    }

    /// The operator's word for it.
    pub(crate) fn word(&self) -> Option<&str> {
        self.status.status.as_deref()
    }
}

impl Cluster {
    /// An actor of the namespace that is meant.
    ///
    /// # Errors
    /// When there is none of that name: says which there are, here or elsewhere.
    pub(crate) async fn actor(&self, name: &str) -> anyhow::Result<Actor> {
        if let Some(object) = self.get(ACTORS, Some(&self.namespace), name).await? {
            return Ok(Actor::of(object));
        }
        Err(anyhow::anyhow!("{}", self.absent(name).await))
    }

    /// The actors of the namespace that is meant, or of all, by name.
    pub(crate) async fn actors(&self, everywhere: bool) -> anyhow::Result<Vec<Actor>> {
        let namespace = (!everywhere).then_some(self.namespace.as_str());
        let found = self.list(ACTORS, namespace, "").await?;
        Ok(found.into_iter().map(Actor::of).collect())
    }

    /// Why there is no such actor, as far as one may look.
    async fn absent(&self, name: &str) -> String {
        let here = &self.namespace;
        let elsewhere: Vec<_> = match self.actors(true).await {
            Ok(all) => {
                all.into_iter().filter(|actor| actor.name == name).map(|actor| actor.namespace).collect()
            }
            Err(_) => Vec::new(),
        };
        if let Some(namespace) = elsewhere.first() {
            return format!(
                "no actor {name} in namespace {here}, but one in {namespace}: add -n {namespace}"
            );
        }
        let names: Vec<_> = match self.actors(false).await {
            Ok(all) => all.into_iter().map(|actor| actor.name).collect(),
            Err(_) => Vec::new(),
        };
        match names.len() {
            0 => format!(
                "no actor {name} in namespace {here}; there is none at all: -n chooses another namespace"
            ),
            _ => format!("no actor {name} in namespace {here}; there are: {}", listed(&names)),
        }
    }
}

/// Names that are shown before the rest is only counted.
const NAMED: usize = 10;

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
