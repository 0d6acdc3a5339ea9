//! The analyzers, a file each with its table of cases beside it.

use crate::analyzer::Analyzer;

mod config_map;
mod deletion;
mod olm;
mod olm_catalog;
mod olm_extension;
mod olm_operator;
mod olm_subscription;
mod pod;
mod prometheus;
mod prometheus_check;
mod prometheus_config;
mod prometheus_duration;
mod prometheus_relabel;
mod security_account;
mod security_binding;
mod security_pod;
mod storage_claim;
mod storage_class;
mod storage_volume;

/// All analyzers there are.
#[must_use]
pub fn all() -> &'static [&'static dyn Analyzer] {
    &[
        &config_map::ConfigMapAnalyzer,
        &deletion::ClaimDeletion,
        &deletion::NamespaceDeletion,
        &deletion::VolumeDeletion,
        &olm_catalog::CatalogSourceAnalyzer,
        &olm_catalog::ClusterCatalogAnalyzer,
        &olm_extension::ClusterExtensionAnalyzer,
        &olm_operator::OperatorGroupAnalyzer,
        &olm_operator::ServiceVersionAnalyzer,
        &olm_subscription::InstallPlanAnalyzer,
        &olm_subscription::SubscriptionAnalyzer,
        &pod::PodAnalyzer,
        &prometheus_config::PrometheusConfigAnalyzer,
        &prometheus_relabel::PrometheusRelabelAnalyzer,
        &security_account::SecurityAccountAnalyzer,
        &security_binding::SecurityClusterRoleBinding,
        &security_binding::SecurityRoleBinding,
        &security_pod::SecurityPodAnalyzer,
        &storage_claim::StorageClaimAnalyzer,
        &storage_class::StorageClassAnalyzer,
        &storage_volume::StorageVolumeAnalyzer,
    ]
}

#[cfg(test)]
pub(crate) mod testing;
