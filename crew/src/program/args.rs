//! What the program is told, as it is written: the sidecar's options, and those of the actors.

use clap::Parser;

/// Runs one of the actors shipped with asya: it reads the actor's queue itself, without a sidecar and a runtime.
///
/// Every option can be given by the environment variable named beside it; an empty variable counts as not set.
#[derive(Parser, Clone, Debug, Default)]
#[command(name = "asya-crew", version, after_help = EXAMPLES)]
#[group(id = "crew")]
pub struct Args {
    /// Which actor: happy-end, error-end, fan-in, schedule, park, http-call, http-get, k8s-watch, k8s-analyze, custom,
    /// findings, results, explain, remedy, notify, approval, k8s-write, helm, agent, k8s-read or analyze. Else
    /// ASYA_HANDLER says it (asya_crew.happy_end, ...), else the actor's name.
    #[arg(value_name = "ACTOR")]
    pub kind: Option<String>,
    /// The handler of the manifest.
    #[arg(long, env = "ASYA_HANDLER", value_name = "NAME")]
    pub handler: Option<String>,

    /// Bucket for the records of the end actors; without it, and without a URL, nothing is stored.
    #[arg(long, env = "ASYA_S3_BUCKET", value_name = "NAME", help_heading = "Records")]
    pub s3_bucket: Option<String>,
    /// Address of an S3 server that is not AWS.
    #[arg(long, env = "ASYA_S3_ENDPOINT", value_name = "URL", help_heading = "Records")]
    pub s3_endpoint: Option<String>,
    /// Access key's id. Without it: minioadmin with an endpoint, else the standard chain of AWS.
    #[arg(long, env = "ASYA_S3_ACCESS_KEY", value_name = "ID", help_heading = "Records")]
    pub s3_access_key: Option<String>,
    /// Secret access key.
    #[arg(
        long,
        env = "ASYA_S3_SECRET_KEY",
        hide_env_values = true,
        value_name = "SECRET",
        help_heading = "Records"
    )]
    pub s3_secret_key: Option<String>,
    /// What keys of results begin with.
    #[arg(long, env = "ASYA_S3_RESULTS_PREFIX", value_name = "PREFIX", help_heading = "Records")]
    pub s3_results_prefix: Option<String>,
    /// What keys of errors begin with.
    #[arg(long, env = "ASYA_S3_ERRORS_PREFIX", value_name = "PREFIX", help_heading = "Records")]
    pub s3_errors_prefix: Option<String>,
    /// Region of the bucket.
    #[arg(long, env = "AWS_REGION", value_name = "REGION", help_heading = "Records")]
    pub s3_region: Option<String>,
    /// Another place: file:///DIR, s3://BUCKET, gs://BUCKET or az://CONTAINER.
    #[arg(long, env = "ASYA_RECORDS_URL", value_name = "URL", help_heading = "Records")]
    pub records_url: Option<String>,
    /// Names of fan-in actors, separated by commas: they are told of parts that will not come.
    #[arg(long, env = "ASYA_FAN_IN_ACTORS", value_name = "NAMES", help_heading = "Records")]
    pub fan_in_actors: Option<String>,

    /// error-end: runs in all, those of the sidecar's policy included; 1 = error-end tries nothing again.
    #[arg(long, env = "ASYA_ERROR_RETRY_ATTEMPTS", value_name = "N", help_heading = "Failures")]
    pub error_retry_attempts: Option<String>,
    /// error-end: codes for which a later try may help, separated by commas.
    #[arg(long, env = "ASYA_ERROR_RETRY_CODES", value_name = "CODES", help_heading = "Failures")]
    pub error_retry_codes: Option<String>,
    /// error-end: pause before the first try of its own.
    #[arg(long, env = "ASYA_ERROR_RETRY_INITIAL_DELAY", value_name = "DURATION", help_heading = "Failures")]
    pub error_retry_initial_delay: Option<String>,
    /// error-end: longest pause.
    #[arg(long, env = "ASYA_ERROR_RETRY_MAX_DELAY", value_name = "DURATION", help_heading = "Failures")]
    pub error_retry_max_delay: Option<String>,

    /// Database for what actors keep and for dead letters: postgres://... or a SQLite file. Dead letters go to the
    /// gateway where there is none.
    #[arg(
        long,
        env = "ASYA_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "State"
    )]
    pub database_url: Option<String>,

    /// What an actor is told that is no end actor.
    #[command(flatten)]
    pub work: super::work::Args,

    /// Whether this program removes payloads that are older than ASYA_PAYLOAD_LIFETIME from the payload store; not needed
    /// where the bucket has a rule for it.
    #[arg(long, env = "ASYA_PAYLOAD_SWEEP", value_name = "BOOL", help_heading = "Large payloads")]
    pub payload_sweep: Option<String>,

    /// Those of the engine around the actor.
    #[command(flatten)]
    pub sidecar: asya_sidecar::args::Args,
}

const EXAMPLES: &str = "\
Examples:
  Results into a bucket of MinIO:
    ASYA_TRANSPORT=rabbitmq ASYA_S3_BUCKET=asya ASYA_S3_ENDPOINT=http://minio:9000 asya-crew happy-end

  Failures into a directory, each tried twice more, a minute apart:
    ASYA_RECORDS_URL=file:///var/lib/asya ASYA_ERROR_RETRY_ATTEMPTS=3 ASYA_ERROR_RETRY_INITIAL_DELAY=1m asya-crew error-end

  Each envelope as a POST, with a token from a file:
    ASYA_HTTP_ENDPOINT='https://api.example.com/orders/{payload.order}' \\
    ASYA_HTTP_HEADERS='{\"Authorization\": \"Bearer {file:/run/secrets/token}\"}' asya-crew http-call

Signals: the first SIGTERM or Ctrl-C drains and exits with 0; the second one ends at once with 130.
Exit codes: 0 drained, 1 failed, 64 the configuration is wrong (all errors are listed), 130 ended at once.";
