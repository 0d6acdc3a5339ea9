//! The analyzers, a file each with its table of cases beside it.

use crate::analyzer::Analyzer;

mod cron_job;
mod daemon_set;
mod deployment;
mod job;
mod pod;
mod replica_set;
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
        &job::JobAnalyzer,
        &replica_set::ReplicaSetAnalyzer,
        &stateful_set::StatefulSetAnalyzer,
    ]
}

#[cfg(test)]
pub(crate) mod testing;
