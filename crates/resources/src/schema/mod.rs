//! The CRD, the JSON schema for editors and the reference page, all made from the types and their comments.
//!
//! | module | holds |
//! |---|---|
//! | [`parts`] | schemas of what the types keep as it came: pod templates, triggers, quantities |
//! | [`structural`] | from what schemars makes to what the API server takes |
//! | [`crd`] | the CustomResourceDefinition of `AsyncActor` |
//! | [`agents`] | the same three for `Agent` |
//! | [`analysis`] | the same three for the kinds of cluster analysis |
//! | [`editor`] | the JSON schema that editors and [`check`](crate::check()) read |
//! | [`reference`] | the page in docs/reference |

pub mod agents;
pub mod analysis;
pub mod crd;
pub mod editor;
mod parts;
pub mod reference;
mod structural;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use crate::{AsyncActorSpec, AsyncActorStatus};

pub(crate) use parts::{
    arguments, bound_kind, checked_by_rule, claims, image_pull_policy, metric_type, open, open_list,
    quantity, resources, retention, template, triggers,
};

/// Schema of `spec`, as the API server takes it but without rules and with what only editors know.
fn spec() -> Value {
    of::<AsyncActorSpec>("What is wanted of the actor.")
}

/// Schema of `status`.
fn status() -> Value {
    of::<AsyncActorStatus>("What the operator says about the actor.")
}

fn of<T: JsonSchema>(description: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    structural::rewrite(&mut schema);
    schema["description"] = Value::from(description);
    schema
}
