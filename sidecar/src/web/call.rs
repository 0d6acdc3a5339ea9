//! One run: a POST and its answer.

use std::{error::Error, time::Duration};

use asya_envelope::{Envelope, Raw, headers};
use asya_handler::{Code, End, Failure, Fault, Reply, ReplySender, Request, message::Mode};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    WebConfig,
    answer::{self, Shape},
    body::Reader,
};

/// How long a connection inside the pod may take: longer means that the server accepts none.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. Servers close theirs after 5 s and more; a request that meets such an end
/// would have to run again.
const IDLE: Duration = Duration::from_secs(3);
/// A clock that runs longer than this never runs out; keeps sums of instants from overflowing.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

const ENVELOPE_ID: HeaderName = HeaderName::from_static("x-asya-envelope-id");
const ACTOR: HeaderName = HeaderName::from_static("x-asya-actor");
const ATTEMPT: HeaderName = HeaderName::from_static("x-asya-attempt");
const DEADLINE: HeaderName = HeaderName::from_static("x-asya-deadline");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Connections to the server.
#[derive(Clone, Debug)]
pub(super) struct Client(Pool<HttpConnector, Full<Bytes>>);

impl Client {
    /// A client that keeps as many connections as there may be requests at the same time.
    pub(super) fn new(connections: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.pool_max_idle_per_host(connections).pool_idle_timeout(IDLE);
        Self(pool.build(connector))
    }

    /// Runs a request to its end. Dropping the future closes its connection.
    pub(super) async fn call(
        &self,
        config: &WebConfig,
        request: &Request,
        sender: &ReplySender,
        doubt: &Notify,
    ) {
        let mut clock = Clock::start(request.timeout);
        let mut reader = None;
        let end = match self.ask(config, request, sender, &mut clock, &mut reader).await {
            Ok(end) | Err(end) => end,
        };
        if matches!(&end, End::Failed(failure) if failure.code == Code::Connection) {
            doubt.notify_one();
        }
        sender.send(Reply::End(end)).await;
        // With it what it took of the memory budget.
        drop(reader);
    }

    async fn ask(
        &self,
        config: &WebConfig,
        request: &Request,
        sender: &ReplySender,
        clock: &mut Clock,
        reader: &mut Option<Reader>,
    ) -> Result<End, End> {
        let body = match config.mode {
            Mode::Payload => request.envelope.payload.as_bytes().clone(),
            Mode::Envelope => request.body.clone(),
        };
        let mut post = hyper::Request::new(Full::from(body));
        *post.method_mut() = hyper::Method::POST;
        *post.uri_mut() = config.address.uri();
        *post.headers_mut() = headers_of(request);
        let (head, body) =
            clock.within(self.0.request(post)).await?.map_err(|error| unsent(&error))?.into_parts();
        let (status, headers) = (head.status, head.headers);
        let shape = answer::shape(status, &headers);
        let reader = reader.insert(Reader::new(config, body));
        if shape == Shape::One {
            reader.refuse_if_too_large()?;
        }
        match shape {
            Shape::Nothing => Ok(End::Done(Vec::new())),
            Shape::Error => Ok(answer::error(status, &headers, reader.excerpt(clock).await)),
            Shape::One => Ok(answer::one(config.mode, &headers, reader.all(clock).await?)),
            Shape::Stream => {
                while let Some(line) = reader.line(clock).await? {
                    let item = answer::item(config.mode, line).map_err(End::Failed)?;
                    // Whoever waits for room downstream does not use the handler's time.
                    if !clock.stopped(sender.send(Reply::Yield(item))).await {
                        break;
                    }
                }
                Ok(End::Done(Vec::new()))
            }
        }
    }
}

/// The time of one run.
#[derive(Debug)]
pub(super) struct Clock {
    limit: Duration,
    until: Instant,
}

impl Clock {
    fn start(limit: Duration) -> Self {
        Self { limit, until: Instant::now() + limit.min(NEVER) }
    }

    /// Waits for the server.
    ///
    /// # Errors
    /// The end of the run, when its time is over.
    pub(super) async fn within<T>(&self, future: impl Future<Output = T>) -> Result<T, End> {
        timeout_at(self.until, future).await.map_err(|_| {
            let message = format!("the handler took longer than {:?}", self.limit);
            End::Failed(Failure::new(Code::Timeout, Fault::Handler, message))
        })
    }

    /// Waits for something that is not the server's.
    pub(super) async fn stopped<T>(&mut self, future: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let outcome = future.await;
        self.until += began.elapsed();
        outcome
    }
}

fn headers_of(request: &Request) -> HeaderMap {
    let Envelope { id, headers: beside, deadline, .. } = &request.envelope;
    let mut found = HeaderMap::new();
    // What cannot be a header's value is left out: an id may hold anything.
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            found.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/json");
    set(ENVELOPE_ID, id);
    set(ACTOR, &request.actor);
    set(ATTEMPT, &request.attempt.to_string());
    if let Some(deadline) = deadline {
        set(DEADLINE, &deadline.instant().to_string());
    }
    for (name, key) in [(TRACEPARENT, headers::TRACEPARENT), (TRACESTATE, headers::TRACESTATE)] {
        if let Some(text) = beside.get(key).and_then(Raw::to_text) {
            set(name, &text);
        }
    }
    found
}

/// The end of a run whose request got no answer.
fn unsent(error: &hyper_util::client::legacy::Error) -> End {
    if error.is_connect() {
        return connection(format!("cannot connect to the server: {}", causes(error)));
    }
    lost(error)
}

/// The end of a run whose connection broke. The server may have gone for any reason, so no attempt is charged; the
/// number of deliveries bounds how often one payload can take it down.
pub(super) fn lost(error: &dyn Error) -> End {
    connection(format!("the connection to the server broke: {}", causes(error)))
}

fn connection(message: String) -> End {
    End::Failed(Failure::new(Code::Connection, Fault::Infrastructure, message))
}

/// The innermost words of an error: those around it say only that there was one.
fn causes(error: &dyn Error) -> String {
    let mut last = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        last = inner.to_string();
        cause = inner.source();
    }
    last
}
