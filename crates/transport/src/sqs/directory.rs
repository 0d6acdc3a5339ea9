//! Where queues are: their addresses and what the service says of them, kept until they prove wrong.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asya_envelope::Queue;
use aws_sdk_sqs::{Client, types::QueueAttributeName as Attribute};
use serde::Deserialize;
use tokio::time::Instant;

use super::failure::Failure;

/// Largest message that the service takes anywhere.
pub(super) const LARGEST_MESSAGE: usize = 1024 * 1024;
/// Assumed of a queue whose attributes we may not read: what every region and account takes.
const ASSUMED_LIMIT: usize = 256 * 1024;
/// How long attributes are believed; the address heals at once, the redrive policy is seldom changed.
const BELIEVED_FOR: Duration = Duration::from_secs(300);
/// Longest name of a queue, by the service.
const MAX_NAME: usize = 80;
/// The suffix of queues that keep their order, which are not supported.
pub(super) const FIFO_SUFFIX: &str = ".fifo";

/// What is known of one queue.
#[derive(Debug)]
pub(super) struct Address {
    /// Names the queue in requests.
    pub url: String,
    /// Names the queue in policies, if we may read it.
    pub arn: Option<String>,
    /// Largest message with its attributes, in bytes.
    pub max_message: usize,
    /// Where the service itself moves messages, and when.
    pub redrive: Option<Redrive>,
    /// How long a received message is hidden unless the receiver says otherwise.
    pub visibility: Option<Duration>,
    read_at: Instant,
}

/// The redrive policy of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redrive {
    /// The full name of the dead-letter queue.
    pub target: Queue,
    /// Receives after which a message is moved instead of being delivered.
    pub max_receives: u32,
}

impl Address {
    /// Most bytes of one batch: the service counts all entries together against the limit of one message, but never
    /// against less than the assumed limit, which is that of the queue and not of the service.
    pub(super) fn max_batch(&self) -> usize {
        self.max_message.clamp(ASSUMED_LIMIT, LARGEST_MESSAGE)
    }
}

/// Looks queues up by their full name.
pub(super) struct Directory {
    client: Client,
    endpoint: Option<String>,
    known: Mutex<HashMap<Queue, Arc<Address>>>,
    smallest_limit: AtomicUsize,
}

impl Directory {
    pub(super) fn new(client: Client, endpoint: Option<String>) -> Self {
        Self { client, endpoint, known: Mutex::default(), smallest_limit: AtomicUsize::new(LARGEST_MESSAGE) }
    }

    /// The address of a queue, from memory or from the service. That a queue is missing is not remembered.
    pub(super) async fn lookup(&self, queue: &Queue) -> Result<Arc<Address>, Failure> {
        let known = self.known().get(queue).cloned();
        if let Some(address) = &known
            && address.read_at.elapsed() < BELIEVED_FOR
        {
            return Ok(Arc::clone(address));
        }
        match (self.read(queue).await, known) {
            (Ok(address), _) => {
                let address = Arc::new(address);
                self.known().insert(queue.clone(), Arc::clone(&address));
                Ok(address)
            }
            // What was right so far is better than nothing.
            (Err(Failure::Again(_)), Some(known)) => Ok(known),
            (Err(failure), _) => {
                self.known().remove(queue);
                Err(failure)
            }
        }
    }

    /// The queue did not answer to this address: the next lookup asks the service.
    pub(super) fn forget(&self, queue: &Queue) {
        self.known().remove(queue);
    }

    /// The smallest limit of the queues seen so far.
    pub(super) fn smallest_limit(&self) -> usize {
        self.smallest_limit.load(Ordering::Relaxed)
    }

    async fn read(&self, queue: &Queue) -> Result<Address, Failure> {
        let found = self.client.get_queue_url().queue_name(queue.as_str()).send().await;
        let url = found
            .map_err(|error| Failure::of(&error))?
            .queue_url
            .ok_or_else(|| Failure::Again(format!("queue {queue:?} came without its address")))?;
        let url = match &self.endpoint {
            Some(endpoint) => rewritten(&url, endpoint),
            None => url,
        };
        let read = self
            .client
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(Attribute::All)
            .send()
            .await
            .map_err(|error| Failure::of(&error));
        let attributes = match read {
            Ok(read) => read.attributes.unwrap_or_default(),
            // A role may be allowed to send and nothing else.
            Err(Failure::Denied(reason)) => {
                tracing::warn!(%queue, reason, "the attributes of the queue cannot be read; assuming 256 KiB and no redrive policy");
                HashMap::new()
            }
            Err(failure) => return Err(failure),
        };
        let max_message = attributes
            .get(&Attribute::MaximumMessageSize)
            .and_then(|limit| limit.parse().ok())
            .unwrap_or(ASSUMED_LIMIT);
        self.smallest_limit.fetch_min(max_message, Ordering::Relaxed);
        Ok(Address {
            url,
            arn: attributes.get(&Attribute::QueueArn).cloned(),
            max_message,
            redrive: attributes.get(&Attribute::RedrivePolicy).and_then(|policy| redrive(policy)),
            visibility: attributes
                .get(&Attribute::VisibilityTimeout)
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            read_at: Instant::now(),
        })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Queue, Arc<Address>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the service can have a queue of this name.
pub(super) fn nameable(queue: &Queue) -> bool {
    let name = queue.as_str();
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A queue's address with the host of the configured endpoint: what a server in a container calls itself is not what
/// its clients can reach.
fn rewritten(url: &str, endpoint: &str) -> String {
    let path =
        url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("", |slash| &rest[slash..]));
    format!("{}{path}", endpoint.trim_end_matches('/'))
}

/// Reads a redrive policy; the count is a number or a string, depending on who wrote it.
fn redrive(policy: &str) -> Option<Redrive> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        dead_letter_target_arn: String,
        max_receive_count: serde_json::Value,
    }
    let policy: Policy = serde_json::from_str(policy).ok()?;
    let target = policy.dead_letter_target_arn.rsplit(':').next()?.to_owned();
    let max_receives = match policy.max_receive_count {
        serde_json::Value::Number(number) => u32::try_from(number.as_u64()?).ok()?,
        serde_json::Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    Some(Redrive { target: Queue::named(target), max_receives })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_becomes_that_of_the_endpoint() {
        let rewritten = |url| rewritten(url, "http://localhost:9324/");
        assert_eq!(
            rewritten("https://sqs.us-east-1.amazonaws.com/123/asya-ocr"),
            "http://localhost:9324/123/asya-ocr"
        );
        assert_eq!(rewritten("http://sqs:9324/queue/q"), "http://localhost:9324/queue/q");
    }

    #[test]
    fn a_redrive_policy_is_read_with_the_count_in_either_form() {
        for count in ["3", "\"3\""] {
            let policy = format!(
                r#"{{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123:asya-dlq","maxReceiveCount":{count}}}"#
            );
            let expected = Redrive { target: Queue::named("asya-dlq"), max_receives: 3 };
            assert_eq!(redrive(&policy), Some(expected));
        }
        assert_eq!(redrive("{}"), None);
    }

    #[test]
    fn names_that_the_service_refuses_are_known_beforehand() {
        for bad in ["", "a.b", "a b", &"a".repeat(81)] {
            assert!(!nameable(&Queue::named(bad.to_owned())), "{bad}");
        }
        assert!(nameable(&Queue::named("asya-ocr_2")));
    }
}
