//! What the pods of an agent have besides what they need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    RUNTIME_CONTAINER,
    k8sgpt::{ObjectName, Toleration},
};

/// What the pods of an agent have besides what they need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AgentPod {
    /// Image; it must be built on asya-crew. Absent means the operator's.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Secrets with credentials for the image's registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<ObjectName>,
    /// Requests and limits of the container.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::resources"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    /// ServiceAccount, for a provider that is reached by the cloud's identity; absent means asya-NAME, which the operator makes.
    /// The agent itself needs no right in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Labels of the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are put up with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

impl AgentPod {
    /// The account that it names.
    pub(super) fn account(&self) -> Option<&str> {
        self.service_account_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The pod template of the agent's actor; `image` where it names none.
    pub(super) fn template(&self, account: &str, image: &str, pull_policy: Option<&str>) -> Value {
        let mut container = json!({
            "name": RUNTIME_CONTAINER,
            "image": self.image.as_deref().unwrap_or(image),
            "resources": self.resources.clone().unwrap_or_else(resources),
            "securityContext": restricted(),
        });
        put(&mut container, "imagePullPolicy", json!(pull_policy));
        let mut pod = json!({
            "serviceAccountName": account,
            "automountServiceAccountToken": false,
            "containers": [container],
        });
        put(&mut pod, "imagePullSecrets", json!(self.image_pull_secrets));
        put(&mut pod, "nodeSelector", json!(self.node_selector));
        put(&mut pod, "tolerations", json!(self.tolerations));
        put(&mut pod, "priorityClassName", json!(self.priority_class_name));
        let mut metadata = json!({});
        put(&mut metadata, "labels", json!(self.labels));
        put(&mut metadata, "annotations", json!(self.annotations));
        let mut template = json!({ "spec": pod });
        put(&mut template, "metadata", metadata);
        template
    }
}

/// Sets a field to what is not empty.
fn put(object: &mut Value, field: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if !empty {
        object[field] = value;
    }
}

/// It waits for a model most of the time, and holds the transcripts of the sessions that it works on.
fn resources() -> Value {
    json!({ "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "memory": "512Mi" } })
}

/// What every namespace admits.
fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}
