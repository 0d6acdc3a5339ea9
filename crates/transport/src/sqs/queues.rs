//! Managing queues: the operator's and the command line's side.

use std::collections::HashMap;

use asya_envelope::Queue;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use futures::future::BoxFuture;

use super::{
    Core, Sqs,
    config::{NEW_QUEUE_MAX_RECEIVES, seconds},
    directory::{FIFO_SUFFIX, nameable},
    failure::Failure,
};
use crate::{Depth, Queues, TransportError};

/// How long messages of a new queue are kept: 4 days, as those of the Go system's operator.
const RETENTION_SECONDS: &str = "345600";
/// How long dead letters of a new queue are kept: 14 days, the most that the service permits.
const DEAD_RETENTION_SECONDS: &str = "1209600";

impl Queues for Sqs {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            refuse_name(queue)?;
            let core = &self.core;
            let name = core.physical(queue);
            let said = |failure: Failure| failure.publishing(queue);
            match core.service.directory.lookup(&name).await {
                Err(Failure::Missing) => {}
                found => return found.map(drop).map_err(said),
            }
            let dead = name.dead_letter();
            create(core, &dead, [(Attribute::MessageRetentionPeriod, DEAD_RETENTION_SECONDS.to_owned())])
                .await
                .map_err(said)?;
            let arn = core.service.directory.lookup(&dead).await.map_err(said)?.arn.clone();
            let arn = arn.ok_or_else(|| {
                TransportError::Misconfigured(format!("the attributes of queue {dead:?} cannot be read"))
            })?;
            let redrive = serde_json::json!({
                "deadLetterTargetArn": arn,
                "maxReceiveCount": NEW_QUEUE_MAX_RECEIVES.to_string(),
            });
            let visibility = seconds(core.service.config.visibility());
            let attributes = [
                (Attribute::MessageRetentionPeriod, RETENTION_SECONDS.to_owned()),
                (Attribute::VisibilityTimeout, visibility.to_string()),
                (Attribute::RedrivePolicy, redrive.to_string()),
            ];
            create(core, &name, attributes).await.map_err(said)
        })
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let name = self.core.physical(queue);
            for name in [name.dead_letter(), name] {
                match delete(&self.core, &name).await {
                    Ok(()) | Err(Failure::Missing) => {}
                    Err(failure) => return Err(failure.publishing(queue)),
                }
            }
            Ok(())
        })
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        Box::pin(async move {
            let name = self.core.physical(queue);
            let own = depth(&self.core, &name).await.map_err(|failure| failure.publishing(queue))?;
            // A queue without dead letters of its own has none that could be told from others'.
            let dead = depth(&self.core, &name.dead_letter()).await.map_or(0, |dead| dead.ready);
            Ok(Depth { dead, ..own })
        })
    }
}

/// Refuses names that no queue of ours can have, with a sentence.
pub(super) fn refuse_name(queue: &Queue) -> Result<(), TransportError> {
    if queue.as_str().ends_with(FIFO_SUFFIX) {
        return Err(TransportError::Misconfigured(format!(
            "queue {queue:?} is a FIFO queue, which is not supported: no transport promises the order of processing; \
             use a standard queue"
        )));
    }
    if !nameable(queue) {
        return Err(TransportError::Misconfigured(format!(
            "queue {queue:?} cannot exist: names of sqs are 1 to 80 letters, digits, '-' and '_'"
        )));
    }
    Ok(())
}

async fn create(
    core: &Core,
    name: &Queue,
    attributes: impl IntoIterator<Item = (Attribute, String)>,
) -> Result<(), Failure> {
    let attributes: HashMap<_, _> = attributes.into_iter().collect();
    let created = core
        .service
        .client
        .create_queue()
        .queue_name(name.as_str())
        .set_attributes(Some(attributes))
        .send()
        .await;
    core.service.directory.forget(name);
    match created.map_err(|error| Failure::of(&error)) {
        // Somebody else was faster, with other attributes: it is used as it is.
        Err(Failure::Exists) => Ok(()),
        created => created.map(drop),
    }
}

async fn delete(core: &Core, name: &Queue) -> Result<(), Failure> {
    let address = core.service.directory.lookup(name).await?;
    let deleted = core.service.client.delete_queue().queue_url(&address.url).send().await;
    core.service.directory.forget(name);
    deleted.map(drop).map_err(|error| Failure::of(&error))
}

async fn depth(core: &Core, name: &Queue) -> Result<Depth, Failure> {
    let address = core.service.directory.lookup(name).await?;
    let read = core
        .service
        .client
        .get_queue_attributes()
        .queue_url(&address.url)
        .attribute_names(Attribute::ApproximateNumberOfMessages)
        .attribute_names(Attribute::ApproximateNumberOfMessagesNotVisible)
        .attribute_names(Attribute::ApproximateNumberOfMessagesDelayed)
        .send()
        .await
        .map_err(|error| Failure::of(&error))
        .inspect_err(|_| core.service.directory.forget(name))?;
    let attributes = read.attributes.unwrap_or_default();
    let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0);
    Ok(Depth {
        ready: count(Attribute::ApproximateNumberOfMessages),
        in_flight: count(Attribute::ApproximateNumberOfMessagesNotVisible),
        delayed: count(Attribute::ApproximateNumberOfMessagesDelayed),
        dead: 0,
    })
}
