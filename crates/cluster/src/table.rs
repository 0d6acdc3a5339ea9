//! Lists as `kubectl get` shows them: the API server makes the columns, and the objects themselves do not travel.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::{Api, Refusal};
use crate::catalogue::{Served, encode};

/// The form that is asked for.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its namespace; none for what belongs to the cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What the API server shows of it, by the name of the column; those that only `-o wide` shows too.
    pub columns: Map<String, Value>,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The objects, by namespace and name.
    pub rows: Vec<Row>,
    /// Where the next part begins; none: this is the end.
    pub next: Option<String>,
    /// How many come after it, where the API server says so: with a selector it does not.
    pub remaining: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    column_definitions: Vec<Column>,
    rows: Option<Vec<RawRow>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    #[serde(rename = "continue")]
    next: String,
    remaining_item_count: Option<u64>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

#[derive(Deserialize)]
struct RawRow {
    #[serde(default)]
    cells: Vec<Value>,
    #[serde(default)]
    object: Named,
}

/// Only this is parsed of the metadata: annotations are passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: Identity,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity {
    name: String,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

/// At most `limit` objects of `served` in `namespace` or everywhere, that the label selector `labels` (empty: all)
/// matches, from where `next` says.
///
/// # Errors
/// [`Refusal`]; an API server that knows no tables has [`Refusal::Failed`].
pub async fn page(
    api: &Api,
    served: &Served,
    namespace: Option<&str>,
    labels: &str,
    limit: usize,
    next: Option<&str>,
) -> Result<Page, Refusal> {
    let mut path = format!("{}?limit={limit}&includeObject=Metadata", served.path(namespace));
    if !labels.is_empty() {
        path.push_str(&format!("&labelSelector={}", encode(labels)));
    }
    if let Some(next) = next {
        path.push_str(&format!("&continue={}", encode(next)));
    }
    let Table { kind, metadata, column_definitions, rows } = api.accepting(&path, TABLE).await?;
    if kind != "Table" {
        return Err(Refusal::Failed(format!("the API server shows no table of {}", served.full_name())));
    }
    let row = |RawRow { cells, object }: RawRow| {
        let Identity { name, namespace, labels } = object.metadata;
        let named = column_definitions.iter().map(|column| column.name.clone()).zip(cells);
        // It stands beside them.
        let columns = named.filter(|(column, _)| column != "Name").collect();
        Row { namespace, name, labels: labels.unwrap_or_default(), columns }
    };
    let rows = rows.into_iter().flatten().map(row).collect();
    let next = Some(metadata.next).filter(|next| !next.is_empty());
    Ok(Page { rows, next, remaining: metadata.remaining_item_count })
}
