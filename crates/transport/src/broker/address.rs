//! Where RabbitMQ is and which key SQS asks for: in the environment, or as files that are read again at each connect.

use std::path::PathBuf;

use asya_settings::{Secret, secret::percent_encoded};

#[cfg(any(feature = "rabbitmq", feature = "sqs"))]
use crate::Source;

/// Where RabbitMQ is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amqp {
    /// A whole address.
    Url(Secret),
    /// Its parts.
    Parts {
        /// `amqps` instead of `amqp`.
        tls: bool,
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Vhost, as the broker names it.
        vhost: String,
        /// User name.
        username: Secret,
        /// Password.
        password: Secret,
    },
}

impl Amqp {
    /// The address as it is now.
    ///
    /// # Errors
    /// A file cannot be read or is empty; says which.
    pub fn url(&self) -> Result<String, String> {
        match self {
            Self::Url(url) => url.read(),
            Self::Parts { tls, host, port, vhost, username, password } => {
                let scheme = if *tls { "amqps" } else { "amqp" };
                let (username, password) =
                    (percent_encoded(&username.read()?), percent_encoded(&password.read()?));
                let vhost = if vhost == "/" { String::new() } else { percent_encoded(vhost) };
                Ok(format!("{scheme}://{username}:{password}@{host}:{port}/{vhost}"))
            }
        }
    }

    /// For the transport: fixed, or read again at each connect where a part of it is a file.
    #[cfg(feature = "rabbitmq")]
    pub(crate) fn address(&self) -> Result<crate::rabbitmq::Address, String> {
        let from_file = |secret: &Secret| matches!(secret, Secret::File(_));
        let changes = match self {
            Self::Url(url) => from_file(url),
            Self::Parts { username, password, .. } => from_file(username) || from_file(password),
        };
        if changes {
            let amqp = self.clone();
            return Ok(Source::new(move || amqp.url()).into());
        }
        self.url().map(Into::into)
    }

    /// As logs show it: without credentials.
    pub fn shown(&self) -> String {
        match self {
            Self::Url(Secret::Plain(url)) => match (url.split_once("://"), url.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
                _ => url.clone(),
            },
            Self::Url(file) => format!("{file:?}"),
            Self::Parts { tls, host, port, vhost, username, password } => {
                format!(
                    "{}://***@{host}:{port} vhost {vhost} (user name: {username:?}, password: {password:?})",
                    if *tls { "amqps" } else { "amqp" }
                )
            }
        }
    }
}

/// An access key for SQS in two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The file with the public half.
    pub id: PathBuf,
    /// The file with the secret half.
    pub secret: PathBuf,
}

impl KeyFiles {
    /// For the transport: read again before the key that is in use is taken for too old.
    #[cfg(feature = "sqs")]
    pub(crate) fn source(&self) -> Source<crate::sqs::AccessKey> {
        let (id, secret) = (Secret::File(self.id.clone()), Secret::File(self.secret.clone()));
        Source::new(move || Ok(crate::sqs::AccessKey { id: id.read()?, secret: secret.read()? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_do_not_show_credentials() {
        let url = Amqp::Url(Secret::Plain("amqps://user:p%40ss@broker:5671/prod".to_owned()));
        assert_eq!(url.shown(), "amqps://***@broker:5671/prod");
        let parts = Amqp::Parts {
            tls: true,
            host: "broker".to_owned(),
            port: 5671,
            vhost: "prod".to_owned(),
            username: Secret::Plain("user".to_owned()),
            password: Secret::Plain("p@ss".to_owned()),
        };
        for text in [parts.shown(), format!("{parts:?}"), format!("{url:?}")] {
            assert!(!text.contains("ss@") && !text.contains("p@") && !text.contains("user:"), "{text}");
        }
    }
}
