//! Telling: the status, when it differs from the stored one, and Events.

use asya_resources::k8sgpt::{self, K8sGptStatus, status::ANOTHER};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use serde_json::json;
use tracing::{debug, info, warn};

use super::{FIELD_MANAGER, reconcile::Context, subject, subject::Subject};
use crate::{
    actor::Stored,
    controllers::{apply::timely, watch::words},
};

/// Longest text of an Event's note: the API server takes 1 kB.
const NOTE: usize = 1000;

/// Writes a status, if it is another one than is stored.
///
/// # Errors
/// What the API server said.
pub async fn status(context: &Context, subject: &Subject, status: K8sGptStatus) -> kube::Result<()> {
    if status == subject.status {
        return Ok(());
    }
    let api: Api<Stored> =
        Api::namespaced_with(context.client.clone(), &subject.namespace, &subject::resource());
    let patch = json!({
        "apiVersion": k8sgpt::API_VERSION,
        "kind": k8sgpt::KIND,
        "metadata": {"name": subject.name, "uid": subject.uid},
        "status": status,
    });
    // What another operator wrote stays its own: taken over, nothing would show that it is there.
    let another = status.condition(ANOTHER).is_some();
    let parameters = PatchParams::apply(FIELD_MANAGER);
    let parameters = if another { parameters } else { parameters.force() };
    context.metrics.wrote(k8sgpt::KIND, "status");
    debug!(namespace = subject.namespace, k8sgpt = subject.name, "writing the status");
    match timely(api.patch_status(&subject.name, &parameters, &Patch::Apply(&patch))).await {
        Ok(_) => {
            context.known.wrote(&subject.key(), status);
            Ok(())
        }
        // It is gone, or another one has its name by now.
        Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Publishes one Event. One that cannot be published is logged: it never stops the work.
pub async fn tell(context: &Context, subject: &Subject, reason: &str, message: &str) {
    info!(namespace = subject.namespace, k8sgpt = subject.name, reason, "{message}");
    let event = Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(message.chars().take(NOTE).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let about = ObjectReference {
        api_version: Some(k8sgpt::API_VERSION.to_owned()),
        kind: Some(k8sgpt::KIND.to_owned()),
        namespace: Some(subject.namespace.clone()),
        name: Some(subject.name.clone()),
        uid: Some(subject.uid.clone()),
        ..ObjectReference::default()
    };
    context.metrics.wrote("Event", "create");
    if let Err(error) = timely(context.recorder.publish(&event, &about)).await {
        warn!(error = words(&error), k8sgpt = subject.name, "could not publish an event");
    }
}
