//! What an object may that others may not: the node, Secrets, other accounts, the traffic of others.

use std::collections::BTreeSet;

use serde_json::Value;

/// Volumes that reach outside of the cluster or have a driver on the node do their work.
const OUTSIDE: [&str; 4] = ["gitRepo", "flexVolume", "csi", "nfs"];
/// Begins the annotations that said what a container may before there was a field for it.
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
/// Ends the annotations of an Ingress that are a piece of its controller's configuration.
const SNIPPET: &str = "-snippet";

/// Each as a sentence. Pods are found wherever in the object they are described.
pub(crate) fn of(object: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    routes(object, &mut found);
    search(object, &mut found);
    found
}

/// What a Service or an Ingress does with the traffic of others.
fn routes(object: &Value, found: &mut BTreeSet<String>) {
    let spec = &object["spec"];
    match object["kind"].as_str() {
        Some("Service") => {
            for address in list(&spec["externalIPs"]).filter_map(Value::as_str) {
                found.insert(format!("it takes the traffic to {address}"));
            }
            if spec["type"] == "ExternalName" {
                let name = spec["externalName"].as_str().unwrap_or_default();
                found.insert(format!("it leads out of the cluster, to {name}"));
            }
        }
        Some("Ingress") => {
            for (name, snippet) in fields(&object["metadata"]["annotations"]) {
                if name.ends_with(SNIPPET) {
                    found.insert(format!("{name} configures the Ingress controller: {snippet}"));
                }
            }
        }
        _ => {}
    }
}

fn search(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| search(item, found)),
        Value::Object(fields) => {
            if fields.get("containers").is_some_and(Value::is_array) {
                pod(value, found);
            }
            unconfined_by_annotation(&value["annotations"], found);
            fields.values().for_each(|field| search(field, found));
        }
        _ => {}
    }
}

fn pod(pod: &Value, found: &mut BTreeSet<String>) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[field] == true {
            found.insert(format!("its pods get the node: {field}"));
        }
    }
    if let Some(account) = said(&pod["serviceAccountName"]).filter(|account| *account != "default") {
        found.insert(format!("its pods act as service account {account}"));
    }
    if let Some(node) = said(&pod["nodeName"]) {
        found.insert(format!("its pods go to node {node}, whatever the scheduler says"));
    }
    for sysctl in list(&pod["securityContext"]["sysctls"]).filter_map(|sysctl| sysctl["name"].as_str()) {
        found.insert(format!("its pods set {sysctl} of the kernel"));
    }
    context(&pod["securityContext"], found);
    list(&pod["volumes"]).for_each(|of| volume(of, found));
    for containers in ["containers", "initContainers", "ephemeralContainers"] {
        list(&pod[containers]).for_each(|of| container(of, found));
    }
}

fn volume(volume: &Value, found: &mut BTreeSet<String>) {
    if let Some(path) = volume["hostPath"]["path"].as_str() {
        found.insert(format!("its pods get the node: hostPath {path}"));
    }
    if volume["secret"].is_object() {
        secret(&volume["secret"]["secretName"], found);
    }
    for source in list(&volume["projected"]["sources"]) {
        if source["secret"].is_object() {
            secret(&source["secret"]["name"], found);
        }
        if source["serviceAccountToken"].is_object() {
            found.insert("its pods get a token of their service account".to_owned());
        }
    }
    for kind in OUTSIDE {
        if volume[kind].is_object() {
            found.insert(format!("its pods get a volume {kind}: {}", volume[kind]));
        }
    }
}

fn container(container: &Value, found: &mut BTreeSet<String>) {
    let own = &container["securityContext"];
    context(own, found);
    if own["privileged"] == true {
        found.insert("its pods get the node: privileged".to_owned());
    }
    if own["procMount"] == "Unmasked" {
        found.insert("its pods get the node: procMount Unmasked".to_owned());
    }
    for capability in list(&own["capabilities"]["add"]).filter_map(Value::as_str) {
        found.insert(format!("its pods get the capability {capability}"));
    }
    let ports = list(&container["ports"]).filter_map(|port| port["hostPort"].as_u64());
    for port in ports.filter(|port| *port > 0) {
        found.insert(format!("its pods get port {port} of the node"));
    }
    for of in list(&container["env"]).map(|variable| &variable["valueFrom"]["secretKeyRef"]) {
        if of.is_object() {
            secret(&of["name"], found);
        }
    }
    for of in list(&container["envFrom"]).map(|source| &source["secretRef"]) {
        if of.is_object() {
            secret(&of["name"], found);
        }
    }
}

/// What pods and containers say in the same way.
fn context(context: &Value, found: &mut BTreeSet<String>) {
    if context["windowsOptions"]["hostProcess"] == true {
        found.insert("its pods get the node: hostProcess".to_owned());
    }
    for profile in ["seccompProfile", "appArmorProfile"] {
        if context[profile]["type"] == "Unconfined" {
            found.insert(format!("its pods are not confined: {profile}"));
        }
    }
}

fn unconfined_by_annotation(annotations: &Value, found: &mut BTreeSet<String>) {
    let mut of = fields(annotations).filter(|(name, _)| name.starts_with(APPARMOR));
    if of.any(|(_, profile)| profile == "unconfined") {
        found.insert("its pods are not confined: AppArmor".to_owned());
    }
}

fn secret(name: &Value, found: &mut BTreeSet<String>) {
    found.insert(format!("its pods get the Secret {}", name.as_str().unwrap_or_default()));
}

fn said(text: &Value) -> Option<&str> {
    text.as_str().filter(|text| !text.is_empty())
}

fn list(items: &Value) -> impl Iterator<Item = &Value> {
    items.as_array().into_iter().flatten()
}

fn fields(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flatten()
}
