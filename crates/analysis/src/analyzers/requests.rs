//! Which pods a workload of any kind has, and which of their containers request a resource.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, LimitRange, PodSpec};
use serde_json::Value;

use crate::kind::GroupKind;
use crate::object::Object;
use crate::report::Report;
use crate::selector::Selector;
use crate::view::View;

/// What selects the pods of a workload: a selector of labels, or, of a ReplicationController, the labels themselves. Where
/// the kind has none that can be understood, as some custom ones, its scale subresource has, which nobody reads here.
pub(crate) fn selector(target: &Object) -> Option<Selector> {
    let selector = target.value().pointer("/spec/selector").filter(|selector| selector.is_object())?;
    if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
        return Some(Selector::from(&serde_json::from_value(selector.clone()).ok()?));
    }
    let labels: BTreeMap<String, String> = selector
        .as_object()?
        .iter()
        .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect::<Option<_>>()?;
    if labels.is_empty() { None } else { Some(Selector::labels(&labels)) }
}

/// The containers of a pod that request none of `resource`, by their place and name: those that run along with it, so no
/// init containers but sidecars. A limit is a request too, unless one is written. Requests of the whole pod do for all.
pub(crate) fn lacks(spec: Option<&PodSpec>, resource: &str, only: Option<&str>) -> Vec<(String, String)> {
    let Some(spec) = spec else { return Vec::new() };
    let has = |requests: Option<&Value>| requests.is_some_and(|requests| requests.get(resource).is_some());
    let whole = spec.resources.as_ref().and_then(|whole| serde_json::to_value(whole).ok());
    if only.is_none() && whole.is_some_and(|whole| has(whole.get("requests")) || has(whole.get("limits"))) {
        return Vec::new();
    }
    let requests = |container: &Container| {
        let resources = container.resources.as_ref();
        let of = |map: Option<&BTreeMap<_, _>>| {
            map.is_some_and(|map: &BTreeMap<String, _>| map.contains_key(resource))
        };
        resources.is_some_and(|resources| of(resources.requests.as_ref()) || of(resources.limits.as_ref()))
    };
    let sidecars = spec.init_containers.iter().flatten().enumerate();
    let sidecars = sidecars.filter(|(_, one)| one.restart_policy.as_deref() == Some("Always"));
    let all = spec.containers.iter().enumerate().map(|(n, one)| (format!("containers[{n}]"), one));
    all.chain(sidecars.map(|(n, one)| (format!("initContainers[{n}]"), one)))
        .filter(|(_, one)| only.is_none_or(|only| one.name == only) && !requests(one))
        .map(|(place, one)| (place, one.name.clone()))
        .collect()
}

/// Whether the namespace gives a request for `resource` to containers that have none; with a doubt about `code` if that
/// could not be read.
pub(crate) fn has_default(
    namespace: Option<&str>,
    resource: &str,
    view: &dyn View,
    code: &str,
    report: &mut Report,
) -> Option<bool> {
    let ranges = view.list(&GroupKind::of::<LimitRange>(), namespace, &Selector::everything());
    let ranges = report.listed(code, format!("LimitRanges of {}", namespace.unwrap_or_default()), ranges)?;
    let gives = |limit: &Value| {
        let has = |field: &str| limit.get(field).is_some_and(|given| given.get(resource).is_some());
        limit.get("type").and_then(Value::as_str) == Some("Container")
            && (has("defaultRequest") || has("default"))
    };
    Some(ranges.iter().any(|range| {
        let limits = range.value().pointer("/spec/limits").and_then(Value::as_array);
        limits.is_some_and(|limits| limits.iter().any(gives))
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::object;

    #[test]
    fn pods_are_selected_by_labels_expressions_or_the_labels_themselves() {
        let of = |value: Value| {
            selector(&object("apps/v1", "Deployment", "web", json!({"spec": {"selector": value}})))
                .map(|s| s.to_string())
        };
        assert_eq!(of(json!({"matchLabels": {"app": "web"}})).as_deref(), Some("app=web"));
        assert_eq!(
            of(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})).as_deref(),
            Some("app")
        );
        assert_eq!(of(json!({"app": "web"})).as_deref(), Some("app=web"), "of a ReplicationController");
        for odd in [json!({}), json!(null), json!("app=web"), json!({"app": 7}), json!({"matchLabels": 7})] {
            assert_eq!(of(odd.clone()), None, "{odd}");
        }
    }

    #[test]
    fn a_pod_without_a_spec_lacks_nothing() {
        assert!(lacks(None, "cpu", None).is_empty());
        assert!(lacks(Some(&PodSpec::default()), "cpu", None).is_empty());
    }
}
