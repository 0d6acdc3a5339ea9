//! Telling: the status, when it differs from the stored one, and Events.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::{
    apply::{self, timely},
    context::Context,
    watch::words,
    work::Key,
};
use crate::{
    actor::{self, FIELD_MANAGER, Stored},
    status::{self, Observed},
};

/// Longest text of an Event's note: the API server takes 1 kB.
const NOTE: usize = 1000;

/// Writes the status that follows from `observed`, if it is another one, and tells of what happened.
///
/// # Errors
/// What the API server said.
pub async fn report(
    context: &Context,
    key: &Key,
    stored: &Stored,
    observed: &Observed<'_>,
) -> Result<(), kube::Error> {
    let report = status::report(observed);
    context.metrics.word(key, report.status.status.as_deref());
    let cached = context.status(key, stored);
    if report.status != cached || stored.status.is_none() {
        let patch =
            difference(stored.status.as_ref(), &serde_json::to_value(&report.status).unwrap_or_default());
        let api: Api<Stored> = Api::namespaced_with(context.client.clone(), &key.0, &actor::resource());
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        context.metrics.wrote(asya_resources::KIND, "status");
        debug!(namespace = key.0, actor = key.1, status = report.status.status, "writing the status");
        match timely(api.patch_status(&key.1, &parameters, &Patch::Merge(json!({"status": patch})))).await {
            Ok(answer) => {
                let version = apply::version(&answer.metadata);
                context.remember(key, |memory| memory.written = Some((version, report.status.clone())));
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    for event in report.events {
        let kind = if event.warning { EventType::Warning } else { EventType::Normal };
        tell(context, key, stored, kind, &event.reason, &event.message).await;
    }
    Ok(())
}

/// Publishes one Event about an actor. Repetitions within minutes are counted up by the server's own object. An Event
/// that cannot be published is logged: it never stops the work.
pub async fn tell(
    context: &Context,
    key: &Key,
    stored: &Stored,
    kind: EventType,
    reason: &str,
    message: &str,
) {
    info!(namespace = key.0, actor = key.1, reason, "{message}");
    let event = Event {
        type_: kind,
        reason: reason.to_owned(),
        note: Some(message.chars().take(NOTE).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let about = ObjectReference {
        api_version: Some(asya_resources::API_VERSION.to_owned()),
        kind: Some(asya_resources::KIND.to_owned()),
        namespace: Some(key.0.clone()),
        name: Some(key.1.clone()),
        uid: stored.metadata.uid.clone(),
        ..ObjectReference::default()
    };
    context.metrics.wrote("Event", "create");
    if let Err(error) = timely(context.recorder.publish(&event, &about)).await {
        warn!(error = words(&error), namespace = key.0, actor = key.1, "could not publish an event");
    }
}

/// A merge patch from one object to another: what is gone becomes null.
fn difference(old: Option<&Value>, new: &Value) -> Value {
    let mut patch = new.clone();
    if let (Some(old), Some(patch)) = (old.and_then(Value::as_object), patch.as_object_mut()) {
        for (key, before) in old {
            match patch.get_mut(key) {
                None => {
                    patch.insert(key.clone(), Value::Null);
                }
                Some(now) if now.is_object() => *now = difference(Some(before), &now.clone()),
                Some(_) => {}
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_from_a_status_is_removed() {
        let old = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]});
        let new = json!({"b": {"c": 2}, "e": [3]});
        assert_eq!(difference(Some(&old), &new), json!({"a": null, "b": {"c": 2, "d": null}, "e": [3]}));
    }
}
