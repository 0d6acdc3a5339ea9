//! What the arguments become, and what is refused.

use clap::CommandFactory;

use super::*;

fn args() -> Args {
    Args { actor_name: Some("ocr".to_owned()), log_format: Some("json".to_owned()), ..Args::default() }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = Settings::read(args()).unwrap();
    assert_eq!(settings.engine.actor.as_str(), "ocr");
    assert_eq!(settings.engine.timeout, Duration::from_secs(300));
    assert_eq!(settings.engine.retry.attempts, 1);
    assert_eq!(settings.socket_dir.as_os_str(), "/var/run/asya");
    assert_eq!(settings.metrics_addr.unwrap().port(), 8080);
    let expected =
        Broker::Rabbitmq { url: "amqp://guest:guest@localhost:5672/".into(), exchange: "asya".into() };
    assert_eq!(settings.broker, expected);
}

#[test]
fn all_errors_are_reported_at_once() {
    let Errors(errors) = Settings::read(Args {
        actor_name: some("asya-ocr"),
        transport: some("kafka"),
        runtime_timeout: some("5"),
        retry_attempts: some("0"),
        retry_jitter: some("2"),
        memory_budget: some("lots"),
        metrics_addr: some("8080"),
        custom_metrics: some("{"),
        gateway_url: some("gateway:80"),
        ..Args::default()
    })
    .unwrap_err();
    let names: Vec<_> = errors.iter().map(|error| error.split(':').next().unwrap()).collect();
    for name in [
        "ASYA_ACTOR_NAME",
        "ASYA_TRANSPORT",
        "ASYA_RUNTIME_TIMEOUT",
        "ASYA_RETRY_ATTEMPTS",
        "ASYA_RETRY_JITTER",
        "ASYA_MEMORY_BUDGET",
        "ASYA_METRICS_ADDR",
        "ASYA_CUSTOM_METRICS",
        "ASYA_GATEWAY_URL",
    ] {
        assert!(names.contains(&name), "{name} is not in {errors:?}");
    }
}

#[test]
fn an_embedded_runtime_is_refused_with_the_image_to_use() {
    let Errors(errors) = Settings::read(Args { runtime: some("embedded"), ..args() }).unwrap_err();
    assert!(errors[0].contains("asya-sidecar-py"), "{errors:?}");
}

#[test]
fn any_password_works_in_the_address() {
    let settings = Settings::read(Args { rabbitmq_password: some("p@ss/w:rd"), ..args() }).unwrap();
    let Broker::Rabbitmq { url, .. } = settings.broker else { panic!("rabbitmq is the default") };
    assert_eq!(url, "amqp://guest:p%40ss%2Fw%3Ard@localhost:5672/");
}

#[test]
fn local_needs_its_file_and_namespaced_queues_their_namespace() {
    let wrong = Args { transport: some("local"), queue_template: some("asya-{namespace}-{actor}"), ..args() };
    let Errors(errors) = Settings::read(wrong.clone()).unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
    let right = Args { local_path: some("q.db"), namespace: some("team"), ..wrong };
    let settings = Settings::read(right).unwrap();
    assert_eq!(settings.broker, Broker::Local { path: "q.db".into() });
    assert_eq!(settings.engine.naming.queue("ocr").as_str(), "asya-team-ocr");
}

#[test]
fn every_variable_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    for argument in Args::command().get_arguments() {
        if let Some(name) = argument.get_env().and_then(|name| name.to_str()) {
            assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/configuration.md");
        }
    }
}
