//! Traces: a request becomes a span, and the envelopes that it makes continue its trace.

use std::time::SystemTime;

use asya_telemetry::trace::{Kind, Span, TraceContext};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// W3C trace context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where spans go; what finds no room is thrown away.
pub type Spans = mpsc::Sender<Span>;

/// Puts a request's span in front of what comes behind it. A trace that is not recorded stays so.
pub async fn trace(State(spans): State<Spans>, mut request: Request, next: Next) -> Response {
    let caller = request.headers().get(TRACEPARENT).and_then(|text| TraceContext::parse(text.to_str().ok()?));
    let context = match caller {
        Some(caller) => caller.child(random()),
        None => TraceContext::start((u128::from(random()) << 64 | u128::from(random()), random())),
    };
    if let Ok(value) = HeaderValue::try_from(context.to_string()) {
        request.headers_mut().insert(TRACEPARENT, value);
    }
    let route = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str());
    let name = format!("{} {route}", request.method());
    let start = SystemTime::now();
    let answer = next.run(request).await;
    if context.sampled() {
        let status = answer.status();
        let span = Span {
            kind: Kind::Request,
            context,
            parent: caller.map(|caller| caller.span_id),
            name,
            envelope: String::new(),
            attempt: 0,
            start,
            end: SystemTime::now(),
            error: status.is_server_error().then(|| status.to_string()),
        };
        drop(spans.try_send(span));
    }
    answer
}

/// The part of an id that is left to chance.
fn random() -> u64 {
    Uuid::now_v7().as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_continues_its_callers_trace_and_hands_its_own_span_on() {
        let (spans, mut seen) = mpsc::channel(4);
        let echo = get(async |request: Request| request.headers()[TRACEPARENT].to_str().unwrap().to_owned());
        let app = Router::new().route("/x/{id}", echo).route_layer(from_fn_with_state(spans, trace));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let ask =
            |request: axum::http::request::Builder| app.clone().oneshot(request.body(Body::empty()).unwrap());
        let answer = ask(Request::get("/x/1").header(TRACEPARENT, &parent)).await.unwrap();
        let handed = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
        let span = seen.recv().await.unwrap();
        assert_eq!(handed, span.context.to_string());
        assert!(span.context.to_string().contains(trace) && !parent.ends_with(&*span.context.to_string()));
        assert_eq!((span.name.as_str(), span.parent), ("GET /x/{id}", Some(0x00f0_67aa_0ba9_02b7)));
        ask(Request::get("/x/1").header(TRACEPARENT, parent.replace("-01", "-00"))).await.unwrap();
        assert!(seen.try_recv().is_err(), "a trace that is not recorded stays so");
    }
}
