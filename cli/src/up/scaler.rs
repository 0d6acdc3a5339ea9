//! How many replicas an actor should have: a function of what is seen, without clock or queue.

use std::time::Duration;

use asya_resources::{AsyncActorSpec, scaling};

/// The bounds and pace of one actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) min: u32,
    pub(crate) max: u32,
    /// Messages per replica that are aimed at; at least 1.
    pub(crate) queue_length: u64,
    /// How long fewer replicas must be enough before some go.
    pub(crate) cooldown: Duration,
    /// How often the queue of a broker is looked at.
    pub(crate) polling: Duration,
}

impl Scale {
    /// As the manifest says, with at most `cap` replicas of what scales.
    pub(crate) fn of(spec: &AsyncActorSpec, cap: u32) -> Self {
        if spec.paused {
            return Self::fixed(0);
        }
        let Some(scaling) = spec.scaling.as_ref().filter(|scaling| scaling.enabled) else {
            return Self::fixed(spec.workload.replicas.unwrap_or(1));
        };
        let min = scaling.min_replicas;
        Self {
            min,
            max: scaling.max_replicas.min(cap).max(min).max(1),
            queue_length: u64::from(scaling.queue_length.max(1)),
            cooldown: Duration::from_secs(scaling.cooldown_period.into()),
            polling: Duration::from_secs(scaling.polling_interval.max(1).into()),
        }
    }

    /// Always this many.
    pub(crate) fn fixed(replicas: u32) -> Self {
        Self {
            min: replicas,
            max: replicas,
            queue_length: scaling::DEFAULT_QUEUE_LENGTH.into(),
            cooldown: Duration::ZERO,
            polling: Duration::from_secs(scaling::DEFAULT_POLLING_INTERVAL.into()),
        }
    }

    /// How many replicas this many messages (waiting and in hand) need.
    fn needed(&self, messages: u64) -> u32 {
        let replicas = u32::try_from(messages.div_ceil(self.queue_length)).unwrap_or(u32::MAX);
        replicas.clamp(self.min, self.max)
    }
}

/// What one actor is doing, as the scaler remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Since when fewer replicas would have been enough, and how many at most within that time.
    fewer: Option<(Duration, u32)>,
}

/// Decides. `now` is any clock that only moves on; `running` are the replicas there are. More replicas come at once;
/// fewer only when fewer were enough for the whole cooldown, and then as many as were needed at most within it.
pub(crate) fn decide(scale: &Scale, memory: &mut Memory, now: Duration, messages: u64, running: u32) -> u32 {
    let needed = scale.needed(messages);
    if needed >= running {
        memory.fewer = None;
        return needed;
    }
    let (since, most) = memory.fewer.map_or((now, needed), |(since, most)| (since, most.max(needed)));
    if now.saturating_sub(since) < scale.cooldown {
        memory.fewer = Some((since, most));
        return running;
    }
    memory.fewer = None;
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn scale(min: u32, max: u32) -> Scale {
        Scale { min, max, queue_length: 5, cooldown: seconds(60), polling: seconds(10) }
    }

    #[test]
    fn one_message_wakes_an_actor_from_zero_at_once() {
        assert_eq!(decide(&scale(0, 10), &mut Memory::default(), seconds(0), 0, 0), 0);
        assert_eq!(decide(&scale(0, 10), &mut Memory::default(), seconds(0), 1, 0), 1);
    }

    #[test]
    fn replicas_follow_the_depth_up_to_the_bound() {
        let mut memory = Memory::default();
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(0), 11, 1), 3);
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(0), u64::MAX, 3), 10);
    }

    #[test]
    fn the_last_replica_goes_after_the_cooldown_and_not_before() {
        let mut memory = Memory::default();
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(100), 0, 1), 1);
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(159), 0, 1), 1);
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(160), 0, 1), 0);
    }

    #[test]
    fn work_in_between_begins_the_cooldown_anew() {
        let mut memory = Memory::default();
        decide(&scale(0, 10), &mut memory, seconds(0), 0, 1);
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(50), 3, 1), 1);
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(61), 0, 1), 1);
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(121), 0, 1), 0);
    }

    #[test]
    fn as_many_stay_as_were_needed_within_the_cooldown() {
        let mut memory = Memory::default();
        decide(&scale(0, 10), &mut memory, seconds(0), 5, 8);
        decide(&scale(0, 10), &mut memory, seconds(30), 20, 8);
        assert_eq!(decide(&scale(0, 10), &mut memory, seconds(60), 0, 8), 4);
    }

    #[test]
    fn an_actor_without_scaling_keeps_its_replicas() {
        let mut memory = Memory::default();
        assert_eq!(decide(&Scale::fixed(2), &mut memory, seconds(0), 1000, 0), 2);
        assert_eq!(decide(&Scale::fixed(2), &mut memory, seconds(9), 0, 2), 2);
    }

    #[test]
    fn a_cap_bounds_what_scales_and_never_goes_below_the_minimum() {
        let spec = |text| serde_json::from_str::<AsyncActorSpec>(text).unwrap();
        let scaled = spec(r#"{"transport":"x","scaling":{"enabled":true,"minReplicas":3}}"#);
        assert_eq!((Scale::of(&scaled, 2).min, Scale::of(&scaled, 2).max), (3, 3));
        assert_eq!(Scale::of(&scaled, 8).max, 8);
        let off = spec(r#"{"transport":"x","scaling":{"maxReplicas":9},"workload":{"replicas":4}}"#);
        assert_eq!(Scale::of(&off, 8), Scale::fixed(4));
    }
}
