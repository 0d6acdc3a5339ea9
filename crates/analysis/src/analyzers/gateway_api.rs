//! What the analyzers of the Gateway API share: its kinds, and the permission to refer into another namespace.

use serde_json::Value;

use crate::analyzers::json::{items, text};
use crate::analyzers::served::listed_if_served;
use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::View;

/// The API group.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

/// Gateways.
pub(crate) const GATEWAY: GroupKind = GroupKind::new(GROUP, "Gateway");

/// Classes of Gateways.
pub(crate) const GATEWAY_CLASS: GroupKind = GroupKind::new(GROUP, "GatewayClass");

/// Routes of HTTP requests.
pub(crate) const HTTP_ROUTE: GroupKind = GroupKind::new(GROUP, "HTTPRoute");

const REFERENCE_GRANT: GroupKind = GroupKind::new(GROUP, "ReferenceGrant");

/// What a reference in an object of this API names. Group and kind have defaults; the namespace is that of the object.
pub(crate) fn referred(from: &Object, reference: &Value, default: &GroupKind) -> Option<ObjectRef> {
    let group = reference.pointer("/group").and_then(Value::as_str).unwrap_or(&default.group).to_owned();
    let kind = text(reference, "/kind").unwrap_or(&default.kind).to_owned();
    Some(ObjectRef {
        kind: GroupKind { group: group.into(), kind: kind.into() },
        namespace: text(reference, "/namespace").or(from.namespace()).map(str::to_owned),
        name: text(reference, "/name")?.to_owned(),
    })
}

/// Whether `from` may refer to `to`: within a namespace always, into another if a ReferenceGrant there says so. None, with
/// a doubt about `code`, if nobody can say; none without one if the cluster knows no such grants.
pub(crate) fn may_refer(
    from: &Object,
    to: &ObjectRef,
    code: &str,
    view: &dyn View,
    report: &mut Report,
) -> Option<bool> {
    if to.namespace.as_deref() == from.namespace() {
        return Some(true);
    }
    let about = format!("ReferenceGrants of {}", to.namespace.as_deref().unwrap_or_default());
    let grants = view.list(&REFERENCE_GRANT, to.namespace.as_deref(), &Selector::everything());
    let grants = listed_if_served(report, code, about, grants)?;
    let is = |value: &Value, kind: &GroupKind| {
        value.pointer("/group").and_then(Value::as_str).unwrap_or_default() == kind.group
            && text(value, "/kind") == Some(&*kind.kind)
    };
    let kind = from.kind();
    Some(grants.iter().any(|grant| {
        let lets = |source: &Value| is(source, &kind) && text(source, "/namespace") == from.namespace();
        let opens =
            |target: &Value| is(target, &to.kind) && text(target, "/name").is_none_or(|name| name == to.name);
        items(grant.value(), "/spec/from").any(|(_, source)| lets(source))
            && items(grant.value(), "/spec/to").any(|(_, target)| opens(target))
    }))
}
