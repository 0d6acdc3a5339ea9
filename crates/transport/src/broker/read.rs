//! What is told about brokers, under the names of the variables that all programs share.

use std::path::PathBuf;

use asya_envelope::Naming;
use asya_settings::{Reader, Secret, boolean, filled, number};

use super::{Amqp, Broker, KeyFiles};

/// The variables `ASYA_RABBITMQ_*`, as they were written.
#[derive(Clone, Debug, Default)]
pub struct RabbitmqText {
    /// Address; overrides host, port, username and password.
    pub url: Option<String>,
    /// File with the address.
    pub url_file: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// Port; 5672, with TLS 5671.
    pub port: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// File with the user name.
    pub username_file: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// File with the password.
    pub password_file: Option<String>,
    /// Virtual host.
    pub vhost: Option<String>,
    /// Whether TLS is spoken.
    pub tls: Option<String>,
    /// The topic exchange.
    pub exchange: Option<String>,
}

/// RabbitMQ, with the Go system's defaults.
pub fn rabbitmq(text: RabbitmqText, read: &mut Reader) -> Broker {
    let tls = read.or("ASYA_RABBITMQ_TLS", text.tls, false, boolean);
    let guest = || Secret::Plain("guest".to_owned());
    let parts = Amqp::Parts {
        tls,
        host: filled(text.host).unwrap_or_else(|| "localhost".to_owned()),
        port: read.or("ASYA_RABBITMQ_PORT", text.port, if tls { 5671 } else { 5672 }, number),
        vhost: filled(text.vhost).unwrap_or_else(|| "/".to_owned()),
        username: read
            .secret("ASYA_RABBITMQ_USERNAME", text.username, text.username_file)
            .unwrap_or_else(guest),
        password: read
            .secret("ASYA_RABBITMQ_PASSWORD", text.password, text.password_file)
            .unwrap_or_else(guest),
    };
    Broker::Rabbitmq {
        amqp: read.secret("ASYA_RABBITMQ_URL", text.url, text.url_file).map_or(parts, Amqp::Url),
        exchange: filled(text.exchange).unwrap_or_else(|| "asya".to_owned()),
    }
}

/// Both files of an access key for SQS, or none.
pub fn key_files(id: Option<String>, secret: Option<String>, read: &mut Reader) -> Option<KeyFiles> {
    match (filled(id).map(PathBuf::from), filled(secret).map(PathBuf::from)) {
        (Some(id), Some(secret)) => Some(KeyFiles { id, secret }),
        (None, None) => None,
        _ => {
            let both = "ASYA_SQS_ACCESS_KEY_ID_FILE and ASYA_SQS_SECRET_ACCESS_KEY_FILE";
            read.wrong(both, "only one of them is set");
            None
        }
    }
}

/// How queues are named: `asya-{actor}`, or `asya-{namespace}-{actor}`.
pub fn naming(template: Option<String>, namespace: Option<&str>, read: &mut Reader) -> Naming {
    read.or("ASYA_QUEUE_TEMPLATE", template, Naming::bare(), |text| match (text, namespace) {
        ("asya-{actor}", _) => Ok(Naming::bare()),
        ("asya-{namespace}-{actor}", Some(namespace)) => Ok(Naming::namespaced(namespace)),
        ("asya-{namespace}-{actor}", None) => {
            Err("\"asya-{namespace}-{actor}\" needs ASYA_NAMESPACE".to_owned())
        }
        (other, _) => Err(format!("{other:?} must be asya-{{actor}} or asya-{{namespace}}-{{actor}}")),
    })
}
