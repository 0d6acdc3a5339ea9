//! `top`: what pods and nodes use, as metrics.k8s.io has it.

use asya_cluster::{
    Refusal, Served,
    catalogue::encode,
    look::{Error, kinds, object},
};
use serde::Deserialize;
use serde_json::Value;

use super::Call;
use crate::kube::answer::Text;

#[derive(Deserialize)]
struct List {
    items: Option<Vec<Usage>>,
}

/// What a pod or a node uses.
#[derive(Deserialize)]
struct Usage {
    metadata: Identity,
    #[serde(default)]
    containers: Vec<Container>,
    usage: Option<Amount>,
}

#[derive(Deserialize)]
struct Identity {
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    usage: Amount,
}

#[derive(Deserialize)]
struct Amount {
    cpu: Option<String>,
    memory: Option<String>,
}

impl Call<'_> {
    pub(super) async fn top(&self) -> Result<Value, Error> {
        let kind = self.arguments.kind.as_ref().map_or("pod", |kind| &kind.0);
        let of = kinds::known(kind).filter(|served| matches!(served.kind.as_str(), "Pod" | "Node"));
        let of = of.ok_or_else(|| Error::Argument {
            field: "kind".to_owned(),
            reason: "kind: only pods and nodes are measured".to_owned(),
        })?;
        let served = Served {
            group: "metrics.k8s.io".to_owned(),
            version: "v1beta1".to_owned(),
            listable: true,
            ..of
        };
        let mut usages = self.usages(&served).await?;
        usages.sort_by(|one, other| other.memory().total_cmp(&one.memory()));
        let mut text = Text::default();
        text.line("NAME | CPU (thousandths of a core) | MEMORY (MiB)");
        let all = usages.len();
        for usage in usages.iter().take(self.arguments.limit.0) {
            usage.lines().iter().all(|line| text.line(line));
        }
        let more = all > self.arguments.limit.0;
        Ok(text.answer(more, "those that use less memory were left out: narrow by namespace or selector"))
    }

    async fn usages(&self, served: &Served) -> Result<Vec<Usage>, Error> {
        let (namespace, name) = (self.namespace().filter(|_| served.namespaced), &self.arguments.name);
        let absent = |refusal: Refusal| {
            match refusal {
            Refusal::NotFound { object: false } => Error::Argument {
                field: String::new(),
                reason: "the cluster does not measure what pods and nodes use: it has no metrics.k8s.io (metrics-server)"
                    .to_owned(),
            },
            Refusal::NotFound { object: true } => {
                object::not_found(served, namespace, name.as_ref().map_or("", |name| &name.0))
            }
            refusal => {
                let verb = if name.is_some() { "get" } else { "list" };
                Error::refused(verb, &served.full_name(), namespace)(refusal)
            }
        }
        };
        let path = served.path(namespace);
        if let Some(name) = name {
            if served.namespaced && namespace.is_none() {
                return Err(Error::NoNamespace { kind: served.kind.clone() });
            }
            let usage = self.api.json(&format!("{path}/{}", encode(&name.0))).await.map_err(absent)?;
            return Ok(vec![usage]);
        }
        let labels = &self.arguments.selector.0;
        let path = if labels.is_empty() { path } else { format!("{path}?labelSelector={}", encode(labels)) };
        let list: List = self.api.json(&path).await.map_err(absent)?;
        Ok(list.items.unwrap_or_default())
    }
}

impl Usage {
    fn memory(&self) -> f64 {
        let all = self.containers.iter().map(|container| &container.usage).chain(&self.usage);
        all.map(|amount| amount.memory.as_deref().map_or(0.0, quantity)).sum()
    }

    /// The whole, and of a pod with several containers each of them.
    fn lines(&self) -> Vec<String> {
        let place = self.metadata.namespace.as_ref().map(|namespace| format!("{namespace}/"));
        let name = format!("{}{}", place.unwrap_or_default(), self.metadata.name);
        let all = self.containers.iter().map(|container| &container.usage).chain(&self.usage);
        let cpu = all.map(|amount| amount.cpu.as_deref().map_or(0.0, quantity)).sum();
        let line = |name: &str, cpu: f64, memory: f64| {
            format!("{name} | {:.0} | {:.0}", cpu * 1000.0, memory / f64::from(1 << 20))
        };
        let mut lines = vec![line(&name, cpu, self.memory())];
        if self.containers.len() > 1 {
            lines.extend(self.containers.iter().map(|Container { name, usage }| {
                let of = |amount: &Option<String>| amount.as_deref().map_or(0.0, quantity);
                line(&format!("  container {name}"), of(&usage.cpu), of(&usage.memory))
            }));
        }
        lines
    }
}

/// A quantity of Kubernetes as a number: `250m`, `128Mi`, `1234567n`; 0 for what is none.
fn quantity(text: &str) -> f64 {
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "" => 1.0,
        _ => 0.0,
    };
    number.parse::<f64>().unwrap_or(0.0) * factor
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_numbers() {
        for (text, expected) in [
            ("250m", 0.25),
            ("1500000n", 0.0015),
            ("2", 2.0),
            ("128Mi", 134_217_728.0),
            ("?", 0.0),
            ("1x", 0.0),
        ] {
            assert!((quantity(text) - expected).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn a_pod_is_the_sum_of_its_containers() {
        let pod: Result<Usage, _> = serde_json::from_value(
            json!({"metadata": {"name": "web", "namespace": "shop"}, "containers": [
            {"name": "a", "usage": {"cpu": "250m", "memory": "64Mi"}}, {"name": "b", "usage": {"cpu": "1", "memory": "64Mi"}}]}),
        );
        let lines = pod.unwrap().lines();
        assert_eq!(lines, ["shop/web | 1250 | 128", "  container a | 250 | 64", "  container b | 1000 | 64"]);
        let node: Usage = serde_json::from_value(
            json!({"metadata": {"name": "n"}, "usage": {"cpu": "1500000000n", "memory": "1048576Ki"}}),
        )
        .unwrap();
        assert_eq!(node.lines(), ["n | 1500 | 1024"]);
    }
}
