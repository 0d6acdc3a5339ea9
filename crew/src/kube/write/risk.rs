//! How bad a change can get: by its verb, and by what it makes of the object.

use asya_session::Risk;
use serde_json::Value;

use super::{arguments::Verb, deed::Deed};
use crate::kube::consent::powers;

/// Groups whose kinds are known well enough to know that what was there before can be applied again.
const KNOWN: [&str; 6] = ["", "apps", "autoscaling", "batch", "networking.k8s.io", "policy"];
/// Kinds that protect others: a change lets in what was kept out, or takes away what was promised.
const PROTECTING: [&str; 4] = ["NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget"];

/// The risk of a deed that makes `after` of `before`, and what about it a person should see at once.
pub(super) fn of(deed: &Deed, before: Option<&Value>, after: Option<&Value>) -> (Risk, Vec<String>) {
    let target = &deed.target;
    let by_verb = match deed.verb {
        Verb::Scale | Verb::Pause | Verb::Resume => Risk::Low,
        Verb::Label => marks(&deed.patch["metadata"]["labels"]),
        Verb::Annotate => marks(&deed.patch["metadata"]["annotations"]),
        Verb::Apply | Verb::RolloutRestart | Verb::RolloutUndo | Verb::SetImage | Verb::Uncordon => {
            Risk::Medium
        }
        Verb::Delete | Verb::Cordon => Risk::High,
    };
    let mut because = Vec::new();
    let none = |object: Option<&Value>| object.is_some_and(|object| object["spec"]["replicas"] == 0);
    if none(after) && !none(before) {
        because.push("nothing of it runs any more".to_owned());
    }
    let had = before.map(powers::of).unwrap_or_default();
    because.extend(after.map(powers::of).unwrap_or_default().difference(&had).cloned());
    if target.group().is_empty() && target.kind == "Endpoints" {
        because.push("it says where a Service leads".to_owned());
    }
    let unknown = !KNOWN.contains(&target.group()) || PROTECTING.contains(&target.kind.as_str());
    let high = !because.is_empty() || unknown || target.namespace.is_none() && deed.verb != Verb::Uncordon;
    (if high { Risk::High } else { by_verb }, because)
}

/// Labels and annotations with a prefix are orders to programs.
fn marks(marks: &Value) -> Risk {
    let mut names = marks.as_object().into_iter().flatten().map(|(name, _)| name);
    if names.any(|name| name.contains('/')) { Risk::Medium } else { Risk::Low }
}
