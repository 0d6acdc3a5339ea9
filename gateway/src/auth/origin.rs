//! Which web pages may ask, and under which names the gateway is called.
//!
//! A browser sends what its user's machine can reach, whoever wrote the page. So a page of another origin is refused
//! unless it is listed; and where the gateway listens on loopback only, it answers to names of loopback only, for
//! another name that leads there is a page's trick (DNS rebinding).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Refusal;

/// How long a browser may remember that a page is let in, in seconds.
const REMEMBERED: &str = "600";
/// What pages that are let in may send.
const METHODS: &str = "GET, POST, DELETE, OPTIONS";
/// Which headers they may send.
const HEADERS: &str = "authorization, content-type, accept, last-event-id, traceparent, mcp-protocol-version, \
                       mcp-session-id, mcp-method, mcp-name";

/// The rules.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Origins of pages that may ask, besides the gateway's own: `https://example.com`.
    pub allowed: Vec<String>,
    /// Only names of loopback are answered to.
    pub loopback: bool,
}

impl Origins {
    /// Whether this request may go on; answers the origin of a page that is listed.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        if self.loopback && !host.is_empty() && !is_loopback(host) {
            return Err(Refusal::Forbidden(format!(
                "this gateway is of this machine only and does not answer to the name {host:?}"
            )));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(None) };
        let given = origin.to_str().unwrap_or_default();
        if self.allowed.iter().any(|allowed| allowed == given) {
            return Ok(Some(origin.clone()));
        }
        let own = given.split_once("://").is_some_and(|(_, place)| place == host);
        if own {
            return Ok(None);
        }
        Err(Refusal::Forbidden(format!(
            "pages of {given:?} may not ask; ASYA_GATEWAY_ALLOWED_ORIGINS lists those that may"
        )))
    }
}

/// What a listed page's browser is told with an answer.
pub fn allow(headers: &mut HeaderMap, origin: HeaderValue, preflight: bool) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let exposed = HeaderValue::from_static("www-authenticate, retry-after, mcp-session-id");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    #[test]
    fn pages_of_others_are_refused_unless_they_are_listed() {
        let rules = Origins { allowed: vec!["https://listed.example".to_owned()], loopback: false };
        assert_eq!(rules.check(&headers("gw:8080", None)), Ok(None));
        assert_eq!(rules.check(&headers("gw:8080", Some("http://gw:8080"))), Ok(None));
        assert!(rules.check(&headers("gw:8080", Some("https://listed.example"))).unwrap().is_some());
        for other in ["http://gw", "https://evil.example", "null", "https://listed.example.evil"] {
            assert!(rules.check(&headers("gw:8080", Some(other))).is_err(), "{other}");
        }
    }

    #[test]
    fn a_gateway_of_this_machine_answers_to_names_of_loopback_only() {
        let rules = Origins { allowed: Vec::new(), loopback: true };
        for own in ["localhost:8080", "127.0.0.1", "[::1]:8080", "asya.localhost:1"] {
            assert!(rules.check(&headers(own, None)).is_ok(), "{own}");
        }
        for other in ["evil.example:8080", "localhost.evil.example", "192.168.1.4"] {
            assert!(rules.check(&headers(other, None)).is_err(), "{other}");
        }
    }
}
