//! The ConfigMaps and Secrets that agents name. Nobody tells of them, so they are read at every look.

use asya_resources::agent::{Objection, SecretKey};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

use crate::controllers::apply::timely;

/// What is known of the Secrets that an agent needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// It needs none.
    #[default]
    Needless,
    /// All are there.
    There,
    /// The operator may not look at this one.
    Hidden(String),
    /// This is missing: one word, and a sentence.
    Missing(&'static str, String),
}

/// The text under a key of a ConfigMap.
///
/// # Errors
/// What the API server said; within, that it is not there.
pub async fn text(
    client: &Client,
    namespace: &str,
    (name, key): (&str, &str),
) -> kube::Result<Result<String, Objection>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let Some(map) = timely(api.get_opt(name)).await? else {
        return Ok(Err(Objection::ConfigMapMissing(name.to_owned())));
    };
    let text = map.data.and_then(|mut data| data.remove(key));
    Ok(text.ok_or_else(|| Objection::KeyMissing { name: name.to_owned(), key: key.to_owned() }))
}

/// Whether these keys of Secrets are there. Of what they hold nothing is kept.
///
/// # Errors
/// What the API server said, but for a right that is not given.
pub async fn secrets(client: &Client, namespace: &str, keys: &[SecretKey]) -> kube::Result<Secrets> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut hidden = None;
    for SecretKey { name, key } in keys {
        match timely(api.get_opt(name)).await {
            Ok(None) => {
                let message = format!(
                    "the Secret {name:?} does not exist in this namespace: kubectl create secret generic {name} -n {namespace} \
                     --from-literal={key}=..."
                );
                return Ok(Secrets::Missing("SecretMissing", message));
            }
            Ok(Some(secret)) if secret.data.as_ref().is_none_or(|data| !data.contains_key(key)) => {
                let message = format!("the Secret {name:?} has no key {key:?}: add it, or name another");
                return Ok(Secrets::Missing("KeyMissing", message));
            }
            Ok(Some(_)) => {}
            Err(kube::Error::Api(status)) if status.is_forbidden() => hidden = Some(name.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok(match hidden {
        Some(name) => Secrets::Hidden(name),
        None if keys.is_empty() => Secrets::Needless,
        None => Secrets::There,
    })
}
