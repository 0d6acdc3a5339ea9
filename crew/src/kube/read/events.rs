//! `events`: the newest, of a namespace or of one object.

use asya_cluster::look::{
    Error,
    events::{Seen, Wanted},
    kinds,
};
use serde_json::Value;

use super::Call;
use crate::kube::answer::{Text, start_of};

/// Longest message of an event, in bytes.
const MESSAGE: usize = 1024;

impl Call<'_> {
    pub(super) async fn events(&self) -> Result<Value, Error> {
        let kind = match &self.arguments.kind {
            // Field selectors want it as it is written.
            Some(kind) => Some(kinds::called(&self.api, &kind.0).await?.kind),
            None => None,
        };
        let wanted = Wanted {
            namespace: self.namespace(),
            kind: kind.as_deref(),
            name: self.arguments.name.as_ref().map(|name| name.0.as_str()),
            limit: self.arguments.limit.0,
        };
        let newest = wanted.newest(&self.api).await?;
        let mut text = Text::default();
        text.line(&format!("{} events, the newest first", newest.events.len()));
        newest.events.iter().rev().all(|event| text.line(&in_words(event)));
        let next = if newest.whole {
            "older events were left out: narrow by kind and name"
        } else {
            "there are too many events, and the newest may be missing: narrow by namespace, kind and name"
        };
        Ok(text.answer(!newest.whole, next))
    }
}

/// An event on a line: when, how bad, why, about what, how often, what, and who says so.
pub(super) fn in_words(event: &Seen) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let about = &event.involved_object;
    let place = about.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let count = event.count.filter(|count| *count > 1).map(|count| format!(" x{count}")).unwrap_or_default();
    let time = event.last_seen.map_or("?".to_owned(), |time| time.to_string());
    let message = event.message.as_deref().unwrap_or_default().replace('\n', " ");
    format!(
        "{time} {} {} {} {place}{}{count}: {} ({})",
        or(&event.type_),
        or(&event.reason),
        or(&about.kind),
        or(&about.name),
        start_of(&message, MESSAGE),
        or(&event.source)
    )
}
