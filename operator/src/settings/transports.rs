//! The brokers that actors may name.
//!
//! | module | holds |
//! |---|---|
//! | [`parse()`] | `ASYA_TRANSPORT_CONFIG` read into [`Transport`]s |
//! | [`address`] | addresses with credentials in them |
//! | [`credentials`] | [`Credentials`]: which Secret and keys an actor's namespace uses |

pub mod address;
pub mod credentials;
mod fields;
mod parse;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

pub use credentials::Credentials;
pub use parse::{Parsed, parse};

/// One broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Transport {
    /// The name that actors give in `spec.transport`.
    pub name: String,
    /// Off: actors that name it get a condition.
    pub enabled: bool,
    /// Which kind, and how it is reached.
    pub kind: Kind,
    /// False: queues must exist already.
    pub auto_create: bool,
    /// Namespaces that the operator writes the credentials into.
    pub project_to: Vec<String>,
    /// Where the operator's own credentials are, one file per key of the Secret.
    pub secrets: PathBuf,
}

/// The kinds of broker.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// RabbitMQ.
    Rabbitmq(Rabbitmq),
    /// SQS or a compatible server.
    Sqs(Sqs),
}

impl Kind {
    /// The word that sidecars are given as `ASYA_TRANSPORT`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Rabbitmq(_) => "rabbitmq",
            Self::Sqs(_) => "sqs",
        }
    }
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key within it.
    pub key: String,
}

/// How RabbitMQ is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rabbitmq {
    /// Host.
    pub host: String,
    /// Port of AMQP.
    pub port: u16,
    /// Virtual host.
    pub vhost: String,
    /// Whether AMQP is spoken over TLS.
    pub tls: bool,
    /// User.
    pub username: String,
    /// Where the password is; `None` = the user's name is the password (guest).
    pub password: Option<SecretKey>,
    /// Topic exchange that queues are bound to.
    pub exchange: String,
    /// Base address of the management API, without credentials and without a slash at its end.
    pub management_url: Option<String>,
    /// Where the password is that the same user has for the management API, if it differs.
    pub management_password: Option<SecretKey>,
    /// Whether each namespace gets a user of its own.
    pub per_namespace_users: bool,
    /// Whether queues have a dead-letter queue.
    pub dead_letters: bool,
}

/// How SQS is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sqs {
    /// Region.
    pub region: String,
    /// Account, needed by KEDA's queue address.
    pub account: Option<String>,
    /// Another server than AWS, without a slash at its end.
    pub endpoint: Option<String>,
    /// Role that actors' pods assume.
    pub actor_role: Option<String>,
    /// Seconds that a received message stays hidden; 0 = twice the actor's processing timeout.
    pub visibility_timeout: u32,
    /// Seconds that one receive waits.
    pub wait_time_seconds: u32,
    /// Static keys: access key id and secret.
    pub credentials: Option<(SecretKey, SecretKey)>,
    /// Deliveries before a message goes to the dead-letter queue; `None` = no dead-letter queue.
    pub max_receive_count: Option<u32>,
    /// Days that dead letters are kept.
    pub retention_days: u32,
    /// Tags of queues, beside those that say whose they are; these win.
    pub tags: BTreeMap<String, String>,
}
