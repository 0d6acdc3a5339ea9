//! What the binary is told, read into types. All errors are found before any is reported.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use asya_envelope::{ActorName, Limits};
use asya_payload::settings::PayloadText;
pub use asya_settings::Errors;
use asya_settings::{Reader, Secret, boolean, filled, list, number, positive_duration, units};
use asya_telemetry::{custom, log, names, server};
use asya_transport::{
    Broker,
    broker::read::{RabbitmqText, key_files, naming, rabbitmq},
};

use crate::{
    EngineConfig, Job, RetryPolicy,
    args::Args,
    config::{self, DEFAULT_MAX_LOOK_AHEAD, DEFAULT_MEMORY_BUDGET},
    retry,
};

mod runtime;

pub use runtime::Runtime;
use runtime::Said;

/// How long a runtime may take to load its handler before the log calls it an error.
const DEFAULT_READY_TIMEOUT: Duration = Duration::from_secs(300);
/// Where metrics and probes are served, as in the Go system.
const DEFAULT_METRICS_ADDR: &str = ":8080";
/// First pause between attempts to connect.
const DEFAULT_CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// What the binary does, completely.
#[derive(Debug)]
pub struct Settings {
    /// What the engine is told.
    pub engine: EngineConfig,
    /// Where the queues are.
    pub broker: Broker,
    /// First pause between attempts to connect.
    pub connect_pause: Duration,
    /// What handles envelopes.
    pub runtime: Runtime,
    /// When a missing runtime becomes an error in the log.
    pub ready_timeout: Duration,
    /// The gateway's address.
    pub gateway: Option<String>,
    /// File with the token for it.
    pub gateway_token: Option<PathBuf>,
    /// Where metrics and probes are served.
    pub metrics_addr: Option<SocketAddr>,
    /// Token that `/drain` asks for; `None` = there is no such page.
    pub drain_token: Option<Secret>,
    /// Prefix of all metrics.
    pub metrics_namespace: String,
    /// Metrics that an operator declared.
    pub custom_metrics: Vec<custom::Custom>,
    /// Which log lines are written.
    pub log_filter: String,
    /// How they look.
    pub log_format: log::Format,
    /// Where spans are sent.
    pub otlp: Option<String>,
}

impl Settings {
    /// Reads the arguments.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(args: Args) -> Result<Self, Errors> {
        let Args {
            actor_name,
            transport,
            queue_template,
            namespace,
            actor_happy_end,
            actor_error_end,
            is_end_actor,
            runtime,
            socket_dir,
            http_url,
            handler_mode,
            concurrency,
            runtime_timeout,
            runtime_ready_timeout,
            retry_attempts,
            retry_initial_delay,
            retry_max_delay,
            retry_multiplier,
            retry_jitter,
            retry_non_retryable,
            max_deliveries,
            max_hops,
            unroutable_grace,
            max_envelope,
            max_reply,
            memory_budget,
            grace,
            routes_allow,
            approved_only,
            payload_store,
            payload_threshold,
            payload_max,
            payload_lifetime,
            rabbitmq_url,
            rabbitmq_url_file,
            rabbitmq_host,
            rabbitmq_port,
            rabbitmq_username,
            rabbitmq_username_file,
            rabbitmq_password,
            rabbitmq_password_file,
            rabbitmq_vhost,
            rabbitmq_tls,
            rabbitmq_exchange,
            rabbitmq_prefetch,
            sqs_endpoint,
            sqs_access_key_id_file,
            sqs_secret_access_key_file,
            aws_region,
            sqs_visibility_timeout,
            sqs_wait_time_seconds,
            local_path,
            job_messages,
            job_idle_timeout,
            queue_retry_max_attempts,
            queue_retry_backoff,
            gateway_url,
            gateway_token_path,
            metrics_enabled,
            metrics_addr,
            drain_token,
            metrics_namespace,
            custom_metrics,
            log_level,
            log_format,
            otlp_endpoint,
        } = args;
        let mut read = Reader::default();
        let seconds = |text: &str| number::<u64>(text).map(Duration::from_secs);

        let actor = read.required("ASYA_ACTOR_NAME", actor_name, |text| {
            ActorName::parse(text).map_err(|error| error.to_string())
        });
        let namespace = filled(namespace);
        let naming = naming(queue_template, namespace.as_deref(), &mut read);
        let text = RabbitmqText {
            url: rabbitmq_url,
            url_file: rabbitmq_url_file,
            host: rabbitmq_host,
            port: rabbitmq_port,
            username: rabbitmq_username,
            username_file: rabbitmq_username_file,
            password: rabbitmq_password,
            password_file: rabbitmq_password_file,
            vhost: rabbitmq_vhost,
            tls: rabbitmq_tls,
            exchange: rabbitmq_exchange,
        };
        let rabbitmq = rabbitmq(text, &mut read);
        let key = key_files(sqs_access_key_id_file, sqs_secret_access_key_file, &mut read);
        let sqs = Broker::Sqs {
            key,
            endpoint: filled(sqs_endpoint),
            region: filled(aws_region),
            visibility: read.or(
                "ASYA_SQS_VISIBILITY_TIMEOUT",
                sqs_visibility_timeout,
                Duration::ZERO,
                seconds,
            ),
            wait: read.or(
                "ASYA_SQS_WAIT_TIME_SECONDS",
                sqs_wait_time_seconds,
                Duration::from_secs(20),
                |text| {
                    seconds(text).and_then(|wait| {
                        if wait <= Duration::from_secs(20) {
                            Ok(wait)
                        } else {
                            Err(format!("{text} must be at most 20"))
                        }
                    })
                },
            ),
        };
        let local = filled(local_path).map(|path| Broker::Local { path: path.into() });
        let broker = read.or("ASYA_TRANSPORT", transport, Some(rabbitmq.clone()), |text| match text {
            "rabbitmq" => Ok(Some(rabbitmq.clone())),
            "sqs" => Ok(Some(sqs.clone())),
            "local" => match &local {
                Some(local) => Ok(Some(local.clone())),
                None => Err("\"local\" needs ASYA_LOCAL_PATH, the queue file".to_owned()),
            },
            other => Err(format!("{other:?} must be rabbitmq, sqs or local")),
        });

        let policy = RetryPolicy {
            attempts: read.or("ASYA_RETRY_ATTEMPTS", retry_attempts, 1, at_least_one),
            initial: read.or(
                "ASYA_RETRY_INITIAL_DELAY",
                retry_initial_delay,
                retry::DEFAULT_INITIAL,
                units::duration,
            ),
            max: read.or("ASYA_RETRY_MAX_DELAY", retry_max_delay, retry::DEFAULT_MAX, units::duration),
            multiplier: read.or(
                "ASYA_RETRY_MULTIPLIER",
                retry_multiplier,
                retry::DEFAULT_MULTIPLIER,
                |text| within(text, 1.0, 100.0),
            ),
            jitter: read
                .or("ASYA_RETRY_JITTER", retry_jitter, retry::DEFAULT_JITTER, |text| within(text, 0.0, 1.0)),
            non_retryable: read.or("ASYA_RETRY_NON_RETRYABLE", retry_non_retryable, Vec::new(), list),
        };
        let defaults = Limits::default();
        let limits = Limits {
            max_envelope: read.or("ASYA_MAX_ENVELOPE", max_envelope, defaults.max_envelope, |text| {
                let least = 2 * asya_envelope::limits::ERROR_RESERVE;
                units::bytes(text).and_then(|size| {
                    if size >= least {
                        Ok(size)
                    } else {
                        Err(format!("{text} must be at least {least} bytes"))
                    }
                })
            }),
            max_reply: read.or("ASYA_MAX_REPLY", max_reply, defaults.max_reply, units::bytes),
        };
        let idle =
            read.or("ASYA_JOB_IDLE_TIMEOUT", job_idle_timeout, config::DEFAULT_JOB_IDLE, positive_duration);
        let job = read.or("ASYA_JOB_MESSAGES", job_messages, None, |text| {
            number(text).map(|messages| Some(Job { messages, idle }))
        });
        let budget = units::half_of_container_memory().unwrap_or(DEFAULT_MEMORY_BUDGET);
        let broker = broker.unwrap_or(rabbitmq);
        // A missing name is an error by now; it only must not stop the search for others.
        let actor = actor.unwrap_or_else(|| ActorName::parse("unnamed").expect("a valid name"));
        let payloads = PayloadText {
            store: payload_store,
            threshold: payload_threshold,
            most: payload_max,
            lifetime: payload_lifetime,
        };
        let engine = EngineConfig {
            transport_name: broker.name(),
            naming,
            happy_end: filled(actor_happy_end).unwrap_or_else(|| config::DEFAULT_HAPPY_END.to_owned()),
            error_end: filled(actor_error_end).unwrap_or_else(|| config::DEFAULT_ERROR_END.to_owned()),
            end_actor: read.or("ASYA_IS_END_ACTOR", is_end_actor, false, boolean),
            timeout: read.or(
                "ASYA_RUNTIME_TIMEOUT",
                runtime_timeout,
                config::DEFAULT_TIMEOUT,
                positive_duration,
            ),
            retry: policy,
            limits,
            max_deliveries: read.or(
                "ASYA_MAX_DELIVERIES",
                max_deliveries,
                config::DEFAULT_MAX_DELIVERIES,
                at_least_one,
            ),
            max_hops: read.or("ASYA_MAX_HOPS", max_hops, config::DEFAULT_MAX_HOPS, number),
            unroutable_grace: read.or(
                "ASYA_UNROUTABLE_GRACE",
                unroutable_grace,
                config::DEFAULT_UNROUTABLE_GRACE,
                units::duration,
            ),
            grace: read.or("ASYA_GRACE", grace, config::DEFAULT_GRACE, units::duration),
            memory_budget: read.or("ASYA_MEMORY_BUDGET", memory_budget, budget, units::bytes),
            allowed_routes: read.or("ASYA_ROUTES_ALLOW", routes_allow, vec!["*".to_owned()], list),
            approved_only: read.or("ASYA_APPROVED_ONLY", approved_only, false, boolean),
            max_look_ahead: read.or(
                "ASYA_RABBITMQ_PREFETCH",
                rabbitmq_prefetch,
                DEFAULT_MAX_LOOK_AHEAD,
                number,
            ),
            job,
            payloads: payloads.claims(&mut read),
            ..EngineConfig::new(actor)
        };
        if engine.approved_only && engine.ends_here() {
            read.wrong("ASYA_APPROVED_ONLY", "an end actor takes what ends, and nobody approves ends");
        }
        let runtime = Said { kind: runtime, socket_dir, http_url, handler_mode, concurrency }
            .runtime(&mut read, &engine);
        read.or("ASYA_QUEUE_RETRY_MAX_ATTEMPTS", queue_retry_max_attempts, 10, number::<u32>);
        let served = read.or("ASYA_METRICS_ENABLED", metrics_enabled, true, boolean);
        let default_addr = server::parse_address(DEFAULT_METRICS_ADDR).expect("the default is an address");
        let metrics_addr = read.or("ASYA_METRICS_ADDR", metrics_addr, default_addr, server::parse_address);
        let settings = Self {
            connect_pause: read.or(
                "ASYA_QUEUE_RETRY_BACKOFF",
                queue_retry_backoff,
                DEFAULT_CONNECT_PAUSE,
                positive_duration,
            ),
            runtime,
            ready_timeout: read.or(
                "ASYA_RUNTIME_READY_TIMEOUT",
                runtime_ready_timeout,
                DEFAULT_READY_TIMEOUT,
                units::duration,
            ),
            gateway: read.or("ASYA_GATEWAY_URL", gateway_url, None, |text| {
                let known = text.starts_with("http://") || text.starts_with("https://");
                if known {
                    Ok(Some(text.to_owned()))
                } else {
                    Err(format!("{text:?} must begin with http:// or https://"))
                }
            }),
            gateway_token: filled(gateway_token_path).map(PathBuf::from),
            metrics_addr: served.then_some(metrics_addr),
            drain_token: filled(drain_token).map(Secret::Plain),
            metrics_namespace: filled(metrics_namespace)
                .unwrap_or_else(|| names::DEFAULT_NAMESPACE.to_owned()),
            custom_metrics: read.or("ASYA_CUSTOM_METRICS", custom_metrics, Vec::new(), custom::parse),
            log_filter: read.or("ASYA_LOG_LEVEL", log_level, "info".to_owned(), |text| {
                log::filter(text).map(|_| text.to_owned())
            }),
            log_format: read.or("ASYA_LOG_FORMAT", log_format, log::Format::Json, log::Format::parse),
            otlp: filled(otlp_endpoint),
            broker,
            engine,
        };
        read.done(settings)
    }
}

fn at_least_one(text: &str) -> Result<u32, String> {
    let value: u32 = number(text)?;
    if value > 0 { Ok(value) } else { Err(format!("{text:?} must be at least 1")) }
}

fn within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("{text:?} must be a number from {least} to {most}"))
}

#[cfg(test)]
mod tests;
