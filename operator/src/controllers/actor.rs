//! One look at one actor: from what is wanted and what is there to what is written.

use std::time::Duration;

use asya_envelope::Queue;
use asya_resources::{AsyncActorStatus, QueueStatus, WorkloadRef, workload};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::Instant;

use super::{
    apply::{Owner, timely},
    behind, binding,
    context::Context,
    live::Kind,
    observe,
    refusal::Refusal,
    report::report,
    rollout,
    watch::words,
    work::Key,
    workload as replicas,
};
use crate::{
    actor::{self, ACTOR_LABEL, Actor, FINALIZER, Stored},
    desired::{self, Desired, features::Features},
    keda,
    queues::{
        Queued, Whose,
        projection::{NOT_PROJECTED, not_projected},
    },
    settings::{self, Transport},
    status::{Former, Observed, Pod, Replicas, Verdict, former},
};

/// How often a queue's depth is read for the status: it is written at most as often.
const DEPTH_EVERY: Duration = Duration::from_secs(30);
/// The same on SQS, where each question is billed.
const DEPTH_EVERY_SQS: Duration = Duration::from_secs(5 * 60);
/// What helps where an account is missing that the operator may not make.
const UNMADE: &str = "it is one for an agent, and agents are not looked after: set agents.enabled of the chart asya-operator, or \
                      name another account in serviceAccountName";
/// How soon a reading may be used again by a look for another reason.
const DEPTH_FRESH: Duration = Duration::from_secs(10);
/// How soon something that has to happen elsewhere is looked for again, should no watch tell.
pub(super) const ELSEWHERE: Duration = Duration::from_secs(5);

/// What one look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it should be; look again after a while.
    Done(Option<Duration>),
    /// Something has to happen elsewhere first.
    Waiting(Duration),
    /// It failed with this reason; it is in the status already.
    Failed(String, Option<Duration>),
}

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The API server said so.
    #[error("{}", words(.0))]
    Server(#[from] kube::Error),
    /// An object could not be written.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Looks at one actor.
///
/// # Errors
/// What could not even be reported in the status.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Stop> {
    let Some(stored) = context.cache.actor(key) else {
        context.forget(key);
        return Ok(Outcome::Done(None));
    };
    let previous = context.status(key, &stored);
    let now = Timestamp::now();
    if stored.metadata.deletion_timestamp.is_some() {
        return super::deletion::proceed(context, key, &stored, &previous, now).await;
    }
    let pods: Vec<Pod> = context.cache.pods(key).iter().map(|pod| observe::pod(pod)).collect();
    let mut observed = blank(&stored, &previous, &pods, now);
    let actor = match Actor::read(&stored) {
        Ok(actor) => actor,
        Err(problems) => {
            let sentence = problems.join("; ");
            observed.workload = Verdict::Bad("ValidationError", sentence.clone());
            observed.queue.clone_from(&previous.queue);
            report(context, key, &stored, &observed).await?;
            // Only another spec helps, and the watch tells of it.
            return Ok(Outcome::Failed("ValidationError".to_owned(), Some(context.settings.resync)));
        }
    };
    if !stored.metadata.finalizers.as_ref().is_some_and(|all| all.iter().any(|name| name == FINALIZER)) {
        add_finalizer(context, key, &stored).await?;
    }
    if super::projection::pending(context, &actor) {
        // Looked at again as soon as the credentials are there; what the status says until then still holds.
        return Ok(Outcome::Waiting(ELSEWHERE));
    }
    let look = Look { context, key, actor: &actor, stored: &stored, previous: &previous };
    let outcome = look.proceed(&mut observed).await;
    // Boxed, for what it calls is deep already.
    Box::pin(behind::tend(context, key, &stored, &actor, &mut observed)).await;
    report(context, key, &stored, &observed).await?;
    outcome
}

/// What is known before anything was looked at.
pub(super) fn blank<'a>(
    stored: &Stored,
    previous: &'a AsyncActorStatus,
    pods: &'a [Pod],
    now: Timestamp,
) -> Observed<'a> {
    let unknown = || Verdict::Unknown("NotReached", "an earlier step has to succeed first".to_owned());
    Observed {
        generation: stored.metadata.generation.unwrap_or_default(),
        previous,
        now,
        deleting: None,
        paused: stored.spec["paused"] == true,
        scaling: stored.spec["scaling"]["enabled"] == true,
        transport: unknown(),
        workload: unknown(),
        scaler: unknown(),
        warnings: Vec::new(),
        update: None,
        stalled: None,
        refused: None,
        replicas: None,
        pods,
        depth: None,
        workload_ref: None,
        scaled_object_ref: None,
        selector: None,
        queue: None,
        former: previous.former_queues.iter().cloned().map(Former::of).collect(),
    }
}

async fn add_finalizer(context: &Context, key: &Key, stored: &Stored) -> Result<(), Stop> {
    let mut finalizers = stored.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(FINALIZER.to_owned());
    let version = &stored.metadata.resource_version;
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
    let api: Api<Stored> = Api::namespaced_with(context.client.clone(), &key.0, &actor::resource());
    context.metrics.wrote(asya_resources::KIND, "patch");
    timely(api.patch(&key.1, &PatchParams::default(), &Patch::Merge(&patch))).await?;
    Ok(())
}

/// One look, with what it is about.
pub(super) struct Look<'a> {
    pub(super) context: &'a Context,
    pub(super) key: &'a Key,
    pub(super) actor: &'a Actor,
    stored: &'a Stored,
    previous: &'a AsyncActorStatus,
}

impl Look<'_> {
    async fn proceed(&self, observed: &mut Observed<'_>) -> Result<Outcome, Stop> {
        let context = self.context;
        let spec = &self.actor.spec;
        let again = self.transport(observed).await;
        let Some((transport, queue)) = again.ready else {
            observed.workload =
                Verdict::Unknown("TransportNotReady", "the transport has to be ready first".to_owned());
            self.see_workload(observed);
            return Ok(Outcome::Failed(reason(&observed.transport), again.after));
        };
        let without_script = spec.embedded || spec.workload_ref.is_some();
        let script = match (context.runtime_missing(&self.key.0), context.script()) {
            (None, Ok(script)) => Some(script),
            _ if without_script => None,
            (Some(why), _) | (None, Err(why)) => {
                observed.workload = Verdict::Bad("RuntimeMissing", why);
                self.see_workload(observed);
                return Ok(Outcome::Failed("RuntimeMissing".to_owned(), None));
            }
        };
        let cluster = context.cluster(&self.key.0);
        let wanted = desired::Context {
            settings: &context.settings,
            transport,
            queue: &queue,
            cluster: &cluster,
            runtime: script.as_ref().map_or("", |script| script.name()),
            features: script.as_ref().map_or(Features::OURS, |script| script.features()),
        };
        let resolved = match &spec.workload_ref {
            Some(bound) => binding::resolve(context, self.key, self.actor, &wanted, bound).await.map(Some),
            None => Ok(None),
        };
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err((reason, sentence)) => {
                observed.workload = Verdict::Bad(reason, sentence);
                self.see_workload(observed);
                return Ok(Outcome::Failed(reason.to_owned(), None));
            }
        };
        let mut desired = desired::objects(resolved.as_ref().unwrap_or(self.actor), &wanted);
        let scaling = if spec.scaling.as_ref().is_some_and(|scaling| scaling.enabled) {
            Some(keda::scaling(self.actor, &wanted, &desired.template))
        } else {
            None
        };
        observed.warnings.extend(desired.warnings.iter().cloned());
        let again = self.workload(&mut desired, scaling.is_some(), observed).await;
        let mut waiting = false;
        if observed.workload.is_good() {
            match &scaling {
                Some(scaling) => self.scale(scaling, cluster.keda.installed(), observed).await,
                None => waiting |= self.unscale(observed).await,
            }
        }
        self.see_workload(observed);
        let blind = context.cache.blind(&self.key.0);
        observed.warnings.extend(blind.into_iter().map(|sentence| ("WatchFailing", sentence)));
        self.see_stall(observed);
        Ok(
            match [&observed.workload, &observed.scaler]
                .into_iter()
                .find(|verdict| matches!(verdict, Verdict::Bad(..)))
            {
                Some(bad) => Outcome::Failed(reason(bad), None),
                None if waiting => Outcome::Waiting(ELSEWHERE),
                None if again.is_some() => Outcome::Waiting(again.unwrap_or(ELSEWHERE)),
                None => Outcome::Done(Some(depth_every(transport))),
            },
        )
    }

    /// The transport, the queue, and what is on it.
    async fn transport(&self, observed: &mut Observed<'_>) -> Reached<'_> {
        let (context, spec) = (self.context, &self.actor.spec);
        let settings = &context.settings;
        let Some(transport) = settings.transports.get(&spec.transport).filter(|transport| transport.enabled)
        else {
            let known: Vec<_> =
                settings.transports.values().filter(|t| t.enabled).map(|t| t.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let sentence = format!(
                "transport {:?} is not configured or not enabled; the operator knows {known}",
                spec.transport
            );
            observed.transport = Verdict::Bad("InvalidTransport", sentence);
            observed.queue.clone_from(&self.previous.queue);
            return Reached { ready: None, after: Some(settings.resync) };
        };
        let queue = settings.template.queue(&self.key.0, &self.key.1);
        observed.former = former::left(self.previous, &transport.name, queue.as_str(), observed.now);
        observed.former.retain(|Former { queue: left, .. }| {
            left.name != queue.as_str() || !behind::is_same(settings, &left.transport, transport)
        });
        if let Some(sentence) = super::conflict::rival(context, self.stored) {
            observed.transport = Verdict::Bad("QueueConflict", sentence);
            return Reached { ready: None, after: Some(DEPTH_EVERY) };
        }
        observed.queue = Some(QueueStatus {
            transport: transport.name.clone(),
            name: queue.as_str().to_owned(),
            dead_letter: dead_letter(transport, &queue),
            counted_time: None,
        });
        if let Err(problem) = self.ensure(transport, &queue).await {
            observed.transport = Verdict::Bad(problem.reason(), problem.to_string());
            return Reached { ready: None, after: problem.retry_after() };
        }
        let queued = self.depth(transport, &queue).await;
        observed.depth = queued.depth();
        let sentence = format!("queue {} on transport {}", queue.as_str(), transport.name);
        match queued {
            Queued::There(_) => observed.transport = Verdict::Good("TransportValidated", sentence),
            Queued::Differs { how, .. } => {
                observed.transport = Verdict::Good("TransportValidated", sentence);
                observed.warnings.push(("QueueDiffers", how));
            }
            Queued::Missing => {
                self.context.remember(self.key, |memory| memory.ensured = None);
                observed.transport = Verdict::Bad("QueueMissing", format!("{sentence} does not exist"));
                return Reached { ready: None, after: Some(Duration::ZERO) };
            }
            Queued::Unreachable(why) => {
                observed.transport = Verdict::Bad("BrokerUnreachable", why);
                return Reached { ready: None, after: None };
            }
        }
        if let Some(sentence) = super::projection::problem(context, self.actor) {
            observed.transport = Verdict::Bad(NOT_PROJECTED, sentence);
            return Reached { ready: None, after: Some(DEPTH_EVERY) };
        }
        // First, so that its reason is shown: without credentials nothing else matters.
        let not_projected = not_projected(transport, self.actor);
        observed.warnings.splice(0..0, not_projected);
        Reached { ready: Some((transport, queue)), after: None }
    }

    async fn ensure(&self, transport: &Transport, queue: &Queue) -> Result<(), crate::queues::Problem> {
        let context = self.context;
        let wanted = (transport.name.as_str(), queue.as_str());
        let ensured = context.remember(self.key, |memory| memory.ensured.clone());
        let every = context.settings.queue_check.unwrap_or(Duration::MAX);
        if ensured.is_some_and(|(t, q, at)| (t.as_str(), q.as_str()) == wanted && at.elapsed() < every) {
            return Ok(());
        }
        let whose = Whose { namespace: &self.key.0, actor: &self.key.1 };
        let outcome = context.brokers.ensure(&transport.name, queue, whose).await;
        context.metrics.called(&transport.name, "ensure", outcome.is_ok());
        if outcome.is_ok() {
            let done = (transport.name.clone(), queue.as_str().to_owned(), Instant::now());
            context.remember(self.key, |memory| memory.ensured = Some(done));
        }
        outcome
    }

    async fn depth(&self, transport: &Transport, queue: &Queue) -> Queued {
        let known = self.context.remember(self.key, |memory| memory.queued.clone());
        if let Some((queued, at)) = known
            && queued.depth().is_some()
            && at.elapsed() < DEPTH_FRESH
        {
            return queued;
        }
        let queued = self.context.brokers.look(&transport.name, queue).await;
        let good = !matches!(queued, Queued::Unreachable(_));
        self.context.metrics.called(&transport.name, "depth", good);
        self.context.remember(self.key, |memory| memory.queued = Some((queued.clone(), Instant::now())));
        queued
    }

    /// Applies accounts, services and the workload; when to look again at what waits for its turn.
    async fn workload(
        &self,
        desired: &mut Desired,
        scaled: bool,
        observed: &mut Observed<'_>,
    ) -> Option<Duration> {
        if let Some((reason, sentence)) = desired.refused.first() {
            observed.workload = Verdict::Bad(reason, sentence.clone());
            return None;
        }
        let owner = self.owner();
        let (seen, now) = (observed.previous.observed_generation, observed.now);
        let waits = match rollout::settle(self.context, self.key, self.actor, desired, seen, now).await {
            Ok(waits) => waits,
            Err(refusal) => {
                observed.workload = Verdict::Bad(refusal.reason(), refusal.to_string());
                return None;
            }
        };
        let outcome = async {
            if let Some(account) = &desired.expected {
                self.context.applier.expect(account, owner, UNMADE).await?;
            }
            for object in &desired.before {
                self.context.applier.apply(object, Some(owner)).await?;
            }
            let Some(workload) = &desired.workload else { return Ok(()) };
            if let Some(bound) = &self.actor.spec.workload_ref {
                return binding::apply(self.context, self.key, bound, workload).await;
            }
            let autoscaled = scaled || self.scaler_remains();
            if autoscaled {
                let minimum = self.actor.spec.scaling.as_ref().map_or(0, |scaling| scaling.min_replicas);
                let mut workload = workload.clone();
                if let Some(spec) = workload["spec"].as_object_mut() {
                    spec.remove("replicas");
                }
                let minimum = if self.actor.spec.paused { 0 } else { minimum };
                replicas::scaled(&self.context.applier, &workload, minimum, owner).await
            } else {
                self.context.applier.apply(workload, Some(owner)).await.map(drop)
            }
        }
        .await;
        observed.workload = match outcome {
            Ok(()) => Verdict::Good("WorkloadCreated", String::new()),
            Err(refusal) => {
                self.context.rollouts.release(self.context, self.key, observed.now);
                Verdict::Bad(refusal.reason(), refusal.to_string())
            }
        };
        let again = waits.as_ref().and_then(|waits| waits.again);
        observed.update = waits.map(|waits| waits.sentence);
        again
    }

    /// What the workload is and has.
    fn see_workload(&self, observed: &mut Observed<'_>) {
        let spec = &self.actor.spec;
        let kind = match spec.workload.kind.unwrap_or_default() {
            workload::Kind::Deployment => Kind::Deployment,
            workload::Kind::StatefulSet => Kind::StatefulSet,
            workload::Kind::Job => {
                let alive =
                    observed.pods.iter().filter(|pod| pod.phase != "Succeeded" && pod.phase != "Failed");
                let total = i32::try_from(alive.clone().count()).unwrap_or(i32::MAX);
                let ready = i32::try_from(alive.filter(|pod| pod.ready).count()).unwrap_or(i32::MAX);
                observed.replicas = Some(Replicas { desired: total, total, ready });
                return;
            }
        };
        let (kind, name) = match &spec.workload_ref {
            Some(bound) => (binding::kind(bound), bound.name.clone()),
            None => (kind, self.key.1.clone()),
        };
        let Some(live) = self.context.cache.object(kind, &(self.key.0.clone(), name.clone())) else { return };
        observed.replicas = Some(observe::replicas(&live));
        observed.refused = observe::refused(&live);
        observed.selector = Some(format!("{ACTOR_LABEL}={}", self.key.1));
        observed.workload_ref = Some(WorkloadRef {
            api_version: kind.resource().api_version,
            kind: kind.word().to_owned(),
            name,
            namespace: self.key.0.clone(),
        });
    }

    fn see_stall(&self, observed: &mut Observed<'_>) {
        let Some(depth) = observed.depth else { return };
        let ready = observed.replicas.map_or(0, |replicas| replicas.ready);
        let timeout = self.actor.spec.timeout.clone().unwrap_or_default();
        let processing = SignedDuration::from_secs(i64::try_from(timeout.processing).unwrap_or(i64::MAX));
        let (paused, now) = (observed.paused, observed.now);
        observed.stalled = self.context.remember(self.key, |memory| {
            memory.stall.observe(depth, ready, paused, now);
            memory.stall.sentence(processing, now)
        });
    }

    pub(super) fn owner(&self) -> Owner<'_> {
        Owner { name: &self.actor.name, uid: &self.actor.uid }
    }
}

struct Reached<'a> {
    ready: Option<(&'a Transport, Queue)>,
    after: Option<Duration>,
}

fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Good(reason, _) | Verdict::Bad(reason, _) | Verdict::Unknown(reason, _) => {
            (*reason).to_owned()
        }
    }
}

pub(super) fn depth_every(transport: &Transport) -> Duration {
    match transport.kind {
        settings::Kind::Rabbitmq(_) => DEPTH_EVERY,
        settings::Kind::Sqs(_) => DEPTH_EVERY_SQS,
    }
}

/// The dead-letter queue that belongs to one actor alone.
fn dead_letter(transport: &Transport, queue: &Queue) -> Option<String> {
    match &transport.kind {
        settings::Kind::Rabbitmq(rabbitmq) => {
            rabbitmq.dead_letters.then(|| format!("{}-dlq", queue.as_str()))
        }
        settings::Kind::Sqs(_) => None,
    }
}
