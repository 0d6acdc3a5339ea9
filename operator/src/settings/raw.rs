//! What the binary was told, as it is written.

/// Every option as text; `None` and an empty text mean that it was not set.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// `--metrics-bind-address`; `0` = no metrics.
    pub metrics_bind_address: Option<String>,
    /// `--health-probe-bind-address`.
    pub health_probe_bind_address: Option<String>,
    /// `--scaler-bind-address`; not set = no push scaler.
    pub scaler_bind_address: Option<String>,
    /// `--leader-elect`: true or false.
    pub leader_elect: Option<String>,
    /// `ASYA_RUNTIME_NAMESPACE`.
    pub runtime_namespace: Option<String>,
    /// `ASYA_MAX_CONCURRENT_RECONCILES`.
    pub max_concurrent_reconciles: Option<String>,
    /// `ASYA_WATCH_NAMESPACES`: a comma-separated list.
    pub watch_namespaces: Option<String>,
    /// `ASYA_OPERATOR_NAMESPACE`.
    pub operator_namespace: Option<String>,
    /// `ASYA_POD_NAME`.
    pub pod_name: Option<String>,
    /// `ASYA_TRANSPORT_CONFIG`: JSON.
    pub transport_config: Option<String>,
    /// `ASYA_TRANSPORT_SECRETS_DIR`.
    pub transport_secrets_dir: Option<String>,
    /// `ASYA_QUEUE_TEMPLATE`.
    pub queue_template: Option<String>,
    /// `ASYA_DISABLE_QUEUE_MANAGEMENT`.
    pub disable_queue_management: Option<String>,
    /// `ASYA_QUEUE_HEALTH_CHECK_INTERVAL`: a duration, `0` = never.
    pub queue_health_check_interval: Option<String>,
    /// `ASYA_DELETION_TIMEOUT`: a duration.
    pub deletion_timeout: Option<String>,
    /// `ASYA_RESYNC_INTERVAL`: a duration.
    pub resync_interval: Option<String>,
    /// `ASYA_GATEWAY_URL`.
    pub gateway_url: Option<String>,
    /// `ASYA_SIDECAR_IMAGE`.
    pub sidecar_image: Option<String>,
    /// `ASYA_SIDECAR_IMAGE_PULL_POLICY`.
    pub sidecar_image_pull_policy: Option<String>,
    /// `ASYA_SIDECAR_IMAGE_PULL_SECRETS`: a comma-separated list.
    pub sidecar_image_pull_secrets: Option<String>,
    /// `ASYA_SIDECAR_RESOURCES`: JSON.
    pub sidecar_resources: Option<String>,
    /// `ASYA_SIDECAR_ENV`: JSON.
    pub sidecar_env: Option<String>,
    /// `ASYA_NATIVE_SIDECAR`: auto, true or false.
    pub native_sidecar: Option<String>,
    /// `ASYA_ROLLOUT_POLICY`.
    pub rollout_policy: Option<String>,
    /// `ASYA_ROLLOUT_MAX_CONCURRENT`.
    pub rollout_max_concurrent: Option<String>,
    /// `ASYA_RUNTIME_SOURCE`: local or github.
    pub runtime_source: Option<String>,
    /// `ASYA_RUNTIME_SCRIPT_PATH`.
    pub runtime_script_path: Option<String>,
    /// `ASYA_RUNTIME_GITHUB_REPO`.
    pub runtime_github_repo: Option<String>,
    /// `ASYA_RUNTIME_GITHUB_VERSION`.
    pub runtime_github_version: Option<String>,
    /// `ASYA_RUNTIME_GITHUB_SHA256`.
    pub runtime_github_sha256: Option<String>,
    /// `ASYA_SCALER_ADDRESS`: what KEDA dials.
    pub scaler_address: Option<String>,
    /// `ASYA_SCALER_TLS_DIR`.
    pub scaler_tls_dir: Option<String>,
    /// `ASYA_SCALER_AUTHENTICATION`: a ClusterTriggerAuthentication.
    pub scaler_authentication: Option<String>,
    /// `ASYA_SCALER_DEFAULT`: whether actors that say nothing are pushed.
    pub scaler_default: Option<String>,
    /// `ASYA_AGENTS`: whether agents are looked after.
    pub agents: Option<String>,
    /// `ASYA_AGENT_IMAGE`.
    pub agent_image: Option<String>,
    /// `ASYA_AGENT_IMAGE_PULL_POLICY`.
    pub agent_image_pull_policy: Option<String>,
    /// `ASYA_LOG_LEVEL`.
    pub log_level: Option<String>,
    /// `ASYA_LOG_FORMAT`.
    pub log_format: Option<String>,
}
