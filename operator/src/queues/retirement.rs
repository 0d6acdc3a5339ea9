//! The queue of a deleted actor and its dead-letter queue, taken down step by step.

use std::time::Duration;

use asya_envelope::Queue;
use asya_resources::DeletionPolicy;
use asya_transport::rabbitmq::Removal;
use tokio::time::Instant;

use super::{
    Problem,
    broker::Broker,
    brokers::limited,
    deletion::{Deletion, Reading, Step, Trust},
};

/// Pause while one of the two queues waits for the other.
const TOGETHER_PAUSE: Duration = Duration::from_secs(5);

/// The deletion of a queue and of its dead-letter queue, kept by the controller from call to call of
/// [`Brokers::retire`](super::Brokers::retire). Dead letters are kept whatever the policy; a queue that is kept keeps
/// its dead-letter queue.
#[derive(Clone, Debug)]
pub struct Retirement {
    queue: Part,
    dead: Part,
}

/// Where a deletion stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retired {
    /// The queue is gone. If its dead-letter queue stays, a sentence says why.
    Gone {
        /// For the Event `QueueRetained`.
        dead_letters: Option<String>,
    },
    /// The queue stays, with its dead-letter queue: a sentence for the Event `QueueRetained`. The actor may go.
    Kept(String),
    /// Call again after this long; an earlier call is answered the same.
    Again {
        /// The pause.
        after: Duration,
        /// Why, in a sentence.
        why: String,
    },
}

/// One of the two queues.
#[derive(Clone, Debug)]
struct Part {
    deletion: Deletion,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Open { after: Duration, why: String },
    Gone,
    Kept(String),
}

impl Retirement {
    /// Begins a deletion: of a broker whose counts deserve this trust, which may be away for `limit`.
    pub fn new(policy: DeletionPolicy, trust: Trust, limit: Duration) -> Self {
        let part = |policy| Part {
            deletion: Deletion::new(policy, trust, limit),
            state: State::Open { after: Duration::ZERO, why: String::new() },
        };
        Self { queue: part(policy), dead: part(DeletionPolicy::DeleteIfEmpty) }
    }

    /// One step: reads what may be read now and deletes what may be deleted. Never waits for a pause to pass.
    pub(super) async fn advance(&mut self, broker: &Broker, queue: &Queue) -> Retired {
        self.queue.advance(broker, queue, true).await;
        let gone = matches!(self.queue.state, State::Gone);
        if let State::Kept(why) = &self.queue.state {
            return Retired::Kept(format!("queue {queue} was kept: {why}"));
        }
        // Read beside the other, so that the pauses of both pass at the same time.
        let dead = queue.dead_letter();
        self.dead.advance(broker, &dead, gone).await;
        match (&self.queue.state, &self.dead.state) {
            (State::Open { after, why }, _) | (_, State::Open { after, why }) => {
                Retired::Again { after: *after, why: why.clone() }
            }
            (_, State::Kept(why)) => {
                Retired::Gone { dead_letters: Some(format!("dead-letter queue {dead} was kept: {why}")) }
            }
            _ => Retired::Gone { dead_letters: None },
        }
    }
}

impl Part {
    /// `may_delete`: false while only readings are to be taken.
    async fn advance(&mut self, broker: &Broker, queue: &Queue, may_delete: bool) {
        if !matches!(self.state, State::Open { .. }) {
            return;
        }
        if let Some(after) = self.deletion.too_early(Instant::now()) {
            self.state = State::Open { after, why: "the last reading was a moment ago".to_owned() };
            return;
        }
        let step = match self.deletion.at_once() {
            Some(step) => step,
            None => {
                let reading = match limited(broker, broker.count(queue)).await {
                    Ok(depth) => Reading::Holds(depth),
                    Err(Problem::QueueMissing(_)) => Reading::Missing,
                    Err(problem) => Reading::Away(problem.to_string()),
                };
                self.deletion.step(reading, Instant::now())
            }
        };
        self.state = match step {
            Step::Done => State::Gone,
            Step::Keep(why) => State::Kept(why),
            Step::ReadAgain { after, why } => State::Open { after, why },
            Step::Delete | Step::DeleteIfEmpty if !may_delete => {
                State::Open { after: TOGETHER_PAUSE, why: "its queue is still there".to_owned() }
            }
            Step::Delete => {
                let removed = limited(broker, broker.remove(queue)).await;
                self.removed(removed.map(|()| Removal::Gone))
            }
            Step::DeleteIfEmpty => {
                let removed = limited(broker, broker.remove_if_empty(queue)).await;
                self.removed(removed)
            }
        };
    }

    fn removed(&mut self, removed: Result<Removal, Problem>) -> State {
        match removed {
            Ok(Removal::Gone) => State::Gone,
            Ok(Removal::Kept(why)) => State::Kept(why),
            Err(problem) => {
                let why = problem.to_string();
                match self.deletion.away(&why, Instant::now()) {
                    Ok(after) => State::Open { after, why },
                    Err(why) => State::Kept(why),
                }
            }
        }
    }
}
