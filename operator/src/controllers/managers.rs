//! Who owns which fields of an object, and how what the previous operator owned becomes ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::actor::{CREATE_MANAGER, FIELD_MANAGER};

/// Field managers under which the previous operator wrote by Update.
const FORMER_MANAGERS: [&str; 2] = ["manager", FIELD_MANAGER];

/// Whether the previous operator's ownership, by Update, is still recorded, or that of a creation whose fields were not
/// made ours yet.
pub(super) fn inherited(metadata: &ObjectMeta) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    metadata
        .managed_fields
        .iter()
        .flatten()
        .any(|entry| is_inherited(&text(&entry.manager), &text(&entry.operation), &text(&entry.subresource)))
}

/// The same of one entry.
pub(super) fn is_inherited(manager: &str, operation: &str, subresource: &str) -> bool {
    operation == "Update"
        && subresource.is_empty()
        && (FORMER_MANAGERS.contains(&manager) || manager == CREATE_MANAGER)
}

/// Makes entries that the previous operator wrote by Update, and those of a creation, ours by Apply, together with what
/// is ours already. The replicas go to the manager that holds the place of an autoscaler: where they are not applied they
/// would fall back to 1.
pub(super) fn rewrite(entries: &mut Vec<Value>) {
    let update = |entry: &Value, managers: &[&str]| {
        entry["operation"] == "Update"
            && entry["subresource"].as_str().unwrap_or_default().is_empty()
            && managers.contains(&entry["manager"].as_str().unwrap_or_default())
    };
    let ours = |entry: &Value| entry["operation"] == "Apply" && entry["manager"] == FIELD_MANAGER;
    let mut fields = json!({});
    let mut kept = Vec::new();
    let mut template = None;
    let mut has_place =
        entries.iter().any(|entry| entry["operation"] == "Apply" && entry["manager"] == CREATE_MANAGER);
    for mut entry in entries.drain(..) {
        let created = update(&entry, &[CREATE_MANAGER]);
        if !created && !update(&entry, &FORMER_MANAGERS) && !ours(&entry) {
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

    #[test]
    fn the_previous_operators_fields_become_ours() {
        let mut entries = vec![
            json!({"manager": "manager", "operation": "Update", "apiVersion": "apps/v1",
                "fieldsV1": {"f:spec": {"f:template": {"f:a": {}}}}}),
            json!({"manager": "manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}),
            json!({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:x": {}}}),
            json!({"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "apps/v1",
                "fieldsV1": {"f:spec": {"f:template": {"f:b": {}}}}}),
        ];
        rewrite(&mut entries);
        assert_eq!(entries.len(), 3, "{entries:?}");
        let ours = entries.iter().find(|entry| entry["operation"] == "Apply").unwrap();
        assert_eq!(ours["fieldsV1"], json!({"f:spec": {"f:template": {"f:a": {}, "f:b": {}}}}));
        assert!(entries.iter().any(|entry| entry["subresource"] == "status"));
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
