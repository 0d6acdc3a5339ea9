//! How the broker is reached and used.

use std::{fmt, path::PathBuf, time::Duration};

use lapin::uri::AMQPUri;

use crate::Source;

/// Exchange of the contract: every publisher, old or new, sends to it.
pub const DEFAULT_EXCHANGE: &str = "asya";
/// Publish channels. A channel waits for its whole window, so several are needed to keep the pipe full; more than this
/// brought nothing in measurements.
pub const DEFAULT_LANES: usize = 4;
/// Most publishes of one window: enough to share one round trip among all of a large credit, few enough that one slow
/// confirmation does not hold up many.
pub const DEFAULT_WINDOW: usize = 128;
/// RabbitMQ 4 refuses larger messages unless told otherwise (3.x takes up to 128 MiB).
pub const DEFAULT_MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Above the 20 deliveries after which a sidecar itself sends an envelope to error-end, so that the broker's limit only
/// catches what no sidecar can.
pub const DEFAULT_DELIVERY_LIMIT: u32 = 40;
/// How long a publish waits for a connection that is being mended before it fails: longer than a broker's restart of
/// its listener, shorter than anybody's grace period.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);
/// lapin keeps 32 frames of buffer per direction and connection; the broker's own 128 KiB would cost 16 MiB in all.
const FRAME_MAX: u32 = 32 * 1024;
/// A dead peer is noticed within two of these; the broker's own is a minute.
const HEARTBEAT_SECONDS: u16 = 20;

/// The kind of queue that `ensure` makes. Existing queues are used whatever they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// Durable classic: what the Go system makes, and the only kind that every broker has.
    #[default]
    Classic,
    /// Replicated, with a delivery count and limit of the broker's own.
    Quorum,
}

/// The broker's address with its credentials: `amqp://user:password@host:port/vhost` or `amqps://…`, parts
/// percent-encoded; also `rabbitmq://` and `rabbitmqs://`. No vhost, or an empty one, is `/`.
#[derive(Clone)]
pub enum Address {
    /// One for the whole life of the process: what is wrong with it is found at the start.
    Fixed(String),
    /// Read again at each connect, so that credentials may change. While it cannot be read, or the broker refuses what
    /// it says, the broker counts as away.
    Read(Source<String>),
}

impl From<String> for Address {
    fn from(url: String) -> Self {
        Self::Fixed(url)
    }
}

impl From<&String> for Address {
    fn from(url: &String) -> Self {
        Self::Fixed(url.clone())
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        Self::Fixed(url.to_owned())
    }
}

impl From<Source<String>> for Address {
    fn from(source: Source<String>) -> Self {
        Self::Read(source)
    }
}

impl Address {
    /// The address as it is now, parsed.
    ///
    /// # Errors
    /// A sentence without the password in it.
    pub(super) fn uri(&self) -> Result<AMQPUri, String> {
        match self {
            Self::Fixed(url) => parsed(url),
            Self::Read(source) => parsed(&source.read()?),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(url) => masked(url).fmt(f),
            Self::Read(source) => source.fmt(f),
        }
    }
}

/// How the broker is reached and used.
#[derive(Clone, Debug)]
pub struct RabbitmqConfig {
    /// Where the broker is, with credentials.
    pub address: Address,
    /// The topic exchange.
    pub exchange: String,
    /// Publish channels, at least 2.
    pub lanes: usize,
    /// Most publishes that are on their way on one channel.
    pub window: usize,
    /// Largest message in bytes.
    pub max_message: usize,
    /// The kind of queue that `ensure` makes.
    pub queue_type: QueueType,
    /// Delivery limit of quorum queues that `ensure` makes.
    pub delivery_limit: u32,
    /// Whether `ensure` gives queues a dead-letter queue. Without one, what nobody can handle stays with the sidecar that
    /// has it, and is delivered again and again.
    pub dead_letters: bool,
    /// PEM file of a certificate authority to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a publish waits for a connection that is being mended.
    pub patience: Duration,
    /// Name shown in the broker's list of connections.
    pub name: String,
}

impl RabbitmqConfig {
    /// The defaults, for the broker at this address.
    pub fn new(address: impl Into<Address>) -> Self {
        Self {
            address: address.into(),
            exchange: DEFAULT_EXCHANGE.to_owned(),
            lanes: DEFAULT_LANES,
            window: DEFAULT_WINDOW,
            max_message: DEFAULT_MAX_MESSAGE,
            queue_type: QueueType::default(),
            delivery_limit: DEFAULT_DELIVERY_LIMIT,
            dead_letters: true,
            ca_file: None,
            patience: DEFAULT_PATIENCE,
            name: "asya".to_owned(),
        }
    }
}

fn parsed(url: &str) -> Result<AMQPUri, String> {
    let wrong = |why: &str| format!("RabbitMQ address {} is not usable: {why}", masked(url));
    let known = match url.strip_prefix("rabbitmq") {
        Some(rest) if rest.starts_with("://") || rest.starts_with("s://") => format!("amqp{rest}"),
        _ => url.to_owned(),
    };
    if !(known.starts_with("amqp://") || known.starts_with("amqps://")) {
        return Err(wrong("it must begin with amqp:// or amqps://"));
    }
    let mut uri: AMQPUri = known.parse().map_err(|why: String| wrong(&why))?;
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    if let Some(host) = ipv6_host(&known) {
        uri.authority.host = host.to_owned();
    }
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

/// The host between brackets, which the parser of addresses would replace by `localhost`.
fn ipv6_host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split_once(']').map(|(host, _)| host)
}

/// The address with its password replaced.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    // A password that holds '/' unescaped: everything up to the last '@' is taken for it.
    let at = rest[..end].rfind('@').or_else(|| rest.rfind('@'));
    match at {
        Some(at) => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{}", &rest[at + 1..])
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str) -> AMQPUri {
        Address::from(url).uri().unwrap()
    }

    #[test]
    fn the_parts_of_an_address_are_percent_decoded() {
        let uri = uri("amqps://us%2Fer:p%40ss%3A@broker.example:5999/asya%2Ftest");
        assert_eq!(uri.scheme, lapin::uri::AMQPScheme::AMQPS);
        assert_eq!(uri.authority.userinfo.username, "us/er");
        assert_eq!(uri.authority.userinfo.password, "p@ss:");
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("broker.example", 5999));
        assert_eq!(uri.vhost, "asya/test");
    }

    #[test]
    fn a_missing_or_empty_vhost_is_the_default_one() {
        for url in ["amqp://h", "amqp://h/", "amqp://h/%2f", "rabbitmq://h:5672/"] {
            assert_eq!(uri(url).vhost, "/", "{url}");
        }
    }

    #[test]
    fn ipv6_hosts_and_the_other_scheme_are_understood() {
        let uri = uri("rabbitmqs://user:pass@[::1]:5671/v");
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("::1", 5671));
        assert_eq!(uri.scheme, lapin::uri::AMQPScheme::AMQPS);
        assert_eq!(uri.authority.host.parse::<std::net::IpAddr>().unwrap().to_string(), "::1");
    }

    #[test]
    fn the_password_is_never_shown() {
        for url in ["amqp://me:secret@h/v", "http://me:secret@h", "amqp://me:se/cret@h/v"] {
            let config = RabbitmqConfig::new(url);
            assert!(!format!("{config:?}").contains("cret"), "{config:?}");
            if let Err(error) = config.address.uri() {
                assert!(!error.contains("cret"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_a_sentence() {
        for url in ["", "localhost:5672", "http://h/", "amqp:h", "amqp://h:port/"] {
            let error = Address::from(url).uri().unwrap_err();
            assert!(error.contains("is not usable"), "{url}: {error}");
        }
    }

    #[test]
    fn a_source_is_read_at_each_look_and_never_shown() {
        let reads = std::sync::atomic::AtomicU16::new(0);
        let source = Source::new(move || {
            let read = reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(format!("amqp://me:secret{read}@h/v"))
        });
        let config = RabbitmqConfig::new(source);
        for expected in ["secret0", "secret1"] {
            assert_eq!(config.address.uri().unwrap().authority.userinfo.password, expected);
        }
        assert!(!format!("{config:?}").contains("cret"), "{config:?}");
    }
}
