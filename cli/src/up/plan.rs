//! From manifests to what is to run.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use asya_crew::{
    Kind,
    shipped::{Names, State, Variables, Work},
};
use asya_envelope::ActorName;
use asya_resources::{AsyncActorSpec, KIND, Timeout};
use asya_sidecar::{EngineConfig, RetryPolicy};
use serde_json::Value;

use super::{
    agents::Agents,
    environment,
    host::Reachable,
    runtime::{Runtime, interpreter},
    scaler::Scale,
    sidecar::{self, Told},
    unheard,
};
use crate::{
    broker::Broker,
    exit::misconfigured,
    manifest::{Loaded, Manifest},
};

/// What runs behind an actor's queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Runs {
    Python(Python),
    HappyEnd,
    ErrorEnd,
    /// Another shipped actor, in this process.
    Shipped(Work),
}

/// How a Python runtime is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) executable: PathBuf,
    pub(crate) runtime: Runtime,
    /// The manifest's directory, absolute.
    pub(crate) directory: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
}

/// One actor that is to run.
#[derive(Clone, Debug)]
pub(crate) struct ActorPlan {
    pub(crate) runs: Runs,
    pub(crate) scale: Scale,
    pub(crate) engine: EngineConfig,
    /// What its engine was told beyond the fields of the manifest.
    pub(crate) told: Told,
}

impl ActorPlan {
    pub(crate) fn name(&self) -> &str {
        self.engine.actor.as_str()
    }

    /// Names that a shipped actor has to know.
    pub(crate) fn names(&self) -> Names {
        let engine = &self.engine;
        Names {
            actor: engine.actor.to_string(),
            naming: engine.naming.clone(),
            happy_end: engine.happy_end.clone(),
            error_end: engine.error_end.clone(),
        }
    }

    /// True when nothing needs to be started anew to come from `other` to this.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.runs == other.runs
            && self.scale == other.scale
            && self.told == other.told
            && self.engine.timeout == other.engine.timeout
            && self.engine.grace == other.engine.grace
            && self.engine.retry == other.engine.retry
            && self.engine.allowed_routes == other.engine.allowed_routes
    }
}

/// What actors find where they run.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) broker: &'a Broker,
    /// The gateway of this process, if there is one.
    pub(crate) gateway: Option<&'a Reachable>,
    /// Where it was to listen, unless none was to be there.
    pub(crate) wanted: Option<&'a str>,
    /// Most replicas of one actor.
    pub(crate) cap: u32,
}

/// Everything that is to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) actors: Vec<ActorPlan>,
    /// What the gateway is told of each agent.
    pub(crate) agents: BTreeMap<String, Value>,
    /// What somebody should know.
    pub(crate) notes: Vec<String>,
}

impl Plan {
    /// Plans the actors, what agents need, and the end actors; every problem is reported at once.
    pub(crate) fn of(loaded: &Loaded, place: Place<'_>) -> anyhow::Result<Self> {
        loaded.usable()?;
        let runtime = if loaded.actors.iter().any(is_python) { Some(Runtime::find()?) } else { None };
        let (mut actors, mut problems) = (Vec::new(), Vec::new());
        let mut agents = Agents::of(loaded).unwrap_or_else(|more| {
            problems.extend(more);
            Agents::default()
        });
        if place.gateway.is_none() && !agents.entries.is_empty() {
            problems.push(
                "agents need the gateway, which keeps conversations: name a free address by --gateway"
                    .to_owned(),
            );
        }
        for manifest in loaded.actors.iter().chain(&agents.actors) {
            match actor(manifest, place, runtime.as_ref()) {
                Ok(plan) => actors.push(plan),
                Err(more) => problems.extend(more),
            }
        }
        if let (None, Some(address)) = (place.gateway, place.wanted) {
            problems.extend(guarded(&actors).map(|name| no_room(name, address)));
        }
        if !problems.is_empty() {
            return Err(misconfigured(problems.join("\n")));
        }
        // Nobody wrote these down: what one needs that is not there keeps nothing else from running.
        for manifest in &agents.tools {
            match actor(manifest, place, None) {
                Ok(plan) => actors.push(plan),
                Err(why) => agents.notes.push(format!(
                    "the tool {} is not started, and calls of it fail; an {KIND} of that name says what it needs: {}",
                    manifest.name(),
                    why.join("; ")
                )),
            }
        }
        for (name, runs) in [("happy-end", Runs::HappyEnd), ("error-end", Runs::ErrorEnd)] {
            if !actors.iter().any(|plan| plan.name() == name) {
                let name = ActorName::parse(name).expect("the names of the end actors are valid");
                let (scale, engine) = (Scale::fixed(1), engine(name, place.broker));
                actors.push(ActorPlan { runs, scale, engine, told: Told::default() });
            }
        }
        let mut notes: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
        notes.extend(agents.notes);
        notes.extend(loaded.actors.iter().filter_map(unheard::of));
        if place.gateway.is_none() {
            notes.extend(guarded(&actors).map(|name| {
                format!(
                    "warning: actor {name} handles only what was approved, and without a gateway nobody can be asked: what an \
                     envelope says of it counts"
                )
            }));
        }
        Ok(Self { actors, agents: agents.entries, notes })
    }

    /// Names of the fan-in actors.
    pub(crate) fn fan_ins(&self) -> HashSet<String> {
        let fan_ins = self.actors.iter().filter(|plan| matches!(plan.runs, Runs::Shipped(Work::FanIn(_))));
        fan_ins.map(|plan| plan.name().to_owned()).collect()
    }
}

/// Names of the actors that handle only what was approved.
fn guarded(actors: &[ActorPlan]) -> impl Iterator<Item = &str> {
    actors.iter().filter(|plan| plan.engine.approved_only).map(ActorPlan::name)
}

/// Why such an actor does not run where a gateway was to be there, and could not.
fn no_room(name: &str, address: &str) -> String {
    format!(
        "actor {name} handles only what was approved, and asks the gateway, for which {address} is not free: name a free address \
         by --gateway, or have what an envelope says of it count by --gateway off"
    )
}

/// The shipped actor that the manifest names, to be run in this process.
fn shipped(manifest: &Manifest) -> Option<Kind> {
    manifest.actor.handler().as_deref().and_then(Kind::of_handler)
}

fn is_python(manifest: &Manifest) -> bool {
    shipped(manifest).is_none()
}

fn actor(manifest: &Manifest, place: Place<'_>, runtime: Option<&Runtime>) -> Result<ActorPlan, Vec<String>> {
    let spec = &manifest.actor.spec;
    let name = ActorName::parse(manifest.name()).map_err(|error| vec![error.to_string()])?;
    let mut engine = engine(name, place.broker);
    engine.timeout = processing(spec);
    if let Some(timeout) = &spec.timeout {
        engine.grace = Duration::from_secs(timeout.graceful_shutdown);
    }
    if let Some(routes) = &spec.routes {
        engine.allowed_routes.clone_from(&routes.allow);
    }
    engine.retry = retry(spec);
    let told = Told::of(manifest)?;
    told.tell(manifest, &mut engine)?;
    if let Some(kind) = shipped(manifest) {
        // An end actor under another name is one all the same.
        let name = || manifest.name().to_owned();
        let runs = match (kind, work(kind, manifest, place.gateway)?) {
            (_, Some(work)) => Runs::Shipped(work),
            (Kind::ErrorEnd, None) => {
                engine.error_end = name();
                Runs::ErrorEnd
            }
            (_, None) => {
                engine.happy_end = name();
                Runs::HappyEnd
            }
        };
        let scale = Scale::fixed(u32::from(!spec.paused));
        let plan = ActorPlan { runs, scale, engine, told };
        return startable(&plan, place.broker).map(|()| plan);
    }
    let python = python(manifest, runtime)?;
    Ok(ActorPlan { runs: Runs::Python(python), scale: Scale::of(spec, place.cap), engine, told })
}

/// What a shipped actor is told by its manifest, and where this process has a gateway; `None` for an end actor. Files are
/// meant from the manifest's directory.
fn work(kind: Kind, manifest: &Manifest, gateway: Option<&Reachable>) -> Result<Option<Work>, Vec<String>> {
    let (directory, environment) = surroundings(manifest)?;
    let gateway = gateway.filter(|_| !environment.contains_key("ASYA_GATEWAY_URL"));
    let find = |name: &str| environment.get(name).cloned().or_else(|| gateway?.variable(name));
    let variables = Variables { find: &find, base: &directory };
    let named = |error: String| format!("actor {}: {error}", manifest.name());
    Work::read(kind, &variables).map_err(|errors| errors.into_iter().map(named).collect())
}

/// Whether a shipped actor starts here: said now, and not by an actor that does not come up.
fn startable(plan: &ActorPlan, broker: &Broker) -> Result<(), Vec<String>> {
    let Runs::Shipped(work) = &plan.runs else { return Ok(()) };
    let name = plan.name();
    if broker.local.is_none()
        && let Some(why) = work.keeps()
    {
        return Err(vec![format!(
            "actor {name}: works on the queue file only, not with --transport: {why}; start the program asya-crew with \
             ASYA_DATABASE_URL instead"
        )]);
    }
    let started = work.clone().start(state(broker), plan.names());
    started.map(drop).map_err(|error| vec![format!("actor {name}: {error}")])
}

/// Where shipped actors keep what they keep.
pub(crate) fn state(broker: &Broker) -> State {
    broker.local.as_ref().map_or(State::None, |local| State::WithQueue(local.store()))
}

fn python(manifest: &Manifest, runtime: Option<&Runtime>) -> Result<Python, Vec<String>> {
    let name = manifest.name();
    if let Some(workload) = &manifest.actor.spec.workload_ref {
        let (kind, bound, file) = (&workload.kind, &workload.name, manifest.file.display());
        return Err(vec![format!(
            "actor {name}: the {kind} {bound:?} of spec.workloadRef is a cluster's, and does not run here: leave {file} out"
        )]);
    }
    if manifest.actor.handler().is_none_or(|handler| handler.is_empty()) {
        let file = manifest.file.display();
        return Err(vec![format!("actor {name}: no handler: set ASYA_HANDLER or spec.handler in {file}")]);
    }
    let (directory, environment) = surroundings(manifest)?;
    Ok(Python {
        executable: interpreter(manifest.actor.spec.workload.python_executable.as_deref()),
        runtime: runtime.cloned().expect("a runtime was found because this actor needs one"),
        directory,
        environment,
    })
}

/// The manifest's directory, absolute, and the environment that the actor's handler has.
fn surroundings(manifest: &Manifest) -> Result<(PathBuf, BTreeMap<String, String>), Vec<String>> {
    let mut variables = manifest.actor.runtime_env();
    variables.extend(sidecar::embedded(manifest).cloned());
    Ok((environment::directory(manifest)?, environment::of(manifest, &variables)?))
}

fn engine(name: ActorName, broker: &Broker) -> EngineConfig {
    let mut engine = EngineConfig::new(name);
    engine.naming = broker.naming.clone();
    engine.transport_name = broker.name;
    engine.payloads.clone_from(&broker.payloads);
    if let Some(limit) = broker.transport.max_message() {
        engine.limits.max_envelope = engine.limits.max_envelope.min(limit);
    }
    engine
}

fn processing(spec: &AsyncActorSpec) -> Duration {
    Duration::from_secs(
        spec.timeout.as_ref().map_or_else(|| Timeout::default().processing, |timeout| timeout.processing),
    )
}

fn retry(spec: &AsyncActorSpec) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    let Some(retry) = &spec.retry else { return policy };
    policy.attempts = retry.attempts.unwrap_or(policy.attempts);
    policy.initial = retry.initial_delay.map_or(policy.initial, |delay| delay.0);
    policy.max = retry.max_delay.map_or(policy.max, |delay| delay.0);
    policy.multiplier = retry.multiplier.unwrap_or(policy.multiplier);
    policy.jitter = retry.jitter.unwrap_or(policy.jitter);
    policy.non_retryable.clone_from(&retry.non_retryable);
    policy
}
