//! The analyzers, a file each with its table of cases beside it.

use crate::analyzer::Analyzer;

mod certificate;
mod condition;
pub(crate) mod config_map;
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
mod olm;
mod olm_catalog;
mod olm_extension;
mod olm_operator;
mod olm_subscription;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod pod_maker;
mod policy_report;
mod prometheus;
mod prometheus_check;
mod prometheus_config;
mod prometheus_duration;
mod prometheus_relabel;
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
        &cron_job::CronJobAnalyzer,
        &daemon_set::DaemonSetAnalyzer,
        &deletion::ClaimDeletion,
        &deletion::NamespaceDeletion,
        &deletion::VolumeDeletion,
        &deployment::DeploymentAnalyzer,
        &gateway::GatewayAnalyzer,
        &gateway_class::GatewayClassAnalyzer,
        &horizontal_pod_autoscaler::HorizontalPodAutoscalerAnalyzer,
        &http_route::HttpRouteAnalyzer,
        &ingress::IngressAnalyzer,
        &job::JobAnalyzer,
        &log::LogAnalyzer,
        &network_policy::NetworkPolicyAnalyzer,
        &node::NodeAnalyzer,
        &olm_catalog::CatalogSourceAnalyzer,
        &olm_catalog::ClusterCatalogAnalyzer,
        &olm_extension::ClusterExtensionAnalyzer,
        &olm_operator::OperatorGroupAnalyzer,
        &olm_operator::ServiceVersionAnalyzer,
        &olm_subscription::InstallPlanAnalyzer,
        &olm_subscription::SubscriptionAnalyzer,
        &persistent_volume_claim::ClaimAnalyzer,
        &pod::PodAnalyzer,
        &pod_disruption_budget::PodDisruptionBudgetAnalyzer,
        &policy_report::ClusterPolicyReportAnalyzer,
        &policy_report::PolicyReportAnalyzer,
        &prometheus_config::PrometheusConfigAnalyzer,
        &prometheus_relabel::PrometheusRelabelAnalyzer,
        &replica_set::ReplicaSetAnalyzer,
        &scaled_object::ScaledObjectAnalyzer,
        &security_account::SecurityAccountAnalyzer,
        &security_binding::SecurityClusterRoleBinding,
        &security_binding::SecurityRoleBinding,
        &security_pod::SecurityPodAnalyzer,
        &service::ServiceAnalyzer,
        &stateful_set::StatefulSetAnalyzer,
        &storage_claim::StorageClaimAnalyzer,
        &storage_class::StorageClassAnalyzer,
        &storage_volume::StorageVolumeAnalyzer,
        &webhook::MutatingWebhookAnalyzer,
        &webhook::ValidatingWebhookAnalyzer,
    ]
}

#[cfg(test)]
pub(crate) mod testing;
