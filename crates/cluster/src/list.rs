//! Whole lists by pages.

use asya_analysis::Object;
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Api, Refusal};
use crate::catalogue::{Served, encode};

/// Objects on a page: what kubectl takes. Few enough for the API server to answer at once, many enough to be few calls.
const PAGE: usize = 500;

/// How often a list that expired is begun anew; the last time it is read in one answer, which cannot expire.
const RESTARTS: u32 = 2;

/// A page of a list, or all of it.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: Metadata,
    // A list without objects may say null.
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// All objects of `served` in `namespace` or everywhere, that the label selector `labels` (empty: all) matches.
///
/// # Errors
/// [`Refusal`]; also when one of the objects cannot be understood, because a list with a hole proves no absence.
pub async fn list(
    api: &Api,
    served: &Served,
    namespace: Option<&str>,
    labels: &str,
) -> Result<Vec<Object>, Refusal> {
    let mut restarts = 0;
    loop {
        match pages(api, served, namespace, labels, restarts < RESTARTS).await {
            Err(Refusal::Expired) if restarts < RESTARTS => restarts += 1,
            Err(Refusal::Expired) => return Err(Refusal::Failed(Refusal::Expired.to_string())),
            list => return list,
        }
    }
}

async fn pages(
    api: &Api,
    served: &Served,
    namespace: Option<&str>,
    labels: &str,
    paged: bool,
) -> Result<Vec<Object>, Refusal> {
    let path = served.path(namespace);
    let mut query = Vec::new();
    if paged {
        query.push(format!("limit={PAGE}"));
    }
    if !labels.is_empty() {
        query.push(format!("labelSelector={}", encode(labels)));
    }
    let mut next = None::<String>;
    let mut objects = Vec::new();
    loop {
        let page = query.iter().cloned().chain(next.map(|next| format!("continue={}", encode(&next))));
        let page = page.collect::<Vec<_>>().join("&");
        let page = if page.is_empty() { path.clone() } else { format!("{path}?{page}") };
        let page: Page = api.json(&page).await?;
        for item in page.items.into_iter().flatten() {
            objects.push(object(served, item)?);
        }
        next = page.metadata.next.filter(|next| !next.is_empty());
        if next.is_none() {
            return Ok(objects);
        }
    }
}

/// An object as an item of a list, which says the kind only at its head.
pub(crate) fn object(served: &Served, mut item: Value) -> Result<Object, Refusal> {
    if let Some(fields) = item.as_object_mut() {
        fields.insert("apiVersion".to_owned(), served.api_version().into());
        fields.insert("kind".to_owned(), served.kind.clone().into());
    }
    Object::new(item).map_err(|malformed| Refusal::Failed(malformed.to_string()))
}
