//! `get-resource`.

use asya_cluster::{
    Api,
    look::{
        arguments::{Name, Namespace},
        kinds, object,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER, size};
use crate::service::Error;

/// Which object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wanted {
    resource_type: Name,
    name: Name,
    #[serde(default)]
    namespace: Namespace,
}

impl Wanted {
    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        let Self { resource_type, name: Name(name), namespace: Namespace(namespace) } = self;
        let served = kinds::called(api, &resource_type.0).await?;
        let object = object::object(api, &served, namespace.as_deref(), &name).await?;
        match object::fitting(object.shown(), |object| size(object) <= ANSWER) {
            Ok((object, None)) => Ok(json!({"object": object})),
            Ok((object, Some(longest))) => {
                let notes = [format!("the object is large: texts were shortened to {longest} characters")];
                Ok(json!({"object": object, "notes": notes}))
            }
            Err(_) => {
                let next = format!("kubectl get {} {name} -o yaml", served.full_name());
                Err(Error::invalid(
                    "",
                    format!("the object is too large to be answered: have somebody read it with {next}"),
                ))
            }
        }
    }
}
