//! All queues of a broker in one call of its management API, shared by all who ask at about the same time.

use std::{collections::HashMap, time::Duration};

use asya_envelope::{Queue, name::QUEUE_PREFIX};
use asya_transport::{
    Depth, TransportError,
    rabbitmq::management::{Listed, Management},
};
use tokio::{sync::Mutex, time::Instant};

/// How long a listing is used: the broker itself counts every 5 s.
const USED_FOR: Duration = Duration::from_secs(5);

/// The last listing. A thousand actors cost one call per [`USED_FOR`].
#[derive(Default)]
pub(super) struct Listing {
    /// Held across the call, so that one call is enough for all who wait for it.
    last: Mutex<Option<(Instant, HashMap<Queue, Listed>)>>,
}

impl Listing {
    /// What a queue and its dead-letter queue hold; `None` = it was not there when the queues were listed.
    pub(super) async fn depth(
        &self,
        management: &Management,
        queue: &Queue,
    ) -> Result<Option<Depth>, TransportError> {
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|(since, _)| since.elapsed() >= USED_FOR) {
            let listed = management.queues(QUEUE_PREFIX).await;
            let (queues, failed) = match listed {
                Ok(listed) => (listed.into_iter().map(|one| (one.name.clone(), one)).collect(), None),
                // Kept as an empty one: an API that is away is not asked for each queue.
                Err(error) => (HashMap::new(), Some(error)),
            };
            *last = Some((Instant::now(), queues));
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(last.as_ref().and_then(|(_, queues)| {
            let found = queues.get(queue)?;
            let dead = queues.get(&queue.dead_letter()).map_or(0, |dead| dead.ready + dead.unacknowledged);
            Some(Depth { ready: found.ready, in_flight: found.unacknowledged, delayed: 0, dead })
        }))
    }

    /// A queue was deleted.
    pub(super) async fn forget(&self, queue: &Queue) {
        if let Some((_, queues)) = &mut *self.last.lock().await {
            queues.remove(queue);
        }
    }
}
