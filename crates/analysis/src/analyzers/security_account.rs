//! The service account `default`, which every pod of a namespace gets that asks for none: it should hold nothing.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::owner;
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

/// Looks at service accounts named `default`. That pods run with it is no failure: every pod that names no account does.
/// It is one if a RoleBinding beside it gives it rights, and worth knowing if pods are given its token for nothing.
/// ClusterRoleBindings and bindings of other namespaces tell it themselves: there are too many to read for each account.
/// Bindings to the group of all accounts of the namespace are not counted: they mean everybody, on purpose.
pub(crate) struct SecurityAccountAnalyzer;

impl Analyzer for SecurityAccountAnalyzer {
    fn name(&self) -> &'static str {
        "Security/ServiceAccount"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<ServiceAccount>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        if object.name() == "default" {
            let account: ServiceAccount = object.typed()?;
            bound(object, view, report);
            token(object, &account, view, report);
        }
        Ok(())
    }
}

fn bound(object: &Object, view: &dyn View, report: &mut Report) {
    let list = view.all::<RoleBinding>(object.namespace(), &Selector::everything());
    let bindings = report.listed("DefaultAccountBound", "RoleBindings", list).unwrap_or_default();
    for binding in bindings {
        let ours = |subject: &Subject| {
            let namespace = subject.namespace.as_deref().or(object.namespace());
            subject.kind == "ServiceAccount"
                && subject.name == object.name()
                && namespace == object.namespace()
        };
        if let Some(n) = binding.subjects.unwrap_or_default().iter().position(ours) {
            let name = binding.metadata.name.unwrap_or_default();
            let at = ObjectRef::of::<RoleBinding>(object.namespace(), &name);
            report.fail(holds(object, &at, &binding.role_ref, n));
        }
    }
}

fn holds(object: &Object, binding: &ObjectRef, role: &RoleRef, n: usize) -> Failure {
    let text = format!(
        "service account {} holds {} {} by {binding}: every pod of the namespace that names no account has its rights",
        object.reference().path(),
        role.kind,
        role.name
    );
    Failure::new("DefaultAccountBound", Severity::Warning, text)
        .seen(binding, format!(".subjects[{n}].name"), object.name().to_owned())
        .seen(binding, ".roleRef.name", role.name.clone())
}

fn token(object: &Object, account: &ServiceAccount, view: &dyn View, report: &mut Report) {
    let code = "DefaultAccountToken";
    let at = object.reference();
    let Some(users) = report.listed(code, format!("users of {at}"), view.users(&at)) else { return };
    let mounted = account.automount_service_account_token.unwrap_or(true);
    for user in users.iter().filter(|user| user.kind.is::<Pod>()) {
        let Some(Some(pod)) = report.known(code, user, view.object(user)) else { continue };
        let own = pod.value().pointer("/spec/automountServiceAccountToken").and_then(Value::as_bool);
        if own.unwrap_or(mounted) {
            // Pods come and go: the owner of one is named as an example, and the evidence is the account's.
            let example = owner::top(&pod, view).unwrap_or_else(|| user.clone());
            let text = format!(
                "pods are given the token of service account {}, for example those of {example}: it tells who they are \
                 to the API server, which few pods need",
                at.path(),
            );
            let value = account.automount_service_account_token.map(|mounted| mounted.to_string());
            report.fail(
                Failure::new(code, Severity::Info, text)
                    .seen(&at, ".automountServiceAccountToken", value)
                    .explained_by("serviceaccount.automountServiceAccountToken"),
            );
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const NAME: &str = "Security/ServiceAccount";
    const RBAC: &str = "rbac.authorization.k8s.io/v1";

    /// A name, the account's name and fields, what else there is, and the codes that are expected.
    type Case<'a> = (&'a str, &'a str, &'a Value, Vec<Object>, &'a [&'a str]);

    fn account(name: &str, rest: Value) -> Object {
        object("v1", "ServiceAccount", name, rest)
    }

    fn pod(spec: Value) -> Object {
        let mut value =
            object("v1", "Pod", "web", json!({"spec": {"containers": [], "serviceAccountName": "default"}}))
                .value()
                .clone();
        value["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        Object::new(value).unwrap()
    }

    fn binding(subject: Value) -> Value {
        json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "User", "name": "default"}, subject]})
    }

    #[test]
    fn cases() {
        let ours = json!({"kind": "ServiceAccount", "name": "default", "namespace": "shop"});
        let foreign = json!({"kind": "ServiceAccount", "name": "default", "namespace": "bank"});
        let group = json!({"kind": "Group", "name": "system:serviceaccounts:shop"});
        let role = |subject: &Value| object(RBAC, "RoleBinding", "b", binding(subject.clone()));
        let none = json!({});
        let off = json!({"automountServiceAccountToken": false});
        let on = json!({"automountServiceAccountToken": true});
        let cases: [Case<'_>; 11] = [
            ("used by nobody", "default", &none, vec![], &[]),
            ("pods use its token", "default", &none, vec![pod(none.clone())], &["DefaultAccountToken"]),
            ("the account gives none", "default", &off, vec![pod(none.clone())], &[]),
            ("the pod takes none", "default", &none, vec![pod(off.clone())], &[]),
            ("the pod's word counts", "default", &off, vec![pod(on)], &["DefaultAccountToken"]),
            ("another account", "robot", &none, vec![pod(json!({"serviceAccountName": "robot"}))], &[]),
            ("bound here", "default", &off, vec![role(&ours)], &["DefaultAccountBound"]),
            ("its namesake is bound", "default", &off, vec![role(&foreign)], &[]),
            ("all accounts are bound", "default", &off, vec![role(&group)], &[]),
            (
                "no subjects",
                "default",
                &off,
                vec![object(
                    RBAC,
                    "RoleBinding",
                    "b",
                    json!({
                "roleRef": {"apiGroup": "", "kind": "Role", "name": "r"}}),
                )],
                &[],
            ),
            (
                "another account is bound",
                "robot",
                &off,
                vec![role(&json!({"kind": "ServiceAccount",
                "name": "robot", "namespace": "shop"}))],
                &[],
            ),
        ];
        for (name, account_name, rest, others, expected) in cases {
            let found = look(&[NAME], &account(account_name, rest.clone()), &others);
            assert_eq!(codes(&found), expected, "{name}");
        }
    }

    #[test]
    fn what_may_not_be_read_is_in_doubt_and_the_rest_still_counts() {
        let subject = account("default", json!({}));
        let mut inventory = Inventory::of([subject.clone(), pod(json!({}))]);
        inventory.put_list(&GroupKind::of::<RoleBinding>(), None, Err(Unverified::Forbidden));
        let found = look_in(&[NAME], &subject, &inventory);
        assert_eq!(codes(&found), ["DefaultAccountToken"]);
        assert_eq!(found.report.doubtful().into_iter().collect::<Vec<_>>(), ["DefaultAccountBound"]);
    }

    #[test]
    fn the_example_is_what_made_the_pod_and_stays_the_same() {
        let mut value = pod(json!({})).value().clone();
        value["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u"}]);
        let found = look(&[NAME], &account("default", json!({})), &[Object::new(value).unwrap()]);
        assert!(found.report.failures()[0].text.contains("StatefulSet.apps shop/db"));
    }
}
