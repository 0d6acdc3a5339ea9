//! What the binary `asya-sidecar` is told, as it is written: each option is an environment variable, as in the Go
//! system, and a flag. Reading them into types is the work of [`crate::settings`].

use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _, Parser};

/// Moves envelopes between an actor's queue, its runtime and the next queues.
///
/// Every option can be given by the environment variable named beside it; an empty variable counts as not set.
#[derive(Parser, Clone, Debug, Default)]
#[command(name = "asya-sidecar", version, after_help = EXAMPLES)]
pub struct Args {
    /// Name of the actor whose queue is consumed.
    #[arg(long, env = "ASYA_ACTOR_NAME", value_name = "NAME")]
    pub actor_name: Option<String>,
    /// rabbitmq, sqs or local.
    #[arg(long, env = "ASYA_TRANSPORT", value_name = "KIND")]
    pub transport: Option<String>,
    /// How queues are named: asya-{actor} or asya-{namespace}-{actor}.
    #[arg(long, env = "ASYA_QUEUE_TEMPLATE", value_name = "TEMPLATE")]
    pub queue_template: Option<String>,
    /// Namespace for the template.
    #[arg(long, env = "ASYA_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Actor that receives finished envelopes.
    #[arg(long, env = "ASYA_ACTOR_HAPPY_END", value_name = "NAME")]
    pub actor_happy_end: Option<String>,
    /// Actor that receives failed envelopes.
    #[arg(long, env = "ASYA_ACTOR_ERROR_END", value_name = "NAME")]
    pub actor_error_end: Option<String>,
    /// Envelopes end at this actor: its replies are not routed.
    #[arg(long, env = "ASYA_IS_END_ACTOR", value_name = "BOOL")]
    pub is_end_actor: Option<String>,

    /// socket or http; embedded needs another binary.
    #[arg(long, env = "ASYA_RUNTIME", value_name = "KIND", help_heading = "Runtime")]
    pub runtime: Option<String>,
    /// Directory of the runtime's sockets.
    #[arg(long, env = "ASYA_SOCKET_DIR", value_name = "DIR", help_heading = "Runtime")]
    pub socket_dir: Option<String>,
    /// With http: where envelopes are posted to, in this pod.
    #[arg(long, env = "ASYA_HTTP_URL", value_name = "URL", help_heading = "Runtime")]
    pub http_url: Option<String>,
    /// With http: what is posted, payload or envelope.
    #[arg(long, env = "ASYA_HANDLER_MODE", value_name = "MODE", help_heading = "Runtime")]
    pub handler_mode: Option<String>,
    /// With http: requests that the server gets at the same time.
    #[arg(long, env = "ASYA_CONCURRENCY", value_name = "N", help_heading = "Runtime")]
    pub concurrency: Option<String>,
    /// How long one run of the handler may take.
    #[arg(long, env = "ASYA_RUNTIME_TIMEOUT", value_name = "DURATION", help_heading = "Runtime")]
    pub runtime_timeout: Option<String>,
    /// After this long without a runtime the log says so as an error; the sidecar goes on waiting.
    #[arg(long, env = "ASYA_RUNTIME_READY_TIMEOUT", value_name = "DURATION", help_heading = "Runtime")]
    pub runtime_ready_timeout: Option<String>,

    /// Runs of the handler in all; 1 = failures are not retried.
    #[arg(long, env = "ASYA_RETRY_ATTEMPTS", value_name = "N", help_heading = "Retry and limits")]
    pub retry_attempts: Option<String>,
    /// Pause before the second run.
    #[arg(
        long,
        env = "ASYA_RETRY_INITIAL_DELAY",
        value_name = "DURATION",
        help_heading = "Retry and limits"
    )]
    pub retry_initial_delay: Option<String>,
    /// Longest pause.
    #[arg(long, env = "ASYA_RETRY_MAX_DELAY", value_name = "DURATION", help_heading = "Retry and limits")]
    pub retry_max_delay: Option<String>,
    /// Growth from one pause to the next.
    #[arg(long, env = "ASYA_RETRY_MULTIPLIER", value_name = "NUMBER", help_heading = "Retry and limits")]
    pub retry_multiplier: Option<String>,
    /// Share of a pause that is left to chance, 0 to 1.
    #[arg(long, env = "ASYA_RETRY_JITTER", value_name = "NUMBER", help_heading = "Retry and limits")]
    pub retry_jitter: Option<String>,
    /// Exception types that no retry helps, separated by commas; bare or qualified names, bases included.
    #[arg(long, env = "ASYA_RETRY_NON_RETRYABLE", value_name = "TYPES", help_heading = "Retry and limits")]
    pub retry_non_retryable: Option<String>,
    /// A message delivered more often goes to the error end as poison.
    #[arg(long, env = "ASYA_MAX_DELIVERIES", value_name = "N", help_heading = "Retry and limits")]
    pub max_deliveries: Option<String>,
    /// An envelope published more often goes to the error end as a loop.
    #[arg(long, env = "ASYA_MAX_HOPS", value_name = "N", help_heading = "Retry and limits")]
    pub max_hops: Option<String>,
    /// How long a missing next queue is waited for.
    #[arg(long, env = "ASYA_UNROUTABLE_GRACE", value_name = "DURATION", help_heading = "Retry and limits")]
    pub unroutable_grace: Option<String>,
    /// Largest envelope.
    #[arg(long, env = "ASYA_MAX_ENVELOPE", value_name = "BYTES", help_heading = "Retry and limits")]
    pub max_envelope: Option<String>,
    /// Largest reply of the runtime, all its items together.
    #[arg(long, env = "ASYA_MAX_REPLY", value_name = "BYTES", help_heading = "Retry and limits")]
    pub max_reply: Option<String>,
    /// Memory for messages in hand; default half of the container's limit.
    #[arg(long, env = "ASYA_MEMORY_BUDGET", value_name = "BYTES", help_heading = "Retry and limits")]
    pub memory_budget: Option<String>,
    /// How long running work may go on after SIGTERM.
    #[arg(long, env = "ASYA_GRACE", value_name = "DURATION", help_heading = "Retry and limits")]
    pub grace: Option<String>,
    /// Actors that the handler may insert into a route: globs, separated by commas.
    #[arg(long, env = "ASYA_ROUTES_ALLOW", value_name = "GLOBS", help_heading = "Retry and limits")]
    pub routes_allow: Option<String>,
    /// Whether only envelopes are handled that somebody approved for their place in the route.
    #[arg(long, env = "ASYA_APPROVED_ONLY", value_name = "BOOL", help_heading = "Retry and limits")]
    pub approved_only: Option<String>,

    /// Where large payloads are kept: s3://bucket/prefix, gs://, az:// or file:///directory; none by default.
    #[arg(long, env = "ASYA_PAYLOAD_STORE", value_name = "URL", help_heading = "Large payloads")]
    pub payload_store: Option<String>,
    /// Payloads of more bytes than this are kept there; at most half of the largest envelope.
    #[arg(long, env = "ASYA_PAYLOAD_THRESHOLD", value_name = "BYTES", help_heading = "Large payloads")]
    pub payload_threshold: Option<String>,
    /// The largest payload that is kept there.
    #[arg(long, env = "ASYA_PAYLOAD_MAX", value_name = "BYTES", help_heading = "Large payloads")]
    pub payload_max: Option<String>,
    /// How long it is kept there.
    #[arg(long, env = "ASYA_PAYLOAD_LIFETIME", value_name = "DURATION", help_heading = "Large payloads")]
    pub payload_lifetime: Option<String>,

    /// Address of the broker; overrides host, port, username and password.
    #[arg(
        long,
        env = "ASYA_RABBITMQ_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "RabbitMQ"
    )]
    pub rabbitmq_url: Option<String>,
    /// File with the address; read again at each connect.
    #[arg(long, env = "ASYA_RABBITMQ_URL_FILE", value_name = "FILE", help_heading = "RabbitMQ")]
    pub rabbitmq_url_file: Option<String>,
    /// Host of the broker.
    #[arg(long, env = "ASYA_RABBITMQ_HOST", value_name = "HOST", help_heading = "RabbitMQ")]
    pub rabbitmq_host: Option<String>,
    /// Port of the broker; 5672, with TLS 5671.
    #[arg(long, env = "ASYA_RABBITMQ_PORT", value_name = "PORT", help_heading = "RabbitMQ")]
    pub rabbitmq_port: Option<String>,
    /// User name.
    #[arg(long, env = "ASYA_RABBITMQ_USERNAME", value_name = "NAME", help_heading = "RabbitMQ")]
    pub rabbitmq_username: Option<String>,
    /// File with the user name; read again at each connect.
    #[arg(long, env = "ASYA_RABBITMQ_USERNAME_FILE", value_name = "FILE", help_heading = "RabbitMQ")]
    pub rabbitmq_username_file: Option<String>,
    /// Password.
    #[arg(
        long,
        env = "ASYA_RABBITMQ_PASSWORD",
        hide_env_values = true,
        value_name = "SECRET",
        help_heading = "RabbitMQ"
    )]
    pub rabbitmq_password: Option<String>,
    /// File with the password; read again at each connect.
    #[arg(long, env = "ASYA_RABBITMQ_PASSWORD_FILE", value_name = "FILE", help_heading = "RabbitMQ")]
    pub rabbitmq_password_file: Option<String>,
    /// Virtual host.
    #[arg(long, env = "ASYA_RABBITMQ_VHOST", value_name = "NAME", help_heading = "RabbitMQ")]
    pub rabbitmq_vhost: Option<String>,
    /// Whether the broker is spoken to by TLS (amqps).
    #[arg(long, env = "ASYA_RABBITMQ_TLS", value_name = "BOOL", help_heading = "RabbitMQ")]
    pub rabbitmq_tls: Option<String>,
    /// The topic exchange.
    #[arg(long, env = "ASYA_RABBITMQ_EXCHANGE", value_name = "NAME", help_heading = "RabbitMQ")]
    pub rabbitmq_exchange: Option<String>,
    /// Most messages that wait behind the running ones.
    #[arg(long, env = "ASYA_RABBITMQ_PREFETCH", value_name = "N", help_heading = "RabbitMQ")]
    pub rabbitmq_prefetch: Option<String>,

    /// Address of another SQS-compatible server.
    #[arg(long, env = "ASYA_SQS_ENDPOINT", value_name = "URL", help_heading = "SQS")]
    pub sqs_endpoint: Option<String>,
    /// File with the access key's id; read again once a minute. Without it: the standard chain of AWS.
    #[arg(long, env = "ASYA_SQS_ACCESS_KEY_ID_FILE", value_name = "FILE", help_heading = "SQS")]
    pub sqs_access_key_id_file: Option<String>,
    /// File with the secret access key; read again once a minute.
    #[arg(long, env = "ASYA_SQS_SECRET_ACCESS_KEY_FILE", value_name = "FILE", help_heading = "SQS")]
    pub sqs_secret_access_key_file: Option<String>,
    /// AWS region.
    #[arg(long, env = "ASYA_AWS_REGION", value_name = "REGION", help_heading = "SQS")]
    pub aws_region: Option<String>,
    /// Seconds that a received message stays hidden; 0 = twice the runtime timeout. Renewed while a handler runs.
    #[arg(long, env = "ASYA_SQS_VISIBILITY_TIMEOUT", value_name = "SECONDS", help_heading = "SQS")]
    pub sqs_visibility_timeout: Option<String>,
    /// Seconds that one receive waits, at most 20.
    #[arg(long, env = "ASYA_SQS_WAIT_TIME_SECONDS", value_name = "SECONDS", help_heading = "SQS")]
    pub sqs_wait_time_seconds: Option<String>,

    /// The queue file of the local transport.
    #[arg(long, env = "ASYA_LOCAL_PATH", value_name = "FILE", help_heading = "Local")]
    pub local_path: Option<String>,

    /// The sidecar takes so many messages, tells the runtime to end, and waits for SIGTERM.
    #[arg(long, env = "ASYA_JOB_MESSAGES", value_name = "N", help_heading = "Job")]
    pub job_messages: Option<String>,
    /// A job ends after this long without a message.
    #[arg(long, env = "ASYA_JOB_IDLE_TIMEOUT", value_name = "DURATION", help_heading = "Job")]
    pub job_idle_timeout: Option<String>,

    /// Accepted for the Go system's manifests: a lost broker is reached for without end.
    #[arg(long, env = "ASYA_QUEUE_RETRY_MAX_ATTEMPTS", value_name = "N", help_heading = "Broker connection")]
    pub queue_retry_max_attempts: Option<String>,
    /// First pause between attempts to connect at the start; doubles up to 30 s.
    #[arg(
        long,
        env = "ASYA_QUEUE_RETRY_BACKOFF",
        value_name = "DURATION",
        help_heading = "Broker connection"
    )]
    pub queue_retry_backoff: Option<String>,

    /// Gateway that is told of progress and ends; none by default.
    #[arg(long, env = "ASYA_GATEWAY_URL", value_name = "URL", help_heading = "Observation")]
    pub gateway_url: Option<String>,
    /// File with the token for the gateway; read again as it changes.
    #[arg(long, env = "ASYA_GATEWAY_TOKEN_PATH", value_name = "FILE", help_heading = "Observation")]
    pub gateway_token_path: Option<String>,
    /// Whether /metrics, /healthz and /readyz are served.
    #[arg(long, env = "ASYA_METRICS_ENABLED", value_name = "BOOL", help_heading = "Observation")]
    pub metrics_enabled: Option<String>,
    /// Where they are served.
    #[arg(long, env = "ASYA_METRICS_ADDR", value_name = "ADDRESS", help_heading = "Observation")]
    pub metrics_addr: Option<String>,
    /// Token that /drain asks for; without it there is no such page.
    #[arg(
        long,
        env = "ASYA_DRAIN_TOKEN",
        hide_env_values = true,
        value_name = "SECRET",
        help_heading = "Observation"
    )]
    pub drain_token: Option<String>,
    /// Prefix of all metrics.
    #[arg(long, env = "ASYA_METRICS_NAMESPACE", value_name = "NAME", help_heading = "Observation")]
    pub metrics_namespace: Option<String>,
    /// Further metrics to register: a JSON array of {name, type, help, labels, buckets}.
    #[arg(long, env = "ASYA_CUSTOM_METRICS", value_name = "JSON", help_heading = "Observation")]
    pub custom_metrics: Option<String>,
    /// A level or a filter.
    #[arg(long, env = "ASYA_LOG_LEVEL", value_name = "LEVEL", help_heading = "Observation")]
    pub log_level: Option<String>,
    /// auto, human or json.
    #[arg(long, env = "ASYA_LOG_FORMAT", value_name = "FORMAT", help_heading = "Observation")]
    pub log_format: Option<String>,
    /// Where spans are sent by OTLP/HTTP.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", help_heading = "Observation")]
    pub otlp_endpoint: Option<String>,
}

impl Args {
    /// What these variables say and nothing else: neither flags nor the environment of this process.
    pub fn of(find: impl Fn(&str) -> Option<String>) -> Self {
        let known = Self::command();
        let options =
            || known.get_arguments().filter_map(|option| Some((option.get_id(), option.get_env()?)));
        let words = options().filter_map(|(id, name)| Some(format!("--{id}={}", find(name.to_str()?)?)));
        // The same options without their variables, which would be looked for in this process.
        let bare = Command::new("asya-sidecar").no_binary_name(true).disable_help_flag(true);
        let bare = bare.args(options().map(|(id, _)| Arg::new(id).long(id.clone())));
        let found = bare.try_get_matches_from(words).expect("every word is a known option with its value");
        Self::from_arg_matches(&found).expect("every option is a text that may be missing")
    }

    /// Whether a sidecar reads this variable.
    pub fn reads(name: &str) -> bool {
        Self::command().get_arguments().any(|option| option.get_env().is_some_and(|known| known == name))
    }
}

const EXAMPLES: &str = "\
Examples:
  A sidecar beside a runtime that listens in /tmp/ocr, on queues in one file:
    ASYA_ACTOR_NAME=ocr ASYA_TRANSPORT=local ASYA_LOCAL_PATH=queues.db ASYA_SOCKET_DIR=/tmp/ocr asya-sidecar

  On RabbitMQ, three tries for what the handler raises, but not for a ValueError:
    ASYA_ACTOR_NAME=ocr ASYA_RABBITMQ_URL=amqps://user:secret@broker/prod \\
    ASYA_RETRY_ATTEMPTS=3 ASYA_RETRY_NON_RETRYABLE=ValueError asya-sidecar

Signals: the first SIGTERM or Ctrl-C drains (running work finishes within ASYA_GRACE, the rest goes back to the
queue) and exits with 0; the second one ends at once with 130, and the broker delivers again what was in hand.
Exit codes: 0 drained, 1 failed, 64 the configuration is wrong (all errors are listed), 130 ended at once.";
