//! What the tests of both ends share.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod fake;

use std::{path::Path, sync::Arc, time::Duration};

use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{
    End, Failure, Handler, Item, Readiness, Replies, Reply, Request,
    socket::{SocketConfig, SocketHandler},
};
use bytes::Bytes;

/// Longer than anything that works takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn request(id: &str, payload: &str, timeout: Duration) -> Request {
    let route = Route::new(["a", "b"]);
    let envelope = Envelope::new(id, route, Raw::parse(Bytes::copy_from_slice(payload.as_bytes())).unwrap());
    Request { body: envelope.encode(), envelope, actor: "a".to_owned(), attempt: 1, timeout }
}

pub fn client(directory: &Path) -> Arc<SocketHandler> {
    SocketHandler::new(SocketConfig::new(directory, "a"))
}

pub async fn ready(handler: &SocketHandler) {
    let mut readiness = handler.readiness();
    let seen = tokio::time::timeout(LIMIT, readiness.wait_for(|now| *now == Readiness::Ready)).await;
    seen.expect("the handler becomes ready").expect("the handler lives");
}

/// All yields, and the end.
pub async fn replies(replies: &mut Replies) -> (Vec<Item>, End) {
    let mut yields = Vec::new();
    loop {
        match tokio::time::timeout(LIMIT, replies.recv()).await.expect("a reply comes").expect("an end comes")
        {
            Reply::Yield(item) => yields.push(item),
            Reply::Progress(_) => {}
            Reply::End(end) => {
                assert!(replies.recv().await.is_none(), "nothing follows the end");
                return (yields, end);
            }
        }
    }
}

pub async fn end(mut answer: Replies) -> End {
    replies(&mut answer).await.1
}

pub async fn failure(answer: Replies) -> Failure {
    match end(answer).await {
        End::Failed(failure) => failure,
        other => panic!("must fail: {other:?}"),
    }
}

pub async fn payloads(answer: Replies) -> Vec<String> {
    match end(answer).await {
        End::Done(items) => items.iter().map(|item| item.payload.as_str().to_owned()).collect(),
        other => panic!("must succeed: {other:?}"),
    }
}

/// Waits until `done`, with a limit.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}
