//! Exactly what is done to an object: what somebody approves, and by whose hash it is known again.

use std::fmt;

use asya_cluster::{Served, review::Right};
use asya_session::hash;
use kube::api::ApiResource;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{arguments::Verb, change::Which};
use crate::kube::consent::refused::{Refused, refuse};

/// Fields of metadata that change by themselves, or whenever anything else does.
const MOVING: [&str; 6] =
    ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];
/// The annotation by which a Deployment's controller numbers its templates.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Labels or annotations that a summary names.
const NAMED: usize = 4;

/// One object of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Target {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// As it stands in paths and roles.
    pub(super) plural: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// How the API server is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    /// Server-side apply of a manifest.
    Apply,
    /// A JSON merge patch.
    Merge,
    /// A strategic merge patch, for lists by names.
    Strategic,
    /// It is deleted.
    Delete,
}

/// What is done, and to which state of the object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Deed {
    pub(super) verb: Verb,
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) patch: Value,
    /// The object that was looked at; none: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<String>,
    /// Its version then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resource_version: Option<String>,
    /// How often its spec had changed then, where that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<i64>,
    /// The hash of its [`state`] then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
}

impl Method {
    /// How the API server is told to do this.
    pub(super) const fn of(verb: Verb) -> Self {
        match verb {
            Verb::Apply => Self::Apply,
            Verb::Delete => Self::Delete,
            Verb::RolloutUndo | Verb::SetImage => Self::Strategic,
            Verb::Scale
            | Verb::RolloutRestart
            | Verb::Pause
            | Verb::Resume
            | Verb::Label
            | Verb::Annotate
            | Verb::Cordon
            | Verb::Uncordon => Self::Merge,
        }
    }

    /// The rights that it takes to do something so. Who sees what changes reads the object.
    pub(super) fn rights(self, target: &Target) -> Vec<Right> {
        let verbs: &[&str] = match self {
            Self::Apply => &["get", "create", "patch"],
            Self::Merge | Self::Strategic => &["get", "patch"],
            Self::Delete => &["get", "delete"],
        };
        verbs.iter().map(|verb| target.right(verb)).collect()
    }
}

impl Target {
    pub(super) fn new(kind: &Served, namespace: Option<String>, name: String) -> Self {
        Self {
            api_version: kind.api_version(),
            kind: kind.kind.clone(),
            plural: kind.plural.clone(),
            namespace,
            name,
        }
    }

    /// The API group; empty for the core group.
    pub(super) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// As a client addresses its kind.
    pub(super) fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group().to_owned(),
            version: self.api_version.rsplit('/').next().unwrap_or_default().to_owned(),
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        }
    }

    /// The right to do this with it.
    pub(super) fn right(&self, verb: &str) -> Right {
        Right {
            verb: verb.to_owned(),
            group: self.group().to_owned(),
            resource: self.plural.clone(),
            subresource: String::new(),
            namespace: self.namespace.clone(),
            // Nobody is allowed to create by name.
            name: Some(self.name.clone()).filter(|_| verb != "create"),
        }
    }

    /// The kind and the plural of the objects in which earlier templates of its pods are kept.
    pub(super) fn history(&self) -> (&'static str, &'static str) {
        match self.kind.as_str() {
            "Deployment" => ("ReplicaSet", "replicasets"),
            _ => ("ControllerRevision", "controllerrevisions"),
        }
    }
}

impl fmt::Display for Target {
    /// `Deployment shop/web`, `Node n1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl Deed {
    /// What is done to the object `live`; null: there is none.
    pub(super) fn new(verb: Verb, target: Target, patch: Value, live: &Value) -> Self {
        let text = |field: &str| live["metadata"][field].as_str().map(str::to_owned);
        let (uid, resource_version) = (text("uid"), text("resourceVersion"));
        let generation = live["metadata"]["generation"].as_i64();
        let state = (!live.is_null()).then(|| hash::of(&state(live)));
        let method = Method::of(verb);
        Self { verb, target, method, patch, uid, resource_version, generation, state }
    }

    /// Whether it does what its verb says and nothing besides: it may have been written down elsewhere.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let fits = match self.only() {
            None => self.verb == Verb::Apply || self.patch.is_null(),
            Some(path) => {
                let found = path.iter().try_fold(&self.patch, |part, field| {
                    let fields = part.as_object().filter(|fields| fields.len() == 1)?;
                    fields.get(*field)
                });
                found.is_some()
            }
        };
        if self.method != Method::of(self.verb) || !fits {
            return refuse(format!("this is no change that {} makes", self.verb.name()));
        }
        Ok(())
    }

    /// The one field that its patch says; none: it has no patch but a manifest, or nothing.
    const fn only(&self) -> Option<&'static [&'static str]> {
        Some(match self.verb {
            Verb::Apply | Verb::Delete => return None,
            Verb::Scale => &["spec", "replicas"],
            Verb::Pause | Verb::Resume => &["spec", "paused"],
            Verb::Cordon | Verb::Uncordon => &["spec", "unschedulable"],
            Verb::Label => &["metadata", "labels"],
            Verb::Annotate => &["metadata", "annotations"],
            Verb::RolloutRestart => &["spec", "template", "metadata", "annotations"],
            Verb::RolloutUndo => &["spec", "template"],
            Verb::SetImage => &["spec", "template", "spec"],
        })
    }

    /// Whether `live` is what it was decided on: the same object, in the same state.
    pub(super) fn is_for(&self, live: Option<&Value>) -> bool {
        match live {
            None => self.uid.is_none(),
            Some(live) => {
                self.uid.as_deref() == live["metadata"]["uid"].as_str()
                    && self.state.as_deref() == Some(&hash::of(&state(live)))
            }
        }
    }

    /// Whether nobody has changed `live` since it was looked at, not even there and back. Versions also move with a status;
    /// the generation does not, but it does not count labels and annotations either.
    pub(super) fn is_untouched(&self, live: Option<&Value>) -> bool {
        let Some(metadata) = live.map(|live| &live["metadata"]) else { return false };
        let of_spec = self.patch.get("metadata").is_none() && self.generation.is_some();
        let same_version = metadata["resourceVersion"].as_str() == self.resource_version.as_deref();
        let same_spec = metadata["generation"].as_i64() == self.generation;
        self.is_for(live) && (same_version || (of_spec && same_spec))
    }

    /// How its kind is asked for.
    pub(super) fn which(&self) -> Which {
        Which::Typed { api_version: self.target.api_version.clone(), kind: self.target.kind.clone() }
    }

    /// The rights that it takes, of the person and of the tool.
    pub(super) fn rights(&self) -> Vec<Right> {
        self.method.rights(&self.target)
    }

    /// One line for a person. `live` is the object as it is before.
    pub(super) fn summary(&self, live: Option<&Value>) -> String {
        let Self { target, patch, .. } = self;
        match self.verb {
            Verb::Apply if self.uid.is_none() => format!("create {target}"),
            Verb::Apply => format!("apply {target}"),
            Verb::Scale => {
                let was = live.map_or(&Value::Null, |live| &live["spec"]["replicas"]);
                format!("scale {target} from {was} to {}", patch["spec"]["replicas"])
            }
            Verb::RolloutRestart => format!("restart the pods of {target}"),
            Verb::RolloutUndo => format!("take {target} back to the revision before this one"),
            Verb::Pause => format!("pause rollouts of {target}"),
            Verb::Resume => format!("resume rollouts of {target}"),
            Verb::Label => format!("label {target}: {}", marks(&patch["metadata"]["labels"])),
            Verb::Annotate => format!("annotate {target}: {}", marks(&patch["metadata"]["annotations"])),
            Verb::Delete => format!("delete {target}"),
            Verb::Cordon => format!("cordon {target}"),
            Verb::Uncordon => format!("uncordon {target}"),
            Verb::SetImage => {
                let pods = &patch["spec"]["template"]["spec"];
                let container = ["containers", "initContainers"].map(|list| &pods[list][0]);
                let container = container.into_iter().find(|found| found.is_object()).unwrap_or(&Value::Null);
                let text = |field: &str| container[field].as_str().unwrap_or_default().to_owned();
                format!("set the image of {} in {target} to {}", text("name"), text("image"))
            }
        }
    }
}

/// The names of labels that come, and with `-` those that go.
fn marks(marks: &Value) -> String {
    let marks = marks.as_object().into_iter().flatten();
    let mut names: Vec<String> =
        marks.map(|(name, value)| if value.is_null() { format!("{name}-") } else { name.clone() }).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// What of an object somebody wished: without its status and what the API server counts.
pub(super) fn state(object: &Value) -> Value {
    let mut state: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    state.remove("status");
    if let Some(Value::Object(metadata)) = state.get_mut("metadata") {
        metadata.retain(|field, _| !MOVING.contains(&field.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(REVISION);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    Value::Object(state)
}
