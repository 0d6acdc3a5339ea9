//! Managing queues: the operator's and the command line's side.

use std::collections::{BTreeMap, HashMap, HashSet};

use asya_envelope::Queue;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use futures::future::BoxFuture;

use super::{
    Core, Sqs,
    config::{MAX_RETENTION, seconds, whole_seconds},
    directory::{FIFO_SUFFIX, nameable},
    failure::Failure,
};
use crate::{Depth, Queues, TransportError};

/// How long messages of a new queue are kept: 4 days, as those of the Go system's operator.
const RETENTION_SECONDS: &str = "345600";
/// Most queues of one list.
const LIST_PAGE: i32 = 1000;
/// The shortest time in seconds that the service keeps messages.
const MIN_RETENTION: u64 = 60;
/// The tag that says what kind of queue it is, and what it says of dead-letter queues, as by the Go system's operator.
const TYPE_TAG: &str = "asya.sh/type";
const DEAD_TYPE: &str = "dlq";

impl Sqs {
    /// Makes the queue with its dead-letter queue unless it exists, with tags beside those that say what it is; an
    /// existing queue is used as it is.
    ///
    /// # Errors
    /// The service is away or does not permit it, or cannot have a queue of this name.
    pub async fn ensure_tagged(
        &self,
        queue: &Queue,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), TransportError> {
        refuse_name(queue)?;
        let core = &self.core;
        let config = &core.service.config;
        let name = core.physical(queue);
        let said = |failure: Failure| failure.publishing(queue);
        match core.service.directory.lookup(&name).await {
            Err(Failure::Missing) => {}
            found => return found.map(drop).map_err(said),
        }
        let visibility = seconds(config.visibility()).to_string();
        let mut attributes = HashMap::from([
            (Attribute::MessageRetentionPeriod, RETENTION_SECONDS.to_owned()),
            (Attribute::VisibilityTimeout, visibility),
        ]);
        if let Some(max_receives) = config.max_receives {
            let dead = name.dead_letter();
            refuse_name(&dead)?;
            let retention =
                whole_seconds(config.dead_retention).clamp(MIN_RETENTION, MAX_RETENTION.as_secs());
            let of_dead = HashMap::from([(Attribute::MessageRetentionPeriod, retention.to_string())]);
            let mut dead_tags = tags.clone();
            dead_tags.insert(TYPE_TAG.to_owned(), DEAD_TYPE.to_owned());
            create(core, &dead, of_dead, dead_tags).await.map_err(said)?;
            let arn = core.service.directory.lookup(&dead).await.map_err(said)?.arn.clone();
            let arn = arn.ok_or_else(|| {
                TransportError::Misconfigured(format!("the attributes of queue {dead:?} cannot be read"))
            })?;
            let redrive = serde_json::json!({
                "deadLetterTargetArn": arn,
                "maxReceiveCount": max_receives.to_string(),
            });
            attributes.insert(Attribute::RedrivePolicy, redrive.to_string());
        }
        create(core, &name, attributes, tags.clone()).await.map_err(said)
    }

    /// How an existing queue differs from what [`Queues::ensure`] would make, in a sentence.
    ///
    /// # Errors
    /// [`TransportError::Unroutable`] if it is missing; else the service is away or does not permit it.
    pub async fn difference(&self, queue: &Queue) -> Result<Option<String>, TransportError> {
        let core = &self.core;
        let config = &core.service.config;
        let found = core.service.directory.lookup(&core.physical(queue)).await;
        let found = found.map_err(|failure| failure.publishing(queue))?;
        let mut differences = Vec::new();
        let wanted = config.visibility();
        if let Some(visibility) = found.visibility.filter(|visibility| *visibility != wanted) {
            differences.push(format!(
                "its visibility timeout is {} s instead of {} s",
                visibility.as_secs(),
                wanted.as_secs()
            ));
        }
        match (&found.redrive, config.max_receives) {
            (Some(redrive), Some(wanted)) if redrive.max_receives != wanted => differences.push(format!(
                "its redrive policy lets {} receives happen instead of {wanted}",
                redrive.max_receives
            )),
            (None, Some(_)) => differences.push("it has no dead-letter queue".to_owned()),
            (Some(redrive), None) => {
                differences.push(format!("it has the dead-letter queue {:?}", redrive.target));
            }
            _ => {}
        }
        Ok((!differences.is_empty()).then(|| differences.join(", ")))
    }

    /// Those of some queues that do not exist: one request for a thousand queues of the account whose names begin with
    /// `prefix`, and one for each that the list does not hold, because it may be minutes old.
    ///
    /// # Errors
    /// The service is away or does not permit it.
    pub async fn missing(&self, queues: &[Queue], prefix: &str) -> Result<Vec<Queue>, TransportError> {
        let client = &self.core.service.client;
        let mut listed = HashSet::new();
        let prefix = self.core.physical(&Queue::named(prefix));
        let mut pages = client
            .list_queues()
            .queue_name_prefix(prefix.as_str())
            .into_paginator()
            .page_size(LIST_PAGE)
            .send();
        while let Some(page) = pages.next().await {
            match page.map_err(|error| Failure::of(&error)) {
                Ok(page) => {
                    let urls = page.queue_urls.unwrap_or_default();
                    listed.extend(urls.iter().filter_map(|url| Some(url.rsplit_once('/')?.1.to_owned())));
                }
                // Without that right each queue is asked for.
                Err(Failure::Denied(_)) => break,
                Err(failure) => return Err(failure.publishing(&prefix)),
            }
        }
        let mut missing = Vec::new();
        for queue in queues {
            let name = self.core.physical(queue);
            if listed.contains(name.as_str()) {
                continue;
            }
            let found = client.get_queue_url().queue_name(name.as_str()).send().await;
            match found.map_err(|error| Failure::of(&error)) {
                Ok(_) => {}
                Err(Failure::Missing) => {
                    self.core.service.directory.forget(&name);
                    missing.push(queue.clone());
                }
                Err(failure) => return Err(failure.publishing(queue)),
            }
        }
        Ok(missing)
    }

    /// What is on this one queue, its dead-letter queue left out: one question, where [`Queues::depth`] asks two.
    ///
    /// # Errors
    /// [`TransportError::Unroutable`] without such a queue; the service is away or does not permit it.
    pub async fn own_depth(&self, queue: &Queue) -> Result<Depth, TransportError> {
        let name = self.core.physical(queue);
        depth(&self.core, &name).await.map_err(|failure| failure.publishing(queue))
    }

    /// Deletes this one queue, not its dead-letter queue, with all that is on it. A missing queue is not an error.
    ///
    /// # Errors
    /// The service is away or does not permit it.
    pub async fn remove(&self, queue: &Queue) -> Result<(), TransportError> {
        match delete(&self.core, &self.core.physical(queue)).await {
            Ok(()) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure.publishing(queue)),
        }
    }
}

impl Queues for Sqs {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move { self.ensure_tagged(queue, &BTreeMap::new()).await })
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            self.remove(&queue.dead_letter()).await?;
            self.remove(queue).await
        })
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        Box::pin(async move {
            let own = self.own_depth(queue).await?;
            // A queue without dead letters of its own has none that could be told from others'.
            let name = self.core.physical(queue);
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
    attributes: HashMap<Attribute, String>,
    tags: BTreeMap<String, String>,
) -> Result<(), Failure> {
    let tags = (!tags.is_empty()).then(|| tags.into_iter().collect());
    let created = core
        .service
        .client
        .create_queue()
        .queue_name(name.as_str())
        .set_attributes(Some(attributes))
        .set_tags(tags)
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
