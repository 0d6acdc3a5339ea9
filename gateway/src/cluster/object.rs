//! `get-resource`.

use asya_analysis::Object;
use asya_cluster::{Api, Refusal, Served, catalogue::encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ANSWER,
    arguments::{Name, Namespace},
    kinds,
    refused::refused,
    size,
};
use crate::service::Error;

/// Longest texts within an object that is too large as a whole, in characters: one after the other is tried.
const TEXTS: [usize; 4] = [16_384, 2048, 256, 32];

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
        if served.namespaced && namespace.is_none() {
            let reason = format!("namespace: a {} is in one; list-resources says in which", served.kind);
            return Err(Error::invalid("namespace", reason));
        }
        let place = namespace.as_deref().filter(|_| served.namespaced);
        let path = format!("{}/{}", served.path(place), encode(&name));
        let mut value: Value = api.json(&path).await.map_err(|refusal| match refusal {
            Refusal::NotFound { object: true } => not_found(&served, place, &name),
            refusal => refused(&refusal, "get", &served.full_name(), place),
        })?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".to_owned(), served.api_version().into());
            fields.insert("kind".to_owned(), served.kind.clone().into());
        }
        let object = Object::new(value).map_err(|malformed| Error::Unavailable(malformed.to_string()))?;
        fitting(object.shown(), &served, &name)
    }
}

/// That there is no such object.
pub(super) fn not_found(served: &Served, namespace: Option<&str>, name: &str) -> Error {
    let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    let next = format!("list-resources with resourceType {} shows which there are", served.plural);
    Error::NotFound { what: "object", name: format!("{} {name}{place}; {next}", served.kind) }
}

/// The object, its texts shortened as far as it takes.
fn fitting(mut object: Value, served: &Served, name: &str) -> Result<Value, Error> {
    if size(&object) <= ANSWER {
        return Ok(json!({"object": object}));
    }
    for longest in TEXTS {
        shorten(&mut object, longest);
        if size(&object) <= ANSWER {
            let notes = [format!("the object is large: texts were shortened to {longest} characters")];
            return Ok(json!({"object": object, "notes": notes}));
        }
    }
    let next = format!("kubectl get {} {name} -o yaml", served.full_name());
    Err(Error::invalid(
        "",
        format!("the object is too large to be answered: have somebody read it with {next}"),
    ))
}

fn shorten(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) => {
            if let Some((at, _)) = text.char_indices().nth(longest) {
                text.truncate(at);
                text.push('…');
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, longest)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, longest)),
        _ => {}
    }
}
