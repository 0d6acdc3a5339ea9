//! The original operator, which must not act beside this one.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, api::ListParams};

use super::subject::Subject;
use crate::controllers::apply::timely;

/// Last part of its image, in whatever registry.
const IMAGE: &str = "k8sgpt-operator";
/// Labels that its chart and its manifests give it.
const LABELS: [&str; 3] =
    ["app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/created-by"];
/// Deployments per page of a list.
const PAGE: u32 = 200;

/// Looks for a Deployment of it that is meant to run: in the whole cluster, because it acts in all of it, or where that is
/// forbidden in these namespaces. A sentence about it.
///
/// # Errors
/// What the API server said.
pub async fn deployment(client: &Client, namespaces: &[String]) -> kube::Result<Option<String>> {
    match among(Api::all(client.clone())).await {
        Err(kube::Error::Api(status)) if status.is_forbidden() && !namespaces.is_empty() => {}
        answer => return answer,
    }
    for namespace in namespaces {
        let found = among(Api::namespaced(client.clone(), namespace)).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn among(api: Api<Deployment>) -> kube::Result<Option<String>> {
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = timely(api.list(&page)).await?;
        if let Some(found) = list.items.iter().find(|deployment| is_original(deployment)) {
            let name = found.metadata.name.as_deref().unwrap_or_default();
            let namespace = found.metadata.namespace.as_deref().unwrap_or_default();
            return Ok(Some(format!(
                "Deployment {name} in namespace {namespace} is the original operator: uninstall it, or scale it to zero"
            )));
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(None),
        }
    }
}

fn is_original(deployment: &Deployment) -> bool {
    let Some(spec) = &deployment.spec else { return false };
    let labels = deployment.metadata.labels.iter().flatten();
    let by_label = labels.clone().any(|(key, value)| LABELS.contains(&key.as_str()) && value == IMAGE);
    let containers = spec.template.spec.iter().flat_map(|pod| &pod.containers);
    let by_image =
        containers.filter_map(|container| container.image.as_deref()).any(|image| name(image) == IMAGE);
    spec.replicas != Some(0) && (by_label || by_image)
}

/// The last part of an image's name, without tag and digest.
fn name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split(['@', ':']).next().unwrap_or_default()
}

/// Somebody else who writes the status; a sentence about it.
pub fn writer(subject: &Subject) -> Option<String> {
    let writer = subject.writer.as_ref()?;
    Some(format!(
        "{writer} has written the status of this object: stop it, then kubectl patch k8sgpts.core.k8sgpt.ai {} -n {} \
         --type=json -p '[{{\"op\":\"replace\",\"path\":\"/metadata/managedFields\",\"value\":[{{}}]}}]'",
        subject.name, subject.namespace
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn deployment(labels: Value, image: &str, replicas: i32) -> Deployment {
        from_value(json!({
            "metadata": {"name": "d", "labels": labels},
            "spec": {"replicas": replicas, "selector": {}, "template": {"spec": {"containers": [
                {"name": "proxy", "image": "gcr.io/kube-rbac-proxy:v1"}, {"name": "manager", "image": image},
            ]}}},
        }))
        .unwrap()
    }

    #[test]
    fn the_original_is_known_by_image_or_label_while_it_is_meant_to_run() {
        let plain = json!({});
        for image in [
            "ghcr.io/k8sgpt-ai/k8sgpt-operator:v0.2.27",
            "registry.local:5000/mirror/k8sgpt-operator@sha256:ab",
            "k8sgpt-operator",
        ] {
            assert!(is_original(&deployment(plain.clone(), image, 1)), "{image}");
            assert!(!is_original(&deployment(plain.clone(), image, 0)), "{image} is stopped");
        }
        let label = json!({"app.kubernetes.io/part-of": "k8sgpt-operator"});
        assert!(is_original(&deployment(label, "local/build:dev", 1)));
        for other in ["ghcr.io/k8sgpt-ai/k8sgpt:v0.4", "asya-operator:latest", "x/k8sgpt-operator-docs:1"] {
            assert!(!is_original(&deployment(plain.clone(), other, 1)), "{other}");
        }
    }
}
