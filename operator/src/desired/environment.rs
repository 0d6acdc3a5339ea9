//! What the sidecar is told.

use asya_resources::{EnvVar, Kind as WorkloadKind, RUNTIME_CONTAINER, Retry};

use super::{
    Context, credentials,
    lists::unique,
    names::{END_ACTORS, GATEWAY_DIR, SOCKET_DIR},
};
use crate::{
    actor::Actor,
    keda::trigger,
    settings::{Kind, Rabbitmq, Sqs, transports::Credentials},
};

/// Port of metrics, health and drain unless `spec.sidecar.env` says otherwise.
const DEFAULT_PORT: u16 = 8080;
/// Words by which the sidecar reads false.
const FALSE: [&str; 4] = ["false", "0", "no", "off"];

/// The gateway that this actor's sidecar reports to: the operator's, else the one of the runtime container, as in the
/// Go system.
pub fn gateway(actor: &Actor, context: &Context<'_>) -> Option<EnvVar> {
    const NAME: &str = "ASYA_GATEWAY_URL";
    if let Some(url) = &context.settings.gateway_url {
        return Some(EnvVar::plain(NAME, url));
    }
    let spec = &actor.spec;
    let container = spec.workload.template.spec.containers.iter().find(|it| it.name == RUNTIME_CONTAINER);
    let own = container.into_iter().flat_map(|container| &container.env).chain(&spec.env);
    own.filter(|var| var.name == NAME).find(|var| var.value.as_deref() != Some("")).cloned()
}

/// The port of metrics, health and drain; `None` = they are off.
pub fn port(actor: &Actor) -> Option<u16> {
    port_said(actor.spec.sidecar.as_ref().map(|sidecar| sidecar.env.as_slice()).unwrap_or_default())
}

/// The same from `spec.sidecar.env`.
pub fn port_said(env: &[EnvVar]) -> Option<u16> {
    let said =
        |name: &str| env.iter().rev().find(|var| var.name == name).and_then(|var| var.value.as_deref());
    if said("ASYA_METRICS_ENABLED").is_some_and(|word| FALSE.contains(&word.to_ascii_lowercase().as_str())) {
        return None;
    }
    let port = |address: &str| address.rsplit(':').next().and_then(|port| port.parse().ok());
    Some(said("ASYA_METRICS_ADDR").and_then(port).unwrap_or(DEFAULT_PORT))
}

/// The sidecar's environment: the contract's variables in the contract's order, then those it does not know, then the
/// user's, which win.
pub fn sidecar(actor: &Actor, context: &Context<'_>, grace: u64) -> Vec<EnvVar> {
    let spec = &actor.spec;
    let timeout = spec.timeout();
    let mut env = vec![EnvVar::plain("ASYA_LOG_LEVEL", "info")];
    let gateway = gateway(actor, context);
    let has_gateway = gateway.is_some();
    env.extend(gateway);
    let [happy, error] = END_ACTORS;
    env.extend([
        EnvVar::plain("ASYA_ACTOR_NAME", &actor.name),
        EnvVar::plain("ASYA_ACTOR_HAPPY_END", happy),
        EnvVar::plain("ASYA_ACTOR_ERROR_END", error),
    ]);
    if END_ACTORS.contains(&actor.name.as_str()) {
        env.push(EnvVar::plain("ASYA_IS_END_ACTOR", "true"));
    }
    env.push(EnvVar::plain("ASYA_RUNTIME_TIMEOUT", format!("{}s", timeout.processing)));
    env.push(EnvVar::plain("ASYA_TRANSPORT", context.transport.kind.word()));
    let credentials = context.transport.credentials_for(actor);
    match &context.transport.kind {
        Kind::Rabbitmq(rabbitmq) => env.extend(rabbitmq_env(rabbitmq, &credentials)),
        Kind::Sqs(sqs) => env.extend(sqs_env(sqs)),
    }
    env.extend(credentials::env(&credentials));
    if let Some(http) = spec.http() {
        env.push(EnvVar::plain("ASYA_RUNTIME", "http"));
        env.push(EnvVar::plain("ASYA_HTTP_URL", http.url()));
        env.extend(spec.concurrency.map(|number| EnvVar::plain("ASYA_CONCURRENCY", number.to_string())));
    } else if !spec.embedded {
        env.push(EnvVar::plain("ASYA_SOCKET_DIR", SOCKET_DIR));
    }

    env.push(EnvVar::plain("ASYA_QUEUE_TEMPLATE", context.settings.template.text()));
    env.push(EnvVar::plain("ASYA_NAMESPACE", &actor.namespace));
    env.push(EnvVar::plain("ASYA_GRACE", format!("{grace}s")));
    env.push(EnvVar::plain("ASYA_DRAIN_TOKEN", actor.drain_token()));
    if has_gateway {
        env.push(EnvVar::plain("ASYA_GATEWAY_TOKEN_PATH", format!("{GATEWAY_DIR}/token")));
    }
    if let Some(startup) = timeout.startup {
        env.push(EnvVar::plain("ASYA_RUNTIME_READY_TIMEOUT", format!("{startup}s")));
    }
    env.extend(spec.retry.as_ref().map(retry).unwrap_or_default());
    if let Some(routes) = &spec.routes {
        // An empty variable counts as not set, and then everything is allowed; a comma is a list of nothing.
        let allow = if routes.allow.is_empty() { ",".to_owned() } else { routes.allow.join(",") };
        env.push(EnvVar::plain("ASYA_ROUTES_ALLOW", allow));
    }
    if trigger::counts_waiting_only(actor, context) {
        // The fewer a pod holds back beside those that it works on, the less is interrupted when it is ended.
        let credit = spec.scaling.clone().unwrap_or_default().queue_length;
        env.push(EnvVar::plain("ASYA_RABBITMQ_PREFETCH", credit.to_string()));
    }
    if spec.kind() == WorkloadKind::Job {
        let job = spec.workload.job.clone().unwrap_or_default();
        env.push(EnvVar::plain("ASYA_JOB_MESSAGES", job.messages.to_string()));
        env.push(EnvVar::plain("ASYA_JOB_IDLE_TIMEOUT", format!("{}s", job.idle_timeout)));
    }
    env.extend(context.settings.sidecar.env.iter().cloned());
    env.extend(spec.sidecar.iter().flat_map(|sidecar| sidecar.env.iter().cloned()));
    unique(env)
}

fn rabbitmq_env(rabbitmq: &Rabbitmq, credentials: &Credentials) -> Vec<EnvVar> {
    let mut env = vec![
        EnvVar::plain("ASYA_RABBITMQ_HOST", &rabbitmq.host),
        EnvVar::plain("ASYA_RABBITMQ_PORT", rabbitmq.port.to_string()),
    ];
    if !matches!(credentials, Credentials::Rabbitmq { username: Some(_), .. }) {
        env.push(EnvVar::plain("ASYA_RABBITMQ_USERNAME", &rabbitmq.username));
    }
    if *credentials == Credentials::None {
        // The guest, whose name is its password: nothing that a Secret would have to hold.
        env.push(EnvVar::plain("ASYA_RABBITMQ_PASSWORD", &rabbitmq.username));
    }
    env.push(EnvVar::plain("ASYA_RABBITMQ_EXCHANGE", &rabbitmq.exchange));
    if rabbitmq.vhost != "/" {
        env.push(EnvVar::plain("ASYA_RABBITMQ_VHOST", &rabbitmq.vhost));
    }
    if rabbitmq.tls {
        env.push(EnvVar::plain("ASYA_RABBITMQ_TLS", "true"));
    }
    env
}

fn sqs_env(sqs: &Sqs) -> Vec<EnvVar> {
    let mut env = vec![EnvVar::plain("ASYA_AWS_REGION", &sqs.region)];
    if let Some(endpoint) = &sqs.endpoint {
        env.push(EnvVar::plain("ASYA_SQS_ENDPOINT", endpoint));
    }
    env.push(EnvVar::plain("ASYA_SQS_VISIBILITY_TIMEOUT", sqs.visibility_timeout.to_string()));
    env.push(EnvVar::plain("ASYA_SQS_WAIT_TIME_SECONDS", sqs.wait_time_seconds.to_string()));
    env
}

fn retry(retry: &Retry) -> Vec<EnvVar> {
    let Retry { attempts, initial_delay, max_delay, multiplier, jitter, non_retryable } = retry;
    let delay = |delay: &asya_resources::Delay| format!("{}ms", delay.0.as_millis());
    let types = (!non_retryable.is_empty()).then(|| non_retryable.join(","));
    [
        ("ASYA_RETRY_ATTEMPTS", attempts.map(|number| number.to_string())),
        ("ASYA_RETRY_INITIAL_DELAY", initial_delay.as_ref().map(delay)),
        ("ASYA_RETRY_MAX_DELAY", max_delay.as_ref().map(delay)),
        ("ASYA_RETRY_MULTIPLIER", multiplier.map(|number| number.to_string())),
        ("ASYA_RETRY_JITTER", jitter.map(|number| number.to_string())),
        ("ASYA_RETRY_NON_RETRYABLE", types),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| EnvVar::plain(name, value)))
    .collect()
}
