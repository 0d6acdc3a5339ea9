//! All actors and their replicas: kept at the number that is wanted, and drained in the end.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use asya_envelope::Queue;
use asya_sidecar::Stats;
use asya_transport::{Depth, TransportError};
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use super::{
    plan::{ActorPlan, Plan, Runs},
    replica::{Ground, Replica},
    scaler::{Memory, decide},
};

/// One actor, as the view shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) actor: String,
    pub(crate) replicas: usize,
    pub(crate) starting: usize,
    pub(crate) ready: u64,
    pub(crate) delayed: u64,
    pub(crate) in_flight: u64,
    pub(crate) dead: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
    /// Envelopes per second, lately.
    pub(crate) rate: f64,
    /// Why no replica comes up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failing: Option<String>,
}

/// What replicas that are gone have done.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    succeeded: u64,
    failed: u64,
    retried: u64,
}

impl Totals {
    fn add(&mut self, stats: &Stats) {
        self.succeeded += stats.succeeded() + stats.dropped();
        self.failed += stats.failed() + stats.dead_lettered();
        self.retried += stats.retried();
    }
}

struct Actor {
    plan: ActorPlan,
    queue: Queue,
    replicas: Vec<Replica>,
    /// Set when it is no longer wanted: nothing new is started.
    retired: bool,
    past: Totals,
    memory: Memory,
    depth: Depth,
    looked: Option<Instant>,
    /// When the rate was taken last, what had been done by then, and the rate.
    rate: Option<(Instant, u64)>,
    per_second: f64,
}

/// All actors.
pub(crate) struct Fleet {
    ground: Arc<Ground>,
    plan: Plan,
    actors: Vec<Actor>,
    draining: JoinSet<(String, Arc<Stats>)>,
    numbers: u64,
    began: Instant,
}

impl Fleet {
    /// Makes the queues; starts nothing yet.
    ///
    /// # Errors
    /// Those of making queues.
    pub(crate) async fn new(ground: Arc<Ground>, plan: Plan) -> Result<Self, TransportError> {
        let mut fleet = Self {
            ground,
            plan: Plan::default(),
            actors: Vec::new(),
            draining: JoinSet::new(),
            numbers: 0,
            began: Instant::now(),
        };
        fleet.adopt(plan, None).await?;
        Ok(fleet)
    }

    /// Moves to another plan: what changed, or lies in `touched`, is started anew; what is gone is drained.
    ///
    /// # Errors
    /// Those of making queues.
    pub(crate) async fn adopt(&mut self, plan: Plan, touched: Option<&Path>) -> Result<(), TransportError> {
        for actor in &mut self.actors {
            let next = plan.actors.iter().find(|next| next.name() == actor.plan.name());
            actor.retired = next.is_none();
            let is_touched = match (&actor.plan.runs, touched) {
                (Runs::Python(python), Some(touched)) => touched.starts_with(&python.directory),
                _ => false,
            };
            if is_touched || next.is_none_or(|next| !next.same(&actor.plan)) {
                let replicas = std::mem::take(&mut actor.replicas);
                drain(&mut self.draining, actor.plan.name(), replicas);
            }
            if let Some(next) = next {
                actor.plan = next.clone();
            }
        }
        for next in &plan.actors {
            if self.actors.iter().any(|actor| actor.plan.name() == next.name()) {
                continue;
            }
            let queue = self.ground.broker.naming.queue(next.name());
            self.ground.broker.queues.ensure(&queue).await?;
            self.actors.push(Actor {
                plan: next.clone(),
                queue,
                replicas: Vec::new(),
                retired: false,
                past: Totals::default(),
                memory: Memory::default(),
                depth: Depth::default(),
                looked: None,
                rate: None,
                per_second: 0.0,
            });
        }
        self.plan = plan;
        Ok(())
    }

    /// Looks at the queues, and starts and stops replicas.
    ///
    /// # Errors
    /// Those of looking at queues; nothing was changed then.
    pub(crate) async fn turn(&mut self) -> Result<(), TransportError> {
        self.look().await?;
        let now = self.began.elapsed();
        for actor in &mut self.actors {
            while let Some(at) = actor.replicas.iter().position(Replica::has_ended) {
                let stats = actor.replicas.swap_remove(at).ended().await;
                actor.past.add(&stats);
            }
            let running = u32::try_from(actor.replicas.len()).unwrap_or(u32::MAX);
            let messages = actor.depth.ready + actor.depth.in_flight;
            let wanted = match actor.retired {
                true => 0,
                false => decide(&actor.plan.scale, &mut actor.memory, now, messages, running),
            };
            for _ in running..wanted {
                self.numbers += 1;
                actor.replicas.push(Replica::start(&self.ground, &actor.plan, &self.plan, self.numbers));
            }
            if wanted < running {
                let gone = actor.replicas.split_off(wanted as usize);
                drain(&mut self.draining, actor.plan.name(), gone);
            }
            if running != wanted && !matches!(actor.plan.scale, ref scale if scale.min == scale.max) {
                let name = actor.plan.name().into();
                self.ground.logs.note(Some(&name), format!("replicas {running} -> {wanted}"));
            }
        }
        while let Some(result) = self.draining.try_join_next() {
            self.gone(result.ok());
        }
        self.actors.retain(|actor| !actor.retired);
        Ok(())
    }

    async fn look(&mut self) -> Result<(), TransportError> {
        if let Some(local) = &self.ground.broker.local {
            let depths: HashMap<_, _> = local.queues().await?.into_iter().collect();
            for actor in &mut self.actors {
                actor.depth = depths.get(&actor.queue).copied().unwrap_or_default();
            }
            return Ok(());
        }
        for actor in &mut self.actors {
            let due =
                actor.looked.is_none_or(|looked| looked.elapsed() >= actor.plan.scale.polling.min(REMOTE));
            if due {
                actor.depth = self.ground.broker.queues.depth(&actor.queue).await?;
                actor.looked = Some(Instant::now());
            }
            // Where the broker cannot tell what is in hand, our own engines can.
            let ours: u64 = actor.replicas.iter().map(|replica| replica.stats.in_flight()).sum();
            actor.depth.in_flight = actor.depth.in_flight.max(ours);
        }
        Ok(())
    }

    fn gone(&mut self, gone: Option<(String, Arc<Stats>)>) {
        let Some((name, stats)) = gone else { return };
        if let Some(actor) = self.actors.iter_mut().find(|actor| actor.plan.name() == name) {
            actor.past.add(&stats);
        }
    }

    /// What there is to see, one row per actor.
    pub(crate) fn rows(&mut self) -> Vec<Row> {
        self.actors.iter_mut().map(Actor::row).collect()
    }

    /// True when nothing is in hand, and no queue of these actors holds anything but work that waits for paused ones.
    pub(crate) fn is_idle(&self) -> bool {
        self.draining.is_empty()
            && self.actors.iter().all(|actor| {
                let Depth { ready, in_flight, delayed, .. } = actor.depth;
                actor.is_waited_for()
                    || (ready + in_flight + delayed == 0
                        && actor.replicas.iter().all(|replica| replica.stats.in_flight() == 0))
            })
    }

    /// Names of the actors that have work and are to have no replica.
    pub(crate) fn waited_for(&self) -> Vec<String> {
        let actors = self.actors.iter().filter(|actor| actor.is_waited_for());
        actors.map(|actor| actor.plan.name().to_owned()).collect()
    }

    /// The first actor that has work and does not come up, and why.
    pub(crate) fn stuck(&self) -> Option<(String, String)> {
        self.actors.iter().find_map(|actor| {
            let failing = actor.replicas.iter().find_map(Replica::failing)?;
            let none_ready = !actor.replicas.iter().any(Replica::is_ready);
            (none_ready && actor.depth.ready > 0).then(|| (actor.plan.name().to_owned(), failing))
        })
    }

    /// Stops reading everywhere, lets running work finish, and waits for it. The actors of this process end last, so
    /// that what the others finish is recorded too.
    pub(crate) async fn drain(&mut self) {
        self.stop(|runs| matches!(runs, Runs::Python(_))).await;
        let until = Instant::now() + RECORDING;
        while Instant::now() < until && self.is_recording().await {
            tokio::time::sleep(RECORDED).await;
        }
        self.stop(|_| true).await;
    }

    async fn stop(&mut self, these: impl Fn(&Runs) -> bool) {
        for actor in self.actors.iter_mut().filter(|actor| these(&actor.plan.runs)) {
            let replicas = std::mem::take(&mut actor.replicas);
            drain(&mut self.draining, actor.plan.name(), replicas);
        }
        while let Some(result) = self.draining.join_next().await {
            self.gone(result.ok());
        }
    }

    /// True while the actors of this process have something to take from their queues.
    async fn is_recording(&mut self) -> bool {
        let looked = self.look().await.is_ok();
        let running = self.actors.iter().filter(|actor| !actor.replicas.is_empty());
        looked && running.map(|actor| actor.depth).any(|depth| depth.ready + depth.in_flight > 0)
    }
}

/// How long the end actors may go on when everything else has ended: what is left is recorded at the next start.
const RECORDING: Duration = Duration::from_secs(5);
/// How often their queues are looked at meanwhile.
const RECORDED: Duration = Duration::from_millis(20);
/// Longest time between two looks at the queue of a broker: on one machine somebody watches.
const REMOTE: Duration = Duration::from_secs(1);
/// The rate is taken over this long: it moves, and does not flicker.
const RATE_OVER: Duration = Duration::from_secs(1);

impl Actor {
    fn is_waited_for(&self) -> bool {
        self.plan.scale.max == 0 && self.depth.ready > 0
    }

    fn row(&mut self) -> Row {
        let mut totals = self.past;
        self.replicas.iter().for_each(|replica| totals.add(&replica.stats));
        let done = totals.succeeded + totals.failed;
        let (since, before) = *self.rate.get_or_insert((Instant::now(), done));
        let elapsed = since.elapsed();
        if elapsed >= RATE_OVER {
            #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
            let many = done.saturating_sub(before) as f64;
            self.per_second = many / elapsed.as_secs_f64();
            self.rate = Some((Instant::now(), done));
        }
        let ready = self.replicas.iter().filter(|replica| replica.is_ready()).count();
        Row {
            actor: self.plan.name().to_owned(),
            replicas: self.replicas.len(),
            starting: self.replicas.len() - ready,
            ready: self.depth.ready,
            delayed: self.depth.delayed,
            in_flight: self.replicas.iter().map(|replica| replica.stats.in_flight()).sum(),
            dead: self.depth.dead,
            succeeded: totals.succeeded,
            failed: totals.failed,
            retried: totals.retried,
            rate: self.per_second,
            failing: self.replicas.iter().find_map(Replica::failing),
        }
    }
}

fn drain(draining: &mut JoinSet<(String, Arc<Stats>)>, actor: &str, replicas: Vec<Replica>) {
    for replica in replicas {
        replica.stop();
        let actor = actor.to_owned();
        draining.spawn(async move { (actor, replica.ended().await) });
    }
}
