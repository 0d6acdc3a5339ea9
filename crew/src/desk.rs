//! The gateway as agents and their tools see it: sessions, and operations that wait for approval.
//!
//! Each method is one request of [`asya_session::desk`], bounded in time by the HTTP client and in size here. All are cancel
//! safe: what the gateway was told before may have been done, and doing it again does nothing.

use std::{path::PathBuf, sync::Arc};

use asya_http::{Http, Method, StatusCode};
use asya_session::{
    Entry, Operation, Outcome,
    desk::{Append, Behind, Claim, Claimed, Delta, Propose, SUBJECT, Transcript},
};
use asya_sidecar::gateway::segment;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{actor::ActError, shipped::Variables};

/// Largest answer: a page of entries, most of them far below their bound.
const ANSWER: usize = 64 * 1024 * 1024;
/// Longest reason of a refusal that is kept, in characters.
const REASON: usize = 400;

/// Where the gateway is, and how this process shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its address, such as `http://asya-gateway:8080`.
    pub gateway: String,
    /// File with the token for it; read again for each request.
    pub token: Option<PathBuf>,
}

impl Settings {
    /// Reads `ASYA_GATEWAY_URL` and `ASYA_GATEWAY_TOKEN_PATH`, the sidecar's own.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let name = "ASYA_GATEWAY_URL";
        let Some(gateway) = variables.get(name) else {
            return Err(vec![format!("{name}: is required: sessions and approvals are kept there")]);
        };
        if !gateway.starts_with("http://") && !gateway.starts_with("https://") {
            return Err(vec![format!("{name}: {gateway:?} must begin with http:// or https://")]);
        }
        let token = variables.get("ASYA_GATEWAY_TOKEN_PATH").map(|path| variables.base.join(path));
        Ok(Self { gateway, token })
    }
}

/// Why the gateway did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// It cannot be reached or cannot do it now: again, later.
    #[error("the gateway is away: {0}")]
    Away(String),
    /// It does not do that, now or later.
    #[error("the gateway refuses ({status}): {reason}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// An entry is not the next one of its session.
    #[error("the session has come to entry {}", .0.head)]
    Behind(Behind),
}

impl From<DeskError> for ActError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Away(reason) => Self::Gateway(reason),
            error @ (DeskError::Refused { .. } | DeskError::Behind(_)) => Self::Unfit(error.to_string()),
        }
    }
}

/// The gateway's desk for actors. Clones share connections.
#[derive(Clone, Debug)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: Http,
    base: String,
    token: Option<PathBuf>,
}

impl Desk {
    /// The desk of a gateway; connections are made when they are needed.
    ///
    /// # Errors
    /// A sentence, if the address needs TLS and no trusted certificates are found.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let base = format!("{}/internal/v1", settings.gateway.trim_end_matches('/'));
        let http = Http::new(&base).map_err(|error| format!("gateway {}: {error}", settings.gateway))?;
        Ok(Self(Arc::new(Inner { http, base, token: settings.token.clone() })))
    }

    /// A session and its entries from number `from` on; at most [`PAGE`](asya_session::desk::PAGE) of them.
    ///
    /// # Errors
    /// [`DeskError`], never [`DeskError::Behind`]. So all others but [`Desk::append`].
    pub async fn transcript(&self, subject: &str, session: &str, from: u64) -> Result<Transcript, DeskError> {
        let path = format!("/sessions/{}?from={from}", segment(session));
        self.asked(Method::GET, &path, subject, None::<&()>).await
    }

    /// Appends entry `n`; one that stands there already with the same place is answered as it is.
    ///
    /// # Errors
    /// [`DeskError::Behind`] if it is not the next one.
    pub async fn append(
        &self,
        subject: &str,
        session: &str,
        n: u64,
        append: &Append,
    ) -> Result<Entry, DeskError> {
        let path = format!("/sessions/{}/entries/{n}", segment(session));
        let (status, body) = self.exchange(Method::POST, &path, subject, Some(append)).await?;
        if status == StatusCode::CONFLICT
            && let Ok(behind) = serde_json::from_slice(&body)
        {
            return Err(DeskError::Behind(behind));
        }
        read(status, &body)
    }

    /// Shows a piece of an answer that is being written to whoever looks; it may get lost.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn stream(&self, subject: &str, session: &str, delta: &Delta) -> Result<(), DeskError> {
        let path = format!("/sessions/{}/stream", segment(session));
        let (status, body) = self.exchange(Method::POST, &path, subject, Some(delta)).await?;
        if status.is_success() { Ok(()) } else { Err(refusal(status, &body)) }
    }

    /// Proposes an operation; the envelope that goes on is the gateway's from then on.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn propose(&self, subject: &str, propose: &Propose) -> Result<Operation, DeskError> {
        let path = format!("/operations/{}", segment(&propose.proposal.id));
        self.asked(Method::PUT, &path, subject, Some(propose)).await
    }

    /// An operation as it is now.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn operation(&self, subject: &str, id: &str) -> Result<Operation, DeskError> {
        self.asked(Method::GET, &format!("/operations/{}", segment(id)), subject, None::<&()>).await
    }

    /// Claims an operation that is to be carried out now.
    ///
    /// # Errors
    /// [`DeskError::Refused`] with 409 and the reason if it may not be.
    pub async fn claim(&self, subject: &str, id: &str, claim: &Claim) -> Result<Claimed, DeskError> {
        self.asked(Method::POST, &format!("/operations/{}/claim", segment(id)), subject, Some(claim)).await
    }

    /// Tells what came of an operation.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn outcome(&self, subject: &str, id: &str, outcome: &Outcome) -> Result<Operation, DeskError> {
        self.asked(Method::POST, &format!("/operations/{}/outcome", segment(id)), subject, Some(outcome))
            .await
    }

    /// The JWK Set with which subjects are verified.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn subject_keys(&self) -> Result<Value, DeskError> {
        let (base, token) = (&self.0.base, self.token()?);
        let got = self.0.http.get(&format!("{base}/subject-keys"), token.as_deref(), ANSWER).await;
        let (status, body) = got.map_err(DeskError::Away)?;
        read(status, &body)
    }

    async fn asked<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        subject: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, DeskError> {
        let (status, body) = self.exchange(method, path, subject, body).await?;
        read(status, &body)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        subject: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, Bytes), DeskError> {
        let refused = |reason: String| DeskError::Refused { status: 400, reason };
        let body = body.map(serde_json::to_vec).transpose().map_err(|error| refused(error.to_string()))?;
        let (address, token) = (format!("{}{path}", self.0.base), self.token()?);
        let (subject, body) = ((SUBJECT, subject), body.unwrap_or_default());
        let sent = self.0.http.send(method, &address, token.as_deref(), subject, body, ANSWER).await;
        sent.map_err(DeskError::Away)
    }

    /// What shows who this is. The kubelet replaces the file before the token expires, so it is read each time.
    fn token(&self) -> Result<Option<String>, DeskError> {
        let Some(path) = &self.0.token else { return Ok(None) };
        let token = std::fs::read_to_string(path);
        let token = token.map_err(|error| DeskError::Away(format!("token {}: {error}", path.display())))?;
        Ok(Some(token.trim().to_owned()))
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &Bytes) -> Result<T, DeskError> {
    if !status.is_success() {
        return Err(refusal(status, body));
    }
    serde_json::from_slice(body)
        .map_err(|error| DeskError::Away(format!("its answer cannot be read: {error}")))
}

/// What an answer that is no success means. Who does not know this process yet, or has no role for it yet, may later: tokens
/// and settings change while envelopes wait.
fn refusal(status: StatusCode, body: &Bytes) -> DeskError {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let reason = serde_json::from_slice::<Problem>(body).map(|problem| problem.detail);
    let reason = reason.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    let reason = reason.chars().take(REASON).collect();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            DeskError::Away(format!("{status}: {reason}"))
        }
        status if status.is_server_error() => DeskError::Away(format!("{status}: {reason}")),
        status => DeskError::Refused { status: status.as_u16(), reason },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use asya_session::{Body, Place};
    use axum::{
        extract::{Request, State},
        response::{IntoResponse as _, Response},
    };
    use serde_json::json;

    use super::*;

    /// What a server answers, and what it was asked last.
    #[derive(Clone, Default)]
    struct Server {
        answer: Arc<Mutex<(u16, String)>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Server {
        async fn start(token: Option<PathBuf>) -> (Self, Desk) {
            let server = Self::default();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let gateway = format!("http://{}/", listener.local_addr().unwrap());
            let router = axum::Router::new().fallback(answer).with_state(server.clone());
            tokio::spawn(async move { axum::serve(listener, router).await });
            (server, Desk::new(&Settings { gateway, token }).unwrap())
        }

        fn says(&self, status: u16, body: impl ToString) {
            *self.answer.lock().unwrap() = (status, body.to_string());
        }
    }

    async fn answer(State(server): State<Server>, request: Request) -> Response {
        *server.asked.lock().unwrap() = shown(&request);
        let (status, body) = server.answer.lock().unwrap().clone();
        if status == 0 {
            return std::future::pending().await;
        }
        (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response()
    }

    /// Method, path, and the headers that show who asks and in whose name.
    fn shown(request: &Request) -> Vec<String> {
        let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap());
        let uri = request.uri().to_string();
        [request.method().as_str(), &uri, header(SUBJECT), header("authorization")]
            .map(str::to_owned)
            .to_vec()
    }

    fn append() -> Append {
        let place = Place { envelope: "e".to_owned(), hop: 0, step: 0 };
        let body = Body::Notice { code: "x".to_owned(), text: "y".to_owned() };
        Append { before: String::new(), place, body }
    }

    #[tokio::test]
    async fn an_answer_is_a_decision_for_the_envelope_in_hand() {
        let (server, desk) = Server::start(None).await;
        for (status, body, expected) in [
            (500, "oops", "away"),
            (503, r#"{"detail": "no database"}"#, "away"),
            (429, "", "away"),
            (401, "", "away"),
            (200, "<html>", "away"),
            (200, "", "away"),
            (400, r#"{"detail": "wrong"}"#, "400 wrong"),
            (403, r#"{"detail": "not yours"}"#, "403 not yours"),
            (404, "no such session", "404 no such session"),
            (409, r#"{"detail": "over"}"#, "409 over"),
            (409, r#"{"head": 7, "hash": "h"}"#, "behind 7"),
            (413, "too large", "413 too large"),
        ] {
            server.says(status, body);
            let said = match desk.append("subject", "s-1", 3, &append()).await.unwrap_err() {
                DeskError::Away(_) => "away".to_owned(),
                DeskError::Refused { status, reason } => format!("{status} {reason}"),
                DeskError::Behind(behind) => format!("behind {}", behind.head),
            };
            assert_eq!(said, expected, "{status} {body}");
        }
        // Only an entry can be behind.
        server.says(409, json!({"head": 7, "hash": "h"}));
        let refused = desk.claim("subject", "op-1", &Claim { hash: "h".to_owned() }).await;
        assert!(matches!(refused, Err(DeskError::Refused { status: 409, .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn each_request_shows_who_asks_and_in_whose_name() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let (server, desk) = Server::start(Some(token.clone())).await;
        let away = desk.subject_keys().await.unwrap_err();
        assert!(matches!(&away, DeskError::Away(reason) if reason.contains("token")), "{away}");
        server.says(204, "");
        for (text, shown) in [("first\n", "Bearer first"), ("second", "Bearer second")] {
            std::fs::write(&token, text).unwrap();
            let delta = Delta { n: 1, offset: 0, text: "x".to_owned() };
            desk.stream("signed", "s/../1", &delta).await.unwrap();
            let asked = server.asked.lock().unwrap().clone();
            assert_eq!(asked, ["POST", "/internal/v1/sessions/s%2F..%2F1/stream", "signed", shown]);
        }
    }

    #[tokio::test]
    async fn a_gateway_that_is_silent_or_gone_is_away() {
        let (server, desk) = Server::start(None).await;
        server.says(0, "");
        let silent = desk.transcript("subject", "s-1", 1).await.unwrap_err();
        assert!(
            matches!(&silent, DeskError::Away(reason) if reason.contains("no answer within")),
            "{silent}"
        );
        let gone = Settings { gateway: "http://127.0.0.1:9".to_owned(), token: None };
        let gone = Desk::new(&gone).unwrap().operation("subject", "op-1").await.unwrap_err();
        assert!(matches!(gone, DeskError::Away(_)), "{gone}");
    }
}
