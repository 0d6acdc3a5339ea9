//! `describe`: one object without noise, its owners and conditions, and what happened to it.

use asya_analysis::Object;
use asya_cluster::look::{
    Error,
    events::{Newest, Wanted},
    object,
};
use serde_json::{Map, Value};

use super::{Call, events, object::shown};
use crate::kube::{
    answer::{Text, start_of},
    looker::in_words,
};

/// Events that are told, the newest.
const EVENTS: usize = 20;
/// Longest value of a label or an annotation that is told, in bytes.
const VALUE: usize = 256;
/// Fields whose value says nothing where it is the one that everybody has.
const USUAL: [(&str, &str); 6] = [
    ("dnsPolicy", "ClusterFirst"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
    ("sessionAffinity", "None"),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
];

impl Call<'_> {
    pub(super) async fn describe(&self) -> Result<Value, Error> {
        let served = self.kind().await?;
        let name = self.arguments.name()?;
        let object = object::object(&self.api, &served, self.namespace(), name).await?;
        let namespace = object.namespace().map(str::to_owned);
        let wanted = Wanted {
            namespace: namespace.as_deref(),
            kind: Some(&served.kind),
            name: Some(name),
            limit: EVENTS,
        };
        let told = happened(wanted.newest(&self.api).await);
        Ok(described(object, &told))
    }
}

/// What happened, or why nobody knows.
fn happened(newest: Result<Newest, Error>) -> String {
    match newest {
        Ok(Newest { events, .. }) if events.is_empty() => "events: none".to_owned(),
        Ok(Newest { events, .. }) => {
            let lines: Vec<String> = events.iter().rev().map(events::in_words).collect();
            format!("events, the newest first:\n{}", lines.join("\n"))
        }
        Err(error) => format!("events: not known: {}", in_words(&error)),
    }
}

fn described(object: Object, happened: &str) -> Value {
    let mut text = Text::default();
    let created = object.created().map(|time| format!(", created {time}")).unwrap_or_default();
    text.line(&format!(
        "{} ({}{created})",
        object.reference(),
        object.value()["apiVersion"].as_str().unwrap_or("?")
    ));
    if let Some(time) = object.deleted() {
        text.line(&format!("deletion asked for at {time}"));
    }
    for owner in object.owners() {
        let controls = if owner.controller == Some(true) { " (controls it)" } else { "" };
        text.line(&format!("owner: {} {}{controls}", owner.kind, owner.name));
    }
    let mut value = shown(object);
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(told) =
            value.pointer(&format!("/metadata/{field}")).map(on_a_line).filter(|told| !told.is_empty())
        {
            text.line(&format!("{field}: {told}"));
        }
    }
    let conditions = value.pointer_mut("/status/conditions").map(Value::take).unwrap_or_default();
    if let Some(conditions) = conditions.as_array().filter(|conditions| !conditions.is_empty()) {
        text.line("conditions:");
        conditions.iter().all(|condition| text.line(&format!("  {}", condition_in_words(condition))));
    }
    text.lines(happened);
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
    }
    quiet(&mut value);
    let yaml = |value: &Value| serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string());
    let (value, short) = match object::fitting(value, |value| text.fits(&yaml(value))) {
        Ok((value, short)) => (value, short.is_some()),
        Err(value) => (value, true),
    };
    if value.as_object().is_some_and(|fields| !fields.is_empty()) {
        text.lines(&yaml(&value));
    }
    text.answer(short, "long texts and what comes last were left out: get has the whole of a small object")
}

/// Takes out what says nothing: empty values, usual ones, and the volume by which every pod has its account's token.
fn quiet(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(quiet);
            fields.retain(|name, value| !is_empty(value) && !is_usual(name, value));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(quiet);
            items.retain(|item| {
                let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
                !name.starts_with("kube-api-access-")
            });
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn is_usual(name: &str, value: &Value) -> bool {
    USUAL.iter().any(|(field, usual)| *field == name && value == usual)
}

/// `app=web, tier=front`
fn on_a_line(value: &Value) -> String {
    let short = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), |text| text.replace('\n', " "));
        start_of(&text, VALUE).to_owned()
    };
    let parts: Vec<String> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", short(value))).collect()
        }
        Value::Array(items) => items.iter().map(short).collect(),
        _ => Vec::new(),
    };
    parts.join(", ")
}

/// `Ready=False ContainersNotReady since 2026-01-01T00:00:00Z: containers with unready status: [web]`
fn condition_in_words(condition: &Value) -> String {
    let empty = Map::new();
    let fields = condition.as_object().unwrap_or(&empty);
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    let part = |before: &str, name: &str| {
        let text = text(name);
        if text.is_empty() { String::new() } else { format!("{before}{text}") }
    };
    format!(
        "{}={}{}{}{}",
        text("type"),
        text("status"),
        part(" ", "reason"),
        part(" since ", "lastTransitionTime"),
        part(": ", "message")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::kube::answer::ANSWER;

    fn text(object: Value) -> (String, bool) {
        let answer = described(Object::new(object).unwrap(), "events: none");
        (answer["text"].as_str().unwrap().to_owned(), answer["truncated"] == true)
    }

    #[test]
    fn what_matters_is_told_and_noise_is_not() {
        let (text, truncated) = text(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": "web-0", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z", "uid": "5f1b1f0c",
                "labels": {"app": "web"}, "annotations": {"note": "postgres://u:hunter2@db/x", "empty": ""},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]},
            "spec": {"dnsPolicy": "ClusterFirst", "volumes": [{"name": "kube-api-access-x", "projected": {}}],
                "containers": [{"name": "web", "image": "web:1", "env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}]},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False", "reason": "Waits",
                "lastTransitionTime": "2026-01-02T00:00:00Z", "message": "not\nyet"}]},
        }));
        for line in [
            "Pod shop/web-0 (v1, created 2026-01-01T00:00:00Z)",
            "owner: ReplicaSet web (controls it)",
            "labels: app=web",
            "  Ready=False Waits since 2026-01-02T00:00:00Z: not yet",
            "events: none",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
        assert!(text.contains("phase: Pending") && text.contains("image: web:1") && !truncated, "{text}");
        for noise in ["hunter2", "kube-api-access", "dnsPolicy", "5f1b1f0c", "managedFields"] {
            assert!(!text.contains(noise), "{noise} in {text}");
        }
    }

    #[test]
    fn a_large_object_ends_and_says_so() {
        let texts: Map<String, Value> =
            (0..2000).map(|n| (format!("k{n}"), "word ".repeat(20).into())).collect();
        let (text, truncated) =
            text(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": texts}));
        assert!(truncated && text.len() <= ANSWER && text.contains("k0"), "{}", text.len());
    }
}
