//! The Secrets and ConfigMaps of one namespace, and tokens of its service accounts.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

/// Keys and their contents.
pub(crate) type Entries = BTreeMap<String, Vec<u8>>;

/// Which of the two kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Secret,
    ConfigMap,
}

/// Reads them.
#[derive(Clone)]
pub(crate) struct Objects {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
    accounts: Api<ServiceAccount>,
}

impl Objects {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client.clone(), namespace),
            accounts: Api::namespaced(client, namespace),
        }
    }

    /// All entries; `None` when there is no such object and it is optional. The error is in the kubelet's words.
    pub(crate) async fn read(&self, kind: Kind, name: &str, optional: bool) -> Result<Option<Entries>> {
        let (word, entries) = match kind {
            Kind::Secret => ("secret", self.secrets.get_opt(name).await?.map(of_secret)),
            Kind::ConfigMap => ("configmap", self.config_maps.get_opt(name).await?.map(of_config_map)),
        };
        if entries.is_none() && !optional {
            return Err(anyhow!("{word} \"{name}\" not found"));
        }
        Ok(entries)
    }

    /// A token of the pod's account for the projection's audience. It ends with the pod.
    pub(crate) async fn token(&self, pod: &Pod, wanted: &ServiceAccountTokenProjection) -> Result<String> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid()});
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
            "audiences": wanted.audience.iter().collect::<Vec<_>>(), "boundObjectRef": bound,
            "expirationSeconds": wanted.expiration_seconds}});
        let (account, parameters) = (account.unwrap_or("default"), PostParams::default());
        let made: Value = self.accounts.create_subresource("token", account, &parameters, &request).await?;
        let token = made.pointer("/status/token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| anyhow!("no token for service account \"{account}\""))
    }

    /// One entry as text; `None` when it is not there and optional.
    pub(crate) async fn text(
        &self,
        kind: Kind,
        name: &str,
        key: &str,
        optional: bool,
    ) -> Result<Option<String>> {
        let Some(mut entries) = self.read(kind, name, optional).await? else { return Ok(None) };
        match entries.remove(key) {
            Some(content) => Ok(Some(String::from_utf8(content)?)),
            None if optional => Ok(None),
            None => Err(anyhow!("couldn't find key {key} in {kind:?} {name}")),
        }
    }
}

fn of_secret(secret: Secret) -> Entries {
    secret.data.unwrap_or_default().into_iter().map(|(key, content)| (key, content.0)).collect()
}

fn of_config_map(map: ConfigMap) -> Entries {
    let texts = map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    texts.chain(map.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0))).collect()
}
