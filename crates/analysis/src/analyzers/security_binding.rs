//! RoleBindings and ClusterRoleBindings: rights without bounds, rights for anybody, and bindings that give nothing.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};

use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::{Lookup, Typed, View};

/// Looks at RoleBindings, to Roles and to ClusterRoles.
pub(crate) struct SecurityRoleBinding;

/// Looks at ClusterRoleBindings.
pub(crate) struct SecurityClusterRoleBinding;

impl Analyzer for SecurityRoleBinding {
    fn name(&self) -> &'static str {
        "Security/RoleBinding"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<RoleBinding>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let binding: RoleBinding = object.typed()?;
        look(object, &binding.role_ref, &binding.subjects.unwrap_or_default(), view, report);
        Ok(())
    }
}

impl Analyzer for SecurityClusterRoleBinding {
    fn name(&self) -> &'static str {
        "Security/ClusterRoleBinding"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<ClusterRoleBinding>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let binding: ClusterRoleBinding = object.typed()?;
        look(object, &binding.role_ref, &binding.subjects.unwrap_or_default(), view, report);
        Ok(())
    }
}

/// The bindings that Kubernetes and kubeadm make themselves: `cluster-admin` for the group of the masters among them.
fn is_built_in(object: &Object) -> bool {
    let labels = object.labels();
    labels.get("kubernetes.io/bootstrapping").is_some_and(|label| label == "rbac-defaults")
        || ["system:", "kubeadm:"].iter().any(|prefix| object.name().starts_with(prefix))
}

fn look(object: &Object, role: &RoleRef, subjects: &[Subject], view: &dyn View, report: &mut Report) {
    if is_built_in(object) {
        return;
    }
    let at = object.reference();
    for (n, subject) in subjects.iter().enumerate() {
        match (subject.kind.as_str(), subject.name.as_str()) {
            ("User", name @ "system:anonymous") | ("Group", name @ "system:unauthenticated") => {
                let text = format!(
                    "{at} gives {} {} to {name}: to whoever reaches the API server",
                    role.kind, role.name
                );
                report.fail(Failure::new("BindingOpenToAnybody", Severity::Error, text).seen(
                    &at,
                    format!(".subjects[{n}].name"),
                    name.to_owned(),
                ));
            }
            ("ServiceAccount", name) => {
                let namespace = subject.namespace.as_deref().or(object.namespace());
                account(object, role, namespace, name, n, view, report);
            }
            _ => {}
        }
    }
    let (role_at, rules) = match role.kind.as_str() {
        "Role" => {
            let lookup = view.get::<Role>(object.namespace(), &role.name);
            (ObjectRef::of::<Role>(object.namespace(), &role.name), rules_of(lookup, |role| role.rules))
        }
        "ClusterRole" => {
            let lookup = view.get::<ClusterRole>(None, &role.name);
            (ObjectRef::of::<ClusterRole>(None, &role.name), rules_of(lookup, |role| role.rules))
        }
        // The API server refuses any other.
        _ => return,
    };
    match rules {
        Lookup::Unverified(why) => {
            for code in ["BindingRoleMissing", "RoleAllowsEverything", "RoleHasWildcard"] {
                report.doubt(code, &role_at, why.clone());
            }
        }
        Lookup::NotFound => {
            let text = format!("{at} gives {role_at}, which does not exist: its subjects get nothing");
            report.fail(
                Failure::new("BindingRoleMissing", Severity::Warning, text)
                    .seen(&at, ".roleRef.name", role.name.clone())
                    .explained_by("rolebinding.roleRef"),
            );
        }
        Lookup::Found(_) if subjects.is_empty() => {}
        Lookup::Found(rules) => wildcards(&at, &role_at, &rules, report),
    }
}

fn rules_of<R>(
    lookup: Lookup<R>,
    rules: impl FnOnce(R) -> Option<Vec<PolicyRule>>,
) -> Lookup<Vec<PolicyRule>> {
    match lookup {
        Lookup::Found(role) => Lookup::Found(rules(role).unwrap_or_default()),
        Lookup::NotFound => Lookup::NotFound,
        Lookup::Unverified(why) => Lookup::Unverified(why),
    }
}

fn account(
    object: &Object,
    role: &RoleRef,
    namespace: Option<&str>,
    name: &str,
    n: usize,
    view: &dyn View,
    report: &mut Report,
) {
    let at = object.reference();
    let path = format!(".subjects[{n}].name");
    // Of its own namespace the account tells it: it knows of all bindings there.
    if name == "default" && namespace != object.namespace() {
        let text = format!(
            "{at} gives {} {} to every pod of namespace {} that names no service account",
            role.kind,
            role.name,
            namespace.unwrap_or_default()
        );
        let failure = Failure::new("BindingToDefaultAccount", Severity::Warning, text);
        report.fail(failure.seen(&at, path.clone(), name.to_owned()));
    }
    let code = "BindingAccountMissing";
    let account = ObjectRef::of::<ServiceAccount>(namespace, name);
    if let Some(None) = report.known(code, &account, view.object(&account)) {
        let text = format!("{at} gives rights to {account}, which does not exist: whoever makes it has them");
        report.fail(Failure::new(code, Severity::Info, text).seen(&at, path, name.to_owned()));
    }
}

fn wildcards(at: &ObjectRef, role: &ObjectRef, rules: &[PolicyRule], report: &mut Report) {
    let any = |list: &[String]| list.iter().any(|item| item == "*");
    for (n, rule) in rules.iter().enumerate() {
        let groups = rule.api_groups.as_deref().unwrap_or_default();
        let resources = rule.resources.as_deref().unwrap_or_default();
        let (code, severity, what) = match (any(groups), any(resources), any(&rule.verbs)) {
            (true, true, true) => ("RoleAllowsEverything", Severity::Warning, "everything"),
            // A wildcard within the group of an operator's own kinds bounds what it means.
            (_, true, _) | (_, _, true)
                if !resources.is_empty() && !groups.iter().any(|group| common(group)) =>
            {
                ("RoleHasWildcard", Severity::Info, "all of kinds of its own")
            }
            (_, true, true) => ("RoleHasWildcard", Severity::Warning, "every verb on every resource"),
            (_, true, _) => ("RoleHasWildcard", Severity::Warning, "every resource"),
            (_, _, true) => ("RoleHasWildcard", Severity::Warning, "every verb"),
            _ => continue,
        };
        let list = if any(resources) { "resources" } else { "verbs" };
        let text = format!("{at} gives {role}, which allows {what} by a wildcard");
        report.fail(
            Failure::new(code, severity, text)
                .seen(at, ".roleRef.name", role.name.clone())
                .seen(role, format!(".rules[{n}].{list}"), "*".to_owned())
                .explained_by("role.rules"),
        );
    }
}

/// Whether the group is one of Kubernetes itself, or any.
fn common(group: &str) -> bool {
    group == "*" || !group.contains('.') || group.ends_with(".k8s.io")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const RBAC: &str = "rbac.authorization.k8s.io/v1";

    fn spec(kind: &str, subject: Value) -> Value {
        json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r"}, "subjects": [subject]})
    }

    fn user() -> Value {
        json!({"kind": "User", "name": "ann"})
    }

    fn rules(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
        json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": groups, "resources": resources, "verbs": verbs}]})
    }

    #[test]
    fn wildcards_of_roles_and_of_cluster_roles_are_found_by_either_binding() {
        let cases: [(Value, &[&str]); 6] = [
            (rules(&[""], &["secrets"], &["get"]), &[]),
            (rules(&["*"], &["*"], &["*"]), &["RoleAllowsEverything"]),
            (rules(&[""], &["*"], &["get"]), &["RoleHasWildcard"]),
            (rules(&["apps"], &["deployments"], &["*"]), &["RoleHasWildcard"]),
            (json!({"rules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}]}), &["RoleHasWildcard"]),
            (json!({}), &[]),
        ];
        for (rules, expected) in cases {
            let role = object(RBAC, "Role", "r", rules.clone());
            let cluster_role = cluster_object(RBAC, "ClusterRole", "r", rules.clone());
            let here = |kind| object(RBAC, "RoleBinding", "b", spec(kind, user()));
            let everywhere = cluster_object(RBAC, "ClusterRoleBinding", "b", spec("ClusterRole", user()));
            assert_eq!(codes(&look(&["Security"], &here("Role"), &[role])), expected, "{rules}");
            for binding in [here("ClusterRole"), everywhere] {
                let found = look(&["Security"], &binding, std::slice::from_ref(&cluster_role));
                assert_eq!(codes(&found), expected, "{rules}");
            }
        }
    }

    #[test]
    fn a_wildcard_over_an_operators_own_kinds_is_only_worth_knowing() {
        for (group, severity) in
            [("stable.example.com", Severity::Info), ("networking.k8s.io", Severity::Warning)]
        {
            let role = object(RBAC, "Role", "r", rules(&[group], &["*"], &["*"]));
            let found = look(&["Security"], &object(RBAC, "RoleBinding", "b", spec("Role", user())), &[role]);
            assert_eq!(found.report.failures()[0].severity, severity, "{group}");
        }
    }

    #[test]
    fn bindings_that_lead_nowhere_and_bindings_for_anybody() {
        let role = object(RBAC, "Role", "r", rules(&[""], &["pods"], &["get"]));
        let robot = object("v1", "ServiceAccount", "robot", json!({}));
        let of = |name: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": "shop"});
        let anonymous = json!({"kind": "User", "name": "system:anonymous"});
        let cases: [(&str, Value, &[&str]); 6] = [
            ("b", of("robot"), &[]),
            ("b", json!({"kind": "ServiceAccount", "name": "robot"}), &[]),
            ("b", of("gone"), &["BindingAccountMissing"]),
            ("b", anonymous.clone(), &["BindingOpenToAnybody"]),
            ("b", json!({"kind": "Group", "name": "system:unauthenticated"}), &["BindingOpenToAnybody"]),
            ("kubeadm:bootstrap-signer-clusterinfo", anonymous, &[]),
        ];
        for (name, subject, expected) in cases {
            let binding = object(RBAC, "RoleBinding", name, spec("Role", subject.clone()));
            let found = look(&["Security"], &binding, &[role.clone(), robot.clone()]);
            assert_eq!(codes(&found), expected, "{subject}");
        }
        let lost = look(&["Security"], &object(RBAC, "RoleBinding", "b", spec("Role", user())), &[]);
        assert_eq!(codes(&lost), ["BindingRoleMissing"]);
    }

    #[test]
    fn a_binding_for_the_default_account_of_another_namespace_is_told() {
        let default = |namespace: &str| {
            let rest = json!({"metadata": {"namespace": namespace}});
            object("v1", "ServiceAccount", "default", rest)
        };
        let subject =
            |namespace: &str| json!({"kind": "ServiceAccount", "name": "default", "namespace": namespace});
        let role = [
            object(RBAC, "Role", "r", json!({})),
            cluster_object(RBAC, "ClusterRole", "r", json!({})),
            default("shop"),
            default("bank"),
        ];
        let here = |namespace: &str| object(RBAC, "RoleBinding", "b", spec("Role", subject(namespace)));
        let everywhere =
            cluster_object(RBAC, "ClusterRoleBinding", "b", spec("ClusterRole", subject("shop")));
        assert!(codes(&look(&["Security"], &here("shop"), &role)).is_empty(), "the account tells it");
        assert_eq!(codes(&look(&["Security"], &here("bank"), &role)), ["BindingToDefaultAccount"]);
        assert_eq!(codes(&look(&["Security"], &everywhere, &role)), ["BindingToDefaultAccount"]);
    }

    #[test]
    fn what_kubernetes_binds_itself_is_no_failure() {
        let mut rest = spec("ClusterRole", json!({"kind": "Group", "name": "system:masters"}));
        rest["metadata"] = json!({"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}});
        let all = cluster_object(RBAC, "ClusterRole", "r", rules(&["*"], &["*"], &["*"]));
        let binding = cluster_object(RBAC, "ClusterRoleBinding", "cluster-admin", rest);
        assert!(codes(&look(&["Security"], &binding, &[all])).is_empty());
    }

    #[test]
    fn a_role_that_may_not_be_read_leaves_all_that_it_would_show_in_doubt() {
        let binding = object(RBAC, "RoleBinding", "b", spec("Role", user()));
        let mut inventory = Inventory::of([binding.clone()]);
        inventory.put_list(&GroupKind::of::<Role>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["Security"], &binding, &inventory);
        assert!(codes(&found).is_empty());
        let expected = ["BindingRoleMissing", "RoleAllowsEverything", "RoleHasWildcard"];
        assert_eq!(found.report.doubtful().into_iter().collect::<Vec<_>>(), expected);
        assert!(found.report.doubts().iter().all(|doubt| doubt.why == Unverified::Forbidden));
    }
}
