//! The newest events.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use asya_analysis::{event::last_seen, scrub::scrub};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use serde::{Deserialize, Serialize};

use super::{Error, kinds};
use crate::catalogue::encode;
use crate::{Api, Refusal};

/// Events on a page.
const PAGE: usize = 200;
/// Pages that are looked at for the newest: a namespace with more is to be narrowed.
const PAGES: usize = 25;
/// Most events that are looked at.
pub const MOST: usize = PAGE * PAGES;

/// Which events.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The namespace; none: all.
    pub namespace: Option<&'a str>,
    /// The kind of the object that they are about, as it is written: `Pod`.
    pub kind: Option<&'a str>,
    /// The name of that object.
    pub name: Option<&'a str>,
    /// Most events.
    pub limit: usize,
}

/// The newest events.
#[derive(Debug, Clone, PartialEq)]
pub struct Newest {
    /// They, oldest first.
    pub events: Vec<Seen>,
    /// Whether all that match were looked at; else the newest may be missing.
    pub whole: bool,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// Why, in a word.
    pub reason: Option<String>,
    /// What happened, without what looks like a secret.
    pub message: Option<String>,
    /// What it is about.
    pub involved_object: About,
    /// How often it happened.
    pub count: Option<i32>,
    /// When it happened last.
    #[serde(serialize_with = "in_words")]
    pub last_seen: Option<Timestamp>,
    /// Who says so.
    pub source: Option<String>,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Its kind.
    pub kind: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
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

impl Wanted<'_> {
    /// The newest that match. What does not match never counts: the API server leaves it out, and of what it gives only the
    /// newest are kept.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn newest(&self, api: &Api) -> Result<Newest, Error> {
        let Self { namespace, kind, name, limit } = *self;
        let fields = [("involvedObject.kind", kind), ("involvedObject.name", name)];
        let fields = fields.into_iter().filter_map(|(field, value)| Some(format!("{field}={}", value?)));
        let fields = fields.collect::<Vec<_>>().join(",");
        let path = kinds::events().path(namespace);
        let (mut kept, mut ranks) = (BTreeMap::<usize, Event>::new(), BinaryHeap::<Reverse<Ranked>>::new());
        let (mut next, mut seen) = (String::new(), 0);
        for _ in 0..PAGES {
            let mut page = format!("{path}?limit={PAGE}");
            if !fields.is_empty() {
                page.push_str(&format!("&fieldSelector={}", encode(&fields)));
            }
            if !next.is_empty() {
                page.push_str(&format!("&continue={}", encode(&next)));
            }
            let page: Page = match api.json(&page).await {
                Ok(page) => page,
                // What was read of a list that goes on changing is true.
                Err(Refusal::Expired) if seen > 0 => break,
                Err(refusal) => return Err(Error::refused("list", "events", namespace)(refusal)),
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
                return Ok(Newest { events: in_order(kept, ranks), whole: true });
            }
        }
        Ok(Newest { events: in_order(kept, ranks), whole: false })
    }
}

fn in_order(mut kept: BTreeMap<usize, Event>, ranks: BinaryHeap<Reverse<Ranked>>) -> Vec<Seen> {
    let newest_first = ranks.into_sorted_vec().into_iter().rev();
    newest_first.filter_map(|Reverse((_, number))| kept.remove(&number)).map(shown).collect()
}

fn shown(event: Event) -> Seen {
    let last_seen = last_seen(&event);
    let about = event.involved_object;
    Seen {
        namespace: event.metadata.namespace,
        name: event.metadata.name,
        type_: event.type_,
        reason: event.reason,
        message: event.message.as_deref().map(scrub),
        involved_object: About { kind: about.kind, namespace: about.namespace, name: about.name },
        count: event.series.as_ref().and_then(|series| series.count).or(event.count),
        last_seen,
        source: event.source.and_then(|source| source.component).or(event.reporting_component),
    }
}

fn in_words<S: serde::Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(to)
}
