//! The analyzers, a file each with its table of cases beside it.

use crate::analyzer::Analyzer;

mod certificate;
mod condition;
mod config_map;
mod cron_job;
mod daemon_set;
mod deletion;
mod deployment;
mod endpoints;
mod gateway;
mod gateway_api;
mod gateway_class;
mod horizontal_pod_autoscaler;
mod http_route;
mod ingress;
mod job;
mod json;
mod listing;
mod log;
mod network_policy;
mod node;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod pod_maker;
mod policy_report;
mod replica_set;
mod requests;
mod scaled_object;
mod security_account;
mod security_binding;
mod security_pod;
mod served;
mod service;
mod stateful_set;
mod storage_claim;
mod storage_class;
mod storage_volume;
mod webhook;
mod words;
mod workload;

/// All analyzers there are.
#[must_use]
pub fn all() -> &'static [&'static dyn Analyzer] {
    &[
        &config_map::ConfigMapAnalyzer,
        &deletion::ClaimDeletion,
        &deletion::NamespaceDeletion,
        &deletion::VolumeDeletion,
        &gateway::GatewayAnalyzer,
        &gateway_class::GatewayClassAnalyzer,
        &http_route::HttpRouteAnalyzer,
        &ingress::IngressAnalyzer,
        &network_policy::NetworkPolicyAnalyzer,
        &persistent_volume_claim::ClaimAnalyzer,
        &pod::PodAnalyzer,
        &policy_report::ClusterPolicyReportAnalyzer,
        &policy_report::PolicyReportAnalyzer,
        &scaled_object::ScaledObjectAnalyzer,
        &security_account::SecurityAccountAnalyzer,
        &security_binding::SecurityClusterRoleBinding,
        &security_binding::SecurityRoleBinding,
        &security_pod::SecurityPodAnalyzer,
        &service::ServiceAnalyzer,
        &storage_claim::StorageClaimAnalyzer,
        &storage_class::StorageClassAnalyzer,
        &storage_volume::StorageVolumeAnalyzer,
        &webhook::MutatingWebhookAnalyzer,
        &webhook::ValidatingWebhookAnalyzer,
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
