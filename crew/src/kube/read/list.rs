//! `list`: the objects of a kind, as `kubectl get -o wide` shows them.

use asya_cluster::{
    look::{Error, arguments::MAX_LIMIT, list::Wanted},
    scope,
    table::Row,
};
use serde_json::Value;

use super::Call;
use crate::kube::answer::{ANSWER, Text};

/// What a cell says that says nothing.
const NOTHING: [&str; 2] = ["", "<none>"];

impl Call<'_> {
    pub(super) async fn list(&self) -> Result<Value, Error> {
        let served = self.kind().await?;
        let namespace = self.namespace().filter(|_| served.namespaced);
        let limit = self.arguments.limit.0;
        let wanted = Wanted { served: &served, namespace, labels: &self.arguments.selector.0, limit };
        let of_namespaces = served.group.is_empty() && served.plural == "namespaces";
        let (hidden, mut bytes) =
            (|row: &Row| of_namespaces && !self.looker.namespaces().contains(&row.name), 0);
        let take = |row: Row| {
            // Read with the others, and not shown: the API server has no list of some namespaces.
            if hidden(&row) {
                return Some(None);
            }
            bytes += row.columns.values().map(|cell| in_words(cell).len()).sum::<usize>();
            (bytes <= ANSWER).then_some(Some(row))
        };
        let listed = wanted.list(&self.api, take).await?;
        let rows: Vec<Row> = listed.items.into_iter().flatten().collect();
        if rows.is_empty()
            && let Some(namespace) = namespace
            && let Some(absent) = scope::absent(&self.api, &[namespace.to_owned()].into()).await
        {
            return Err(Error::NotThere { name: absent.to_owned() });
        }
        let place = namespace.map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
        let mut text = Text::default();
        let more = if listed.more { " of more" } else { "" };
        text.line(&format!("{}{more} {}{place}", rows.len(), served.full_name()));
        let columns = columns(&rows);
        if !rows.is_empty() {
            let named = columns.iter().map(|column| column.to_ascii_uppercase());
            text.line(&["NAME".to_owned()].into_iter().chain(named).collect::<Vec<_>>().join(" | "));
        }
        for row in &rows {
            let place = row.namespace.as_ref().filter(|_| namespace.is_none());
            let place = place.map_or(String::new(), |namespace| format!("{namespace}/"));
            let cells =
                columns.iter().map(|column| row.columns.get(*column).map(in_words).unwrap_or_default());
            let cells: Vec<String> = [format!("{place}{}", row.name)].into_iter().chain(cells).collect();
            if !text.line(&cells.join(" | ")) {
                break;
            }
        }
        let raise = if limit < MAX_LIMIT { ", or raise limit" } else { "" };
        Ok(text.answer(listed.more, &format!("narrow the list by namespace or selector{raise}")))
    }
}

/// The columns that say something of one of the rows.
fn columns(rows: &[Row]) -> Vec<&str> {
    let Some(first) = rows.first() else { return Vec::new() };
    let says = |column: &str| {
        let mut cells = rows.iter().filter_map(|row| row.columns.get(column)).map(in_words);
        cells.any(|cell| !NOTHING.contains(&cell.as_str()))
    };
    first.columns.keys().map(String::as_str).filter(|column| says(column)).collect()
}

fn in_words(cell: &Value) -> String {
    match cell {
        Value::String(text) => text.replace('\n', " "),
        Value::Null => String::new(),
        cell => cell.to_string(),
    }
}
