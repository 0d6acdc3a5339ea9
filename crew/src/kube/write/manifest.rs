//! A manifest as a model writes it: one object, without what says more than what somebody wishes of it.

use serde_json::{Map, Value};

use super::{
    arguments::Verb,
    change::{How, Wanted, Which},
    names,
};
use crate::kube::consent::{
    names::namespace as namespace_name,
    refused::{Refused, refuse, shortened},
};

/// Largest manifest, in bytes as it is written.
const LARGEST: usize = 64 * 1024;
/// What a manifest may say of an object besides what it is made of. Owners and finalizers decide when others go, and the
/// rest is the API server's.
const METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// One object as it is wished.
#[derive(Debug)]
pub(super) struct Manifest(Map<String, Value>);

impl Manifest {
    /// Reads YAML or JSON in a text, or an object.
    pub(super) fn read(given: &Value) -> Result<Self, Refused> {
        let read = match given {
            Value::String(text) if text.len() > LARGEST => {
                return refuse(format!("the manifest has more than {LARGEST} bytes"));
            }
            Value::String(text) => {
                let documents: Vec<Value> = serde_saphyr::from_multiple(text)
                    .map_err(|error| Refused(format!("the manifest is no YAML: {}", first_line(&error))))?;
                match <[Value; 1]>::try_from(documents) {
                    Ok([one]) => one,
                    Err(documents) => {
                        return refuse(format!(
                            "the manifest has {} documents: one call changes one object",
                            documents.len()
                        ));
                    }
                }
            }
            other => other.clone(),
        };
        let Value::Object(mut object) = read else { return refuse("the manifest must be an object") };
        if object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
            || object.contains_key("items")
        {
            return refuse("the manifest is a list: one call changes one object");
        }
        if object.contains_key("status") {
            return refuse("the manifest has a status: that is the controllers' to write");
        }
        // What `kubectl create --dry-run` writes into each.
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.retain(|_, value| !value.is_null());
        }
        if Value::Object(object.clone()).to_string().len() > LARGEST {
            return refuse(format!("the manifest has more than {LARGEST} bytes"));
        }
        Ok(Self(object))
    }

    /// What it wants applied; what is said beside it must agree with it.
    pub(super) fn wanted(
        self,
        kind: Option<&str>,
        name: Option<&str>,
        namespace: Option<&str>,
        dry_run: bool,
    ) -> Result<Wanted, Refused> {
        let Self(mut object) = self;
        let api_version = text(&object, "apiVersion")?.ok_or_else(|| missing("apiVersion"))?;
        let own_kind = text(&object, "kind")?.ok_or_else(|| missing("kind"))?;
        let Some(Value::Object(metadata)) = object.get_mut("metadata") else {
            return Err(missing("metadata"));
        };
        if let Some(more) = metadata.keys().find(|field| !METADATA.contains(&field.as_str())) {
            return refuse(format!(
                "the manifest has metadata.{}: of metadata only {} can be said",
                shortened(more),
                METADATA.join(", ")
            ));
        }
        if let Some(Value::Object(annotations)) = metadata.get("annotations") {
            names::annotations(annotations.keys())?;
        }
        let own_name = text(metadata, "name")?;
        let own_name = agreed("name", own_name, name)?.ok_or_else(|| missing("metadata.name"))?;
        let own_namespace = text(metadata, "namespace")?;
        let own_namespace = agreed("namespace", own_namespace, namespace)?.map(namespace_name).transpose()?;
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(&own_kind)) {
            return refuse(format!("kind says another than the manifest, which is a {own_kind}"));
        }
        let which =
            Which::Typed { api_version: names::version(api_version)?, kind: names::object(own_kind)? };
        let name = names::object(own_name)?;
        metadata.insert("name".to_owned(), name.clone().into());
        let how = How::Apply(Value::Object(object));
        Ok(Wanted { verb: Verb::Apply, which, namespace: own_namespace, name, how, dry_run })
    }
}

fn missing(field: &str) -> Refused {
    Refused(format!("the manifest has no {field}"))
}

fn text(object: &Map<String, Value>, field: &str) -> Result<Option<String>, Refused> {
    match object.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => refuse(format!("the manifest's {field} must be a text")),
    }
}

/// What is said twice must be the same.
fn agreed(what: &str, own: Option<String>, beside: Option<&str>) -> Result<Option<String>, Refused> {
    match (own, beside) {
        (Some(own), Some(beside)) if own != beside => refuse(format!(
            "{what} says {:?} and the manifest {:?}: which is meant?",
            shortened(beside),
            shortened(&own)
        )),
        (Some(own), _) => Ok(Some(own)),
        (None, beside) => Ok(beside.map(str::to_owned)),
    }
}

/// Parsers show the place in several lines.
fn first_line(error: &impl ToString) -> String {
    shortened(error.to_string().lines().next().unwrap_or_default())
}
