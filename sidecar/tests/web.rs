//! A handler that is an HTTP server: what it is sent, and what its answers become.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic; the lint knows only test functions, not their helpers"
)]

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asya_envelope::{Envelope, Headers, Raw, Route};
use asya_handler::{
    Budget, Code, End, Failure, Fault, Handler, Readiness, Replies, Reply, Request, message::Mode,
};
use asya_sidecar::web::{WebAddress, WebConfig, WebHandler};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Semaphore, mpsc},
    time::timeout,
};

/// Nothing here takes longer unless it is broken.
const LIMIT: Duration = Duration::from_secs(20);

/// A server that answers each POST by `answer`.
async fn server<F, R>(answer: F) -> SocketAddr
where
    F: Fn(HeaderMap, Bytes) -> R + Clone + Send + Sync + 'static,
    R: Future<Output: IntoResponse> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
        assert_eq!(uri.path(), "/run");
        answer(headers, body)
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A server that answers everything with this.
async fn always(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> SocketAddr {
    server(move |_, _| async move {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        answer.body(Body::from(body)).unwrap()
    })
    .await
}

fn config(address: SocketAddr) -> WebConfig {
    WebConfig {
        address: WebAddress::parse(&format!("http://{address}/run")).unwrap(),
        mode: Mode::Payload,
        concurrency: NonZeroUsize::new(4).unwrap(),
        max_reply: 1 << 20,
        budget: Some(Budget::new(1 << 20)),
    }
}

fn envelope(payload: &'static str) -> Envelope {
    Envelope::new("e-1", Route::new(["a", "b"]), Raw::parse(Bytes::from_static(payload.as_bytes())).unwrap())
}

fn request(payload: &'static str) -> Request {
    Request {
        envelope: envelope(payload),
        body: envelope(payload).encode(),
        actor: "a".to_owned(),
        attempt: 2,
        timeout: LIMIT,
    }
}

async fn ready(handler: &WebHandler) {
    let mut readiness = handler.readiness();
    timeout(LIMIT, readiness.wait_for(|now| *now == Readiness::Ready)).await.unwrap().unwrap();
}

/// The payloads that were yielded, and the end.
async fn all(mut replies: Replies) -> (Vec<String>, End) {
    let mut yields = Vec::new();
    loop {
        match timeout(LIMIT, replies.recv()).await.unwrap().unwrap() {
            Reply::Yield(item) => yields.push(item.payload.as_str().to_owned()),
            Reply::End(end) => return (yields, end),
            Reply::Progress(_) => {}
        }
    }
}

/// The end of one run against a server.
async fn end(address: SocketAddr) -> End {
    let handler = WebHandler::new(config(address));
    let (yields, end) = all(handler.handle(request("1"))).await;
    assert!(yields.is_empty());
    end
}

fn results(end: End) -> Vec<String> {
    match end {
        End::Done(items) => items.iter().map(|item| item.payload.as_str().to_owned()).collect(),
        other => panic!("{other:?}"),
    }
}

fn failed(end: End) -> Failure {
    match end {
        End::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_server_gets_the_payload_and_who_sends_it_and_its_answer_is_the_result() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let address = server(move |headers, body| {
        sender.send((headers, body)).unwrap();
        async { "{\"n\": 1e400}" }
    })
    .await;
    let handler = WebHandler::new(config(address));
    ready(&handler).await;
    let mut request = request("{\"text\": \"hi\"}");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.envelope.headers = Headers::from_pairs([("traceparent".to_owned(), Raw::of(&trace))]);
    request.envelope.deadline =
        Some(asya_envelope::Deadline::parse(Raw::of(&"2100-01-02T03:04:05Z")).unwrap());
    let (_, end) = all(handler.handle(request)).await;
    assert_eq!(results(end), ["{\"n\": 1e400}"], "byte for byte");

    let (headers, body) = seen.recv().await.unwrap();
    assert_eq!(body, "{\"text\": \"hi\"}");
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-asya-envelope-id", "e-1"),
        ("x-asya-actor", "a"),
        ("x-asya-attempt", "2"),
        ("x-asya-deadline", "2100-01-02T03:04:05Z"),
        ("traceparent", trace),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn in_envelope_mode_whole_envelopes_go_both_ways() {
    let address = server(|_, body: Bytes| async move {
        let mut envelope: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(envelope["id"], "e-1");
        envelope["payload"] = serde_json::json!({"was": envelope["payload"]});
        envelope["route"]["actors"] = serde_json::json!(["a", "x"]);
        envelope["route"]["current"] = serde_json::json!(1);
        envelope.to_string()
    })
    .await;
    let handler = WebHandler::new(WebConfig { mode: Mode::Envelope, ..config(address) });
    let (_, end) = all(handler.handle(request("7"))).await;
    let End::Done(items) = end else { panic!("{end:?}") };
    assert_eq!(items[0].payload.as_str(), "{\"was\":7}");
    assert_eq!(items[0].route.as_ref().unwrap().actors, ["a", "x"]);

    let address = always(200, &[], "[1]").await;
    let handler = WebHandler::new(WebConfig { mode: Mode::Envelope, ..config(address) });
    let (_, end) = all(handler.handle(request("7"))).await;
    assert_eq!(failed(end).code, Code::InvalidResult, "no envelope");
}

#[tokio::test]
async fn an_array_is_one_result_and_nothing_or_null_is_none() {
    assert_eq!(results(end(always(201, &[], "[1, 2]").await).await), ["[1, 2]"]);
    assert!(results(end(always(204, &[], "").await).await).is_empty());
    assert!(results(end(always(200, &[], "").await).await).is_empty());
    assert!(results(end(always(200, &[], " null\n").await).await).is_empty());
}

const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson; charset=utf-8")];

#[tokio::test]
async fn lines_of_a_stream_go_on_as_they_come() {
    let (lines, source) = mpsc::channel::<&'static str>(1);
    let source = Arc::new(tokio::sync::Mutex::new(Some(source)));
    let address = server(move |_, _| {
        let source = Arc::clone(&source);
        async move {
            let source = source.lock().await.take().unwrap();
            let chunks = futures::stream::unfold(source, async |mut source| {
                let chunk: Result<_, std::io::Error> = Ok(source.recv().await?);
                Some((chunk, source))
            });
            let body = Body::from_stream(chunks);
            Response::builder().header(NDJSON[0].0, NDJSON[0].1).body(body).unwrap()
        }
    })
    .await;
    let handler = WebHandler::new(config(address));
    let mut replies = handler.handle(request("1"));
    for (chunk, line) in [("{\"a\":", None), ("1}\r\n\n", Some("{\"a\":1}")), ("2\n3", Some("2"))] {
        lines.send(chunk).await.unwrap();
        let Some(line) = line else { continue };
        let reply = timeout(LIMIT, replies.recv()).await.unwrap();
        assert!(matches!(&reply, Some(Reply::Yield(item)) if item.payload.as_str() == line), "{reply:?}");
    }
    drop(lines);
    let (rest, end) = all(replies).await;
    assert_eq!(rest, ["3"], "the last line needs no end");
    assert!(results(end).is_empty());
}

#[tokio::test]
async fn a_line_that_is_not_json_fails_the_run_and_an_empty_stream_is_no_result() {
    let handler = WebHandler::new(config(always(200, NDJSON, "1\n{\n").await));
    let (yields, ended) = all(handler.handle(request("1"))).await;
    assert_eq!(yields, ["1"]);
    assert_eq!(failed(ended).code, Code::InvalidResult);
    assert!(results(end(always(200, NDJSON, "\n").await).await).is_empty());
}

#[tokio::test]
async fn a_refusal_is_final_and_tells_the_beginning_of_its_body() {
    let body: &'static str = "no such model: ".to_owned().leak();
    let long: &'static str = format!("{body}{}", "x".repeat(100_000)).leak();
    let failure = failed(end(always(422, &[], long).await).await);
    assert_eq!((failure.code, failure.fault), (Code::Processing, Fault::Final));
    assert!(failure.message.contains("422") && failure.message.contains(body), "{}", failure.message);
    assert!(failure.message.len() < 2200, "{}", failure.message.len());
    assert_eq!(failure.type_name.as_deref(), Some("HTTP422"));
}

#[tokio::test]
async fn a_servers_own_error_may_be_tried_again_and_what_it_asks_for_is_done() {
    let failure = failed(end(always(500, &[], "out of memory").await).await);
    assert_eq!((failure.code, failure.fault), (Code::Processing, Fault::Handler));
    let busy = end(always(429, &[("retry-after", "7")], "busy").await).await;
    assert!(
        matches!(&busy, End::Retry { after: Some(wait), reason } if wait.as_secs() == 7 && reason.contains("busy")),
        "{busy:?}"
    );
}

#[tokio::test]
async fn what_is_not_json_is_said_to_be_so() {
    let failure = failed(end(always(200, &[("content-type", "text/html")], "<html>").await).await);
    assert_eq!(failure.code, Code::InvalidResult);
    assert!(failure.message.contains("text/html") && failure.message.contains("not JSON"));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_whether_it_says_its_size_or_not() {
    let large: &'static str = format!("\"{}\"", "x".repeat(300_000)).leak();
    let known = always(200, &[], large).await;
    let chunked = server(move |_, _| async move {
        let chunks = futures::stream::iter(large.as_bytes().chunks(10_000)).map(Ok::<_, std::io::Error>);
        Body::from_stream(chunks).into_response()
    })
    .await;
    for address in [known, chunked] {
        let handler = WebHandler::new(WebConfig { max_reply: 200_000, ..config(address) });
        let failure = failed(all(handler.handle(request("1"))).await.1);
        assert_eq!((failure.code, failure.fault), (Code::ReplyTooLarge, Fault::Final));
        // Within it, large ones share a budget in which only one of them fits.
        let handler = WebHandler::new(WebConfig { budget: Some(Budget::new(400_000)), ..config(address) });
        let runs: Vec<_> = (0..4).map(|_| handler.handle(request("1"))).collect();
        for run in runs {
            assert_eq!(results(all(run).await.1)[0].len(), large.len());
        }
    }
}

#[tokio::test]
async fn a_run_that_takes_too_long_ends_and_its_connection_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let handler = WebHandler::new(config(listener.local_addr().unwrap()));
    let (told, mut gone) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                drop(stream.read_to_end(&mut read).await);
                // The probe's connections carry nothing.
                if !read.is_empty() {
                    told.send(()).unwrap();
                }
            });
        }
    });
    let limit = Duration::from_millis(100);
    let late = handler.handle(Request { timeout: limit, ..request("1") });
    let failure = failed(all(late).await.1);
    assert_eq!((failure.code, failure.fault), (Code::Timeout, Fault::Handler));
    timeout(LIMIT, gone.recv()).await.unwrap().unwrap();

    // The same when nobody waits any more.
    let mut cancelled = handler.handle(request("1"));
    assert!(timeout(Duration::from_millis(100), cancelled.recv()).await.is_err());
    drop(cancelled);
    timeout(LIMIT, gone.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broken_connection_and_a_closed_port_are_nobodys_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut read = [0; 4096];
                drop(stream.read(&mut read).await);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\"").await);
            });
        }
    });
    let handler = WebHandler::new(config(address));
    ready(&handler).await;
    let failure = failed(all(handler.handle(request("1"))).await.1);
    assert_eq!((failure.code, failure.fault), (Code::Connection, Fault::Infrastructure));
    assert!(failure.message.contains("broke"), "{}", failure.message);

    server.abort();
    drop(server.await);
    let failure = failed(all(handler.handle(request("1"))).await.1);
    assert_eq!((failure.code, failure.fault), (Code::Connection, Fault::Infrastructure));
    assert!(failure.message.contains("cannot connect"), "{}", failure.message);
}

#[tokio::test]
async fn the_handler_is_ready_while_the_port_takes_connections() {
    // Nobody else is given the port of a listener that is kept, and one that is bound only takes no connections.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let handler = WebHandler::new(config(address));
    let mut readiness = handler.readiness();
    let refused = |now: &Readiness| matches!(now, Readiness::NotReady(why) if why.contains("refused"));
    timeout(LIMIT, readiness.wait_for(refused)).await.unwrap().unwrap();
    let listener = socket.listen(8).unwrap();
    ready(&handler).await;
    drop(listener);
    timeout(LIMIT, readiness.wait_for(refused)).await.unwrap().unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    ready(&handler).await;
    drop(listener);
}

#[tokio::test]
async fn no_more_requests_run_than_allowed_and_closing_waits_for_them() {
    let gate = Arc::new(Semaphore::new(0));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let address = server({
        let (gate, running, most) = (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
        move |_, body| {
            let (gate, running, most) = (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                (StatusCode::OK, body)
            }
        }
    })
    .await;
    let concurrency = NonZeroUsize::new(2).unwrap();
    let handler = WebHandler::new(WebConfig { concurrency, ..config(address) });
    assert_eq!(handler.capacity().borrow().total(), 2);
    let mut runs: Vec<_> = (0..3).map(|_| handler.handle(request("1"))).collect();
    let two = async {
        while running.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, two).await.unwrap();

    let close = handler.close();
    tokio::pin!(close);
    assert!(futures::poll!(close.as_mut()).is_pending(), "two of them run");
    let waiting = failed(all(runs.pop().unwrap()).await.1);
    assert_eq!((waiting.code, waiting.fault), (Code::Connection, Fault::Infrastructure));
    gate.add_permits(2);
    for run in runs {
        assert_eq!(results(all(run).await.1), ["1"]);
    }
    timeout(LIMIT, close).await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 2);
}
