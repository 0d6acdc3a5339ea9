//! One replica: an engine, and the handler behind it.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use asya_crew::{ErrorEnd, Failures, HappyEnd, Recorder};
use asya_handler::{
    Budget, Handler, Readiness,
    socket::{SocketConfig, SocketHandler},
};
use asya_sidecar::{Engine, Stats, wiring::Beside};
use asya_transport::Transport;
use tokio::{sync::watch, task::JoinHandle, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    guard::Guard,
    host::Reporter,
    logs::Logs,
    plan::{self, ActorPlan, Plan, Runs},
    process::{Process, Vitals},
};
use crate::broker::Broker;

/// When an engine that ended by itself is started again: a person has to change something first.
const ENGINE_PAUSE: Duration = Duration::from_secs(5);

/// What replicas share.
pub(crate) struct Ground {
    pub(crate) broker: Broker,
    pub(crate) recorder: Recorder,
    pub(crate) logs: Logs,
    pub(crate) guard: Arc<Guard>,
    /// Short, because paths of sockets are limited to about 100 bytes.
    pub(crate) sockets: PathBuf,
    /// Ends everything at once.
    pub(crate) kill: CancellationToken,
    /// The gateway, if there is one.
    pub(crate) reporter: Reporter,
}

/// A running replica.
pub(crate) struct Replica {
    pub(crate) stats: Arc<Stats>,
    pub(crate) vitals: Arc<Vitals>,
    readiness: watch::Receiver<Readiness>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Replica {
    /// Starts one; `number` is never used twice.
    pub(crate) fn start(ground: &Arc<Ground>, plan: &ActorPlan, all: &Plan, number: u64) -> Self {
        let actor: Arc<str> = plan.name().into();
        let stop = CancellationToken::new();
        let vitals = Arc::new(Vitals::default());
        let mut beside = None;
        let (handler, process): (Arc<dyn Handler>, _) = match &plan.runs {
            Runs::HappyEnd => (Arc::new(HappyEnd::new(ground.recorder.clone(), all.fan_ins())), None),
            Runs::ErrorEnd => {
                let failures = Failures { letters: ground.reporter.letters(), ..Failures::default() };
                (Arc::new(ErrorEnd::with(ground.recorder.clone(), all.fan_ins(), failures)), None)
            }
            Runs::Shipped(work) => match work.clone().start(plan::state(&ground.broker), plan.names()) {
                Ok((handler, work)) => {
                    beside = work;
                    (handler, None)
                }
                Err(reason) => return Self::failed(ground, stop, vitals, &actor, reason),
            },
            Runs::Python(python) => {
                let directory = ground.sockets.join(number.to_string());
                let handler = SocketHandler::new(SocketConfig {
                    max_reply: plan.engine.limits.max_reply,
                    budget: Some(Budget::new(plan.engine.memory_budget / 2)),
                    ..SocketConfig::new(&directory, &*actor)
                });
                let process = Process {
                    actor: actor.clone(),
                    python: python.clone(),
                    directory,
                    logs: ground.logs.clone(),
                    guard: ground.guard.clone(),
                    vitals: vitals.clone(),
                    kill: ground.kill.clone(),
                };
                (handler, Some(process))
            }
        };
        let readiness = handler.readiness();
        let transport: Arc<dyn Transport> = ground.broker.transport.clone();
        let engine = Engine::new(plan.engine.clone(), transport, handler, ground.reporter.observers());
        let stats = engine.stats();
        let task = tokio::spawn(run(engine, process, beside, stop.clone(), ground.clone(), actor));
        Self { stats, vitals, readiness, stop, task }
    }

    /// One that ends by itself after a while, so that another is started: what it needs was there when it was planned.
    fn failed(
        ground: &Ground,
        stop: CancellationToken,
        vitals: Arc<Vitals>,
        actor: &Arc<str>,
        reason: String,
    ) -> Self {
        ground.logs.error(Some(actor), reason.clone());
        let (readiness, waits) = (watch::Sender::new(Readiness::NotReady(reason)), stop.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                () = waits.cancelled() => {}
                () = tokio::time::sleep(ENGINE_PAUSE) => {}
            }
        });
        Self { stats: Arc::default(), vitals, readiness: readiness.subscribe(), stop, task }
    }

    /// Begins the drain.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended, drained if it was stopped.
    pub(crate) async fn ended(self) -> Arc<Stats> {
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            tracing::error!(%error, "a replica panicked");
        }
        self.stats
    }

    /// True when it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// True when its handler can work.
    pub(crate) fn is_ready(&self) -> bool {
        *self.readiness.borrow() == Readiness::Ready
    }

    /// Why it does not come up, once it has died more than once.
    pub(crate) fn failing(&self) -> Option<String> {
        if self.is_ready() || self.vitals.deaths.load(Relaxed) < 2 {
            return None;
        }
        self.vitals.reason.lock().expect("no panic while a reason is stored").clone()
    }
}

async fn run(
    engine: Engine,
    process: Option<Process>,
    beside: Option<Beside>,
    stop: CancellationToken,
    ground: Arc<Ground>,
    actor: Arc<str>,
) {
    let end_process = CancellationToken::new();
    let process = process.map(|process| tokio::spawn(process.keep(end_process.clone())));
    let beside = beside.map(|beside| tokio::spawn(beside(engine.means())));
    // Of the highest level, so that it is there whatever level of lines is shown.
    let span = tracing::error_span!("actor", name = %actor);
    let result = tokio::select! {
        result = engine.run(stop.clone()).instrument(span) => result.map(drop),
        // The lease of what is in hand ends by itself, and the messages are delivered again.
        () = ground.kill.cancelled() => Ok(()),
    };
    if let Some(beside) = beside {
        beside.abort();
    }
    end_process.cancel();
    if let Some(process) = process {
        // The task does not panic, and is not aborted.
        let _ = process.await;
    }
    if let Err(error) = result {
        ground.logs.error(Some(&actor), format!("{error:#}"));
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ENGINE_PAUSE) => {}
        }
    }
}
