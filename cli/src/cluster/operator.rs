//! Finding the operator's Deployment.

use serde_json::Value;

use super::{Cluster, ClusterError, resource::DEPLOYMENTS};

/// Label of the operator's objects, as its chart sets it.
const NAME_LABEL: &str = "app.kubernetes.io/name=asya-operator";
/// Label of everything that our charts install, whatever `nameOverride` says.
const PART_LABEL: &str = "app.kubernetes.io/part-of=asya";
/// What only the operator's container has.
const MARK: &str = "ASYA_TRANSPORT_CONFIG";
/// Where the documentation installs it; looked at when one may not look everywhere.
pub(crate) const USUAL_NAMESPACES: [&str; 2] = ["asya-system", "asya"];

/// An installed operator.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// What the chart says; the image's tag otherwise.
    pub(crate) version: Option<String>,
    pub(crate) image: String,
    pub(crate) wanted: i64,
    pub(crate) ready: i64,
    /// The Deployment.
    pub(crate) object: Value,
}

impl Operator {
    fn of(object: Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let containers = object["spec"]["template"]["spec"]["containers"].as_array()?;
        let container = containers.iter().find(|container| {
            container["env"].as_array().is_some_and(|env| env.iter().any(|var| var["name"] == MARK))
        })?;
        let image = container["image"].as_str().unwrap_or_default().to_owned();
        let tag = image.rsplit('/').next().and_then(|last| {
            let tagged = last.split('@').next().unwrap_or(last);
            tagged.split_once(':').map(|(_, tag)| tag.to_owned())
        });
        let label = metadata["labels"]["app.kubernetes.io/version"].as_str().map(str::to_owned);
        Some(Self {
            name: metadata["name"].as_str()?.to_owned(),
            namespace: metadata["namespace"].as_str()?.to_owned(),
            version: label.or(tag),
            image,
            wanted: object["spec"]["replicas"].as_i64().unwrap_or(1),
            ready: object["status"]["readyReplicas"].as_i64().unwrap_or(0),
            object,
        })
    }

    /// The value of a variable in its environment.
    pub(crate) fn env(&self, name: &str) -> Option<&str> {
        let containers = self.object["spec"]["template"]["spec"]["containers"].as_array()?;
        let vars = containers.iter().filter_map(|container| container["env"].as_array()).flatten();
        vars.filter(|var| var["name"] == name).find_map(|var| var["value"].as_str())
    }
}

/// Every operator that is installed; more than one is a mistake. Who may not look in all namespaces sees those of the
/// usual namespaces and of the one that is meant.
pub(crate) async fn find(cluster: &Cluster) -> Result<Vec<Operator>, ClusterError> {
    for labels in [NAME_LABEL, PART_LABEL] {
        let found = match cluster.list(DEPLOYMENTS, None, labels).await {
            Err(ClusterError::Forbidden(words)) => {
                near(cluster, labels).await.ok_or(ClusterError::Forbidden(words))?
            }
            found => found?,
        };
        let operators: Vec<_> = found.into_iter().filter_map(Operator::of).collect();
        if !operators.is_empty() {
            return Ok(operators);
        }
    }
    Ok(Vec::new())
}

/// Deployments of the usual namespaces; `None` when none of them may be looked at.
async fn near(cluster: &Cluster, labels: &str) -> Option<Vec<Value>> {
    let mut places: Vec<&str> = USUAL_NAMESPACES.to_vec();
    if !places.contains(&cluster.namespace.as_str()) {
        places.push(&cluster.namespace);
    }
    let mut found = None;
    for namespace in places {
        if let Ok(more) = cluster.list(DEPLOYMENTS, Some(namespace), labels).await {
            found.get_or_insert_with(Vec::new).extend(more);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_version_is_the_charts_and_else_the_images() {
        let mut object = json!({
            "metadata": {"name": "op", "namespace": "asya-system", "labels": {"app.kubernetes.io/version": "0.1.0"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b", "c": "d"}}, "template": {"spec": {"containers": [
                {"name": "proxy", "image": "proxy"},
                {"name": "operator", "image": "host:5000/asya-operator:dev@sha256:00", "env": [{"name": MARK, "value": "{}"}]},
            ]}}},
        });
        let operator = Operator::of(object.clone()).unwrap();
        assert_eq!((operator.version.as_deref(), operator.env(MARK)), (Some("0.1.0"), Some("{}")));
        object["metadata"]["labels"] = json!({});
        assert_eq!(Operator::of(object).unwrap().version.as_deref(), Some("dev"));
    }
}
