//! What the options become, and what is refused.

use serde_json::json;

use super::*;

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = Settings::read(Raw::default()).unwrap();
    assert_eq!(settings.metrics.unwrap().to_string(), "0.0.0.0:8080");
    assert_eq!(settings.health.to_string(), "0.0.0.0:8081");
    assert_eq!(settings.concurrency, 10);
    assert_eq!(settings.queue_check, Some(Duration::from_secs(300)));
    assert_eq!(settings.template, Template::Namespaced);
    assert_eq!(settings.sidecar.image, "asya-sidecar:latest");
    assert_eq!(settings.runtime.path.as_os_str(), "/runtime/asya_runtime.py");
    assert_eq!(settings.runtime.namespace.as_deref(), Some("asya"));
    assert_eq!(settings.rollout, Rollout { policy: RolloutPolicy::OnRestart, max_concurrent: 5 });
    assert_eq!(settings.deletion_timeout, Duration::from_secs(600));
    assert!(settings.manage_queues && !settings.leader_elect && settings.push.is_none());
    assert_eq!(settings.agents, None);
    assert_eq!(settings.warnings.len(), 1, "no transport is a warning");
}

#[test]
fn every_option_has_its_effect() {
    let settings = Settings::read(Raw {
        metrics_bind_address: some("0"),
        scaler_bind_address: some(":8082"),
        scaler_address: some("asya-scaler.asya-system:8082"),
        scaler_tls_dir: some("/tls"),
        scaler_authentication: some("asya-scaler"),
        scaler_default: some("true"),
        leader_elect: some("true"),
        watch_namespaces: some("a, b,"),
        transport_config: some(r#"{"transports":{"sqs":{"enabled":true,"config":{"region":"eu-west-1"}}}}"#),
        transport_secrets_dir: some("/secrets"),
        queue_template: some("asya-{actor}"),
        disable_queue_management: some("true"),
        queue_health_check_interval: some("0"),
        deletion_timeout: some("1m30s"),
        sidecar_image_pull_policy: some("Never"),
        sidecar_image_pull_secrets: some("registry"),
        sidecar_resources: some(r#"{"limits":{"cpu":"500m"}}"#),
        sidecar_env: some(r#"[{"name":"ASYA_PAYLOAD_STORE","value":"s3://b/p"}]"#),
        native_sidecar: some("false"),
        rollout_policy: some("Rolling"),
        agents: some("true"),
        agent_image_pull_policy: some("Always"),
        runtime_source: some("github"),
        runtime_github_repo: some("deliveryhero/asya"),
        runtime_github_version: some("v0.1.0"),
        runtime_github_sha256: some(&"A".repeat(64)),
        ..Raw::default()
    })
    .unwrap();
    assert_eq!(settings.metrics, None);
    let push = settings.push.unwrap();
    assert_eq!((push.bind.port(), push.address.as_str()), (8082, "asya-scaler.asya-system:8082"));
    assert!(push.default && push.tls.is_some() && push.authentication.is_some());
    assert_eq!(settings.namespaces, ["a", "b"]);
    assert_eq!(settings.transports["sqs"].secrets.as_os_str(), "/secrets/sqs");
    assert_eq!(settings.template.queue("team", "ocr").as_str(), "asya-ocr");
    assert_eq!((settings.manage_queues, settings.queue_check), (false, None));
    assert_eq!(settings.deletion_timeout, Duration::from_secs(90));
    assert_eq!(settings.sidecar.resources, json!({"limits": {"cpu": "500m"}}));
    assert_eq!(settings.sidecar.env[0].value.as_deref(), Some("s3://b/p"));
    assert_eq!(settings.sidecar.native, Some(false));
    let agents = Agents { image: "asya-crew:latest".to_owned(), pull_policy: some("Always") };
    assert_eq!(settings.agents, Some(agents));
    assert_eq!(settings.rollout.policy, RolloutPolicy::Rolling);
    assert_eq!(settings.runtime.github.unwrap().sha256, "a".repeat(64));
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn all_errors_are_reported_at_once() {
    let wrong = some("wrong ");
    let Errors(errors) = Settings::read(Raw {
        metrics_bind_address: wrong.clone(),
        health_probe_bind_address: wrong.clone(),
        scaler_bind_address: some(":8082"),
        leader_elect: wrong.clone(),
        max_concurrent_reconciles: some("0"),
        transport_config: some(r#"{"transports":{"sqs":{"enabled":true,"config":{}}}}"#),
        queue_template: some("{actor}"),
        disable_queue_management: wrong.clone(),
        queue_health_check_interval: some("5"),
        deletion_timeout: some("-5m"),
        resync_interval: some("0s"),
        gateway_url: some("gateway:80"),
        sidecar_image_pull_policy: some("Sometimes"),
        sidecar_resources: some(r#"{"limit":{}}"#),
        sidecar_env: some("{}"),
        native_sidecar: wrong.clone(),
        agents: wrong.clone(),
        agent_image_pull_policy: wrong.clone(),
        rollout_policy: wrong.clone(),
        rollout_max_concurrent: some("0"),
        runtime_source: some("github"),
        runtime_github_repo: wrong.clone(),
        runtime_github_sha256: some("abc"),
        log_format: wrong,
        ..Raw::default()
    })
    .unwrap_err();
    let names: Vec<_> = errors.iter().map(|error| error.split(':').next().unwrap()).collect();
    for name in [
        "--metrics-bind-address",
        "--health-probe-bind-address",
        "--leader-elect",
        "ASYA_SCALER_ADDRESS",
        "ASYA_MAX_CONCURRENT_RECONCILES",
        "ASYA_TRANSPORT_CONFIG",
        "ASYA_QUEUE_TEMPLATE",
        "ASYA_DISABLE_QUEUE_MANAGEMENT",
        "ASYA_QUEUE_HEALTH_CHECK_INTERVAL",
        "ASYA_DELETION_TIMEOUT",
        "ASYA_RESYNC_INTERVAL",
        "ASYA_GATEWAY_URL",
        "ASYA_SIDECAR_IMAGE_PULL_POLICY",
        "ASYA_SIDECAR_RESOURCES",
        "ASYA_SIDECAR_ENV",
        "ASYA_NATIVE_SIDECAR",
        "ASYA_AGENTS",
        "ASYA_AGENT_IMAGE_PULL_POLICY",
        "ASYA_ROLLOUT_POLICY",
        "ASYA_ROLLOUT_MAX_CONCURRENT",
        "ASYA_RUNTIME_GITHUB_REPO",
        "ASYA_RUNTIME_GITHUB_VERSION",
        "ASYA_RUNTIME_GITHUB_SHA256",
        "ASYA_LOG_FORMAT",
    ] {
        assert!(names.contains(&name), "{name} is not in {errors:#?}");
    }
}

#[test]
fn durations_are_read_as_go_reads_them() {
    for (text, seconds) in [("5m", 300), ("1m30s", 90), ("1.5h", 5400), ("10h", 36_000), ("90s", 90)] {
        let raw = Raw { deletion_timeout: some(text), ..Raw::default() };
        assert_eq!(Settings::read(raw).unwrap().deletion_timeout.as_secs(), seconds, "{text}");
    }
}
