//! `list-events`.

use asya_cluster::{
    Api,
    look::{
        arguments::{Limit, Name, Namespace},
        events, kinds,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER, size};
use crate::service::Error;

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

impl Wanted {
    /// The newest that match, oldest first.
    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        let Self { namespace: Namespace(namespace), involved_object_name, involved_object_kind, limit } =
            self;
        let kind = match involved_object_kind {
            // Field selectors want it as it is written.
            Some(Name(kind)) => Some(kinds::called(api, &kind).await?.kind),
            None => None,
        };
        let wanted = events::Wanted {
            namespace: namespace.as_deref(),
            kind: kind.as_deref(),
            name: involved_object_name.as_ref().map(|name| name.0.as_str()),
            limit: limit.0,
        };
        let events::Newest { events, whole } = wanted.newest(api).await?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        // From the newest on, for as long as the answer holds them.
        for event in events.iter().rev() {
            let item = json!(event);
            bytes += size(&item);
            if bytes > ANSWER {
                break;
            }
            items.push(item);
        }
        items.reverse();
        let full = items.len() < events.len();
        let mut answer = json!({"count": items.len(), "items": items});
        if !whole {
            answer["next"] = format!(
                "there are more than {} events, and the newest may be missing: narrow by namespace, involvedObjectKind or \
                 involvedObjectName",
                events::MOST
            )
            .into();
        } else if full {
            answer["next"] =
                "older events were left out: narrow by involvedObjectName, or lower limit".into();
        }
        Ok(answer)
    }
}
