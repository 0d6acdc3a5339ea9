//! The API server's side: one controller per kind, and the only talk with the API server.
//!
//! | module | holds |
//! |---|---|
//! | [`watch`], [`cache`], [`live`], [`slim`] | what is known of the cluster, kept up to date |
//! | [`follow`] | one watch of those who act for other kinds |
//! | [`work`] | what is to be looked at, and when |
//! | [`actor`] | one look at one actor |
//! | [`workload`], [`binding`] | its workload, its own or somebody else's, and whose the replicas are |
//! | [`scaling`] | what scales it |
//! | [`rollout`] | when its pods follow a new runtime or sidecar |
//! | [`deletion`] | taking it down, in order |
//! | [`conflict`] | two actors and one queue |
//! | [`behind`] | queues that an actor left behind |
//! | [`observe`], [`report`] | what the status is made from; status and Events |
//! | [`apply`], [`managers`], [`refusal`] | writing objects, only when something would change; whose their fields are; why not |
//! | [`runtime`], [`script`], [`release`] | the runtime's ConfigMaps of a namespace; what is in them; fetching it |
//! | [`projection`] | the transports' credentials in namespaces that are listed |
//! | [`context`] | what all of them share |
//! | [`crds`], [`finalizers`] | what the subcommands do |

pub mod actor;
pub mod apply;
pub mod behind;
pub mod binding;
pub mod cache;
pub mod conflict;
pub mod context;
pub mod crds;
pub mod deletion;
pub mod finalizers;
pub mod follow;
pub mod former;
pub mod live;
pub mod managers;
pub mod observe;
pub mod projection;
pub mod refusal;
pub mod release;
pub mod report;
pub mod rollout;
pub mod runtime;
pub mod scaling;
pub mod script;
pub mod slim;
pub mod watch;
pub mod work;
pub mod workload;

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::{actor::Outcome, context::Context, work::Work};

/// First pause after a failure.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest pause after failures in a row.
const BACKOFF_CAP: Duration = Duration::from_secs(5 * 60);

/// Acts until `stop`, and finishes what is being worked on; `lost` ends that, too, at once.
pub async fn act(context: Arc<Context>, stop: CancellationToken, lost: CancellationToken) {
    context.clear();
    context.queue.clear();
    if let Some(namespace) = &context.settings.runtime.namespace {
        context.queue.now(Work::Runtime(namespace.clone()));
    }
    for namespace in projection::namespaces(&context.settings) {
        context.queue.now(Work::Projection(namespace));
    }
    for key in context.cache.actor_keys() {
        context.queue.now(Work::Runtime(key.0.clone()));
        context.queue.now(Work::Actor(key));
    }
    let mut workers = JoinSet::new();
    for _ in 0..context.settings.concurrency {
        workers.spawn(worker(context.clone(), stop.clone()));
    }
    let fetching = async {
        release::provide(&context).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = fetching => {}
        () = async { while workers.join_next().await.is_some() {} } => {}
        () = lost.cancelled() => workers.shutdown().await,
    }
    context.clear();
}

async fn worker(context: Arc<Context>, stop: CancellationToken) {
    loop {
        let work = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            work = context.queue.next() => work,
        };
        let again = look(&context, &work).await;
        context.queue.done(work, again);
    }
}

/// One look; when the next one is wanted.
async fn look(context: &Context, work: &Work) -> Option<Duration> {
    let started = Instant::now();
    let (controller, outcome) = match work {
        Work::Actor(key) => ("actor", actor::reconcile(context, key).await),
        Work::Runtime(namespace) => ("runtime", runtime::reconcile(context, namespace).await),
        Work::Projection(namespace) => ("projection", projection::reconcile(context, namespace).await),
    };
    let took = started.elapsed();
    match outcome {
        Ok(Outcome::Done(again)) => {
            context.queue.succeeded(work);
            context.metrics.reconciled(controller, "success", took);
            again
        }
        Ok(Outcome::Waiting(again)) => {
            context.queue.succeeded(work);
            context.metrics.reconciled(controller, "waiting", took);
            Some(again)
        }
        Ok(Outcome::Failed(reason, again)) => {
            context.metrics.reconciled(controller, "error", took);
            context.metrics.failed(&reason);
            let failures = context.queue.failed(work);
            debug!(?work, reason, failures, "not as it should be");
            Some(again.map_or_else(|| backoff(failures), |again| again.max(BACKOFF_FIRST)))
        }
        Err(error) => {
            context.metrics.reconciled(controller, "error", took);
            context.metrics.failed("ApiServer");
            let failures = context.queue.failed(work);
            warn!(?work, error = error.to_string(), failures, "a look failed; trying again");
            Some(backoff(failures))
        }
    }
}

/// Doubles from one second to five minutes, with a quarter left to chance.
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_CAP);
    pause.mul_f64(rand::rng().random_range(0.75..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes_and_no_further() {
        assert!((0.75..=1.0).contains(&backoff(1).as_secs_f64()));
        assert!((6.0..=8.0).contains(&backoff(4).as_secs_f64()));
        assert!((225.0..=300.0).contains(&backoff(u32::MAX).as_secs_f64()));
    }
}
