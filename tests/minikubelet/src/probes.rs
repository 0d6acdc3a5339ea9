//! The three probes of one running container.

use std::time::Duration;

use futures::future;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::info;

use crate::action::Action;
use crate::container::Surroundings;
use crate::state::State;

/// Watches the container until it must be restarted, and returns why. Keeps `started` and `ready` of its state.
/// Cancel safe: nothing is left behind.
pub(crate) async fn watch(
    container: &Container,
    around: &Surroundings,
    state: &watch::Sender<State>,
) -> String {
    if let Some(probe) = &container.startup_probe
        && let Err(said) = Probing::new(probe, container, around).until_success().await
    {
        return format!("Container {} failed startup probe, will be restarted: {said}", container.name);
    }
    state.send_modify(|state| {
        state.started = true;
        state.ready = container.readiness_probe.is_none();
    });
    let readiness = async {
        if let Some(probe) = &container.readiness_probe {
            let mut probing = Probing::new(probe, container, around);
            loop {
                let now = state.borrow().ready;
                let ready = probing.turn(now).await;
                state.send_if_modified(|state| std::mem::replace(&mut state.ready, ready) != ready);
            }
        }
        future::pending::<String>().await
    };
    let liveness = async {
        match &container.liveness_probe {
            Some(probe) => Probing::new(probe, container, around).until_failure().await,
            None => future::pending().await,
        }
    };
    let said = tokio::select! {
        said = liveness => said,
        said = readiness => said,
    };
    format!("Container {} failed liveness probe, will be restarted: {said}", container.name)
}

/// One probe with Kubernetes' defaults, and how often it gave the same answer.
struct Probing<'a> {
    action: Option<Action>,
    around: &'a Surroundings,
    name: &'a str,
    delay: Option<Duration>,
    period: Duration,
    limit: Duration,
    failures_wanted: i32,
    successes_wanted: i32,
    failures: i32,
    successes: i32,
    said: String,
}

impl<'a> Probing<'a> {
    fn new(probe: &Probe, container: &'a Container, around: &'a Surroundings) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.map_or(default, |v| v.max(0).cast_unsigned().into()))
        };
        Self {
            action: Action::of_probe(probe, container, around),
            around,
            name: &container.name,
            delay: Some(seconds(probe.initial_delay_seconds, 0)),
            period: seconds(probe.period_seconds, 10),
            limit: seconds(probe.timeout_seconds, 1),
            failures_wanted: probe.failure_threshold.unwrap_or(3),
            successes_wanted: probe.success_threshold.unwrap_or(1),
            failures: 0,
            successes: 0,
            said: String::new(),
        }
    }

    /// Waits a period (the first time the delay) and asks once.
    async fn ask(&mut self) {
        sleep(self.delay.take().unwrap_or(self.period)).await;
        let result = match &self.action {
            Some(action) => action.run(self.around, self.limit).await,
            None => Ok(()),
        };
        match result {
            Ok(()) => (self.successes, self.failures) = (self.successes + 1, 0),
            Err(said) => {
                info!(container = self.name, said, "probe failed");
                (self.successes, self.failures) = (0, self.failures + 1);
                self.said = said;
            }
        }
    }

    async fn until_success(&mut self) -> Result<(), String> {
        loop {
            self.ask().await;
            if self.successes >= self.successes_wanted {
                return Ok(());
            }
            if self.failures >= self.failures_wanted {
                return Err(std::mem::take(&mut self.said));
            }
        }
    }

    async fn until_failure(&mut self) -> String {
        loop {
            self.ask().await;
            if self.failures >= self.failures_wanted {
                return std::mem::take(&mut self.said);
            }
        }
    }

    /// The answer after one more question: it changes only when its threshold is reached.
    async fn turn(&mut self, now: bool) -> bool {
        self.ask().await;
        if now { self.failures < self.failures_wanted } else { self.successes >= self.successes_wanted }
    }
}
