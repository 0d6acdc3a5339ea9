//! What a container finds in its environment, as the kubelet resolves it, and its command line.

use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt as _;

use crate::objects::{Kind, Objects};
use crate::paths::{Paths, listen_on};

/// Where a sidecar serves probes and metrics; set when the pod does not, as the sidecar's own default is an address that
/// all pods of this machine would share.
const METRICS_ADDRESS: (&str, &str) = ("ASYA_METRICS_ADDR", ":8080");
/// Of this program's own environment: what stands for the image's.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "PYTHONPATH"];

/// Name and value, in the order of their definition.
pub(crate) type Environment = Vec<(String, String)>;

/// Resolves `envFrom` and `env`: references, `$(NAME)`, then the paths and addresses of this machine.
///
/// # Errors
/// In the kubelet's words, for `CreateContainerConfigError`: a reference that leads nowhere.
pub(crate) async fn resolve(
    container: &Container,
    pod: &Pod,
    ip: &str,
    objects: &Objects,
    paths: &Paths,
) -> Result<Environment> {
    let mut own = Environment::new();
    for source in container.env_from.iter().flatten() {
        let (kind, name, optional) = match (&source.secret_ref, &source.config_map_ref) {
            (Some(secret), _) => (Kind::Secret, &secret.name, secret.optional),
            (None, Some(map)) => (Kind::ConfigMap, &map.name, map.optional),
            (None, None) => continue,
        };
        let entries = objects.read(kind, name, optional.unwrap_or_default()).await?.unwrap_or_default();
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, content) in entries {
            own.push((format!("{prefix}{key}"), String::from_utf8(content)?));
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(variable, pod, ip, objects).await? {
            let value = expand(&value, &own);
            own.retain(|(name, _)| *name != variable.name);
            own.push((variable.name.clone(), value));
        }
    }
    let (name, default) = METRICS_ADDRESS;
    if !own.iter().any(|(defined, _)| defined == name) {
        own.push((name.to_owned(), default.to_owned()));
    }
    let mut all: Environment =
        INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    all.push(("HOSTNAME".to_owned(), pod.name_any()));
    if let Some(tmp) = paths.at("/tmp") {
        all.push(("TMPDIR".to_owned(), tmp.display().to_string()));
    }
    all.retain(|(name, _)| !own.iter().any(|(defined, _)| defined == name));
    all.extend(own.into_iter().map(|(name, value)| {
        let value = listen_on(&value, ip).unwrap_or_else(|| paths.rewrite(&value));
        (name, value)
    }));
    Ok(all)
}

/// The command line: the pod's own, or the program that stands for the image's entry point; `None` when there is neither.
pub(crate) fn command(
    container: &Container,
    entry_point: Option<&[String]>,
    environment: &Environment,
    paths: &Paths,
) -> Option<Vec<String>> {
    let own = container.command.as_deref().filter(|command| !command.is_empty());
    let mut line = own.or(entry_point)?.to_vec();
    line.extend(container.args.iter().flatten().cloned());
    // An entry point given here is a path of this machine already.
    let first_of_pod = if own.is_some() { 0 } else { entry_point.map_or(0, <[String]>::len) };
    for word in &mut line[first_of_pod..] {
        *word = paths.rewrite(&expand(word, environment));
    }
    Some(line)
}

async fn value(variable: &EnvVar, pod: &Pod, ip: &str, objects: &Objects) -> Result<Option<String>> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(variable.value.clone().unwrap_or_default()));
    };
    if let Some(key) = &source.secret_key_ref {
        return objects.text(Kind::Secret, &key.name, &key.key, key.optional.unwrap_or_default()).await;
    }
    if let Some(key) = &source.config_map_key_ref {
        return objects.text(Kind::ConfigMap, &key.name, &key.key, key.optional.unwrap_or_default()).await;
    }
    match &source.field_ref {
        Some(field) => self::field(&field.field_path, pod, ip).map(Some),
        None => bail!("env {}: this kind of valueFrom is not known here", variable.name),
    }
}

/// A field of the pod by the paths that the downward API knows.
fn field(path: &str, pod: &Pod, ip: &str) -> Result<String> {
    let spec = pod.spec.as_ref();
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.podIP" | "status.podIPs" => ip.to_owned(),
        "status.hostIP" | "status.hostIPs" => "127.0.0.1".to_owned(),
        _ => {
            let key = |of| path.strip_prefix(of)?.strip_prefix("['")?.strip_suffix("']");
            match (key("metadata.labels"), key("metadata.annotations")) {
                (Some(key), _) => pod.labels().get(key).cloned().unwrap_or_default(),
                (None, Some(key)) => pod.annotations().get(key).cloned().unwrap_or_default(),
                (None, None) => return Err(anyhow!("unsupported fieldPath: {path}")),
            }
        }
    })
}

/// Replaces `$(NAME)` by the value of a variable defined before; `$$(NAME)` and unknown names stay as Kubernetes says.
fn expand(text: &str, defined: &[(String, String)]) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = rest.strip_prefix("$(").and_then(|after| after.split_once(')'));
        if let Some(escaped) = rest.strip_prefix("$$") {
            expanded.push('$');
            rest = escaped;
        } else if let Some((value, after)) =
            name.and_then(|(name, after)| Some((defined.iter().find(|(known, _)| known == name)?, after)))
        {
            expanded.push_str(&value.1);
            rest = after;
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_between_variables_follow_kubernetes() {
        let defined = [("HOST".to_owned(), "broker".to_owned())];
        for (text, expected) in [
            ("amqp://$(HOST):5672", "amqp://broker:5672"),
            ("$(MISSING)/x", "$(MISSING)/x"),
            ("$$(HOST)", "$(HOST)"),
            ("$HOST $", "$HOST $"),
            ("$(HOST", "$(HOST"),
        ] {
            assert_eq!(expand(text, &defined), expected);
        }
    }

    #[test]
    fn a_command_of_the_pod_wins_over_the_entry_point() {
        let entry = ["/here/sidecar".to_owned(), "--log".to_owned()];
        let paths = Paths::new([("/here".to_owned(), "/elsewhere".into())]);
        let mut container = Container { args: Some(vec!["$(A)".to_owned()]), ..Container::default() };
        let environment = vec![("A".to_owned(), "/here/b".to_owned())];
        assert_eq!(command(&container, None, &environment, &paths), None);
        let line = command(&container, Some(&entry), &environment, &paths);
        assert_eq!(line, Some(["/here/sidecar", "--log", "/elsewhere/b"].map(str::to_owned).to_vec()));
        container.command = Some(vec!["python".to_owned()]);
        let line = command(&container, Some(&entry), &environment, &paths);
        assert_eq!(line, Some(["python", "/elsewhere/b"].map(str::to_owned).to_vec()));
    }
}
