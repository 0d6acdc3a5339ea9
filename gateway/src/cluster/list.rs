//! `list-resources` and `list-namespaces`.

use asya_cluster::{
    Api, Served,
    look::{
        arguments::{Labels, Limit, MAX_LIMIT, Name, Namespace},
        kinds, list,
    },
    table::Row,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER, size};
use crate::service::Error;

/// What is listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wanted {
    resource_type: Name,
    #[serde(default)]
    namespace: Namespace,
    #[serde(default)]
    label_selector: Labels,
    #[serde(default)]
    limit: Limit,
}

impl Wanted {
    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        let Self { resource_type, namespace, label_selector, limit } = self;
        let served = kinds::called(api, &resource_type.0).await?;
        listed(api, &served, namespace.0.as_deref(), &label_selector.0, limit.0).await
    }
}

/// All namespaces, as far as an answer holds them.
pub(super) async fn namespaces(api: &Api) -> Result<Value, Error> {
    let served = kinds::known("namespace").ok_or_else(|| Error::invalid("", "there are no namespaces"))?;
    listed(api, &served, None, "", MAX_LIMIT).await
}

async fn listed(
    api: &Api,
    served: &Served,
    namespace: Option<&str>,
    labels: &str,
    limit: usize,
) -> Result<Value, Error> {
    let mut bytes = 0;
    let take = |row: Row| {
        let item = shown(row);
        bytes += size(&item);
        (bytes <= ANSWER).then_some(item)
    };
    let list::Listed { items, more, remaining, .. } =
        list::Wanted { served, namespace, labels, limit }.list(api, take).await?;
    let mut answer = json!({
        "kind": served.kind, "apiVersion": served.api_version(), "count": items.len(), "items": items, "more": more,
    });
    if more {
        let next = "narrow the list by namespace or labelSelector";
        // Whether it was the limit that ended the list.
        let raise =
            if items.len() == limit && limit < MAX_LIMIT { ", or raise limit (at most 1000)" } else { "" };
        answer["next"] = format!("{next}{raise}").into();
    }
    if let Some(remaining) = remaining {
        answer["remaining"] = remaining.into();
    }
    Ok(answer)
}

fn shown(row: Row) -> Value {
    let Row { namespace, name, labels, columns } = row;
    let mut item = json!({"name": name, "labels": labels, "columns": columns});
    if let Some(namespace) = namespace {
        item["namespace"] = namespace.into();
    }
    item
}
