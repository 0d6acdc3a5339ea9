//! One actor's engine: takes deliveries while there is credit, gives each a task, and drains in order.

use std::{
    num::{NonZeroU16, NonZeroU32},
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use asya_envelope::Queue;
use asya_handler::{Budget, Capacity, Handler, Readiness};
use asya_payload::{Claims, Event};
use asya_telemetry::ActorMetrics;
use asya_transport::{Consumer, Delivery, Health, Transport, TransportError};
use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    EngineConfig, Observers, Stats,
    credit::Credit,
    permits::{Permit, Permits},
    runs::Runs,
    shared::Shared,
};

/// How long giving back and confirming may take once running work was given up.
const FLUSH: Duration = Duration::from_secs(2);
/// How long the handler may take to close once nothing is in hand: a runtime that hangs must not hold the stop up. With
/// the default grace and [`FLUSH`] it stays below the 30 s that Kubernetes gives.
const CLOSE: Duration = Duration::from_secs(2);
/// Longest pause between attempts to consume.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Moves one actor's envelopes from its queue through its handler to their next queues.
pub struct Engine {
    shared: Arc<Shared>,
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped.
    Stopped,
    /// Its job is done.
    JobDone {
        /// The process behind the handler was asked to end as well; false where there is none.
        handler_ends: bool,
    },
}

/// Why an engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The transport cannot be used before a person changes something.
    #[error("consuming queue {queue:?}: {source}")]
    Consume {
        /// The actor's queue.
        queue: Queue,
        /// What the transport says.
        source: TransportError,
    },
}

impl Engine {
    /// An engine that has not begun yet.
    pub fn new(
        config: EngineConfig,
        transport: Arc<dyn Transport>,
        handler: Arc<dyn Handler>,
        observers: Observers,
    ) -> Self {
        let mut config = config;
        if let Some(most) = transport.max_message() {
            config.limits.max_envelope = config.limits.max_envelope.min(most);
        }
        // Beside a payload that travels there is room for headers that grow on the way.
        config.payloads = config.payloads.map(|claims| claims.at_most(config.limits.publishable() / 2));
        let metrics = observers
            .metrics
            .as_ref()
            .map(|metrics| metrics.actor(config.actor.as_str(), config.transport_name));
        if let Some(metrics) = &metrics {
            config.payloads = config.payloads.map(|claims| counted(claims, metrics));
        }
        let learnt = Credit::new(config.memory_budget, config.max_look_ahead);
        let capacity = *handler.capacity().borrow();
        let memory = config.memory_budget;
        let shared = Shared {
            credit: Permits::new(learnt.of(capacity)),
            slots: Permits::new(capacity.total().max(1)),
            config: Arc::new(config),
            transport,
            handler,
            observers,
            stats: Arc::default(),
            metrics,
            runs: Runs::default(),
            handling: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            redeeming: Budget::new(memory / 2),
            learnt: Mutex::new(learnt),
            draining: CancellationToken::new(),
            abort: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What work beside this engine works with.
    pub fn means(&self) -> Means {
        Means {
            transport: Arc::clone(&self.shared.transport),
            metrics: self.shared.metrics.clone(),
            payloads: self.shared.config.payloads.clone(),
        }
    }

    /// The engine's counters, to be read at any time.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats)
    }

    /// Works until `stop` or the end of its job, then drains: stops reading, lets running work finish within the grace
    /// period, gives the rest back to the queue, closes the handler, and returns. Work of a job that is not stopped
    /// may take as long as it needs.
    ///
    /// # Errors
    /// [`EngineError`] when the transport cannot be mended; a broker that is away is waited for.
    pub async fn run(self, stop: CancellationToken) -> Result<Ended, EngineError> {
        let Self { shared } = self;
        let mut tasks = JoinSet::new();
        let read = read(&shared, &mut tasks, &stop).await;
        if let Ok(Read::JobDone) = read {
            tracing::info!(running = tasks.len(), "the job takes no more messages");
            tokio::select! { () = stop.cancelled() => {} () = finish(&mut tasks) => {} }
        }
        drain(&shared, &mut tasks).await;
        let ended = match read {
            Ok(Read::JobDone) => {
                let told = timeout(CLOSE, shared.handler.shutdown()).await;
                if told.is_err() {
                    tracing::warn!("the runtime cannot be told that the job is done");
                }
                Ok(Ended::JobDone { handler_ends: told.unwrap_or(true) })
            }
            Ok(Read::Stopped) => Ok(Ended::Stopped),
            Err(error) => Err(error),
        };
        if timeout(CLOSE, shared.handler.close()).await.is_err() {
            tracing::warn!("the runtime still works on what was given up; leaving it");
        }
        ended
    }
}

/// What work beside an engine works with: the same as the engine.
#[derive(Clone)]
pub struct Means {
    /// Where it sends.
    pub transport: Arc<dyn Transport>,
    /// Where it counts; none where nobody looks.
    pub metrics: Option<ActorMetrics>,
    /// Where large payloads are kept; with a threshold that suits the transport.
    pub payloads: Option<Claims>,
}

/// These claims, counted.
fn counted(claims: Claims, metrics: &ActorMetrics) -> Claims {
    let counts = metrics.payloads().clone();
    claims.watched(move |event| match event {
        Event::CheckedIn(bytes) => counts.checked_in(bytes),
        Event::Fetched(bytes) => counts.fetched(bytes),
        Event::NotCheckedIn(reason) => counts.not_checked_in(reason),
        Event::NotFetched(reason) => counts.not_fetched(reason),
    })
}

/// Why reading ended.
enum Read {
    Stopped,
    JobDone,
}

/// Reads deliveries and gives each a task, until `stop` or the end of the job. The consumer is gone when this returns: nothing more is read.
async fn read(
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<Read, EngineError> {
    let mut gate = Gate::new(shared);
    let mut pauses = pauses().build();
    'consume: loop {
        let consumer = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Read::Stopped),
            consumer = begin(shared, &mut gate) => consumer,
        };
        let error = match consumer {
            Err(error) => error,
            Ok(mut consumer) => loop {
                while let Some(ended) = tasks.try_join_next() {
                    report_panic(ended);
                }
                gate.in_hand = tasks.len();
                let next = tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(Read::Stopped),
                    next = gate.next(shared, &mut *consumer) => next,
                };
                match next {
                    Ok(Some((delivery, permit))) => {
                        pauses = self::pauses().build();
                        // The span of whoever hosts this engine, so that lines of several engines can be told apart.
                        let work = Arc::clone(shared).work(delivery, permit).in_current_span();
                        if gate.was_last() {
                            // Before the work: what is settled makes room for what is not to be taken.
                            drop(consumer);
                            tasks.spawn(work);
                            return Ok(Read::JobDone);
                        }
                        tasks.spawn(work);
                    }
                    Ok(None) => return Ok(Read::JobDone),
                    Err(error) => break error,
                }
            },
        };
        let queue = shared.config.naming.queue(shared.config.actor.as_str());
        if matches!(error, TransportError::Misconfigured(_)) {
            return Err(EngineError::Consume { queue, source: error });
        }
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        tracing::warn!(%queue, %error, ?pause, "cannot consume, trying again");
        tokio::select! {
            () = stop.cancelled() => return Ok(Read::Stopped),
            () = sleep(pause) => continue 'consume,
        }
    }
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
}

async fn begin(shared: &Shared, gate: &mut Gate) -> Result<Box<dyn Consumer>, TransportError> {
    gate.ready().await;
    let queue = shared.config.naming.queue(shared.config.actor.as_str());
    let credit = gate.follow(shared);
    gate.credit = Some(credit);
    shared.transport.consume(&queue, credit).await
}

/// Decides when the next delivery may be taken.
struct Gate {
    capacity: watch::Receiver<Capacity>,
    readiness: watch::Receiver<Readiness>,
    health: watch::Receiver<Health>,
    credit: Option<NonZeroU16>,
    /// Deliveries that have a task.
    in_hand: usize,
    /// Deliveries that the job may still take, and how long it waits for one.
    job: Option<(u32, Duration)>,
}

impl Gate {
    fn new(shared: &Shared) -> Self {
        Self {
            capacity: shared.handler.capacity(),
            readiness: shared.handler.readiness(),
            health: shared.transport.health(),
            credit: None,
            in_hand: 0,
            job: shared.config.job.map(|job| (NonZeroU32::get(job.messages), job.idle)),
        }
    }

    /// Counts a delivery of the job; true for the last one.
    fn was_last(&mut self) -> bool {
        let Some((left, _)) = &mut self.job else { return false };
        *left -= 1;
        *left == 0
    }

    /// Waits until the handler takes requests and the transport takes publishes.
    async fn ready(&mut self) {
        // A sender that is gone changes nothing any more: then the last word counts as a yes.
        drop(self.readiness.wait_for(|readiness| *readiness == Readiness::Ready).await);
        drop(self.health.wait_for(|health| !matches!(health, Health::Blocked(_))).await);
    }

    /// The permits follow what the handler can do and what was learnt; returns the credit.
    fn follow(&mut self, shared: &Shared) -> NonZeroU16 {
        let capacity = *self.capacity.borrow_and_update();
        let learnt = shared.learnt.lock().expect("no code panics while it learns").of(capacity);
        // A job holds nothing that it will not handle.
        let credit = self.job.map_or(learnt, |(left, _)| {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            learnt.min(self.in_hand.saturating_add(left))
        });
        if shared.slots.size() != capacity.total().max(1) {
            shared.slots.resize(capacity.total().max(1));
        }
        if shared.credit.size() != credit {
            shared.credit.resize(credit);
        }
        shared.metrics.as_ref().inspect(|metrics| metrics.credit(credit));
        let credit = u16::try_from(credit).ok().and_then(NonZeroU16::new);
        credit.expect("the credit is between 1 and u16::MAX")
    }

    /// The next delivery with its permit; `None` when a job has waited long enough. Cancel safe.
    async fn next(
        &mut self,
        shared: &Shared,
        consumer: &mut dyn Consumer,
    ) -> Result<Option<(Delivery, Permit)>, TransportError> {
        loop {
            self.ready().await;
            let credit = self.follow(shared);
            if self.credit != Some(credit) {
                consumer.set_credit(credit);
                self.credit = Some(credit);
            }
            let permit = tokio::select! {
                permit = shared.credit.take() => permit,
                Ok(()) = self.capacity.changed() => continue,
            };
            let waiting = Instant::now();
            let delivery = tokio::select! {
                biased;
                delivery = consumer.next() => delivery?,
                Ok(()) = self.capacity.changed() => continue,
                Ok(()) = self.readiness.changed() => continue,
                Ok(()) = self.health.changed() => continue,
                () = idle(self.job.map(|(_, limit)| limit)) => return Ok(None),
            };
            let bytes = delivery.body.len();
            shared.learn(|learnt| learnt.saw(bytes));
            shared.stats.count_received();
            shared.metrics.as_ref().inspect(|metrics| metrics.received(bytes, waiting.elapsed()));
            return Ok(Some((delivery, permit)));
        }
    }
}

/// The end of a job's patience; never, if it has no limit.
async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Lets running work finish within the grace period, gives the rest back, and waits until all of it is confirmed.
async fn drain(shared: &Shared, tasks: &mut JoinSet<()>) {
    shared.draining.cancel();
    if timeout(shared.config.grace, finish(tasks)).await.is_ok() {
        return;
    }
    tracing::warn!(running = tasks.len(), "grace period is over, giving back what still runs");
    shared.abort.cancel();
    if timeout(FLUSH, finish(tasks)).await.is_err() {
        // Dropped deliveries go back to their queue too, only without a confirmation.
        tracing::warn!(running = tasks.len(), "not everything could be given back in time");
        tasks.shutdown().await;
    }
}

async fn finish(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        report_panic(ended);
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a delivery's task failed; the message goes back to its queue");
    }
}
