//! Connections: bounded in number and in the time that a request's head may take, and ended in order.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::auth::Peer;

/// Connections at a time: those of requests in hand, of streams, and as many idle ones again. More wait in the
/// system's queue.
pub const CONNECTIONS: usize = 8 * 1024;
/// How long the head of a request may take: who is slower keeps a connection from others.
const HEAD: Duration = Duration::from_secs(15);
/// Pause after an accept that failed, as it does when files run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets requests end for at most `grace`. Answers how many were cut off.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken, grace: Duration) -> usize {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // What has ended is forgotten as it ends.
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok((stream, address)) => (stream, Peer::at(address.ip())),
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Answers are small and many: none waits for the next one.
        let _ = stream.set_nodelay(true);
        let (app, stop) = (app.clone(), stop.clone());
        connections.spawn(async move {
            connection(TokioIo::new(stream), peer, app, stop).await;
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(grace, ended).await;
    let left = connections.len();
    connections.shutdown().await;
    left
}

async fn connection(
    stream: TokioIo<tokio::net::TcpStream>,
    peer: Peer,
    app: Router,
    stop: CancellationToken,
) {
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |request: Request<Incoming>| app.call(peer.mark(request)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(stream, service)
        .with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
    }
}
