//! `list-resources` and `list-namespaces`.

use asya_analysis::scrub::scrub;
use asya_cluster::{Api, Refusal, Served, table};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ANSWER,
    arguments::{Labels, Limit, MAX_LIMIT, Name, Namespace},
    kinds,
    refused::refused,
    size,
};
use crate::service::Error;

/// Objects on a page. Their annotations come with them, of up to 256 KiB each: below what a call may read.
const PAGE: usize = 40;

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
    let place = namespace.filter(|_| served.namespaced);
    let (mut items, mut bytes, mut next) = (Vec::new(), 0, None);
    let (mut remaining, mut full) = (None, false);
    while items.len() < limit && !full {
        let most = PAGE.min(limit - items.len());
        let page = match table::page(api, served, place, labels, most, next.as_deref()).await {
            Ok(page) => page,
            // The rest of a list that goes on changing: what was read of it is true.
            Err(Refusal::Expired) if !items.is_empty() => {
                full = true;
                break;
            }
            Err(Refusal::Wrong(said)) if !labels.is_empty() => {
                let reason = format!("labelSelector: {}; such as app=web,tier!=test", scrub(&said));
                return Err(Error::invalid("labelSelector", reason));
            }
            Err(refusal) => return Err(refused(&refusal, "list", &served.full_name(), place)),
        };
        for row in page.rows {
            let item = shown(row);
            bytes += size(&item);
            if bytes > ANSWER {
                full = true;
                break;
            }
            items.push(item);
        }
        (next, remaining) = (page.next, page.remaining);
        if next.is_none() {
            break;
        }
    }
    let more = full || next.is_some();
    let mut answer = json!({
        "kind": served.kind, "apiVersion": served.api_version(), "count": items.len(), "items": items, "more": more,
    });
    if more {
        let next = "narrow the list by namespace or labelSelector";
        let raise = if items_at(limit, &answer) && limit < MAX_LIMIT {
            ", or raise limit (at most 1000)"
        } else {
            ""
        };
        answer["next"] = format!("{next}{raise}").into();
    }
    if let Some(remaining) = remaining.filter(|_| !full) {
        answer["remaining"] = remaining.into();
    }
    Ok(answer)
}

/// Whether it was the limit that ended the list.
fn items_at(limit: usize, answer: &Value) -> bool {
    answer["items"].as_array().is_some_and(|items| items.len() == limit)
}

fn shown(row: table::Row) -> Value {
    let table::Row { namespace, name, labels, columns } = row;
    let columns: Map<String, Value> = columns
        .into_iter()
        .map(|(column, cell)| match cell {
            Value::String(text) => (column, scrub(&text).into()),
            cell => (column, cell),
        })
        .collect();
    let labels: Map<String, Value> =
        labels.into_iter().map(|(label, value)| (label, scrub(&value).into())).collect();
    let mut item = json!({"name": name, "labels": labels, "columns": columns});
    if let Some(namespace) = namespace {
        item["namespace"] = namespace.into();
    }
    item
}
