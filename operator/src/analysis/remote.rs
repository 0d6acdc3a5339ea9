//! Secrets that a `K8sGPT` names: the kubeconfig of another cluster, and the database's address.

use std::collections::BTreeMap;

use asya_resources::k8sgpt::{RemoteCluster, kubeconfig};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::Value;

use super::{desired::Watched, reconcile::Context, status::Problem, subject::Subject};
use crate::controllers::{apply::timely, watch::words};

/// The data of a Secret; `None` where there is no Secret of that name.
///
/// # Errors
/// What the API server said.
pub async fn secret(
    context: &Context,
    namespace: &str,
    name: &str,
) -> kube::Result<Option<BTreeMap<String, Vec<u8>>>> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = timely(api.get_opt(name)).await?;
    Ok(found.map(|secret| {
        secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
    }))
}

/// The cluster that is watched, or why it cannot be.
///
/// # Errors
/// What the API server said.
pub async fn watched(context: &Context, subject: &Subject) -> kube::Result<Result<Watched, Problem>> {
    let Some((name, key)) = subject.spec.kubeconfig() else { return Ok(Ok(Watched::Here)) };
    if name.is_empty() {
        let message = "spec.kubeconfig names no Secret: name it, or remove kubeconfig".to_owned();
        return Ok(Err(("KubeconfigMissing", message)));
    }
    let data = match secret(context, &subject.namespace, name).await {
        Ok(data) => data,
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let words = words(&kube::Error::Api(status));
            return Ok(Err((
                "KubeconfigMissing",
                format!("the operator may not read Secret {name}: {words}"),
            )));
        }
        Err(error) => return Err(error),
    };
    let Some(data) = data else {
        return Ok(Err(("KubeconfigMissing", format!("there is no Secret {name} in this namespace"))));
    };
    let Some(text) = data.get(key) else {
        return Ok(Err(("KubeconfigMissing", format!("Secret {name} has no key {key}"))));
    };
    Ok(read(text)
        .map(Watched::Remote)
        .map_err(|why| ("KubeconfigRefused", format!("key {key} of Secret {name}: {why}"))))
}

/// Takes the harmless parts out of a kubeconfig.
fn read(text: &[u8]) -> Result<RemoteCluster, String> {
    let text = std::str::from_utf8(text).map_err(|_| "is no text".to_owned())?;
    // What a parser says about a kubeconfig may repeat a part of it.
    let config: Value = serde_saphyr::from_str(text).map_err(|_| "is no YAML".to_owned())?;
    kubeconfig::read(&config)
        .map_err(|refusals| refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// What is wrong with the database's Secret.
///
/// # Errors
/// What the API server said.
pub async fn database(context: &Context, namespace: &str) -> kube::Result<Option<Problem>> {
    let (name, key) = (&context.config.database_secret, &context.config.database_key);
    let missing = match secret(context, namespace, name).await? {
        None => format!("there is no Secret {name} in this namespace"),
        Some(data) if data.get(key).is_none_or(Vec::is_empty) => format!("Secret {name} has no key {key}"),
        Some(_) => return Ok(None),
    };
    Ok(Some((
        "NoDatabase",
        format!(
            "{missing}: findings are kept in PostgreSQL; kubectl create secret generic {name} -n {namespace} \
             --from-literal={key}=postgres://USER:PASSWORD@HOST/DATABASE"
        ),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_runs_a_program_is_refused_without_its_values() {
        let config = "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
            contexts: [{name: a, context: {cluster: a, user: a}}]\n\
            clusters: [{name: a, cluster: {server: \"https://a.example\"}}]\n\
            users: [{name: a, user: {exec: {command: /bin/steal}}}]\n";
        let why = read(config.as_bytes()).unwrap_err();
        assert!(why.contains("users[0].user.exec") && !why.contains("steal"), "{why}");
        assert!(read(b"\xff").is_err() && read(b"{").is_err());
    }
}
