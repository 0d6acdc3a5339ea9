//! The one loop that looks at the queues of actors at zero.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use asya_envelope::Queue;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    Actors, Counters, Target,
    streams::{Key, Streams},
};
use crate::queues::{Brokers, Problem};

/// How often the queues of actors at zero are looked at: half of the second within which an actor is to wake.
const TICK: Duration = Duration::from_millis(500);
/// How often where each look is billed.
const BILLED_EVERY: Duration = Duration::from_secs(5);
/// Looks in a second, for all actors together. A thousand cost RabbitMQ a seventh of a core, measured. With more than
/// 500 actors at zero each is looked at less often, in turn: 2,000 of them every two seconds.
const LOOKS_PER_SECOND: usize = 1_000;
const LOOKS_PER_TICK: usize = LOOKS_PER_SECOND / 2;

/// An actor at zero that somebody listens for.
struct Due {
    key: Key,
    target: Target,
    looked: Option<Instant>,
}

/// Looks until it is told to stop. A broker that does not answer holds up its own actors only.
pub(super) async fn run(
    streams: Arc<Streams>,
    actors: Arc<dyn Actors>,
    brokers: Arc<Brokers>,
    counters: Counters,
    stop: CancellationToken,
) {
    let mut poll = Poll { streams, actors, brokers, counters, looked: HashMap::new(), busy: HashSet::new() };
    let mut looks = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => poll.look(&mut looks),
            Some(look) = looks.join_next() => match look {
                Ok(look) => poll.heard(look),
                // Which transport it was is not known any more: all are asked again.
                Err(_) => poll.busy.clear(),
            },
        }
    }
}

struct Poll {
    streams: Arc<Streams>,
    actors: Arc<dyn Actors>,
    brokers: Arc<Brokers>,
    counters: Counters,
    /// When an actor was last looked at. Bounded by the streams.
    looked: HashMap<Key, Instant>,
    /// Transports that have not answered yet.
    busy: HashSet<String>,
}

/// What a transport answered.
struct Look {
    transport: String,
    /// Those that were looked at, and whether messages wait; `None` where that is not known.
    seen: Vec<(Key, Option<bool>)>,
}

impl Poll {
    /// Begins one look for each transport that has actors due.
    fn look(&mut self, looks: &mut JoinSet<Look>) {
        let mut due = self.due();
        // Who waits longest comes first, so that with a small budget everybody has a turn.
        due.sort_by_key(|due| due.looked);
        let late = due.split_off(due.len().min(LOOKS_PER_TICK));
        let mut by_transport: HashMap<String, (Vec<Due>, Vec<Due>)> = HashMap::new();
        for due in due {
            by_transport.entry(due.target.transport.clone()).or_default().0.push(due);
        }
        for due in late.into_iter().filter(|due| self.brokers.is_listed(&due.target.transport)) {
            by_transport.entry(due.target.transport.clone()).or_default().1.push(due);
        }
        let now = Instant::now();
        for (transport, (asked, listed)) in by_transport {
            self.busy.insert(transport.clone());
            self.looked.extend(asked.iter().map(|due| (due.key.clone(), now)));
            self.counters.looks.inc_by(u64::try_from(asked.len()).unwrap_or(u64::MAX));
            looks.spawn(look(self.brokers.clone(), transport, asked, listed));
        }
    }

    fn due(&mut self) -> Vec<Due> {
        let mut due = Vec::new();
        let keys = self.streams.actors();
        if self.looked.len() > keys.len() {
            let open: HashSet<_> = keys.iter().collect();
            self.looked.retain(|key, _| open.contains(key));
        }
        for key in keys {
            let Some(target) = self.asleep(&key) else {
                self.streams.rest(&key);
                continue;
            };
            let looked = self.looked.get(&key).copied();
            let waits = self.brokers.is_billed(&target.transport)
                && looked.is_some_and(|looked| looked.elapsed() < BILLED_EVERY);
            if !waits && !self.busy.contains(&target.transport) {
                due.push(Due { key, target, looked });
            }
        }
        due
    }

    /// An actor that is at zero and is to be woken.
    fn asleep(&self, (namespace, name): &Key) -> Option<Target> {
        self.actors.find(namespace, name).filter(|target| target.push && target.at_zero)
    }

    fn heard(&mut self, look: Look) {
        self.busy.remove(&look.transport);
        for (key, waits) in look.seen {
            match waits {
                // It may have woken while the broker was asked.
                Some(true) if self.asleep(&key).is_some() => self.streams.wake(&key),
                Some(_) => self.streams.rest(&key),
                None => {}
            }
        }
    }
}

/// Looks at queues of one transport: those that are `asked` for one by one, exactly; those in the list as it is.
async fn look(brokers: Arc<Brokers>, transport: String, asked: Vec<Due>, listed: Vec<Due>) -> Look {
    let queues: Vec<Queue> = asked.iter().map(|due| due.target.queue.clone()).collect();
    let mut seen = Vec::with_capacity(asked.len() + listed.len());
    match brokers.ready(&transport, &queues).await {
        Ok(ready) => {
            let waits = ready.into_iter().map(|ready| Some(ready.is_some_and(|ready| ready > 0)));
            seen.extend(asked.into_iter().map(|due| due.key).zip(waits));
        }
        // One queue that is refused must not silence the others.
        Err(Problem::Refused(_)) if queues.len() > 1 => {
            for due in asked {
                let ready = brokers.ready(&transport, std::slice::from_ref(&due.target.queue)).await;
                let waits = ready.ok().map(|ready| ready.into_iter().flatten().any(|ready| ready > 0));
                seen.push((due.key, waits));
            }
        }
        // Said once in a while by the broker's own connection; here it would be said twice a second.
        Err(problem) => tracing::debug!(transport, %problem, "nothing is known of actors at zero"),
    }
    for due in listed {
        // A list is seconds old: that nothing waited then says nothing about now.
        let waits = brokers.listed(&transport, &due.target.queue).await.is_some_and(|depth| depth.ready > 0);
        seen.push((due.key, waits.then_some(true)));
    }
    Look { transport, seen }
}
