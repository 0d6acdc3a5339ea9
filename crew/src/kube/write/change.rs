//! From what is asked for to a change of one object, before anybody has looked at it.

use std::collections::BTreeMap;

use asya_cluster::{Served, review::Right};
use serde_json::{Value, json};

use super::{
    arguments::Verb,
    deed::{Deed, Method, Target},
};
use crate::kube::consent::{
    refused::{Refused, refuse, shortened},
    rules::Rules,
};

/// The annotation that `kubectl rollout restart` writes into the template of pods.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// Kinds whose pods follow a template that is rolled out.
const ROLLED: [(&str, &str); 3] = [("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet")];
const PAUSED: [(&str, &str); 1] = [("apps", "Deployment")];
const SCALED: [(&str, &str); 4] =
    [("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")];

/// Labels or annotations; none takes one off.
pub(super) type Marks = BTreeMap<String, Option<String>>;

/// How an object is to become.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    Apply(Value),
    Replicas(u32),
    Labels(Marks),
    Annotations(Marks),
    Image { container: Option<String>, image: String },
    Paused(bool),
    Cordoned(bool),
    Restart,
    Undo,
    Delete,
}

/// Which kind somebody means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Which {
    /// As kubectl takes it: `deploy`, `deployments.apps`.
    Called(String),
    /// As a manifest says it.
    Typed { api_version: String, kind: String },
}

/// What was asked for; nothing was looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) verb: Verb,
    pub(super) which: Which,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) how: How,
    /// Only what it would change is asked for.
    pub(super) dry_run: bool,
}

/// A change of one object that may be changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) verb: Verb,
    pub(super) target: Target,
    pub(super) how: How,
    pub(super) dry_run: bool,
}

impl Wanted {
    /// The change, if the kind is served so and the rules let it be changed.
    pub(super) fn of(self, kind: &Served, rules: &Rules) -> Result<Change, Refused> {
        let Self { verb, which, namespace, name, mut how, dry_run } = self;
        let among = |kinds: &[(&str, &str)]| kinds.contains(&(kind.group.as_str(), kind.kind.as_str()));
        let fits = match verb {
            Verb::Scale => among(&SCALED),
            Verb::RolloutRestart | Verb::RolloutUndo | Verb::SetImage => among(&ROLLED),
            Verb::Pause | Verb::Resume => among(&PAUSED),
            Verb::Cordon | Verb::Uncordon => among(&[("", "Node")]),
            Verb::Apply | Verb::Label | Verb::Annotate | Verb::Delete => true,
        };
        if !fits {
            return refuse(format!("{} is not for {}", verb.name(), kind.full_name()));
        }
        if let Which::Typed { api_version, .. } = &which
            && *api_version != kind.api_version()
        {
            return refuse(format!(
                "the manifest says {api_version}, the cluster has {} in {}: write it so",
                kind.kind,
                kind.api_version()
            ));
        }
        if kind.namespaced && namespace.is_none() {
            return refuse(format!("say the namespace of the {}", kind.kind));
        }
        if !kind.namespaced && namespace.is_some() {
            return refuse(format!("a {} belongs to no namespace", kind.kind));
        }
        rules.check(kind, namespace.as_deref(), &name)?;
        if let (How::Apply(manifest), Some(namespace)) = (&mut how, &namespace) {
            manifest["metadata"]["namespace"] = namespace.as_str().into();
        }
        Ok(Change { verb, target: Target::new(kind, namespace, name), how, dry_run })
    }
}

impl Change {
    /// The rights that it takes, of the person and of the tool.
    pub(super) fn rights(&self) -> Vec<Right> {
        let mut rights = Method::of(self.verb).rights(&self.target);
        if self.needs_earlier() {
            let (_, plural) = self.target.history();
            rights.push(Right { resource: plural.to_owned(), name: None, ..self.target.right("list") });
        }
        rights
    }

    /// Whether the template of pods has to be known that the object had before.
    pub(super) fn needs_earlier(&self) -> bool {
        self.how == How::Undo
    }

    /// What will be done to the object as it is now. `earlier` is its template of pods before the one that it has, `now`
    /// the time that a restart writes down.
    pub(super) fn deed(
        &self,
        live: Option<&Value>,
        earlier: Option<Value>,
        now: &str,
    ) -> Result<Deed, Refused> {
        let Self { verb, target, how, .. } = self;
        if live.is_none() && !matches!(how, How::Apply(_)) {
            return refuse(format!("there is no {target}"));
        }
        if live.is_some_and(|live| !live["metadata"]["deletionTimestamp"].is_null()) {
            return refuse(format!("{target} is being deleted already"));
        }
        let live = live.unwrap_or(&Value::Null);
        let patch = match how {
            How::Apply(manifest) => manifest.clone(),
            How::Delete => Value::Null,
            How::Replicas(replicas) => json!({"spec": {"replicas": replicas}}),
            How::Labels(labels) => json!({"metadata": {"labels": labels}}),
            How::Annotations(annotations) => json!({"metadata": {"annotations": annotations}}),
            How::Paused(paused) => json!({"spec": {"paused": paused}}),
            How::Cordoned(cordoned) => json!({"spec": {"unschedulable": cordoned}}),
            How::Restart => json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}}),
            How::Image { container, image } => image_of(live, container.as_deref(), image)?,
            How::Undo => {
                let Some(Value::Object(mut template)) = earlier else {
                    return refuse(format!("{target} has no revision before this one"));
                };
                template.insert("$patch".to_owned(), "replace".into());
                json!({"spec": {"template": template}})
            }
        };
        Ok(Deed::new(*verb, target.clone(), patch, live))
    }
}

/// The patch that gives a container another image. Only one that there is: a list by names would take a new one.
fn image_of(live: &Value, container: Option<&str>, image: &str) -> Result<Value, Refused> {
    let pods = &live["spec"]["template"]["spec"];
    let names = |list: &str| -> Vec<String> {
        let containers = pods[list].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
    };
    let (main, first) = (names("containers"), names("initContainers"));
    let name = match (container, main.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, _) => return refuse(format!("say the container, one of {}", main.join(", "))),
    };
    let list = match name {
        name if main.iter().any(|known| known == name) => "containers",
        name if first.iter().any(|known| known == name) => "initContainers",
        name => {
            let known = main.iter().chain(&first).map(String::as_str).collect::<Vec<_>>().join(", ");
            return refuse(format!("there is no container {:?}; there are {known}", shortened(name)));
        }
    };
    Ok(json!({"spec": {"template": {"spec": {list: [{"name": name, "image": image}]}}}}))
}
