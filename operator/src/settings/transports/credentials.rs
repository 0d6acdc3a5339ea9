//! Which Secret an actor's pods and its scaler take the transport's credentials from.

use super::{Kind, SecretKey, Transport};
use crate::actor::{Actor, SECRET_ANNOTATION};

/// Key of the user's name in Secrets that we write, and in those that an annotation names.
pub const USERNAME: &str = "username";
/// Key of the password there.
pub const PASSWORD: &str = "password";
/// Key of the full AMQP address there; only in Secrets that we write.
pub const URL: &str = "url";
/// Key of the management API's address with credentials; only in Secrets that we write, if there is such an API.
pub const MANAGEMENT_URL: &str = "management-url";
/// Key of the access key's id in Secrets that we write, and in those that an annotation names.
pub const ACCESS_KEY_ID: &str = "access-key-id";
/// Key of the secret access key there.
pub const SECRET_ACCESS_KEY: &str = "secret-access-key";
/// What the names of Secrets that we write begin with; the transport's name follows. An admission policy of the chart
/// lets the operator write no others.
pub const PROJECTED_PREFIX: &str = "asya-transport-";

/// Where an actor's pods find credentials, all in the actor's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// None are needed: the guest of RabbitMQ, or the pod's cloud identity.
    None,
    /// A user of RabbitMQ.
    Rabbitmq {
        /// Key with the user's name; `None` = the name in the transport's configuration.
        username: Option<SecretKey>,
        /// Key with the password.
        password: SecretKey,
        /// Key with the full AMQP address, vhost and TLS included.
        url: Option<SecretKey>,
        /// Key with the full address of the management API.
        management_url: Option<SecretKey>,
    },
    /// Static keys of AWS.
    Sqs {
        /// Key with the access key's id.
        access_key_id: SecretKey,
        /// Key with the secret access key.
        secret_access_key: SecretKey,
    },
}

impl Transport {
    /// Name of the Secret that [`credentials_for`](Self::credentials_for) reads; the first one, where a configuration
    /// spreads the keys of SQS over two.
    pub fn secret_for(&self, actor: &Actor) -> Option<String> {
        match self.credentials_for(actor) {
            Credentials::None => None,
            Credentials::Rabbitmq { password, .. } => Some(password.name),
            Credentials::Sqs { access_key_id, .. } => Some(access_key_id.name),
        }
    }

    /// The Secret and keys that an actor uses: the Secret that its annotation names, else the one that we write into
    /// its namespace, else the one of the configuration, which then must exist in its namespace too.
    pub fn credentials_for(&self, actor: &Actor) -> Credentials {
        let annotated = actor.annotations.get(SECRET_ANNOTATION).filter(|name| !name.is_empty());
        if let Some(name) = annotated {
            return self.with_our_keys(name, false);
        }
        if self.projects_to(&actor.namespace) {
            return self.with_our_keys(&self.projected_secret(), true);
        }
        match &self.kind {
            Kind::Rabbitmq(rabbitmq) => match &rabbitmq.password {
                Some(password) => Credentials::Rabbitmq {
                    username: None,
                    password: password.clone(),
                    url: None,
                    management_url: None,
                },
                None => Credentials::None,
            },
            Kind::Sqs(sqs) => match &sqs.credentials {
                Some((id, secret)) => {
                    Credentials::Sqs { access_key_id: id.clone(), secret_access_key: secret.clone() }
                }
                None => Credentials::None,
            },
        }
    }

    /// Whether the operator writes the credentials into this namespace.
    pub fn projects_to(&self, namespace: &str) -> bool {
        self.project_to.iter().any(|listed| listed == namespace)
    }

    /// Whether each namespace that is listed gets a user of its own.
    pub fn per_namespace_users(&self) -> bool {
        matches!(&self.kind, Kind::Rabbitmq(rabbitmq) if rabbitmq.per_namespace_users)
    }

    /// Name of the Secret that the operator writes into namespaces that are listed.
    pub fn projected_secret(&self) -> String {
        format!("{PROJECTED_PREFIX}{}", self.name)
    }

    fn with_our_keys(&self, secret: &str, written_by_us: bool) -> Credentials {
        let key = |key: &str| SecretKey { name: secret.to_owned(), key: key.to_owned() };
        match &self.kind {
            Kind::Rabbitmq(rabbitmq) => Credentials::Rabbitmq {
                username: Some(key(USERNAME)),
                password: key(PASSWORD),
                url: written_by_us.then(|| key(URL)),
                management_url: (written_by_us && rabbitmq.management_url.is_some())
                    .then(|| key(MANAGEMENT_URL)),
            },
            Kind::Sqs(_) => Credentials::Sqs {
                access_key_id: key(ACCESS_KEY_ID),
                secret_access_key: key(SECRET_ACCESS_KEY),
            },
        }
    }
}
