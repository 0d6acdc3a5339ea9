//! Requests to a gateway, with their answers.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{
    GatewayError, Place,
    connect::{self, Http},
    error::Refusal,
};
use crate::{
    exit::misconfigured,
    output::{safe, short},
};

/// Largest answer that is taken: the largest envelope, and what stands around it.
pub(crate) const LARGEST: usize = 80 * 1024 * 1024;
/// Longest that an answer may take: gateways wait for stores and brokers less long.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a strange answer is told.
const TOLD: usize = 200;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A gateway.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    from: String,
    again: String,
    http: Http,
    headers: HeaderMap,
    /// Whether each request is said on standard error.
    debug: bool,
}

impl Client {
    /// The gateway at this place. Nothing is sent yet.
    ///
    /// # Errors
    /// A wrong address or token.
    pub(crate) fn new(place: &Place) -> anyhow::Result<Self> {
        let Place { url, token, from, again } = place;
        let wrong = |error| misconfigured(format!("gateway ({from}): {error}"));
        let address = connect::address(url).map_err(wrong)?;
        let mut headers = HeaderMap::new();
        let agent = concat!("asya/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, connect::bearer(token).map_err(wrong)?);
        }
        let http = connect::http(&address).map_err(wrong)?;
        let (url, from, again) = (url.clone(), from.clone(), again.clone());
        Ok(Self { url, from, again, http, headers, debug: false })
    }

    /// The same, saying each request on standard error if `debug`.
    pub(crate) fn debugging(self, debug: bool) -> Self {
        Self { debug, ..self }
    }

    /// What is typed behind another command so that it means this gateway.
    pub(crate) fn again(&self) -> &str {
        &self.again
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GatewayError> {
        self.read(self.request(Method::GET, path, Bytes::new())?).await
    }

    /// Does something.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, GatewayError> {
        self.read(self.carrying(Method::POST, path, body)?).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, GatewayError> {
        self.read(self.carrying(Method::PATCH, path, body)?).await
    }

    /// Takes something away; there is nothing to answer.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(crate) async fn delete(&self, path: &str) -> Result<(), GatewayError> {
        let response = self.send(self.request(Method::DELETE, path, Bytes::new())?).await?;
        if response.status().is_success() { Ok(()) } else { Err(self.refusal(response).await) }
    }

    /// Asks for a text.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(crate) async fn text(&self, path: &str) -> Result<String, GatewayError> {
        let response = self.send(self.request(Method::GET, path, Bytes::new())?).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        Ok(String::from_utf8_lossy(&self.body(response).await?).into_owned())
    }

    /// Makes sure that it answers; who asks does not matter.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(crate) async fn health(&self) -> Result<(), GatewayError> {
        let response = self.send(self.request(Method::GET, "/health", Bytes::new())?).await?;
        if response.status().is_success() { Ok(()) } else { Err(self.refusal(response).await) }
    }

    /// Begins a stream of events, behind the one with this id.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub(crate) async fn stream(&self, path: &str, last: Option<&str>) -> Result<Incoming, GatewayError> {
        let mut request = self.request(Method::GET, path, Bytes::new())?;
        let headers = request.headers_mut();
        headers
            .insert(header::ACCEPT, HeaderValue::from_static("text/event-stream, application/problem+json"));
        if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
            headers.insert(LAST_EVENT_ID, last);
        }
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Err(
                self.strange(format!("a stream of events was asked for, {} came", kind.unwrap_or("nothing")))
            );
        }
        Ok(response.into_body())
    }

    /// An answer that is none of a gateway.
    pub(crate) fn strange(&self, why: String) -> GatewayError {
        GatewayError::Strange { url: self.url.clone(), from: self.from.clone(), why }
    }

    /// No answer.
    pub(crate) fn away(&self, why: String) -> GatewayError {
        let local = self.url == super::place::LOCAL;
        let hint = if local {
            "; `asya up` runs one, `asya forward` leads to one of a cluster, --gateway names another"
        } else {
            "; is the address right, and the VPN connected? --gateway names another"
        };
        GatewayError::Away { url: self.url.clone(), from: self.from.clone(), why, hint }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, GatewayError> {
        let url = format!("{}{path}", self.url);
        let uri: Uri = url.parse().map_err(|error| self.strange(format!("{url:?}: {error}")))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let accepted = HeaderValue::from_static("application/json, application/problem+json");
        request.headers_mut().insert(header::ACCEPT, accepted);
        Ok(request)
    }

    fn carrying(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Request<Full<Bytes>>, GatewayError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error.to_string()))?;
        let mut request = self.request(method, path, body.into())?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, GatewayError> {
        if self.debug {
            eprintln!("debug: {} {}", request.method(), request.uri());
        }
        match timeout(PATIENCE, self.http.request(request)).await {
            Ok(Ok(response)) => {
                if self.debug {
                    eprintln!("debug: {}", response.status());
                }
                Ok(response)
            }
            Ok(Err(error)) => Err(self.away(format!("cannot be reached: {}", root(&error)))),
            Err(_) => Err(self.away(format!("did not answer within {PATIENCE:?}"))),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: Request<Full<Bytes>>) -> Result<T, GatewayError> {
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let begin = short(&String::from_utf8_lossy(&body), TOLD);
            self.strange(format!("{error}: {}", safe(&begin)))
        })
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, GatewayError> {
        let reading = Limited::new(response.into_body(), LARGEST).collect();
        match timeout(PATIENCE, reading).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.away(format!("broke off its answer: {error}"))),
            Err(_) => Err(self.away(format!("did not end its answer within {PATIENCE:?}"))),
        }
    }

    async fn refusal(&self, response: Response<Incoming>) -> GatewayError {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let after = header(header::RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let json = header(header::CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
        let body = match self.body(response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let told = json.then(|| serde_json::from_slice::<Refusal>(&body).ok()).flatten();
        match told {
            Some(refusal) => GatewayError::Refused(Refusal { status, after, ..refusal }),
            // A proxy, or something else that listens there: only its status can be trusted to mean something.
            None if matches!(
                status,
                StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            ) || status.is_server_error() =>
            {
                let begin = short(&String::from_utf8_lossy(&body), TOLD);
                let detail = format!("{} answers {status}: {begin}", self.url);
                GatewayError::Refused(Refusal { status, after, detail, ..Refusal::default() })
            }
            None => {
                let begin = short(&String::from_utf8_lossy(&body), TOLD);
                self.strange(format!("{status}: {}", safe(&begin)))
            }
        }
    }
}

/// One line of JSON as it came, for programs.
pub(crate) fn verbatim(raw: &RawValue) -> String {
    crate::output::json_line(raw.get())
}

/// A name as a segment of a path.
pub(crate) fn segment(name: &str) -> String {
    encoded(name)
}

/// Members of a query; those without a value are left out.
pub(crate) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let pairs = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded((*value)?))));
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string");
        }
    }
    encoded
}

/// The innermost words of an error: `connection refused` rather than what was being done.
fn root(error: &hyper_util::client::legacy::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        words = source.to_string();
        next = source.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_segment_of_a_path() {
        assert_eq!(segment("a/../b?c#ü"), "a%2F..%2Fb%3Fc%23%C3%BC");
        assert_eq!(query(&[("actor", Some("a&b")), ("code", None)]), "?actor=a%26b");
        assert_eq!(query(&[("code", None)]), "");
    }
}
