//! What `remedy` is told, and what it may do. Both only where the manifest asks for it, the chart has brought the policy that
//! protects approvals, and a model explains: what nobody explains nobody mends.

use asya_resources::k8sgpt::{AutoRemediation, GROUP, K8sGptSpec, TargetNamespaces, ai::CHANGEABLE};
use serde_json::{Value, json};

use super::{Wanted, Watched, actors::with_database, env::Env, model::Model, watch};

/// ClusterRole with what may be changed, as the chart names it.
pub const ROLE: &str = "asya-analysis-remedy";
/// ClusterRole with the right to see whether approvals are protected, as the chart names it.
pub const POLICY_ROLE: &str = "asya-analysis-remedy-policy";

/// How changes are proposed, if they are. Where the cluster of the manifest is not known nothing is mended: not this one
/// instead.
pub fn wanted<'a>(wanted: &Wanted<'a>) -> Option<&'a AutoRemediation> {
    let spec = &wanted.subject.spec;
    let can = wanted.config.remediation && *wanted.watched != Watched::Nothing;
    asked(spec).filter(|_| can && matches!(Model::of(spec), Model::Explains(_)))
}

/// How the manifest wants them to be proposed, if it does.
pub fn asked(spec: &K8sGptSpec) -> Option<&AutoRemediation> {
    let ai = spec.ai.as_ref().filter(|ai| ai.enabled)?;
    ai.auto_remediation.as_ref().filter(|remediation| remediation.proposes())
}

/// Its environment.
pub fn env(wanted: &Wanted<'_>, remediation: &AutoRemediation) -> Env {
    let subject = wanted.subject;
    let mut env = with_database(wanted);
    env.plain("ASYA_REMEDY_K8SGPT", &subject.name);
    env.plain("ASYA_REMEDY_NAMESPACE", &subject.namespace);
    env.plain("ASYA_REMEDY_UID", &subject.uid);
    let known = |kind: &&str| CHANGEABLE.contains(kind);
    let kinds: Vec<_> = remediation.resources.iter().map(String::as_str).filter(known).collect();
    env.plain("ASYA_REMEDY_KINDS", kinds.join(","));
    env.plain("ASYA_REMEDY_SIMILARITY", remediation.similarity().to_string());
    let limits = remediation.limits.clone().unwrap_or_default();
    env.some("ASYA_REMEDY_PER_HOUR", limits.per_hour.map(|most| most.to_string()).as_deref());
    env.some("ASYA_REMEDY_PENDING", limits.pending.map(|most| most.to_string()).as_deref());
    let (include, exclude) = match &limits.namespaces {
        Some(namespaces) => (namespaces.include.join(","), namespaces.exclude.join(",")),
        None => {
            let (include, exclude) = watch::namespaces(&subject.spec);
            (include.join(","), exclude.join(","))
        }
    };
    env.some("ASYA_REMEDY_NAMESPACES", Some(&include));
    env.some("ASYA_REMEDY_EXCLUDE_NAMESPACES", Some(&exclude));
    if matches!(wanted.watched, Watched::Remote(_)) {
        env.plain("KUBECONFIG", watch::kubeconfig());
    }
    if let Model::Explains(model) = Model::of(&subject.spec) {
        env.extend(model);
    }
    env
}

/// What it may do in the namespace of the `K8sGPT`: show proposals, and never approve one.
pub fn rules() -> Value {
    json!([
        {"apiGroups": [GROUP], "resources": ["mutations"], "verbs": ["get", "create", "patch", "delete"]},
        {"apiGroups": [GROUP], "resources": ["mutations/status"], "verbs": ["patch"]},
    ])
}

/// The namespaces in which something is looked at and may be changed, if they can be listed without knowing those of the
/// cluster.
pub fn places<'a>(spec: &'a K8sGptSpec, remediation: &'a AutoRemediation) -> Option<Vec<&'a str>> {
    let limits = remediation.limits.as_ref().and_then(|limits| limits.namespaces.as_ref());
    let mut names = match limits.and_then(TargetNamespaces::names) {
        Some(names) => names,
        None => spec.namespaces()?,
    };
    names.retain(|name| spec.looks_at(name) && limits.is_none_or(|limits| limits.contains(name)));
    Some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::{
        config::{Config, Options},
        desired::tests::{env, find, has, local, made, names, remote, subject, variables},
    };

    /// A manifest that wants changes to be proposed, with these fields besides.
    fn mends(remediation: Value, mut spec: Value) -> Value {
        spec["ai"] = local()["ai"].clone();
        spec["ai"]["autoRemediation"] = remediation;
        spec["ai"]["autoRemediation"]["enabled"] = json!(true);
        spec
    }

    /// `NAMESPACE: ROLE` of each binding of its account to a ClusterRole.
    fn rights(objects: &[Value]) -> Vec<String> {
        let of_remedy = |it: &&Value| it["subjects"][0]["name"] == "gpt-remedy";
        let abroad = objects.iter().filter(of_remedy).filter(|it| it["roleRef"]["kind"] == "ClusterRole");
        let text = |it: &Value| {
            let role = it["roleRef"]["name"].as_str().unwrap();
            format!("{}: {role}", it["metadata"]["namespace"].as_str().unwrap_or("*"))
        };
        abroad.map(text).collect()
    }

    #[test]
    fn it_stands_behind_the_last_results_with_the_settings_of_the_model() {
        let spec = mends(json!({}), json!({"sink": {"webhook": "http://hook"}}));
        assert_eq!(
            env(spec.clone(), "gpt-watch")["ASYA_WATCH_ROUTE"],
            "gpt-analyze,gpt-findings,gpt-results,gpt-explain,gpt-results,gpt-remedy,gpt-notify"
        );
        let own = env(spec.clone(), "gpt-remedy");
        has(
            &own,
            &[
                ("ASYA_REMEDY_K8SGPT", "gpt"),
                ("ASYA_REMEDY_NAMESPACE", "ops"),
                ("ASYA_REMEDY_UID", "uid-1"),
                ("ASYA_REMEDY_KINDS", "Pod,Deployment,Service,Ingress"),
                ("ASYA_REMEDY_SIMILARITY", "90"),
                ("ASYA_DATABASE_URL", "asya-analysis-database/url"),
            ],
        );
        let explain = env(spec.clone(), "gpt-explain");
        let model = |env: &serde_json::Map<String, Value>| {
            let own = env.clone().into_iter().filter(|(name, _)| name.starts_with("ASYA_LLM_"));
            own.collect::<Vec<_>>()
        };
        assert_eq!(model(&own), model(&explain));
        assert!(!model(&own).is_empty() && !own.contains_key("KUBECONFIG"), "{own:?}");
        let objects = made(spec, &Watched::Here);
        let actor = &find(&objects, "AsyncActor", "gpt-remedy")["spec"];
        assert_eq!(
            (&actor["handler"], &actor["workload"]["replicas"]),
            (&json!("asya_crew.remedy"), &json!(1))
        );
        assert_eq!(actor["workload"]["template"]["spec"]["automountServiceAccountToken"], true);
    }

    #[test]
    fn it_is_not_there_unless_everybody_agrees() {
        let off = Config::read(Options::default()).unwrap();
        let asks = subject(mends(json!({}), json!({})));
        let watched = &Watched::Here;
        let without = Wanted { subject: &asks, config: &off, watched, keda: false, custom_until: None };
        let mut cases = vec![("the chart has it off", without.objects())];
        for (why, remediation) in [
            ("nothing may be changed in an hour", json!({"limits": {"perHour": 0}})),
            ("nothing may wait", json!({"limits": {"pending": 0}})),
            ("no kind", json!({"resources": []})),
            ("no kind that is known", json!({"resources": ["Secret"]})),
        ] {
            cases.push((why, made(mends(remediation, json!({})), watched)));
        }
        cases.push(("nobody knows which cluster", made(mends(json!({}), json!({})), &Watched::Nothing)));
        cases.push(("it is not asked for", made(local(), watched)));
        let mut impossible = mends(json!({}), json!({}));
        impossible["ai"]["backend"] = json!("oci");
        cases.push(("no model can answer", made(impossible, watched)));
        let mut disabled = mends(json!({}), json!({}));
        disabled["ai"]["enabled"] = json!(false);
        cases.push(("the model is off", made(disabled, watched)));
        for (why, objects) in cases {
            assert!(
                !json!(objects).to_string().contains("remedy"),
                "{why}: {:?}",
                names(&objects, "AsyncActor")
            );
        }
    }

    #[test]
    fn limits_are_settings_and_what_is_no_number_lets_nothing_pass() {
        let limits =
            json!({"perHour": 2, "pending": 3, "namespaces": {"include": ["shop-*"], "exclude": ["shop-x"]}});
        let remediation =
            json!({"similarityRequirement": "", "resources": ["Deployment", "Secret"], "limits": limits});
        let own = env(mends(remediation, json!({"targetNamespaces": {"include": ["a"]}})), "gpt-remedy");
        has(
            &own,
            &[
                ("ASYA_REMEDY_KINDS", "Deployment"),
                ("ASYA_REMEDY_SIMILARITY", "100"),
                ("ASYA_REMEDY_PER_HOUR", "2"),
                ("ASYA_REMEDY_PENDING", "3"),
                ("ASYA_REMEDY_NAMESPACES", "shop-*"),
                ("ASYA_REMEDY_EXCLUDE_NAMESPACES", "shop-x"),
            ],
        );
        let analysed = mends(json!({}), json!({"targetNamespaces": {"include": ["b", "a"]}}));
        has(&env(analysed, "gpt-remedy"), &[("ASYA_REMEDY_NAMESPACES", "a,b")]);
    }

    #[test]
    fn it_may_change_only_what_is_looked_at_within_the_limits() {
        let limited = |include: Value, exclude: Value| json!({"limits": {"namespaces": {"include": include, "exclude": exclude}}});
        let named = json!({"targetNamespaces": {"include": ["b", "a"]}});
        let table = [
            (json!({}), json!({}), vec!["*"]),
            (json!({}), named.clone(), vec!["a", "b"]),
            (limited(json!(["b", "c"]), json!([])), named.clone(), vec!["b"]),
            (limited(json!(["b", "c"]), json!([])), json!({}), vec!["b", "c"]),
            (limited(json!(["b", "kube-*"]), json!(["a"])), named.clone(), vec!["b"]),
            (limited(json!(["*"]), json!(["kube-*"])), json!({}), vec!["*"]),
            (limited(json!(["x"]), json!([])), named, vec![]),
        ];
        for (remediation, spec, places) in table {
            let objects = made(mends(remediation.clone(), spec), &Watched::Here);
            let mut wanted = vec![format!("*: {POLICY_ROLE}")];
            wanted.extend(places.iter().map(|place| format!("{place}: {ROLE}")));
            assert_eq!(rights(&objects), wanted, "{remediation}");
        }
    }

    #[test]
    fn it_shows_proposals_and_approves_none() {
        let objects = made(mends(json!({}), json!({})), &Watched::Here);
        let role = &find(&objects, "Role", "gpt-remedy")["rules"];
        assert_eq!(*role, rules());
        assert!(!json!(objects).to_string().contains("approve"));
        let binding = find(&objects, "ClusterRoleBinding", "asya-analysis:ops:gpt:remedy");
        assert_eq!(binding["metadata"]["labels"]["analysis.asya.sh/namespace"], "ops");
        assert_eq!(binding["metadata"]["ownerReferences"], Value::Null);
    }

    #[test]
    fn in_another_cluster_it_has_the_rights_of_the_kubeconfig() {
        let spec = mends(json!({}), json!({"kubeconfig": {"name": "far"}}));
        let objects = made(spec, &remote());
        assert_eq!(
            rights(&objects),
            [format!("*: {POLICY_ROLE}")],
            "the policy is always that of this cluster"
        );
        has(&variables(&objects, "gpt-remedy"), &[("KUBECONFIG", "/run/asya/kubeconfig/kubeconfig")]);
        let pod = &find(&objects, "AsyncActor", "gpt-remedy")["spec"]["workload"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], "gpt-watch-kubeconfig");
    }
}
