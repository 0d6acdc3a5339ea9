//! What is known of one container, and what of it the API shows.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    Waiting { reason: &'static str, message: String },
    Running { since: Timestamp },
    Ended(End),
}

/// How a run of it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) code: i32,
    pub(crate) since: Timestamp,
    pub(crate) at: Timestamp,
}

/// Everything that others see of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) started: bool,
    pub(crate) ready: bool,
    pub(crate) restarts: i32,
    pub(crate) last: Option<End>,
    /// It will not be started again.
    pub(crate) done: bool,
}

impl State {
    pub(crate) fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        let phase = Phase::Waiting { reason, message: message.into() };
        Self { phase, started: false, ready: false, restarts: 0, last: None, done: false }
    }

    pub(crate) fn running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// Ended for good, and well.
    pub(crate) fn succeeded(&self) -> bool {
        self.done && matches!(&self.phase, Phase::Ended(end) if end.code == 0)
    }

    /// As the API shows it.
    pub(crate) fn status(&self, container: &Container, uid: &str) -> ContainerStatus {
        let id = || format!("process://{uid}/{}/{}", container.name, self.restarts);
        let terminated = |end: &End| ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: end.code,
                reason: Some(if end.code == 0 { "Completed" } else { "Error" }.to_owned()),
                started_at: Some(Time(end.since)),
                finished_at: Some(Time(end.at)),
                container_id: Some(id()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        };
        let state = match &self.phase {
            Phase::Waiting { reason, message } => ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: Some((*reason).to_owned()),
                    message: Some(message.clone()).filter(|message| !message.is_empty()),
                }),
                ..ContainerState::default()
            },
            Phase::Running { since } => ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(Time(*since)) }),
                ..ContainerState::default()
            },
            Phase::Ended(end) => terminated(end),
        };
        ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            container_id: Some(id()).filter(|_| !matches!(self.phase, Phase::Waiting { .. })),
            last_state: self.last.as_ref().map(terminated),
            ready: self.ready,
            started: Some(self.started),
            restart_count: self.restarts,
            state: Some(state),
            ..ContainerStatus::default()
        }
    }
}
