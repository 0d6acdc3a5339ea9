//! What the watcher is told.

use asya_analysis::Selection;
use asya_resources::k8sgpt::{
    K8sGptSpec, LabelSelector, Secrets,
    scope::{LabelExpression, LabelOperator},
};

use super::{KUBECONFIG, Wanted, Watched, actors, env::Env};

/// Where the kubeconfig of another cluster is mounted.
pub const KUBECONFIG_DIR: &str = "/run/asya/kubeconfig";

/// Its environment.
pub fn env(wanted: &Wanted<'_>) -> Env {
    let subject = wanted.subject;
    let spec = &subject.spec;
    let mut env = Env::default();
    env.plain("ASYA_WATCH_CLUSTER", subject.cluster());
    env.plain("ASYA_WATCH_ROUTE", actors::route(wanted).join(","));
    env.plain("ASYA_WATCH_LEASE", subject.object("watch"));
    // The Lease goes with the K8sGPT.
    env.plain("ASYA_WATCH_K8SGPT", &subject.name);
    env.plain("ASYA_WATCH_UID", &subject.uid);
    let analysis = spec.analysis();
    env.plain("ASYA_WATCH_RESYNC", format!("{}s", analysis.interval().as_secs()));
    if analysis.secrets == Secrets::Metadata {
        env.plain("ASYA_WATCH_SECRETS", "metadata");
    }
    let (include, exclude) = namespaces(spec);
    env.some("ASYA_WATCH_NAMESPACES", Some(&include.join(",")));
    env.some("ASYA_WATCH_EXCLUDE_NAMESPACES", Some(&exclude.join(",")));
    env.some("ASYA_WATCH_SELECTOR", spec.label_selector.as_ref().map(selector).as_deref());
    if let Ok(Some(names)) = analyzers(spec) {
        env.plain("ASYA_WATCH_ANALYZERS", names.join(","));
    }
    if matches!(wanted.watched, Watched::Remote(_)) {
        env.plain("KUBECONFIG", kubeconfig());
    }
    env
}

/// Where pods find the kubeconfig of another cluster.
pub fn kubeconfig() -> String {
    format!("{KUBECONFIG_DIR}/{KUBECONFIG}")
}

/// Namespaces that are looked at (empty = all) and that are left out.
pub fn namespaces(spec: &K8sGptSpec) -> (Vec<&str>, Vec<&str>) {
    let only = spec.target_namespace.as_deref().filter(|only| !only.is_empty());
    match (spec.namespaces(), only) {
        // Nothing is left: an empty list would mean everything.
        (Some(none), Some(only)) if none.is_empty() => (vec![only], vec![only]),
        (Some(none), None) if none.is_empty() => patterns(spec),
        (Some(names), _) => (names, Vec::new()),
        (None, _) => patterns(spec),
    }
}

fn patterns(spec: &K8sGptSpec) -> (Vec<&str>, Vec<&str>) {
    fn texts(list: &[String]) -> Vec<&str> {
        list.iter().map(String::as_str).collect()
    }
    spec.target_namespaces
        .as_ref()
        .map_or_else(Default::default, |namespaces| (texts(&namespaces.include), texts(&namespaces.exclude)))
}

/// A selector as kubectl takes it.
fn selector(selector: &LabelSelector) -> String {
    let equal = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let more = selector.match_expressions.iter().map(expression);
    equal.chain(more).collect::<Vec<_>>().join(",")
}

fn expression(LabelExpression { key, operator, values }: &LabelExpression) -> String {
    let values = values.join(",");
    match operator {
        LabelOperator::In => format!("{key} in ({values})"),
        LabelOperator::NotIn => format!("{key} notin ({values})"),
        LabelOperator::Exists => key.clone(),
        LabelOperator::DoesNotExist => format!("!{key}"),
    }
}

/// The analyzers that run, where the manifest says something about them. Those that read logs are left out: a watch does
/// not tell of new lines.
///
/// # Errors
/// A name that no analyzer has, or that none is left.
pub fn analyzers(spec: &K8sGptSpec) -> Result<Option<Vec<String>>, String> {
    let (enable, disable) = spec
        .analyzers
        .as_ref()
        .map_or((&[][..], &[][..]), |analyzers| (&analyzers.enable[..], &analyzers.disable[..]));
    if spec.filters.is_empty() && enable.is_empty() && disable.is_empty() {
        return Ok(None);
    }
    let selection = Selection::new(&spec.filters, enable, disable)
        .map_err(|unknown| format!("{unknown}: all others run"))?;
    let logs: Vec<&str> = selection.reading_logs().collect();
    let names: Vec<_> = selection.names().filter(|name| !logs.contains(name)).map(str::to_owned).collect();
    if names.is_empty() {
        Err("names no analyzer that can watch: the default ones run".to_owned())
    } else {
        Ok(Some(names))
    }
}
