//! Which pods a forward leads to.

use std::fmt;

use serde_json::Value;

use crate::{
    cluster::{Cluster, Resource, resource},
    exit::misconfigured,
};

/// The label of gateways that the chart makes.
const LABEL: &str = "app.kubernetes.io/name=asya-gateway";
/// The port that gateways listen on, where nothing says another.
const PORT: u16 = 8080;

/// A port of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Port {
    Number(u16),
    /// As containers name it.
    Named(String),
}

/// Pods, and a port of them.
#[derive(Clone, Debug)]
pub(super) struct Target {
    kind: &'static str,
    name: String,
    /// Which pods, as a label selector.
    pub(super) labels: String,
    port: Port,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Target {
    /// The one that was named, else the only gateway of the namespace. `port` is of the pods.
    ///
    /// # Errors
    /// There is none, or more than one that nobody named.
    pub(super) async fn find(
        cluster: &Cluster,
        named: Option<&str>,
        port: Option<u16>,
    ) -> anyhow::Result<Self> {
        let port = port.map(Port::Number);
        let Some(named) = named else {
            let object = only(cluster).await?;
            return Self::service(&object, port);
        };
        let (kind, name) = named.split_once('/').unwrap_or(("service", named));
        match kind {
            "service" | "services" | "svc" => {
                Self::service(&get(cluster, resource::SERVICES, "service", name).await?, port)
            }
            "deployment" | "deployments" | "deploy" => {
                let object = get(cluster, resource::DEPLOYMENTS, "deployment", name).await?;
                let labels = labels(&object["spec"]["selector"]["matchLabels"]);
                let port = port.unwrap_or(Port::Number(PORT));
                Self::checked("deployment", name, labels, port)
            }
            other => Err(misconfigured(format!(
                "{other}/{name}: a gateway is a service/NAME or a deployment/NAME"
            ))),
        }
    }

    fn service(object: &Value, port: Option<Port>) -> anyhow::Result<Self> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let ports = object["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        let chosen = ports.iter().find(|port| port["name"] == "http").or(ports.first());
        let port = port.or_else(|| {
            let chosen = chosen?;
            let pod = if chosen["targetPort"].is_null() { &chosen["port"] } else { &chosen["targetPort"] };
            match pod.as_str() {
                Some(name) => Some(Port::Named(name.to_owned())),
                None => number(pod).map(Port::Number),
            }
        });
        let port =
            port.ok_or_else(|| anyhow::anyhow!("service {name} has no port; --port names the pods'"))?;
        Self::checked("service", name, labels(&object["spec"]["selector"]), port)
    }

    fn checked(kind: &'static str, name: &str, labels: String, port: Port) -> anyhow::Result<Self> {
        if labels.is_empty() {
            anyhow::bail!("{kind} {name} selects no pods");
        }
        Ok(Self { kind, name: name.to_owned(), labels, port })
    }

    /// The number of the port on this pod.
    pub(super) fn port(&self, pod: &Value) -> Option<u16> {
        let name = match &self.port {
            Port::Number(port) => return Some(*port),
            Port::Named(name) => name,
        };
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
        let port = ports.find(|port| port["name"] == name.as_str())?;
        number(&port["containerPort"])
    }
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok())
}

fn labels(selector: &Value) -> String {
    let pairs = selector.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

async fn get(cluster: &Cluster, kind: Resource, word: &str, name: &str) -> anyhow::Result<Value> {
    let namespace = &cluster.namespace;
    let found = cluster.get(kind, Some(namespace), name).await?;
    found.ok_or_else(|| {
        anyhow::anyhow!(
            "no {word} {name} in namespace {namespace} of context {}; -n names another",
            cluster.context
        )
    })
}

async fn only(cluster: &Cluster) -> anyhow::Result<Value> {
    let namespace = &cluster.namespace;
    let mut found = cluster.list(resource::SERVICES, Some(namespace), LABEL).await?;
    // Beside the one for people there is one for metrics, in some installations.
    found.retain(|service| !service["metadata"]["name"].as_str().unwrap_or_default().ends_with("-metrics"));
    match (found.pop(), found.len()) {
        (None, _) => anyhow::bail!(
            "no gateway in namespace {namespace} of context {}: no service has the label {LABEL}; -n names another \
             namespace, `asya forward service/NAME` a gateway that has not the label",
            cluster.context
        ),
        (Some(service), 0) => Ok(service),
        (Some(last), _) => {
            found.push(last);
            let names = found.iter().filter_map(|service| service["metadata"]["name"].as_str());
            let names: Vec<_> = names.collect();
            Err(misconfigured(format!(
                "namespace {namespace} has several gateways: name one of {}",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_found_by_its_name_on_the_pod() {
        let service = json!({"metadata": {"name": "gw"}, "spec": {"selector": {"app": "gw", "x": "y"}, "ports": [
            {"name": "metrics", "port": 9}, {"name": "http", "port": 80, "targetPort": "web"}]}});
        let target = Target::service(&service, None).unwrap();
        assert_eq!((target.to_string().as_str(), target.labels.as_str()), ("service/gw", "app=gw,x=y"));
        let pod = json!({"spec": {"containers": [{}, {"ports": [{"name": "web", "containerPort": 8080}]}]}});
        assert_eq!(target.port(&pod), Some(8080));
        assert_eq!(target.port(&json!({})), None);
        assert_eq!(Target::service(&service, Some(Port::Number(1))).unwrap().port(&json!({})), Some(1));
        let bare =
            json!({"metadata": {"name": "gw"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}});
        assert_eq!(Target::service(&bare, None).unwrap().port(&json!({})), Some(80));
        assert!(Target::service(&json!({"spec": {"ports": [{"port": 80}]}}), None).is_err());
    }
}
