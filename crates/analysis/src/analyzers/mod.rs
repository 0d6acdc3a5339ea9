//! The analyzers, a file each with its table of cases beside it.

use crate::analyzer::Analyzer;

mod cron_job;
mod daemon_set;
mod deployment;
mod horizontal_pod_autoscaler;
mod job;
mod log;
mod node;
mod pod;
mod pod_disruption_budget;
mod replica_set;
mod requests;
mod stateful_set;
mod words;
mod workload;

/// All analyzers there are.
#[must_use]
pub fn all() -> &'static [&'static dyn Analyzer] {
    &[
        &pod::PodAnalyzer,
        &cron_job::CronJobAnalyzer,
        &daemon_set::DaemonSetAnalyzer,
        &deployment::DeploymentAnalyzer,
        &horizontal_pod_autoscaler::HorizontalPodAutoscalerAnalyzer,
        &job::JobAnalyzer,
        &log::LogAnalyzer,
        &node::NodeAnalyzer,
        &pod_disruption_budget::PodDisruptionBudgetAnalyzer,
        &replica_set::ReplicaSetAnalyzer,
        &stateful_set::StatefulSetAnalyzer,
    ]
}

#[cfg(test)]
pub(crate) mod testing;
