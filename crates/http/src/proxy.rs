//! Connections through an HTTP proxy: every address is tunnelled (`CONNECT`), so that the proxy sees names and never
//! what is said.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{Uri, header::HeaderValue};
use hyper_util::{
    client::legacy::connect::{HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower_service::Service;

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    address: Uri,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// `http://proxy:3128`, also with `user:password@` in front of the host; both may be percent-encoded.
    ///
    /// # Errors
    /// A sentence that does not hold the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the address of the proxy {what}; it is such as http://proxy:3128");
        let rest = text.trim().trim_end_matches('/');
        let rest = rest.strip_prefix("http://").ok_or_else(|| wrong("must begin with http://"))?;
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let address: Uri = format!("http://{host}/").parse().map_err(|_| wrong("cannot be read"))?;
        if address.path() != "/" || address.query().is_some() || address.host().is_none_or(str::is_empty) {
            return Err(wrong("must be a host and a port and no more"));
        }
        let authorization = user
            .map(|user| {
                let user: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
                let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user)))
                    .map_err(|_| wrong("has a password that cannot be sent"))?;
                value.set_sensitive(true);
                Ok::<_, String>(value)
            })
            .transpose()?;
        Ok(Self { address, authorization })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.authorization.is_some() { "***@" } else { "" };
        write!(f, "http://{user}{}", self.address.authority().map_or("", |authority| authority.as_str()))
    }
}

/// How an address is reached.
#[derive(Clone, Debug)]
pub enum Way {
    /// Without a proxy.
    Direct(HttpConnector),
    /// Through one.
    Tunnel(Tunnel<HttpConnector>),
}

impl Way {
    /// Connections by `http`, through `proxy` if there is one.
    pub fn new(http: HttpConnector, proxy: Option<&Proxy>) -> Self {
        let Some(Proxy { address, authorization }) = proxy.cloned() else { return Self::Direct(http) };
        let tunnel = Tunnel::new(address, http);
        Self::Tunnel(match authorization {
            Some(authorization) => tunnel.with_auth(authorization),
            None => tunnel,
        })
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Direct(http) => http.poll_ready(context).map_err(Into::into),
            Self::Tunnel(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self {
            Self::Direct(http) => {
                let connecting = http.call(to);
                Box::pin(async { Ok(connecting.await?) })
            }
            Self::Tunnel(tunnel) => {
                let connecting = tunnel.call(with_port(to));
                Box::pin(async { Ok(connecting.await?) })
            }
        }
    }
}

/// The tunnel takes an address without a port for one with 443, whatever its scheme.
fn with_port(to: Uri) -> Uri {
    let (Some(host), None, Some("http")) = (to.host(), to.port(), to.scheme_str()) else { return to };
    format!("http://{host}:80/").parse().unwrap_or(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_with_a_password_does_not_show_it() {
        let proxy = Proxy::parse("http://me:p%40ss@proxy:3128/").unwrap();
        assert_eq!(format!("{proxy:?}"), "http://***@proxy:3128");
        // me:p@ss
        assert_eq!(proxy.authorization.unwrap().to_str().unwrap(), "Basic bWU6cEBzcw==");
        assert_eq!(format!("{:?}", Proxy::parse("http://proxy").unwrap()), "http://proxy");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        for bad in
            ["proxy:3128", "https://u:hunter2@proxy", "http://u:hunter2@", "http://u:hunter2@proxy/path", ""]
        {
            let error = Proxy::parse(bad).unwrap_err();
            assert!(error.contains("http://proxy:3128") && !error.contains("hunter2"), "{bad}: {error}");
        }
    }
}
