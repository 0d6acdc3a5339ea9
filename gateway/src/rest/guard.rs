//! What every request passes, whatever its route: bounds, origins, metrics, and the end of streams when the gateway
//! stops.

use std::{sync::Arc, time::Instant};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{contract::CALLBACKS, internal, problem::Form};
use crate::{
    auth::{
        Refusal,
        origin::{Origins, allow},
    },
    metrics::Metrics,
    ws::seats::Seats,
};

/// The last words of a stream that the gateway ends: the client comes back, to another replica or the next process.
const LAST_WORDS: &str = ": the gateway stops: come back\nretry: 1000\n\n";

/// What all requests share.
#[derive(Debug)]
pub struct Guard {
    /// Requests of people whose answer has not begun, calls that wait among them; more are refused.
    pub places: Semaphore,
    /// Those of sidecars: what they report ends the waiting of others, which must not keep them out.
    pub callbacks: Semaphore,
    /// Which web pages may ask.
    pub origins: Origins,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Streams of events and sockets at a time; more are refused.
    pub streams: Arc<Semaphore>,
    /// Sockets of conversations that one person may have at a time.
    pub seats: Arc<Seats>,
    /// The gateway is about to stop: it is not ready any more.
    pub draining: CancellationToken,
    /// The gateway stops: streams end. Handlers of sockets find it in the request's extensions.
    pub stopping: Stopping,
}

/// Is cancelled when the gateway stops, so that what would go on for ever ends.
#[derive(Clone, Debug, Default)]
pub struct Stopping(pub CancellationToken);

/// The place of a socket among the streams: its handler keeps it as long as the socket lives. It is in the request's
/// extensions.
#[derive(Clone, Debug)]
pub struct Seat(pub Arc<OwnedSemaphorePermit>);

/// Lets a request pass.
pub async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let _active = guard.metrics.begun();
    let began = Instant::now();
    let method = request.method().clone();
    // Of unknown paths there are as many as clients invent.
    let route = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str()).to_owned();
    let form = Form::of(request.uri().path(), request.headers());
    let listed = match guard.origins.check(request.headers()) {
        Ok(listed) => listed,
        Err(refusal) => return guard.refuse(form, &refusal),
    };
    if let Some(origin) = &listed
        && method == Method::OPTIONS
    {
        let mut answer = StatusCode::NO_CONTENT.into_response();
        allow(answer.headers_mut(), origin.clone(), true);
        return answer;
    }
    // It has been judged, for all routes alike.
    request.headers_mut().remove(header::ORIGIN);
    let places = if is_callback(&route) { &guard.callbacks } else { &guard.places };
    let Ok(place) = places.try_acquire() else {
        return guard.refuse(form, &Refusal::Busy);
    };
    if is_socket(&request) {
        let Ok(seat) = Arc::clone(&guard.streams).try_acquire_owned() else {
            return guard.refuse(form, &Refusal::Busy);
        };
        request.extensions_mut().insert(Seat(Arc::new(seat)));
    }
    request.extensions_mut().insert(guard.stopping.clone());
    let mut answer = next.run(request).await;
    drop(place);
    if let Some(origin) = listed {
        allow(answer.headers_mut(), origin, false);
    }
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    guard.metrics.answered(method.as_str(), &route, answer.status().as_u16(), began.elapsed());
    guard.ending(answer, form)
}

/// Whether sidecars and actors call it.
fn is_callback(route: &str) -> bool {
    CALLBACKS.contains(&route) || route.starts_with(internal::BASE)
}

/// Whether a socket is asked for.
fn is_socket(request: &Request) -> bool {
    let asked = request.headers().get(header::UPGRADE);
    asked.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Guard {
    fn refuse(&self, form: Form, refusal: &Refusal) -> Response {
        self.metrics.refused(refusal.code());
        refusal.answer(form, None)
    }

    /// An answer whose stream of events, if it is one, has a place and ends when the gateway stops.
    fn ending(&self, answer: Response, form: Form) -> Response {
        let kind = answer.headers().get(header::CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return answer;
        }
        let Ok(place) = Arc::clone(&self.streams).try_acquire_owned() else {
            return self.refuse(form, &Refusal::Busy);
        };
        let stopping = self.stopping.0.clone();
        answer.map(|body| {
            let events = body.into_data_stream().take_until(stopping.clone().cancelled_owned());
            let last = stream::once(async move {
                drop(place);
                stopping.is_cancelled()
            });
            let last = last
                .filter(|stopped| std::future::ready(*stopped))
                .map(|_| Ok(Bytes::from_static(LAST_WORDS.as_bytes())));
            Body::from_stream(events.chain(last))
        })
    }
}

#[cfg(test)]
impl Guard {
    /// A guard with so many places of each kind.
    pub(crate) fn small(places: usize, callbacks: usize, streams: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Semaphore::new(places),
            callbacks: Semaphore::new(callbacks),
            streams: Arc::new(Semaphore::new(streams)),
            seats: Seats::new(streams),
            origins: Origins::default(),
            metrics: Metrics::new(),
            draining: CancellationToken::new(),
            stopping: Stopping::default(),
        })
    }
}
