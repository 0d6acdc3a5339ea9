//! RabbitMQ's management API: what AMQP cannot tell or do.
//!
//! Counts of unacknowledged messages, all queues in few calls, users and their permissions. Its counts are as old as
//! the broker's `collect_statistics_interval`, 5 s unless changed.

use std::{fmt, time::Duration};

use asya_envelope::Queue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::TransportError;

/// How long one call may take: a page of a busy broker takes a second.
const LIMIT: Duration = Duration::from_secs(10);
/// Queues of one page: the most that the API gives.
const PAGE: usize = 500;
/// Largest answer: a page with the columns that we ask for is a tenth of it.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// What is asked of each queue.
const COLUMNS: &str = "name,messages_ready,messages_unacknowledged,arguments,type";

/// A client of one broker's management API.
#[derive(Clone)]
pub struct Management {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    vhost: String,
    authorization: header::HeaderValue,
}

/// One queue as the management API shows it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Listed {
    /// Its name.
    #[serde(deserialize_with = "queue")]
    pub name: Queue,
    /// Messages that could be delivered now; 0 for a moment after the queue was made.
    #[serde(default, rename = "messages_ready")]
    pub ready: u64,
    /// Messages delivered and not settled.
    #[serde(default, rename = "messages_unacknowledged")]
    pub unacknowledged: u64,
    /// Arguments it was declared with.
    #[serde(default)]
    pub arguments: Value,
    /// `classic`, `quorum` or `stream`.
    #[serde(default, rename = "type")]
    pub kind: String,
}

/// What a user may do: regular expressions over the names of queues and exchanges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// What it may make and delete.
    pub configure: String,
    /// What it may publish to.
    pub write: String,
    /// What it may consume.
    pub read: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Listed>,
    page_count: usize,
}

impl Management {
    /// A client for `base` (`http://host:15672`, without a slash at its end) and one vhost. Nothing is asked yet.
    ///
    /// # Errors
    /// [`TransportError::Misconfigured`] if `base` needs TLS and no trusted certificates are found.
    pub fn new(base: &str, vhost: &str, username: &str, password: &str) -> Result<Self, TransportError> {
        let connector = connector(base).map_err(TransportError::Misconfigured)?;
        let credentials = STANDARD.encode(format!("{username}:{password}"));
        let mut authorization = header::HeaderValue::try_from(format!("Basic {credentials}"))
            .map_err(|error| TransportError::Misconfigured(error.to_string()))?;
        authorization.set_sensitive(true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector),
            base: base.to_owned(),
            vhost: segment(vhost),
            authorization,
        })
    }

    /// All queues of the vhost whose names contain `part`, 500 per call.
    ///
    /// # Errors
    /// The API is away, refuses the credentials, or answers what is not understood.
    pub async fn queues(&self, part: &str) -> Result<Vec<Listed>, TransportError> {
        let mut queues = Vec::new();
        for page in 1.. {
            let path = format!(
                "queues/{}?page={page}&page_size={PAGE}&pagination=true&name={}&use_regex=false&columns={COLUMNS}",
                self.vhost,
                segment(part)
            );
            let read: Page = self.get(&path).await?;
            queues.extend(read.items);
            if page >= read.page_count {
                break;
            }
        }
        Ok(queues)
    }

    /// One queue; `None` if there is none.
    ///
    /// # Errors
    /// As [`queues`](Self::queues).
    pub async fn queue(&self, queue: &Queue) -> Result<Option<Listed>, TransportError> {
        let path = format!("queues/{}/{}?columns={COLUMNS}", self.vhost, segment(queue.as_str()));
        match self.call(Method::GET, &path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) => understood(status, &body, &path).map(Some),
        }
    }

    /// Makes a user, or gives an existing one this password and these permissions in the vhost. `tags` are RabbitMQ's,
    /// for example `management`.
    ///
    /// # Errors
    /// As [`queues`](Self::queues); the own user must be an administrator.
    pub async fn put_user(
        &self,
        user: &str,
        password: &str,
        tags: &str,
        permissions: &Permissions,
    ) -> Result<(), TransportError> {
        let name = segment(user);
        self.put(&format!("users/{name}"), &json!({"password": password, "tags": tags})).await?;
        let Permissions { configure, write, read } = permissions;
        let rights = json!({"configure": configure, "write": write, "read": read});
        self.put(&format!("permissions/{}/{name}", self.vhost), &rights).await
    }

    /// Deletes a user; a missing one is not an error.
    ///
    /// # Errors
    /// As [`put_user`](Self::put_user).
    pub async fn delete_user(&self, user: &str) -> Result<(), TransportError> {
        let path = format!("users/{}", segment(user));
        match self.call(Method::DELETE, &path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(()),
            (status, body) => done(status, &body, &path),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, TransportError> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        understood(status, &body, path)
    }

    async fn put(&self, path: &str, value: &Value) -> Result<(), TransportError> {
        let (status, body) = self.call(Method::PUT, path, Some(value)).await?;
        done(status, &body, path)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), TransportError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/{path}", self.base))
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| {
                TransportError::Misconfigured(format!("management API {}: {error}", self.base))
            })?;
        let away = |why: String| TransportError::Unavailable(format!("management API {}: {why}", self.base));
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| away(causes(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            Ok((status, body.map_err(|error| away(error.to_string()))?.to_bytes()))
        };
        let (status, body) = timeout(LIMIT, exchange)
            .await
            .unwrap_or_else(|_| Err(away(format!("no answer within {} s", LIMIT.as_secs()))))?;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(TransportError::Misconfigured(format!(
                "management API {} refuses the user: {}",
                self.base,
                reason(status, &body)
            ))),
            status if status.is_server_error() => Err(away(reason(status, &body))),
            _ => Ok((status, body)),
        }
    }
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Management")
            .field("base", &self.base)
            .field("vhost", &self.vhost)
            .finish_non_exhaustive()
    }
}

fn understood<T: DeserializeOwned>(status: StatusCode, body: &[u8], path: &str) -> Result<T, TransportError> {
    done(status, body, path)?;
    serde_json::from_slice(body).map_err(|error| {
        TransportError::Unavailable(format!(
            "management API: the answer to {path} is not understood: {error}"
        ))
    })
}

fn done(status: StatusCode, body: &[u8], path: &str) -> Result<(), TransportError> {
    if status.is_success() {
        return Ok(());
    }
    Err(TransportError::Misconfigured(format!("management API: {path}: {}", reason(status, body))))
}

/// What an answer says is wrong: the API's `reason`, or the status.
fn reason(status: StatusCode, body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said.as_ref().and_then(|said| said.get("reason")).and_then(Value::as_str);
    said.map_or_else(|| status.to_string(), |said| format!("{status}: {said}"))
}

/// Percent-encoded for a segment of a path or a value of a query.
fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn queue<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Queue, D::Error> {
    String::deserialize(deserializer).map(Queue::named)
}

/// A connector that trusts what the system trusts; the system's certificates are read only where they are needed.
fn connector(base: &str) -> Result<HttpsConnector<HttpConnector>, String> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = hyper_rustls::HttpsConnectorBuilder::new();
    let builder = if base.starts_with("https://") {
        builder
            .with_provider_and_native_roots(provider)
            .map_err(|error| format!("no trusted certificates: {error}"))?
    } else {
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    Ok(builder.https_or_http().enable_http1().build())
}

/// An error with its causes: the client's own text says only "client error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
