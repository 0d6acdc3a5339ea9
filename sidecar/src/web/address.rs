//! Where a server of the same pod listens.

use std::{fmt, net::IpAddr};

use hyper::Uri;

/// Port of `http://` addresses that name none.
const DEFAULT_PORT: u16 = 80;

/// An address `http://HOST:PORT/PATH` whose host is this pod: loopback, or a name without dots. Payloads go over it
/// unencrypted, and nothing on the way may be told that it is us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress {
    uri: Uri,
    host: String,
    port: u16,
}

impl WebAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence with the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} {why}");
        if !text.starts_with("http://") {
            return Err(wrong("must begin with http://"));
        }
        let uri = text.parse::<Uri>().map_err(|error| wrong(&format!("is not an address: {error}")))?;
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("must not contain a user"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let here = match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            // What begins with a digit could be a number that resolvers take for an address.
            Err(_) => host.starts_with(|c: char| c.is_ascii_alphabetic()) && !host.contains('.'),
        };
        if !here {
            return Err(wrong("must name this pod: localhost, 127.0.0.1, [::1] or a name without dots"));
        }
        let port = match (authority.port_u16(), authority.as_str().rsplit_once(':')) {
            (Some(port @ 1..), _) => port,
            (None, None) => DEFAULT_PORT,
            // `[::1]` ends in no port, though it has colons.
            (None, Some((_, rest))) if rest.ends_with(']') => DEFAULT_PORT,
            _ => return Err(wrong("must have a port from 1 to 65535")),
        };
        Ok(Self { uri, host, port })
    }

    /// What a request is sent to.
    pub(super) fn uri(&self) -> Uri {
        self.uri.clone()
    }

    /// What is connected to.
    pub(super) fn socket(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_pod_are_read() {
        for (text, host, port) in [
            ("http://127.0.0.1:8000/v1/completions", "127.0.0.1", 8000),
            ("http://localhost", "localhost", 80),
            ("http://[::1]:9/a?b=c", "::1", 9),
            ("http://[::1]/", "::1", 80),
            ("http://vllm:8000/", "vllm", 8000),
        ] {
            let address = WebAddress::parse(text).unwrap();
            assert_eq!(address.socket(), (host, port), "{text}");
        }
    }

    #[test]
    fn what_is_elsewhere_or_no_address_is_refused() {
        for (text, word) in [
            ("https://localhost/", "http://"),
            ("localhost:8000/", "http://"),
            ("http://example.com/", "this pod"),
            ("http://10.0.0.1:80/", "this pod"),
            ("http://167772161/", "this pod"),
            ("http://me:secret@localhost/", "user"),
            ("http://localhost:0/", "port"),
            ("http://localhost:99999/", "port"),
            ("http://", "address"),
        ] {
            let error = WebAddress::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
