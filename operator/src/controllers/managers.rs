//! Who owns which fields of an object, and how what the previous operator owned becomes ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::actor::{CREATE_MANAGER, FIELD_MANAGER};

/// Field managers under which the previous operator wrote by Update. `manager` is also what any program built with
/// kubebuilder calls itself: it is the previous operator only where nothing was applied by us yet.
const FORMER_MANAGERS: [&str; 2] = ["manager", FIELD_MANAGER];

/// Who wrote fields: manager, operation, subresource.
pub(super) type Writer<'a> = (&'a str, &'a str, &'a str);

/// Whether the previous operator's ownership, by Update, is still recorded, or that of a creation whose fields were not
/// made ours yet. An object that has fields applied by us was taken over already, in one write: an Update since then is
/// somebody else's.
pub(super) fn inherited<'a>(mut writers: impl Iterator<Item = Writer<'a>> + Clone) -> bool {
    let applied = writers.clone().any(is_ours);
    writers.any(|writer| is_inherited(writer, applied))
}

/// The writers in an object's metadata.
pub(super) fn writers(metadata: &ObjectMeta) -> impl Iterator<Item = Writer<'_>> + Clone {
    let entries = metadata.managed_fields.iter().flatten();
    entries.map(|entry| (text(&entry.manager), text(&entry.operation), text(&entry.subresource)))
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

fn writer(entry: &Value) -> Writer<'_> {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    (text("manager"), text("operation"), text("subresource"))
}

fn is_ours((manager, operation, subresource): Writer<'_>) -> bool {
    operation == "Apply" && subresource.is_empty() && manager == FIELD_MANAGER
}

/// Whether an entry is to become ours; `applied` says whether we have applied the object before.
fn is_inherited((manager, operation, subresource): Writer<'_>, applied: bool) -> bool {
    let former = !applied && FORMER_MANAGERS.contains(&manager);
    operation == "Update" && subresource.is_empty() && (former || manager == CREATE_MANAGER)
}

/// Makes entries that the previous operator wrote by Update, where nothing is ours yet, and those of a creation, ours by
/// Apply, together with what is ours already. The replicas go to the manager that holds the place of an autoscaler: where
/// they are not applied they would fall back to 1.
pub(super) fn rewrite(entries: &mut Vec<Value>) {
    let ours = |entry: &Value| is_ours(writer(entry));
    let applied = entries.iter().any(ours);
    let mut fields = json!({});
    let mut kept = Vec::new();
    let mut template = None;
    let mut has_place =
        entries.iter().any(|entry| entry["operation"] == "Apply" && entry["manager"] == CREATE_MANAGER);
    for mut entry in entries.drain(..) {
        if !is_inherited(writer(&entry), applied) && !ours(&entry) {
            kept.push(entry);
            continue;
        }
        template.get_or_insert_with(|| entry.clone());
        let inherited = !ours(&entry);
        let replicas = entry["fieldsV1"]["f:spec"].as_object_mut().filter(|_| inherited);
        let replicas = replicas.and_then(|spec| spec.remove("f:replicas"));
        merge(&mut fields, &entry["fieldsV1"]);
        if let Some(replicas) = replicas.filter(|_| !has_place) {
            has_place = true;
            entry["manager"] = json!(CREATE_MANAGER);
            // An Apply entry can later be forced out; an Update entry as well, but only Apply entries can be merged.
            entry["operation"] = json!("Apply");
            entry["fieldsV1"] = json!({"f:spec": {"f:replicas": replicas}});
            kept.push(entry);
        }
    }
    if let Some(mut entry) = template {
        entry["manager"] = json!(FIELD_MANAGER);
        entry["operation"] = json!("Apply");
        entry["fieldsV1"] = fields;
        kept.push(entry);
    }
    *entries = kept;
}

fn merge(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (key, value) in from {
        merge(into.entry(key.clone()).or_insert_with(|| json!({})), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, field: &str) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1",
            "fieldsV1": {"f:spec": {"f:template": {field: {}}}}})
    }

    fn is_to_be_adopted(entries: &[Value]) -> bool {
        inherited(entries.iter().map(writer))
    }

    #[test]
    fn the_previous_operators_fields_become_ours_in_one_write() {
        let mut entries = vec![
            entry("manager", "Update", "f:a"),
            json!({"manager": "manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}),
            entry("kubectl", "Update", "f:x"),
            entry(FIELD_MANAGER, "Update", "f:b"),
        ];
        assert!(is_to_be_adopted(&entries));
        rewrite(&mut entries);
        assert_eq!(entries.len(), 3, "{entries:?}");
        let ours = entries.iter().find(|entry| entry["operation"] == "Apply").unwrap();
        assert_eq!(ours["fieldsV1"], json!({"f:spec": {"f:template": {"f:a": {}, "f:b": {}}}}));
        assert!(entries.iter().any(|entry| entry["subresource"] == "status"));
        assert!(!is_to_be_adopted(&entries), "it is done");
    }

    #[test]
    fn of_an_object_that_we_applied_nothing_of_another_manager_becomes_ours() {
        let before = vec![entry("manager", "Update", "f:a"), entry(FIELD_MANAGER, "Apply", "f:b")];
        assert!(!is_to_be_adopted(&before));
        let mut entries = before.clone();
        rewrite(&mut entries);
        assert_eq!(entries, before);
    }

    #[test]
    fn a_creation_that_was_cut_off_becomes_ours_beside_what_is_ours_already() {
        let created = entry(CREATE_MANAGER, "Update", "f:a");
        assert!(is_to_be_adopted(std::slice::from_ref(&created)));
        let mut entries =
            vec![created, entry("manager", "Update", "f:x"), entry(FIELD_MANAGER, "Apply", "f:b")];
        assert!(is_to_be_adopted(&entries));
        rewrite(&mut entries);
        let theirs = entry("manager", "Update", "f:x");
        assert!(entries.len() == 2 && entries.contains(&theirs), "{entries:?}");
        let ours = entries.iter().find(|entry| entry["operation"] == "Apply").unwrap();
        assert_eq!(ours["fieldsV1"], json!({"f:spec": {"f:template": {"f:a": {}, "f:b": {}}}}));
    }

    #[test]
    fn replicas_of_the_previous_operator_go_to_who_holds_the_place() {
        let update = |manager: &str| {
            json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1",
                "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}}})
        };
        let mut entries = vec![update("manager"), update(FIELD_MANAGER)];
        rewrite(&mut entries);
        let of = |manager: &str| entries.iter().filter(|it| it["manager"] == manager).collect::<Vec<_>>();
        let (place, ours) = (of(CREATE_MANAGER), of(FIELD_MANAGER));
        assert!(entries.len() == 2 && place.len() == 1 && ours.len() == 1, "{entries:?}");
        assert_eq!(place[0]["operation"], "Apply");
        assert_eq!(place[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
        assert_eq!(ours[0]["fieldsV1"], json!({"f:spec": {"f:template": {}}}));
    }
}
