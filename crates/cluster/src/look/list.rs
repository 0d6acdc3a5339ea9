//! Objects of a kind, as `kubectl get` shows them.

use asya_analysis::scrub::{scrub, scrub_value};
use serde_json::Value;

use super::Error;
use crate::table::{self, Row};
use crate::{Api, Refusal, Served};

/// Objects on a page. Their annotations come with them, of up to 256 KiB each: below what a call may read.
const PAGE: usize = 40;

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The kind.
    pub served: &'a Served,
    /// The namespace; none: all. Counts only for kinds that are in namespaces.
    pub namespace: Option<&'a str>,
    /// A label selector; empty: all.
    pub labels: &'a str,
    /// Most objects.
    pub limit: usize,
}

/// A part of a list, or all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// What was made of each object.
    pub items: Vec<T>,
    /// Whether there are more.
    pub more: bool,
    /// Whether it ends before the limit because no more was taken, or the list went on changing.
    pub full: bool,
    /// How many come after these, where the API server says so.
    pub remaining: Option<u64>,
}

impl Wanted<'_> {
    /// Lists by pages until the limit, or until `take` takes no more.
    ///
    /// # Errors
    /// [`Error::Selector`], and [`Error::Refused`].
    pub async fn list<T>(
        &self,
        api: &Api,
        mut take: impl FnMut(Row) -> Option<T>,
    ) -> Result<Listed<T>, Error> {
        let Self { served, labels, limit, .. } = *self;
        let place = self.namespace.filter(|_| served.namespaced);
        let (mut items, mut next) = (Vec::new(), None);
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
                Err(Refusal::Wrong(said)) if !labels.is_empty() => return Err(Error::Selector(scrub(&said))),
                Err(refusal) => return Err(Error::refused("list", &served.full_name(), place)(refusal)),
            };
            for row in page.rows {
                let Some(item) = take(shown(row)) else {
                    full = true;
                    break;
                };
                items.push(item);
            }
            (next, remaining) = (page.next, page.remaining);
            if next.is_none() {
                break;
            }
        }
        let more = full || next.is_some();
        Ok(Listed { items, more, full, remaining: remaining.filter(|_| !full) })
    }
}

/// The row without what looks like a secret.
fn shown(mut row: Row) -> Row {
    for (column, cell) in &mut row.columns {
        if let Value::String(text) = cell {
            *text = scrub_value(column, text);
        }
    }
    for (name, label) in &mut row.labels {
        *label = scrub_value(name, label);
    }
    row
}
