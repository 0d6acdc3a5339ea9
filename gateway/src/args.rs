//! What the binary `asya-gateway` is told, as it is written: each option is an environment variable and a flag. Reading
//! them into types is the work of [`crate::settings`].

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Pipelines as REST and MCP tools, with live progress.
///
/// Every option can be given by the environment variable named beside it; an empty variable counts as not set.
#[derive(Parser, Clone, Debug)]
#[command(name = "asya-gateway", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Args {
    /// What the gateway is told.
    #[command(flatten)]
    pub options: Options,
    /// What else is to be done.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What is done instead of serving.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Bring the database up to date, and end
    Migrate,
    /// Check files of tools, and list the tools
    Check {
        /// A file, or a directory with .yaml and .yml files
        #[arg(value_name = "CONFIG")]
        path: PathBuf,
    },
}

macro_rules! options {
    ($($heading:literal { $($(#[doc = $help:literal])+ $field:ident $env:literal $value:literal $($hide:ident)?;)+ })+) => {
        /// Every option; each is a flag and a variable.
        #[derive(clap::Args, Clone, Debug, Default)]
        pub struct Options {
            $($(
                $(#[doc = $help])+
                #[arg(long, global = true, env = $env, value_name = $value, help_heading = $heading, hide_env_values = options!(@hide $($hide)?))]
                pub $field: Option<String>,
            )+)+
        }
    };
    (@hide) => { false };
    (@hide secret) => { true };
}

options! {
    "Serving" {
        /// Port that is listened on [default: 8080]
        port "ASYA_GATEWAY_PORT" "PORT";
        /// Address that is listened on [default: 0.0.0.0]
        bind "ASYA_GATEWAY_BIND" "IP";
        /// Address for /metrics, /healthz and /readyz, for everybody who reaches it [default: none; who may read finds
        /// /metrics on the port]
        metrics_addr "ASYA_GATEWAY_METRICS_ADDR" "ADDRESS";
        /// Address that clients reach the gateway under, where they do not by the one they call
        public_url "ASYA_GATEWAY_PUBLIC_URL" "URL";
        /// Where the page's links to logs lead. {id}, {actor} and, in milliseconds since 1970, {from} and {to} are
        /// filled in [default: no links]
        logs_url "ASYA_GATEWAY_LOGS_URL" "URL";
        /// Origins of web pages that may ask, with commas between them; https://example.com [default: the gateway's own]
        allowed_origins "ASYA_GATEWAY_ALLOWED_ORIGINS" "ORIGINS";
        /// Requests in hand at a time; more are refused with 503 [default: 1024]
        max_requests "ASYA_GATEWAY_MAX_REQUESTS" "N";
        /// Streams of events and sockets at a time; more are refused with 503 [default: 1024]
        max_streams "ASYA_GATEWAY_MAX_STREAMS" "N";
        /// Sockets of conversations that one person may have at a time; more are refused with 429 [default: 32]
        max_sockets "ASYA_GATEWAY_MAX_SOCKETS" "N";
        /// Requests a second that one principal may send, after a burst of twice as many [default: 0, no limit]
        rate_limit "ASYA_GATEWAY_RATE_LIMIT" "N";
        /// How long requests may go on after SIGTERM [default: 20s]
        grace "ASYA_GATEWAY_GRACE" "DURATION";
        /// How long requests are still taken after SIGTERM, while /readyz says no: load balancers need some time to
        /// hear it [default: 0]
        drain_delay "ASYA_GATEWAY_DRAIN_DELAY" "DURATION";
    }
    "Tools and envelopes" {
        /// File of tools, or directory of .yaml and .yml files; read again when they change [default: no tools]
        config_path "ASYA_CONFIG_PATH" "PATH";
        /// Actors that envelopes may be sent to without a tool: globs with commas between them; "none" [default: *]
        routes "ASYA_GATEWAY_ROUTES" "GLOBS";
        /// Largest envelope [default: 1Mi, on SQS 256Ki]
        max_envelope "ASYA_MAX_ENVELOPE" "BYTES";
        /// Where large payloads are kept: s3://bucket/prefix, gs://, az:// or file:///directory [default: none]
        payload_store "ASYA_PAYLOAD_STORE" "URL";
        /// Payloads of more bytes are kept there; at most half of the largest envelope [default: 256Ki]
        payload_threshold "ASYA_PAYLOAD_THRESHOLD" "BYTES";
        /// The largest payload that is kept there [default: 64Mi]
        payload_max "ASYA_PAYLOAD_MAX" "BYTES";
        /// How long it is kept there [default: 720h]
        payload_lifetime "ASYA_PAYLOAD_LIFETIME" "DURATION";
        /// The actors' namespace: sidecars of others may not report, and the queue template may need it
        namespace "ASYA_NAMESPACE" "NAME";
        /// How queues are named: asya-{actor} or asya-{namespace}-{actor} [default: asya-{actor}]
        queue_template "ASYA_QUEUE_TEMPLATE" "TEMPLATE";
        /// Actors that are shown although neither a tool nor the cluster names them, with commas between them [default:
        /// happy-end and error-end, once they have queues]
        actors "ASYA_GATEWAY_ACTORS" "NAMES";
        /// Whether the AsyncActors of a cluster are shown, with replicas and states: on, off, or auto, where there is a
        /// service account around this process [default: auto]
        kubernetes "ASYA_GATEWAY_KUBERNETES" "WORD";
        /// Namespaces of AsyncActors that are shown besides ASYA_NAMESPACE, with commas between them; * is all [default:
        /// none]
        kubernetes_namespaces "ASYA_GATEWAY_KUBERNETES_NAMESPACES" "NAMES";
        /// Whether models may look into the cluster by MCP: what there is, what happens, what is broken; for callers with
        /// the role cluster. Needs authentication [default: false]
        cluster_tools "ASYA_GATEWAY_CLUSTER_TOOLS" "BOOL";
    }
    "Agents" {
        /// Directory of AGENT.json files, one of each agent that people can talk with; read again when they change
        /// [default: no agents]
        agents_dir "ASYA_GATEWAY_AGENTS_DIR" "PATH";
        /// Private keys (Ed25519, PKCS#8 as PEM or DER) that say in whose name an agent acts: the first signs, all are told
        /// to those who check [default: one that is made once and kept in the database]
        subject_key_file "ASYA_GATEWAY_SUBJECT_KEY_FILE" "FILE";
        /// Service accounts of actors that may use /internal/v1: globs NAMESPACE/NAME with commas between them, within the
        /// namespaces that may report [default: the accounts that agents run as, and those called like shipped tools]
        internal_accounts "ASYA_GATEWAY_INTERNAL_ACCOUNTS" "GLOBS";
    }
    "Who may come" {
        /// on or off [default: on; off where only this machine is listened to and no tokens are told]
        auth "ASYA_GATEWAY_AUTH" "WORD";
        /// A token with every role
        token "ASYA_GATEWAY_TOKEN" "SECRET" secret;
        /// File with that token; read again as it changes
        token_file "ASYA_GATEWAY_TOKEN_FILE" "FILE";
        /// Tokens: a YAML or JSON list of {name, sha256 or token_file, roles: [read, send, payload, cluster, chat,
        /// approve, admin], groups}
        tokens "ASYA_GATEWAY_TOKENS" "LIST" secret;
        /// File with such a list; read again as it changes
        tokens_file "ASYA_GATEWAY_TOKENS_FILE" "FILE";
        /// Wrong credentials that may come from one address in a minute; more are refused with 429 unseen, 0 is no limit
        /// [default: 60]
        failure_limit "ASYA_GATEWAY_FAILURE_LIMIT" "N";
        /// Identity provider whose tokens are taken
        oidc_issuer "ASYA_GATEWAY_OIDC_ISSUER" "URL";
        /// For whom its tokens must be made
        oidc_audience "ASYA_GATEWAY_OIDC_AUDIENCE" "NAME";
        /// Where its keys are [default: where its discovery document says]
        oidc_jwks_url "ASYA_GATEWAY_OIDC_JWKS_URL" "URL";
        /// PEM file with authorities that its certificate is signed by [default: the system's]
        oidc_ca_file "ASYA_GATEWAY_OIDC_CA_FILE" "FILE";
        /// Claim that says the roles; dots lead into objects [default: roles]
        oidc_roles_claim "ASYA_GATEWAY_OIDC_ROLES_CLAIM" "CLAIM";
        /// Claim that says the groups that somebody is in, as the cluster may know them; dots lead into objects [default:
        /// groups]
        oidc_groups_claim "ASYA_GATEWAY_OIDC_GROUPS_CLAIM" "CLAIM";
        /// What the values of the claim of roles mean: VALUE=ROLE+ROLE with commas between them [default: the roles' own names]
        oidc_roles "ASYA_GATEWAY_OIDC_ROLES" "MAP";
    }
    "Sidecars that report" {
        /// Reports a second that may come from one address, after a burst of twice as many; 0 is no limit [default: 10000]
        callback_rate_limit "ASYA_GATEWAY_CALLBACK_RATE_LIMIT" "N";
        /// A secret that all sidecars have
        callback_token "ASYA_GATEWAY_CALLBACK_TOKEN" "SECRET" secret;
        /// File with it; read again each time
        callback_token_file "ASYA_GATEWAY_CALLBACK_TOKEN_FILE" "FILE";
        /// Issuer of tokens of service accounts; "kubernetes" is that of the cluster around this pod
        callback_issuer "ASYA_GATEWAY_CALLBACK_ISSUER" "URL";
        /// For whom these tokens must be made [default: asya-gateway]
        callback_audience "ASYA_GATEWAY_CALLBACK_AUDIENCE" "NAME";
        /// Where the issuer's keys are [default: where its discovery document says]
        callback_jwks_url "ASYA_GATEWAY_CALLBACK_JWKS_URL" "URL";
        /// Namespaces, besides the actors', whose service accounts may report, with commas between them; * is all of them
        callback_namespaces "ASYA_GATEWAY_CALLBACK_NAMESPACES" "NAMES";
        /// "legacy" takes reports from everybody, for sidecars of the Go system
        callback_auth "ASYA_GATEWAY_CALLBACK_AUTH" "WORD";
    }
    "Database" {
        /// postgres://USER:PASSWORD@HOST/DATABASE, or a file for SQLite [default: a temporary file, gone with the process]
        database_url "ASYA_DATABASE_URL" "URL" secret;
        /// File with the address
        database_url_file "ASYA_DATABASE_URL_FILE" "FILE";
        /// Password where the address has none
        database_password "PGPASSWORD" "SECRET" secret;
        /// Whether the database is brought up to date at the start [default: true]
        migrate "ASYA_GATEWAY_MIGRATE" "BOOL";
        /// Most connections [default: 10]
        db_max_conns "ASYA_DB_MAX_CONNS" "N";
        /// Accepted for the Go system's manifests: connections are made when they are needed
        db_min_conns "ASYA_DB_MIN_CONNS" "N";
        /// How old a connection may become [default: 1h]
        db_max_conn_lifetime "ASYA_DB_MAX_CONN_LIFETIME" "DURATION";
        /// How long a connection may be idle [default: 30m]
        db_max_conn_idle_time "ASYA_DB_MAX_CONN_IDLE_TIME" "DURATION";
        /// How long envelopes are kept after their end; 0 is for ever [default: 0]
        keep_envelopes "ASYA_GATEWAY_KEEP_ENVELOPES" "DURATION";
        /// How long their updates are [default: 24h]
        keep_updates "ASYA_GATEWAY_KEEP_UPDATES" "DURATION";
        /// How long dead letters are, replayed or not [default: 0]
        keep_dead_letters "ASYA_GATEWAY_KEEP_DEAD_LETTERS" "DURATION";
        /// How long the audit log is [default: 0]
        keep_audit "ASYA_GATEWAY_KEEP_AUDIT" "DURATION";
        /// How long conversations in which nothing runs are, after what happened last [default: 0]
        keep_sessions "ASYA_GATEWAY_KEEP_SESSIONS" "DURATION";
    }
    "Queues" {
        /// rabbitmq, sqs or local [default: sqs if its endpoint is given or RabbitMQ is not, else rabbitmq]
        transport "ASYA_TRANSPORT" "KIND";
        /// Address of RabbitMQ; overrides host, port, username and password
        rabbitmq_url "ASYA_RABBITMQ_URL" "URL" secret;
        /// File with the address; read again at each connect
        rabbitmq_url_file "ASYA_RABBITMQ_URL_FILE" "FILE";
        /// Host of RabbitMQ
        rabbitmq_host "ASYA_RABBITMQ_HOST" "HOST";
        /// Its port; 5672, with TLS 5671
        rabbitmq_port "ASYA_RABBITMQ_PORT" "PORT";
        /// User name
        rabbitmq_username "ASYA_RABBITMQ_USERNAME" "NAME";
        /// File with the user name
        rabbitmq_username_file "ASYA_RABBITMQ_USERNAME_FILE" "FILE";
        /// Password
        rabbitmq_password "ASYA_RABBITMQ_PASSWORD" "SECRET" secret;
        /// File with the password
        rabbitmq_password_file "ASYA_RABBITMQ_PASSWORD_FILE" "FILE";
        /// Virtual host
        rabbitmq_vhost "ASYA_RABBITMQ_VHOST" "NAME";
        /// Whether RabbitMQ is spoken to by TLS
        rabbitmq_tls "ASYA_RABBITMQ_TLS" "BOOL";
        /// The topic exchange [default: asya]
        rabbitmq_exchange "ASYA_RABBITMQ_EXCHANGE" "NAME";
        /// Accepted for the Go system's manifests: one connection carries everything
        rabbitmq_pool_size "ASYA_RABBITMQ_POOL_SIZE" "N";
        /// Address of another SQS-compatible server
        sqs_endpoint "ASYA_SQS_ENDPOINT" "URL";
        /// AWS region [default: us-east-1]
        sqs_region "ASYA_SQS_REGION" "REGION";
        /// File with the access key's id [default: the standard chain of AWS]
        sqs_access_key_id_file "ASYA_SQS_ACCESS_KEY_ID_FILE" "FILE";
        /// File with the secret access key
        sqs_secret_access_key_file "ASYA_SQS_SECRET_ACCESS_KEY_FILE" "FILE";
        /// Seconds that a received message stays hidden [default: 300]
        sqs_visibility_timeout "ASYA_SQS_VISIBILITY_TIMEOUT" "SECONDS";
        /// Seconds that one receive waits, at most 20 [default: 20]
        sqs_wait_time_seconds "ASYA_SQS_WAIT_TIME_SECONDS" "SECONDS";
        /// The queue file of the local transport
        local_path "ASYA_LOCAL_PATH" "FILE";
    }
    "Observation" {
        /// A level or a filter [default: info]
        log_level "ASYA_LOG_LEVEL" "LEVEL";
        /// auto, human or json [default: json]
        log_format "ASYA_LOG_FORMAT" "FORMAT";
        /// Where spans are sent by OTLP/HTTP
        otlp_endpoint "OTEL_EXPORTER_OTLP_ENDPOINT" "URL";
    }
}

const EXAMPLES: &str = "\
Examples:
  For this machine only, beside `asya up`, without tokens:
    asya-gateway --bind 127.0.0.1 --transport local --local-path .asya/queue.db --config-path tools.yaml

  On RabbitMQ and PostgreSQL, for whoever has the token in the file:
    ASYA_RABBITMQ_URL=amqp://user:secret@broker ASYA_DATABASE_URL=postgres://user:secret@db/asya \\
    ASYA_CONFIG_PATH=/config ASYA_GATEWAY_TOKEN_FILE=/secrets/token asya-gateway

  Before a roll-out: is the file good? And the database up to date?
    asya-gateway check tools.yaml && ASYA_DATABASE_URL=postgres://... asya-gateway migrate

Signals: the first SIGTERM or Ctrl-C drains (no new connections, requests end within the grace period, streams are
told to come back, what was accepted is sent) and exits with 0; the second one ends at once with 130, and what was
accepted is sent at the next start.
Exit codes: 0 ended in order, 1 failed, 64 the configuration is wrong (all errors are listed), 130 ended at once.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_and_help_fit_together() {
        Args::command().debug_assert();
    }
}
