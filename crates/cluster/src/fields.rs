//! What the API server's own documentation says of a field.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Api, Refusal};
use crate::catalogue::{Catalogue, Served};

/// Documents that are read at once: each has a megabyte or two.
const AT_ONCE: usize = 4;

/// References that are followed at one field before it counts as a circle.
const DEEPEST: usize = 8;

/// Descriptions of fields by their paths, as `kubectl explain` takes them: `deployment.spec.replicas`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

/// Which groups have documentation, and where.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    paths: BTreeMap<String, Place>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(rename = "serverRelativeURL")]
    server_relative_url: String,
}

impl Fields {
    /// Asks for the documentation of `fields`; those that have none are left out.
    ///
    /// # Errors
    /// [`Refusal`] if the API server does not give its index. A group without documentation is no error.
    pub async fn read(api: &Api, catalogue: &Catalogue, fields: &BTreeSet<String>) -> Result<Self, Refusal> {
        let mut by_group: BTreeMap<String, Vec<(&Served, &String)>> = BTreeMap::new();
        for field in fields {
            let kind = field.split('.').next().unwrap_or_default();
            if let Some((_, served)) = catalogue.named(kind) {
                let group = if served.group.is_empty() {
                    format!("api/{}", served.version)
                } else {
                    format!("apis/{}/{}", served.group, served.version)
                };
                by_group.entry(group).or_default().push((served, field));
            }
        }
        if by_group.is_empty() {
            return Ok(Self::default());
        }
        let index: Index = api.json("/openapi/v3").await?;
        let documents = by_group.into_iter().filter_map(|(group, fields)| {
            let path = index.paths.get(&group)?.server_relative_url.clone();
            // The index names paths of this server; another server's is not asked.
            path.starts_with('/').then_some(async move { (api.json::<Value>(&path).await, fields) })
        });
        let documents: Vec<_> = stream::iter(documents).buffer_unordered(AT_ONCE).collect().await;
        let mut found = BTreeMap::new();
        for (document, fields) in documents {
            let Ok(document) = document else { continue };
            for (served, field) in fields {
                if let Some(description) = describe(&document, served, field) {
                    found.insert(field.clone(), description);
                }
            }
        }
        Ok(Self(found))
    }

    /// The description of a field.
    #[must_use]
    pub fn of(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }
}

/// The description of `field` of the kind `served`.
fn describe(document: &Value, served: &Served, field: &str) -> Option<String> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let is_meant = |schema: &&Value| {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.into_iter().flatten().any(|kind| {
            kind["kind"] == served.kind.as_str()
                && kind["group"] == served.group.as_str()
                && kind["version"] == served.version.as_str()
        })
    };
    let mut schema = schemas.values().find(is_meant)?;
    let mut description = schema.get("description").and_then(Value::as_str);
    for name in field.split('.').skip(1) {
        schema = resolved(document, schema)?;
        schema = schema.pointer("/properties")?.get(name)?;
        // What is said at the field is nearer than what is said of its type.
        description = schema.get("description").and_then(Value::as_str);
        schema = resolved(document, schema)?;
        description = description.or_else(|| schema.get("description").and_then(Value::as_str));
    }
    description.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The schema behind references, lists and maps.
fn resolved<'a>(document: &'a Value, mut schema: &'a Value) -> Option<&'a Value> {
    for _ in 0..DEEPEST {
        let reference =
            schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        schema = if let Some(reference) = reference {
            document.pointer(reference.strip_prefix('#')?)?
        } else if let Some(items) = schema.get("items") {
            items
        } else if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            values
        } else {
            return Some(schema);
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_through_references_and_lists() {
        let document = json!({"components": {"schemas": {
            "pod": {"description": "A pod.", "x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}],
                "properties": {"spec": {"allOf": [{"$ref": "#/components/schemas/spec"}], "default": {}}}},
            "spec": {"description": "What it shall be.", "properties": {
                "containers": {"type": "array", "description": "Its containers.",
                    "items": {"allOf": [{"$ref": "#/components/schemas/container"}]}},
                "circle": {"$ref": "#/components/schemas/circle"}}},
            "container": {"properties": {"image": {"description": " The image. "}, "silent": {}}},
            "circle": {"$ref": "#/components/schemas/circle"},
        }}});
        let pod = Served {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            plural: "pods".to_owned(),
            namespaced: true,
            listable: true,
        };
        let said = |field: &str| describe(&document, &pod, field);
        assert_eq!(said("pod").as_deref(), Some("A pod."));
        assert_eq!(said("pod.spec").as_deref(), Some("What it shall be."));
        assert_eq!(said("pod.spec.containers").as_deref(), Some("Its containers."));
        assert_eq!(said("pod.spec.containers.image").as_deref(), Some("The image."));
        for none in
            ["pod.spec.containers.silent", "pod.gone", "pod.spec.circle.x", "pod.spec.containers.image.x"]
        {
            assert_eq!(said(none), None, "{none}");
        }
    }
}
