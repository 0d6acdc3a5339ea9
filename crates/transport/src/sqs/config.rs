//! How to reach SQS, and the times in force.

use std::{path::PathBuf, time::Duration};

/// Longest visibility timeout of SQS, and the longest a message can be held from its receipt on.
pub(super) const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);
/// Longest `DelaySeconds` of SQS.
pub(super) const MAX_SEND_DELAY: Duration = Duration::from_secs(900);
/// Longest wait of one receive that SQS permits: fewest empty answers to pay for.
pub const DEFAULT_WAIT_TIME: Duration = Duration::from_secs(20);
/// The handler's time limit where nobody sets one, as the sidecar's.
pub const DEFAULT_RUNTIME_TIMEOUT: Duration = Duration::from_secs(300);
/// Region where neither the configuration nor the environment names one, as existing manifests expect.
pub const DEFAULT_REGION: &str = "us-east-1";
/// Receives after which the service moves a message to the dead-letter queue, for queues that we make: above the 20
/// deliveries after which the engine gives a message up, so that the engine speaks first and says why.
pub const NEW_QUEUE_MAX_RECEIVES: u32 = 40;
/// How long the service keeps messages at most, and dead letters of new queues unless said otherwise.
pub const MAX_RETENTION: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Receives on the wire at a time and per queue, when messages abound. Each brings up to ten.
pub const DEFAULT_MAX_POLLS: usize = 4;

/// How to reach SQS.
#[derive(Clone, Debug)]
pub struct SqsConfig {
    /// The region; `None` = what the environment or profile says, else [`DEFAULT_REGION`].
    pub region: Option<String>,
    /// Base address of another SQS-compatible server, for example `http://localhost:9324`.
    pub endpoint: Option<String>,
    /// How long a received message stays hidden, in whole seconds, renewed at half of it. Zero = twice
    /// `runtime_timeout`.
    pub visibility_timeout: Duration,
    /// The handler's time limit; matters only where `visibility_timeout` is zero.
    pub runtime_timeout: Duration,
    /// How long one receive waits for messages, in whole seconds, at most 20.
    pub wait_time: Duration,
    /// Static keys, instead of what the environment, a profile or an identity provides.
    pub key_files: Option<KeyFiles>,
    /// Put before the name of every queue; empty = none.
    pub queue_prefix: String,
    /// Most receives on the wire at a time and per queue.
    pub max_polls: usize,
    /// `maxReceiveCount` of queues that `ensure` makes; `None` = they get no dead-letter queue.
    pub max_receives: Option<u32>,
    /// How long dead letters are kept on dead-letter queues that `ensure` makes, in whole seconds, 1 min to 14 days.
    pub dead_retention: Duration,
}

/// Files with static keys, read again every minute: new keys need no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The file with the access key's id.
    pub access_key_id: PathBuf,
    /// The file with the secret access key.
    pub secret_access_key: PathBuf,
}

impl Default for SqsConfig {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            visibility_timeout: Duration::ZERO,
            runtime_timeout: DEFAULT_RUNTIME_TIMEOUT,
            wait_time: DEFAULT_WAIT_TIME,
            key_files: None,
            queue_prefix: String::new(),
            max_polls: DEFAULT_MAX_POLLS,
            max_receives: Some(NEW_QUEUE_MAX_RECEIVES),
            dead_retention: MAX_RETENTION,
        }
    }
}

impl SqsConfig {
    /// The visibility timeout in force: whole seconds, 1 s to 12 h.
    pub fn visibility(&self) -> Duration {
        let wanted = if self.visibility_timeout.is_zero() {
            self.runtime_timeout.saturating_mul(2)
        } else {
            self.visibility_timeout
        };
        Duration::from_secs(whole_seconds(wanted)).clamp(Duration::from_secs(1), MAX_VISIBILITY)
    }

    /// The wait of one receive in force: whole seconds, at most 20 s.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs(whole_seconds(self.wait_time)).min(DEFAULT_WAIT_TIME)
    }
}

/// Rounded up: a delay is never shorter than what was asked for.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// For the fields of requests; every duration here is at most 12 h.
pub(super) fn seconds(duration: Duration) -> i32 {
    i32::try_from(whole_seconds(duration.min(MAX_VISIBILITY))).expect("12 h fit into an i32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_visibility_means_twice_the_runtime_timeout() {
        let mut config = SqsConfig { runtime_timeout: Duration::from_secs(45), ..SqsConfig::default() };
        assert_eq!(config.visibility(), Duration::from_secs(90));
        config.visibility_timeout = Duration::from_millis(1500);
        assert_eq!(config.visibility(), Duration::from_secs(2));
        config.visibility_timeout = Duration::from_secs(100_000);
        assert_eq!(config.visibility(), MAX_VISIBILITY);
    }

    #[test]
    fn durations_are_rounded_up_to_whole_seconds() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(7)), 7);
        assert_eq!(seconds(Duration::MAX), 43_200);
    }
}
