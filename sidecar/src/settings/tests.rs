//! What the arguments become, and what is refused.

use asya_handler::message::Mode;
use clap::CommandFactory;

use super::*;

fn args() -> Args {
    Args { actor_name: Some("ocr".to_owned()), log_format: Some("json".to_owned()), ..Args::default() }
}

fn address(settings: Settings) -> String {
    let Broker::Rabbitmq { amqp, exchange } = settings.broker else { panic!("rabbitmq is the default") };
    assert_eq!(exchange, "asya");
    amqp.url().unwrap()
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
    assert!(matches!(&settings.runtime, Runtime::Socket(folder) if folder.as_os_str() == "/var/run/asya"));
    assert_eq!(settings.metrics_addr.unwrap().port(), 8080);
    assert_eq!(address(settings), "amqp://guest:guest@localhost:5672/");
}

#[test]
fn a_list_of_no_actors_is_written_as_a_comma() {
    let allowed = |text: Option<&str>| {
        let args = Args { routes_allow: text.map(str::to_owned), ..args() };
        Settings::read(args).unwrap().engine.allowed_routes
    };
    assert_eq!(allowed(Some(",")), [""; 0]);
    for unset in [None, Some("")] {
        assert_eq!(allowed(unset), ["*"]);
    }
    assert_eq!(allowed(Some("a, b-*")), ["a", "b-*"]);
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
        payload_store: some("ftp://bucket"),
        payload_threshold: some("large"),
        payload_lifetime: some("0"),
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
        "ASYA_PAYLOAD_STORE",
        "ASYA_PAYLOAD_THRESHOLD",
        "ASYA_PAYLOAD_LIFETIME",
        "ASYA_METRICS_ADDR",
        "ASYA_CUSTOM_METRICS",
        "ASYA_GATEWAY_URL",
    ] {
        assert!(names.contains(&name), "{name} is not in {errors:?}");
    }
}

#[test]
fn an_end_actor_cannot_wait_for_approvals() {
    let guarded = |end| Args { approved_only: some("true"), is_end_actor: some(end), ..args() };
    assert!(Settings::read(guarded("false")).unwrap().engine.approved_only);
    let Errors(errors) = Settings::read(guarded("true")).unwrap_err();
    assert!(errors[0].starts_with("ASYA_APPROVED_ONLY: "), "{errors:?}");
}

#[test]
fn an_embedded_runtime_is_refused_with_the_image_to_use() {
    let Errors(errors) = Settings::read(Args { runtime: some("embedded"), ..args() }).unwrap_err();
    assert!(errors[0].contains("asya-sidecar-py"), "{errors:?}");
}

#[test]
fn an_http_handler_needs_an_address_in_this_pod() {
    let http = Args { runtime: some("http"), ..args() };
    let Errors(errors) = Settings::read(http.clone()).unwrap_err();
    assert_eq!(errors, ["ASYA_HTTP_URL: is required"]);
    let Errors(errors) = Settings::read(Args {
        http_url: some("http://example.com/"),
        handler_mode: some("body"),
        concurrency: some("0"),
        ..http.clone()
    })
    .unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:?}");
    let Errors(errors) = Settings::read(Args { http_url: some("http://localhost/"), ..args() }).unwrap_err();
    assert!(errors[0].contains("ASYA_RUNTIME=http"), "{errors:?}");

    let settings = Settings::read(Args {
        http_url: some("http://127.0.0.1:8000/v1"),
        handler_mode: some("envelope"),
        concurrency: some("8"),
        ..http
    })
    .unwrap();
    let Runtime::Http(config) = settings.runtime else { panic!("it is http") };
    assert_eq!(config.address.to_string(), "http://127.0.0.1:8000/v1");
    assert_eq!((config.mode, config.concurrency.get()), (Mode::Envelope, 8));
}

#[test]
fn any_password_works_in_the_address() {
    let settings = Settings::read(Args { rabbitmq_password: some("p@ss/w:rd"), ..args() }).unwrap();
    assert_eq!(address(settings), "amqp://guest:p%40ss%2Fw%3Ard@localhost:5672/");
}

#[test]
fn vhost_and_tls_go_into_the_address_and_tls_has_its_own_port() {
    let tls = Args { rabbitmq_tls: some("true"), rabbitmq_vhost: some("asya/test"), ..args() };
    let settings = Settings::read(tls.clone()).unwrap();
    assert_eq!(address(settings), "amqps://guest:guest@localhost:5671/asya%2Ftest");
    let settings = Settings::read(Args { rabbitmq_port: some("1"), ..tls }).unwrap();
    assert_eq!(address(settings), "amqps://guest:guest@localhost:1/asya%2Ftest");
}

#[test]
fn a_secret_comes_from_a_variable_or_a_file_and_an_access_key_from_two_files() {
    let Errors(errors) = Settings::read(Args {
        rabbitmq_password: some("secret"),
        rabbitmq_password_file: some("/p"),
        sqs_access_key_id_file: some("/k"),
        ..args()
    })
    .unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("ASYA_RABBITMQ_PASSWORD_FILE") && !errors[0].contains("secret"), "{errors:?}");
    assert!(errors[1].contains("only one of them"), "{errors:?}");
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

#[test]
fn arguments_of_variables_are_those_of_the_program() {
    let find = |name: &str| match name {
        "ASYA_ACTOR_NAME" => some("ocr"),
        "ASYA_ROUTES_ALLOW" => some(""),
        "ASYA_RABBITMQ_PASSWORD" => some("--a=b, c\n"),
        _ => None,
    };
    let args = Args::of(find);
    assert_eq!((args.actor_name, args.rabbitmq_password), (some("ocr"), some("--a=b, c\n")));
    assert_eq!((args.routes_allow, args.transport), (some(""), None));
    // Nothing of this process counts, and every option can be given.
    let everything = Args::of(some);
    assert_eq!(everything.otlp_endpoint, some("OTEL_EXPORTER_OTLP_ENDPOINT"));
    assert!(Args::reads("ASYA_APPROVED_ONLY") && !Args::reads("ASYA_APROVED_ONLY") && !Args::reads("PATH"));
}
