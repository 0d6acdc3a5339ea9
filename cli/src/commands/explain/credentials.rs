//! Where a sidecar has the broker's credentials from, as its pod template says.

use asya_resources::SIDECAR_CONTAINER;
use serde_json::Value;

/// Volume with the transport's credentials, mounted by the sidecar alone.
const VOLUME: &str = "asya-transport";

fn items<'a>(object: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    object[list].as_array().into_iter().flatten()
}

/// A sentence about the pod template's credentials.
pub(super) fn describe(pod: &Value) -> String {
    let sidecar = items(pod, "initContainers")
        .chain(items(pod, "containers"))
        .find(|container| container["name"] == SIDECAR_CONTAINER);
    let Some(sidecar) = sidecar else {
        return "none: the pods have no sidecar".to_owned();
    };
    let mut secrets: Vec<String> = Vec::new();
    let mut add = |name: &Value, how: &str| {
        if let Some(name) = name.as_str() {
            let text = format!("Secret {name}, {how}");
            if !secrets.contains(&text) {
                secrets.push(text);
            }
        }
    };
    for volume in items(pod, "volumes").filter(|volume| volume["name"] == VOLUME) {
        add(&volume["secret"]["secretName"], "as files of the sidecar");
        for source in items(&volume["projected"], "sources") {
            add(&source["secret"]["name"], "as files of the sidecar");
        }
    }
    for var in items(sidecar, "env") {
        add(&var["valueFrom"]["secretKeyRef"]["name"], "in the sidecar's environment");
    }
    if !secrets.is_empty() {
        return secrets.join("; ");
    }
    match pod["serviceAccountName"].as_str() {
        Some(account) => format!("no Secret; the pods' ServiceAccount is {account}"),
        None => "no Secret: the transport is configured without, or the node's identity is used".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_secret_is_named_and_how_the_sidecar_has_it() {
        let sidecar = json!([{"name": SIDECAR_CONTAINER}]);
        let files = json!({"initContainers": sidecar, "volumes": [
            {"name": VOLUME, "secret": {"secretName": "rabbitmq"}},
            {"name": "mine", "secret": {"secretName": "other"}},
        ]});
        assert_eq!(describe(&files), "Secret rabbitmq, as files of the sidecar");
        let account = json!({"containers": sidecar, "serviceAccountName": "asya-ocr"});
        assert!(describe(&account).contains("ServiceAccount is asya-ocr"));
        assert!(describe(&json!({"containers": []})).contains("no sidecar"));
    }
}
