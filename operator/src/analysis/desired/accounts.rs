//! Accounts, and what they may do. Who needs nothing of the API server has none, and no token either.

use asya_resources::k8sgpt::{AutoRemediation, GROUP, IRSA_ANNOTATION};
use serde_json::{Value, json};

use super::{Wanted, Watched, model::Model, remedy};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Accounts, roles and bindings.
pub fn objects(wanted: &Wanted<'_>) -> Vec<Value> {
    let mut objects = Vec::new();
    if *wanted.watched != Watched::Nothing {
        objects.extend(with_role(wanted, "watch", &lease_rules(wanted)));
        objects.extend(watch_bindings(wanted));
    }
    objects.extend(with_role(wanted, "results", &result_rules()));
    if matches!(Model::of(&wanted.subject.spec), Model::Explains(_)) {
        objects.push(account(wanted, "explain"));
    }
    if let Some(remediation) = remedy::wanted(wanted) {
        objects.extend(with_role(wanted, "remedy", &remedy::rules()));
        objects.extend(remedy_bindings(wanted, remediation));
    }
    objects
}

/// The account of an actor. Those that call the model get the role of AWS, and no others.
fn account(wanted: &Wanted<'_>, part: &str) -> Value {
    let mut metadata = wanted.metadata(part);
    let role = wanted.subject.spec.extra_options.as_ref().and_then(|it| it.service_account_irsa.as_deref());
    if let Some(role) = role.filter(|role| ["explain", "remedy"].contains(&part) && !role.is_empty()) {
        metadata["annotations"] = json!({IRSA_ANNOTATION: role});
    }
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": false,
    })
}

/// An account and what it may do in its own namespace.
fn with_role(wanted: &Wanted<'_>, part: &str, rules: &Value) -> [Value; 3] {
    let role = json!({"apiVersion": RBAC, "kind": "Role", "metadata": wanted.metadata(part), "rules": rules});
    let name = wanted.subject.object(part);
    let binding = json!({
        "apiVersion": RBAC,
        "kind": "RoleBinding",
        "metadata": wanted.metadata(part),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [subject(wanted, part)],
    });
    [account(wanted, part), role, binding]
}

fn subject(wanted: &Wanted<'_>, part: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": wanted.subject.object(part), "namespace": wanted.subject.namespace})
}

/// The watcher's Lease. Creating cannot be limited to a name.
fn lease_rules(wanted: &Wanted<'_>) -> Value {
    let leases = |names: Option<String>, verbs: &[&str]| {
        let mut rule = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs});
        if let Some(name) = names {
            rule["resourceNames"] = json!([name]);
        }
        rule
    };
    json!([
        leases(Some(wanted.subject.object("watch")), &["get", "update", "patch"]),
        leases(None, &["create"])
    ])
}

fn result_rules() -> Value {
    json!([
        {"apiGroups": [GROUP], "resources": ["results"], "verbs": ["get", "list", "create", "patch", "delete"]},
        {"apiGroups": [GROUP], "resources": ["results/status"], "verbs": ["get", "patch"]},
    ])
}

/// The watcher's rights in this cluster: in the namespaces that are named, or in all of it. With a kubeconfig none: the
/// cluster that is watched is another one.
fn watch_bindings(wanted: &Wanted<'_>) -> Vec<Value> {
    if *wanted.watched != Watched::Here {
        return Vec::new();
    }
    everywhere_or(wanted.subject.spec.namespaces(), |namespace| {
        abroad(wanted, "watch", None, &wanted.config.watch_role, namespace)
    })
}

/// The rights of `remedy`: to see whether the policy is in force, always in this cluster; and to change what is watched,
/// which like the watcher's are those of the kubeconfig if there is one.
fn remedy_bindings(wanted: &Wanted<'_>, remediation: &AutoRemediation) -> Vec<Value> {
    let mut bindings = vec![abroad(wanted, "remedy", Some("remedy-policy"), remedy::POLICY_ROLE, None)];
    if *wanted.watched == Watched::Here {
        let places = remedy::places(&wanted.subject.spec, remediation);
        bindings.extend(everywhere_or(places, |namespace| {
            abroad(wanted, "remedy", Some("remedy"), remedy::ROLE, namespace)
        }));
    }
    bindings
}

/// A binding in each of these namespaces, or one for the whole cluster.
fn everywhere_or(namespaces: Option<Vec<&str>>, bind: impl Fn(Option<&str>) -> Value) -> Vec<Value> {
    match namespaces {
        Some(names) => names.into_iter().map(|name| bind(Some(name))).collect(),
        None => vec![bind(None)],
    }
}

/// Binds a ClusterRole to the account of an actor, in a namespace or in the whole cluster.
fn abroad(wanted: &Wanted<'_>, part: &str, name: Option<&str>, role: &str, namespace: Option<&str>) -> Value {
    json!({
        "apiVersion": RBAC,
        "kind": if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" },
        "metadata": wanted.metadata_abroad(name, namespace),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject(wanted, part)],
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{ai, find, made, names},
        *,
    };
    use crate::{
        actor::{Actor, Stored},
        cluster::Cluster,
        desired::{Context, features::Features, objects},
        settings::{Raw, Settings},
    };

    const ROLE: &str = r#"{"transports": {"sqs": {"enabled": true, "config": {"region": "eu-west-1",
        "accountId": "123456789012", "actorRoleArn": "arn:aws:iam::123456789012:role/asya-actor"}}}}"#;

    #[test]
    fn accounts_of_their_own_are_taken_where_the_broker_is_reached_by_a_role() {
        let raw = Raw { transport_config: Some(ROLE.to_owned()), ..Raw::default() };
        let settings = Settings::read(raw).unwrap();
        let model =
            json!({"backend": "localai", "baseUrl": "http://l/v1", "autoRemediation": {"enabled": true}});
        let made = made(ai(model), &Watched::Here);
        let accounts = names(&made, "ServiceAccount");
        assert_eq!(accounts, ["gpt-watch", "gpt-results", "gpt-explain", "gpt-remedy"]);
        for name in names(&made, "AsyncActor") {
            let mut stored = find(&made, "AsyncActor", &name).clone();
            stored["spec"]["transport"] = json!("sqs");
            let actor = Actor::read(&serde_json::from_value::<Stored>(stored).unwrap()).unwrap();
            let context = Context {
                settings: &settings,
                transport: &settings.transports["sqs"],
                queue: &settings.template.queue(&actor.namespace, &actor.name),
                cluster: &Cluster::default(),
                runtime: "asya-runtime",
                features: Features::OURS,
            };
            let desired = objects(&actor, &context);
            assert_eq!(desired.refused, [], "{name}");
            let own = accounts.contains(&name);
            let account = if own { name.clone() } else { format!("asya-{name}") };
            assert_eq!(desired.template["spec"]["serviceAccountName"], account);
            assert_eq!(desired.before.len(), usize::from(!own), "{name}: the account is there already");
        }
    }
}
