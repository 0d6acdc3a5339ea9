//! Telling: the status, when it differs from the stored one, and an Event of each condition that became bad, or of all
//! having become good.

use asya_resources::{
    API_VERSION, Condition,
    agent::{AgentStatus, KIND, status::READY},
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde_json::json;
use tracing::{debug, info, warn};

use super::{FIELD_MANAGER, run::Context, subject, subject::Subject};
use crate::{
    actor::Stored,
    controllers::{apply::timely, watch::words},
};

/// Longest text of an Event's note: the API server takes 1 kB.
const NOTE: usize = 1000;

/// Writes a status, if it is another one than is stored, and tells what is news in it.
///
/// # Errors
/// What the API server said.
pub async fn status(context: &Context, subject: &Subject, status: AgentStatus) -> kube::Result<()> {
    if status == subject.status {
        return Ok(());
    }
    let api: Api<Stored> =
        Api::namespaced_with(context.client.clone(), &subject.namespace, &subject::resource());
    let patch = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": subject.name, "uid": subject.uid},
        "status": status,
    });
    context.metrics.wrote(KIND, "status");
    debug!(namespace = subject.namespace, agent = subject.name, "writing the status");
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match timely(api.patch_status(&subject.name, &parameters, &Patch::Apply(&patch))).await {
        Ok(_) => {}
        // It is gone, or another one has its name by now.
        Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => return Ok(()),
        Err(error) => return Err(error),
    }
    for condition in news(&subject.status, &status) {
        tell(context, subject, condition).await;
    }
    context.known.wrote(&subject.key(), status);
    Ok(())
}

/// What people should hear of.
fn news<'a>(before: &'a AgentStatus, now: &'a AgentStatus) -> impl Iterator<Item = &'a Condition> {
    now.conditions.iter().filter(|condition| {
        let was = before.condition(&condition.r#type);
        let other =
            was.is_none_or(|was| (&was.status, &was.reason) != (&condition.status, &condition.reason));
        // What is bad is told by its own condition; Ready only repeats the first of them.
        let matters =
            if condition.r#type == READY { condition.is_true() } else { condition.status == "False" };
        other && matters
    })
}

/// Publishes one Event. One that cannot be published is logged: it never stops the work.
async fn tell(context: &Context, subject: &Subject, condition: &Condition) {
    let Condition { reason, message, .. } = condition;
    info!(namespace = subject.namespace, agent = subject.name, reason, "{message}");
    let event = Event {
        type_: if condition.is_true() { EventType::Normal } else { EventType::Warning },
        reason: reason.clone(),
        note: Some(message.chars().take(NOTE).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let about = ObjectReference {
        api_version: Some(API_VERSION.to_owned()),
        kind: Some(KIND.to_owned()),
        namespace: Some(subject.namespace.clone()),
        name: Some(subject.name.clone()),
        uid: Some(subject.uid.clone()),
        ..ObjectReference::default()
    };
    context.metrics.wrote("Event", "create");
    if let Err(error) = timely(context.recorder.publish(&event, &about)).await {
        warn!(error = words(&error), agent = subject.name, "could not publish an event");
    }
}
