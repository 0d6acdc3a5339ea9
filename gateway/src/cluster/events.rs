//! `list-events`.

use std::{cmp::Reverse, collections::BinaryHeap};

use asya_analysis::{event::last_seen, scrub::scrub};
use asya_cluster::{Api, Refusal, catalogue::encode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ANSWER,
    arguments::{Limit, Name, Namespace},
    kinds,
    refused::refused,
    size,
};
use crate::service::Error;

/// Events on a page.
const PAGE: usize = 200;
/// Pages that are looked at for the newest: a namespace with more is to be narrowed.
const PAGES: usize = 25;

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wanted {
    #[serde(default)]
    namespace: Namespace,
    involved_object_name: Option<Name>,
    involved_object_kind: Option<Name>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: Metadata,
    items: Option<Vec<Event>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default, rename = "continue")]
    next: String,
}

/// An event by when it happened last; of two at the same time by their order in the list.
type Ranked = (Option<Timestamp>, usize);

impl Wanted {
    /// The newest that match, oldest first. What does not match never counts: the API server leaves it out, and of what it
    /// gives only the newest are kept.
    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        let Self { namespace: Namespace(namespace), involved_object_name, involved_object_kind, limit } =
            self;
        let kind = match involved_object_kind {
            // Field selectors want it as it is written.
            Some(Name(kind)) => Some(kinds::called(api, &kind).await?.kind),
            None => None,
        };
        let fields =
            [("involvedObject.kind", kind), ("involvedObject.name", involved_object_name.map(|name| name.0))];
        let fields = fields.into_iter().filter_map(|(field, value)| Some(format!("{field}={}", value?)));
        let fields = fields.collect::<Vec<_>>().join(",");
        let (newest, whole) = newest(api, namespace.as_deref(), &fields, limit.0).await?;
        let count = newest.len();
        let (mut items, mut bytes) = (Vec::new(), 0);
        // From the newest on, for as long as the answer holds them.
        for event in newest.iter().rev() {
            let item = shown(event);
            bytes += size(&item);
            if bytes > ANSWER {
                break;
            }
            items.push(item);
        }
        items.reverse();
        let full = items.len() < count;
        let mut answer = json!({"count": items.len(), "items": items});
        if !whole {
            answer["next"] = format!(
                "there are more than {} events, and the newest may be missing: narrow by namespace, involvedObjectKind or \
                 involvedObjectName",
                PAGE * PAGES
            )
            .into();
        } else if full {
            answer["next"] =
                "older events were left out: narrow by involvedObjectName, or lower limit".into();
        }
        Ok(answer)
    }
}

/// The newest `limit` events, oldest first, and whether all were looked at.
async fn newest(
    api: &Api,
    namespace: Option<&str>,
    fields: &str,
    limit: usize,
) -> Result<(Vec<Event>, bool), Error> {
    let events = kinds::known("event").ok_or_else(|| Error::invalid("", "there are no events"))?;
    let path = events.path(namespace);
    let (mut kept, mut ranks) =
        (std::collections::BTreeMap::<usize, Event>::new(), BinaryHeap::<Reverse<Ranked>>::new());
    let (mut next, mut seen) = (String::new(), 0);
    for _ in 0..PAGES {
        let mut page = format!("{path}?limit={PAGE}");
        if !fields.is_empty() {
            page.push_str(&format!("&fieldSelector={}", encode(fields)));
        }
        if !next.is_empty() {
            page.push_str(&format!("&continue={}", encode(&next)));
        }
        let page: Page = match api.json(&page).await {
            Ok(page) => page,
            // What was read of a list that goes on changing is true.
            Err(Refusal::Expired) if seen > 0 => return Ok((in_order(kept, ranks), false)),
            Err(refusal) => return Err(refused(&refusal, "list", "events", namespace)),
        };
        for event in page.items.into_iter().flatten() {
            seen += 1;
            ranks.push(Reverse((last_seen(&event), seen)));
            kept.insert(seen, event);
            if ranks.len() > limit
                && let Some(Reverse((_, oldest))) = ranks.pop()
            {
                kept.remove(&oldest);
            }
        }
        next = page.metadata.next;
        if next.is_empty() {
            return Ok((in_order(kept, ranks), true));
        }
    }
    Ok((in_order(kept, ranks), false))
}

fn in_order(
    mut kept: std::collections::BTreeMap<usize, Event>,
    ranks: BinaryHeap<Reverse<Ranked>>,
) -> Vec<Event> {
    let newest_first = ranks.into_sorted_vec();
    newest_first.into_iter().rev().filter_map(|Reverse((_, number))| kept.remove(&number)).collect()
}

fn shown(event: &Event) -> Value {
    let about = &event.involved_object;
    let count = event.series.as_ref().and_then(|series| series.count).or(event.count);
    json!({
        "namespace": event.metadata.namespace,
        "name": event.metadata.name,
        "type": event.type_,
        "reason": event.reason,
        "message": event.message.as_deref().map(scrub),
        "involvedObject": {"kind": about.kind, "namespace": about.namespace, "name": about.name},
        "count": count,
        "lastSeen": last_seen(event).map(|time| time.to_string()),
        "source": event.source.as_ref().and_then(|source| source.component.clone()).or_else(|| event.reporting_component.clone()),
    })
}
