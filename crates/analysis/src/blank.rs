//! Objects without values that no analyzer reads: what passwords are often written into, though they should not be.

use serde_json::Value;

use crate::analyzers::config_map::NEARLY;
use crate::object::Object;
use crate::reference::is_told;

impl Object {
    /// Without the literal values of its environment variables, but for those that name a ConfigMap, and, unless
    /// `config_maps`, without what is in it if it is a ConfigMap. Names and keys stay; so does the size of a ConfigMap
    /// that is nearly full, as asterisks.
    #[must_use]
    pub fn blanked(self, config_maps: bool) -> Self {
        let mut value = self.into_value();
        if value["kind"] == "ConfigMap" && value["apiVersion"] == "v1" {
            if !config_maps {
                blank_data(&mut value);
            }
        } else {
            blank_variables(&mut value);
        }
        Self::parsed(value)
    }
}

fn blank_data(map: &mut Value) {
    let texts = |field: &str| map.get(field).and_then(Value::as_object).into_iter().flatten();
    let size: usize =
        texts("data").chain(texts("binaryData")).filter_map(|(_, text)| text.as_str()).map(str::len).sum();
    // The text of binary data is longer than the data.
    let matters = size >= NEARLY;
    for field in ["data", "binaryData"] {
        let Some(data) = map.get_mut(field).and_then(Value::as_object_mut) else { continue };
        for text in data.values_mut() {
            if let Value::String(text) = text {
                // What base64 ends with says how long the data is.
                let end = text.len() - text.trim_end_matches('=').len();
                let filler = || "*".repeat(text.len() - end) + &"=".repeat(end);
                *text = if matters { filler() } else { String::new() };
            }
        }
    }
}

/// In a pod or a template of pods, wherever a custom resource has one.
fn blank_variables(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank_variables),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    Value::Array(variables) if name == "env" => variables.iter_mut().for_each(blank_variable),
                    field => blank_variables(field),
                }
            }
        }
        _ => {}
    }
}

fn blank_variable(variable: &mut Value) {
    let names = variable.get("name").and_then(Value::as_str).is_some_and(is_told);
    if let Some(Value::String(text)) = variable.get_mut("value").filter(|_| !names) {
        text.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use crate::analyzers::testing::{codes, look, object};
    use crate::reference::named_by;

    #[test]
    fn values_of_variables_go_wherever_pods_are_described_and_names_stay() {
        let container = json!({"name": "c", "env": [{"name": "PASSWORD", "value": "hunter2"},
            {"name": "WATCHED_CONFIGMAP", "value": "settings"},
            {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]});
        let spec = json!({"containers": [container], "initContainers": [container]});
        let templates = [
            object("v1", "Pod", "p", json!({"spec": spec})),
            object(
                "batch/v1",
                "CronJob",
                "c",
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
            ),
            object(
                "example.com/v1",
                "Rollout",
                "r",
                json!({"spec": {"pods": [{"template": {"spec": spec}}]}}),
            ),
        ];
        for template in templates {
            let blank = template.clone().blanked(false);
            let text = blank.value().to_string();
            assert!(!text.contains("hunter2"), "{text}");
            assert!(
                ["PASSWORD", "settings", "secretKeyRef"].iter().all(|kept| text.contains(kept)),
                "{text}"
            );
            assert_eq!(named_by(&blank), named_by(&template));
        }
    }

    #[test]
    fn data_of_config_maps_goes_and_what_analyzers_say_of_it_does_not() {
        let of = |rest| object("v1", "ConfigMap", "m", rest);
        for (map, said) in [
            (
                of(json!({"data": {"app.ini": "password=hunter2"}, "binaryData": {"b": "aHVudGVyMg=="}})),
                vec!["ConfigMapUnused"],
            ),
            (of(json!({"data": {}})), vec!["ConfigMapEmpty", "ConfigMapUnused"]),
            (
                of(json!({"data": {"a": "hunter2".repeat(160_000)}})),
                vec!["ConfigMapTooLarge", "ConfigMapUnused"],
            ),
            (
                of(json!({"data": {"a": "hunter2".repeat(140_000)}})),
                vec!["ConfigMapNearlyFull", "ConfigMapUnused"],
            ),
        ] {
            let blank = map.clone().blanked(false);
            assert!(!blank.value().to_string().contains("hunter2"));
            assert!(!blank.value().to_string().contains("aHVudGVyMg"));
            assert_eq!(codes(&look(&["ConfigMap"], &map, &[])), said);
            assert_eq!(look(&["ConfigMap"], &blank, &[]), look(&["ConfigMap"], &map, &[]));
            assert_eq!(map.clone().blanked(true), map, "who reads it gets it");
        }
    }

    #[test]
    fn odd_shapes_stay_what_they_are() {
        for rest in
            [json!({"data": 7}), json!({"data": {"a": 7}}), json!({"spec": {"env": 7}}), json!({"env": [7]})]
        {
            for kind in ["ConfigMap", "Pod"] {
                let odd = object("v1", kind, "odd", rest.clone());
                assert_eq!(odd.clone().blanked(false), odd);
            }
        }
    }
}
