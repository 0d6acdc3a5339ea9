//! What a PostgreSQL URL says.

use std::{path::PathBuf, time::Duration};

use tokio_postgres::{Config, config::SslMode};

use super::tls::Trust;
use crate::{StoreError, StoreOptions};

/// Data that the server does not acknowledge for this long end the connection: a host that is gone answers nothing.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
/// An idle connection is probed after this long, below what load balancers and firewalls tolerate.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// Where to connect, and whom to trust there.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) trust: Trust,
}

impl Address {
    /// Reads a URL. `sslmode` has all the values that PostgreSQL's own clients know, and `sslrootcert` is a PEM file.
    pub(super) fn parse(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root, mut rest) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => root = Some(PathBuf::from(decoded(value))),
                _ => rest.push(parameter),
            }
        }
        let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        // The URL holds a password: it is not repeated.
        let mut config: Config =
            plain.parse().map_err(|error| refuse(&format!("cannot be read: {}", super::words(&error))))?;
        let (ssl, verify) = match mode {
            Some("disable") => (SslMode::Disable, false),
            None | Some("prefer" | "allow") => (SslMode::Prefer, false),
            // Where an authority is named, it is meant to count: PostgreSQL's own clients do the same.
            Some("require") => (SslMode::Require, root.is_some()),
            Some("verify-ca" | "verify-full") => (SslMode::Require, true),
            Some(other) => return Err(refuse(&format!("has sslmode={other}, which does not exist"))),
        };
        let trust = match (verify, root) {
            (false, _) => Trust::Anybody,
            (true, Some(path)) if path.as_os_str() != "system" => Trust::File(path),
            (true, _) => Trust::System,
        };
        config.ssl_mode(ssl).connect_timeout(options.connect_timeout);
        config.tcp_user_timeout(UNACKNOWLEDGED).keepalives_idle(PROBE_AFTER);
        if config.get_application_name().is_none() {
            config.application_name("asya");
        }
        if config.get_hosts().is_empty() {
            return Err(refuse("names no host"));
        }
        Ok(Self { config, trust })
    }
}

fn refuse(what: &str) -> StoreError {
    StoreError::Refused(format!("the database's URL {what}"))
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = (first == b'%').then(|| behind.get(..2)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, StoreError> {
        Address::parse(url, &StoreOptions::default())
    }

    #[test]
    fn every_sslmode_of_postgresql_has_its_meaning() {
        let of = |query: &str| {
            let address = parse(&format!("postgres://u:p@h/d{query}")).unwrap();
            (address.config.get_ssl_mode(), address.trust)
        };
        assert_eq!(of(""), (SslMode::Prefer, Trust::Anybody));
        assert_eq!(of("?sslmode=disable"), (SslMode::Disable, Trust::Anybody));
        assert_eq!(of("?sslmode=require"), (SslMode::Require, Trust::Anybody));
        assert_eq!(of("?sslmode=verify-full"), (SslMode::Require, Trust::System));
        assert_eq!(
            of("?connect_timeout=3&sslmode=require&sslrootcert=%2Fca%20s/a.pem"),
            (SslMode::Require, Trust::File("/ca s/a.pem".into()))
        );
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for url in ["postgres://u:secret@h/d?sslmode=maybe", "postgres://u:secret@h:x/d", "postgres:///d"] {
            let error = parse(url).unwrap_err();
            assert!(matches!(&error, StoreError::Refused(_)), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
