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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::problem::Form;
use crate::{
    auth::{
        Refusal,
        origin::{Origins, allow},
    },
    metrics::Metrics,
};

/// The last words of a stream that the gateway ends: the client comes back, to another replica or the next process.
const LAST_WORDS: &str = ": the gateway stops: come back\nretry: 1000\n\n";

/// What all requests share.
#[derive(Debug)]
pub struct Guard {
    /// Requests whose answer has not begun; more are refused.
    pub places: Semaphore,
    /// Which web pages may ask.
    pub origins: Origins,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Streams of events at a time; more are refused.
    pub streams: Arc<Semaphore>,
    /// The gateway is about to stop: it is not ready any more.
    pub draining: CancellationToken,
    /// The gateway stops: streams end. Handlers of sockets find it in the request's extensions.
    pub stopping: Stopping,
}

/// Is cancelled when the gateway stops, so that what would go on for ever ends.
#[derive(Clone, Debug, Default)]
pub struct Stopping(pub CancellationToken);

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
    let Ok(place) = guard.places.try_acquire() else {
        return guard.refuse(form, &Refusal::Busy);
    };
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
