//! What the binary is told, read into types. All errors are found before any is reported.
//!
//! | module | holds |
//! |---|---|
//! | [`access`] | who may come, and how that is found out |
//! | [`agents`] | agents that people can talk with, and who may act for them |

pub mod access;
pub mod agents;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use asya_envelope::{ActorName, Limits, Naming, limits::ERROR_RESERVE, name::MAX_ACTOR_NAME};
use asya_payload::settings::PayloadText;
pub use asya_settings::Errors;
use asya_settings::{Reader, Secret, boolean, filled, list, number, positive_duration, units};
use asya_store::{StoreOptions, envelopes::Retention};
use asya_telemetry::{log, server};
use asya_transport::{
    Broker,
    broker::read::{RabbitmqText, key_files, naming, rabbitmq},
};

use crate::{actors::kubernetes::Wish, args::Options, service::Rules};
use access::Access;
use agents::Agents;

/// As the Go system's.
const DEFAULT_PORT: u16 = 8080;
/// Enough for every client of a busy gateway, and far below what the process may have open.
const DEFAULT_REQUESTS: usize = 1024;
/// More pages than one person looks at, and a small part of the streams that there are for all.
const DEFAULT_SOCKETS: usize = 32;
/// Below the 30 s that a pod is given.
const DEFAULT_GRACE: Duration = Duration::from_secs(20);

/// What the binary does, completely.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is listened on.
    pub address: SocketAddr,
    /// Where metrics and probes are served besides.
    pub observed: Option<SocketAddr>,
    /// Who may come.
    pub access: Access,
    /// Requests in hand at a time.
    pub max_requests: usize,
    /// Streams of events and sockets at a time.
    pub max_streams: usize,
    /// Sockets of conversations that one person may have at a time.
    pub max_sockets: usize,
    /// How long requests may go on after a signal.
    pub grace: Duration,
    /// How long they are still taken after it.
    pub drain_delay: Duration,
    /// Where tools are declared.
    pub config: Option<PathBuf>,
    /// Agents that people can talk with.
    pub agents: Agents,
    /// What is allowed.
    pub rules: Rules,
    /// How queues are named.
    pub naming: Naming,
    /// Where they are.
    pub broker: Broker,
    /// Actors that are shown although no tool names them.
    pub actors: Vec<String>,
    /// Which actors of a cluster are shown, if any.
    pub kubernetes: Option<Wish>,
    /// Whether models may look into the cluster.
    pub cluster_tools: bool,
    /// The database.
    pub database: Database,
    /// What is deleted, and when.
    pub retention: Retention,
    /// Which log lines are written.
    pub log_filter: String,
    /// How they look.
    pub log_format: log::Format,
    /// Where spans are sent.
    pub otlp: Option<String>,
}

/// The database.
#[derive(Clone)]
pub struct Database {
    /// Its address; `None`: a temporary file.
    pub url: Option<Secret>,
    /// A password for an address that has none.
    pub password: Option<String>,
    /// How it is opened.
    pub options: StoreOptions,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// The address with its password.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn address(&self) -> Result<Option<String>, String> {
        let Some(url) = &self.url else { return Ok(None) };
        let url = url.read()?;
        let Some(password) = &self.password else { return Ok(Some(url)) };
        let Some((scheme @ ("postgres" | "postgresql"), rest)) = url.split_once("://") else {
            return Ok(Some(url));
        };
        let with = match rest.split_once('@') {
            Some((user, place)) if !user.contains(':') => {
                format!("{scheme}://{user}:{}@{place}", asya_settings::secret::percent_encoded(password))
            }
            _ => url,
        };
        Ok(Some(with))
    }

    fn read(options: &Options, read: &mut Reader) -> Self {
        let defaults = StoreOptions::default();
        let Options {
            migrate, db_max_conns, db_min_conns, db_max_conn_lifetime, db_max_conn_idle_time, ..
        } = options.clone();
        read.or("ASYA_DB_MIN_CONNS", db_min_conns, 0, number::<u32>);
        let lifetime = ("ASYA_DB_MAX_CONN_LIFETIME", db_max_conn_lifetime, defaults.max_lifetime);
        let idle = ("ASYA_DB_MAX_CONN_IDLE_TIME", db_max_conn_idle_time, defaults.max_idle);
        let [max_lifetime, max_idle] =
            [lifetime, idle].map(|(name, text, default)| read.or(name, text, default, positive_duration));
        Self {
            url: read.secret(
                "ASYA_DATABASE_URL",
                options.database_url.clone(),
                options.database_url_file.clone(),
            ),
            password: filled(options.database_password.clone()),
            options: StoreOptions {
                migrate: read.or("ASYA_GATEWAY_MIGRATE", migrate, true, boolean),
                connections: read.or("ASYA_DB_MAX_CONNS", db_max_conns, defaults.connections, at_least_one),
                max_lifetime,
                max_idle,
                ..defaults
            },
        }
    }
}

/// What `migrate` needs: the rest may be missing or wrong.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The database.
    pub database: Database,
    /// Which log lines are written.
    pub log_filter: String,
    /// How they look.
    pub log_format: log::Format,
}

impl Migration {
    /// Reads the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(options: &Options) -> Result<Self, Errors> {
        let mut read = Reader::default();
        let database = Database::read(options, &mut read);
        if database.url.is_none() {
            read.wrong("ASYA_DATABASE_URL", "is required: a temporary file needs no migration");
        }
        let (log_filter, log_format) = logging(options, &mut read);
        read.done(Self { database, log_filter, log_format })
    }
}

impl Settings {
    /// Reads the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(options: &Options) -> Result<Self, Errors> {
        let mut read = Reader::default();
        let all = options.clone();
        let port = read.or("ASYA_GATEWAY_PORT", all.port, DEFAULT_PORT, number);
        let ip = read.or("ASYA_GATEWAY_BIND", all.bind, IpAddr::V4(Ipv4Addr::UNSPECIFIED), |text| {
            let plain = text.trim_start_matches('[').trim_end_matches(']');
            plain
                .parse()
                .map_err(|_| format!("{text:?} must be an address such as 127.0.0.1, without a port"))
        });
        let address = SocketAddr::new(ip, port);
        let observed = read.or("ASYA_GATEWAY_METRICS_ADDR", all.metrics_addr, None, |text| {
            server::parse_address(text).map(Some)
        });
        if observed == Some(address) && port != 0 {
            read.wrong("ASYA_GATEWAY_METRICS_ADDR", "is the address of everything else");
        }
        let issuer = filled(all.callback_issuer);
        let namespace =
            filled(all.namespace).or_else(|| issuer.as_ref().and_then(|_| access::own_namespace()));
        let naming = naming(all.queue_template, namespace.as_deref(), &mut read);
        let broker = broker(options, &mut read);
        let mut limits = Limits::default();
        // Larger ones could be stored, and never be sent.
        if matches!(broker, Broker::Sqs { .. }) {
            limits.max_envelope = limits.max_envelope.min(SQS_LARGEST);
        }
        limits.max_envelope = read.or("ASYA_MAX_ENVELOPE", all.max_envelope, limits.max_envelope, |text| {
            let least = 2 * ERROR_RESERVE;
            let size = units::bytes(text)?;
            if size >= least { Ok(size) } else { Err(format!("{text} must be at least {least} bytes")) }
        });
        let routes = read.or("ASYA_GATEWAY_ROUTES", all.routes, vec!["*".to_owned()], |text| match text {
            "none" => Ok(Vec::new()),
            globs => list(globs),
        });
        let logs = read.or("ASYA_GATEWAY_LOGS_URL", all.logs_url, None, |text| access::web(text).map(Some));
        let reporters =
            read.or("ASYA_GATEWAY_CALLBACK_NAMESPACES", all.callback_namespaces, Vec::new(), list);
        if issuer.is_none() && !reporters.is_empty() {
            read.wrong(
                "ASYA_GATEWAY_CALLBACK_NAMESPACES",
                "needs ASYA_GATEWAY_CALLBACK_ISSUER: only tokens of service accounts tell a namespace",
            );
        }
        if issuer.is_some() && namespace.is_none() && reporters.is_empty() {
            read.wrong(
                "ASYA_NAMESPACE",
                "is required by ASYA_GATEWAY_CALLBACK_ISSUER: sidecars report on envelopes of their own namespace",
            );
        }
        let (log_filter, log_format) = logging(options, &mut read);
        let payloads = PayloadText {
            store: all.payload_store,
            threshold: all.payload_threshold,
            most: all.payload_max,
            lifetime: all.payload_lifetime,
        };
        let settings = Self {
            address,
            observed,
            access: Access::read(options, address.ip(), &mut read),
            max_requests: read.or(
                "ASYA_GATEWAY_MAX_REQUESTS",
                all.max_requests,
                DEFAULT_REQUESTS,
                at_least_one,
            ),
            max_streams: read.or("ASYA_GATEWAY_MAX_STREAMS", all.max_streams, DEFAULT_REQUESTS, at_least_one),
            max_sockets: read.or("ASYA_GATEWAY_MAX_SOCKETS", all.max_sockets, DEFAULT_SOCKETS, at_least_one),
            grace: read.or("ASYA_GATEWAY_GRACE", all.grace, DEFAULT_GRACE, units::duration),
            drain_delay: read.or(
                "ASYA_GATEWAY_DRAIN_DELAY",
                all.drain_delay,
                Duration::ZERO,
                units::duration,
            ),
            config: filled(all.config_path).map(PathBuf::from),
            agents: Agents::read(options),
            rules: Rules {
                routes,
                limits,
                namespace,
                reporters,
                internal: agents::internal(options, issuer.is_some(), &mut read),
                payloads: payloads.claims(&mut read),
                logs,
            },
            naming,
            broker,
            actors: read.or("ASYA_GATEWAY_ACTORS", all.actors, Vec::new(), actors),
            kubernetes: kubernetes(all.kubernetes, all.kubernetes_namespaces, &mut read),
            cluster_tools: read.or("ASYA_GATEWAY_CLUSTER_TOOLS", all.cluster_tools, false, boolean),
            database: Database::read(options, &mut read),
            retention: retention(options, &mut read),
            log_filter,
            log_format,
            otlp: filled(all.otlp_endpoint),
        };
        if settings.cluster_tools && settings.access.open && !address.ip().is_loopback() {
            read.wrong(
                "ASYA_GATEWAY_CLUSTER_TOOLS",
                "is on, and nobody is asked who they are: whoever reaches this address could look into the cluster",
            );
        }
        read.done(settings)
    }
}

fn actors(text: &str) -> Result<Vec<String>, String> {
    let names = list(text)?;
    let wrong = names.iter().find_map(|name| ActorName::parse(name).err());
    wrong.map_or(Ok(names), |error| Err(error.to_string()))
}

fn kubernetes(word: Option<String>, namespaces: Option<String>, read: &mut Reader) -> Option<Wish> {
    let names = read.or("ASYA_GATEWAY_KUBERNETES_NAMESPACES", namespaces, Vec::new(), |text| {
        let names = list(text)?;
        match names.iter().find(|name| *name != "*" && !is_label(name)) {
            Some(name) => Err(format!("{name:?} must be the name of a namespace, or *")),
            None => Ok(names),
        }
    });
    let everywhere = names.iter().any(|name| name == "*");
    let wish = |always| Some(Wish { always, namespaces: names.clone(), everywhere });
    read.or("ASYA_GATEWAY_KUBERNETES", word, wish(false), |text| match text {
        "auto" => Ok(wish(false)),
        "on" => Ok(wish(true)),
        "off" => Ok(None),
        other => Err(format!("{other:?} must be auto, on or off")),
    })
}

/// Whether it may be the name of a namespace.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ACTOR_NAME
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Largest message of SQS.
const SQS_LARGEST: usize = 256 * 1024;

/// SQS if its endpoint is given or RabbitMQ is not, as in the Go system; unless `ASYA_TRANSPORT` says which.
fn broker(options: &Options, read: &mut Reader) -> Broker {
    let all = options.clone();
    read.or("ASYA_RABBITMQ_POOL_SIZE", all.rabbitmq_pool_size, 0, number::<u32>);
    let has_endpoint = filled(all.sqs_endpoint.clone()).is_some();
    let has_rabbitmq = [&all.rabbitmq_url, &all.rabbitmq_url_file, &all.rabbitmq_host]
        .into_iter()
        .any(|text| filled(text.clone()).is_some());
    let text = RabbitmqText {
        url: all.rabbitmq_url,
        url_file: all.rabbitmq_url_file,
        host: all.rabbitmq_host,
        port: all.rabbitmq_port,
        username: all.rabbitmq_username,
        username_file: all.rabbitmq_username_file,
        password: all.rabbitmq_password,
        password_file: all.rabbitmq_password_file,
        vhost: all.rabbitmq_vhost,
        tls: all.rabbitmq_tls,
        exchange: all.rabbitmq_exchange,
    };
    let rabbitmq = rabbitmq(text, read);
    let seconds = |text: &str| number::<u64>(text).map(Duration::from_secs);
    let sqs = Broker::Sqs {
        key: key_files(all.sqs_access_key_id_file, all.sqs_secret_access_key_file, read),
        endpoint: filled(all.sqs_endpoint),
        region: Some(filled(all.sqs_region).unwrap_or_else(|| "us-east-1".to_owned())),
        visibility: read.or(
            "ASYA_SQS_VISIBILITY_TIMEOUT",
            all.sqs_visibility_timeout,
            Duration::from_secs(300),
            seconds,
        ),
        wait: read.or(
            "ASYA_SQS_WAIT_TIME_SECONDS",
            all.sqs_wait_time_seconds,
            Duration::from_secs(20),
            seconds,
        ),
    };
    let local = filled(all.local_path).map(|path| Broker::Local { path: path.into() });
    let default = if has_endpoint || !has_rabbitmq { sqs.clone() } else { rabbitmq.clone() };
    read.or("ASYA_TRANSPORT", all.transport, default, |text| match text {
        "rabbitmq" => Ok(rabbitmq),
        "sqs" => Ok(sqs),
        "local" => local.ok_or_else(|| "\"local\" needs ASYA_LOCAL_PATH, the queue file".to_owned()),
        other => Err(format!("{other:?} must be rabbitmq, sqs or local")),
    })
}

fn retention(options: &Options, read: &mut Reader) -> Retention {
    let defaults = Retention::default();
    let mut keep = |name, text: &Option<String>, default| {
        read.or(name, text.clone(), default, |text| {
            units::duration(text).map(|age| (!age.is_zero()).then_some(age))
        })
    };
    let dead = keep("ASYA_GATEWAY_KEEP_DEAD_LETTERS", &options.keep_dead_letters, defaults.dead);
    Retention {
        envelopes: keep("ASYA_GATEWAY_KEEP_ENVELOPES", &options.keep_envelopes, defaults.envelopes),
        updates: keep("ASYA_GATEWAY_KEEP_UPDATES", &options.keep_updates, defaults.updates),
        replayed: dead,
        dead,
        audit: keep("ASYA_GATEWAY_KEEP_AUDIT", &options.keep_audit, defaults.audit),
        sessions: keep("ASYA_GATEWAY_KEEP_SESSIONS", &options.keep_sessions, defaults.sessions),
    }
}

fn logging(options: &Options, read: &mut Reader) -> (String, log::Format) {
    let filter = read.or("ASYA_LOG_LEVEL", options.log_level.clone(), "info".to_owned(), |text| {
        log::filter(text).map(|_| text.to_owned())
    });
    let format =
        read.or("ASYA_LOG_FORMAT", options.log_format.clone(), log::Format::Json, log::Format::parse);
    (filter, format)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let value = number(text)?;
    if value > 0 { Ok(value) } else { Err(format!("{text:?} must be at least 1")) }
}
