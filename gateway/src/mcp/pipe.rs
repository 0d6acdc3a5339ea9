//! One client on standard input and output.

use std::{io, sync::Arc, time::Duration};

use rmcp::{ServiceExt, service::ServerInitializeError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::Server;
use crate::{actors::Source, auth::Principal, service::Service};

/// How long calls that a client has left are given to cancel their envelopes.
const LAST: Duration = Duration::from_secs(5);

/// Serves one client on standard input and output, as `who`, until it closes its end or `stop` is cancelled. Nothing
/// else may write to standard output meanwhile.
///
/// # Errors
/// Those of the pipe.
pub async fn serve_stdio(
    service: Service,
    actors: Option<Arc<dyn Source>>,
    who: Principal,
    stop: CancellationToken,
) -> io::Result<()> {
    let (input, output) = rmcp::transport::stdio();
    serve(service, actors, who, stop, input, output).await
}

/// Serves one client on any two pipes; else as [`serve_stdio`].
///
/// # Errors
/// Those of the pipes.
pub async fn serve(
    service: Service,
    actors: Option<Arc<dyn Source>>,
    who: Principal,
    stop: CancellationToken,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin + 'static,
) -> io::Result<()> {
    let server = Server::new(service, actors, Some(who), stop.clone());
    let running = server.running.clone();
    let serving = match server.serve_with_ct((input, output), stop.child_token()).await {
        Ok(serving) => serving,
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    };
    let outcome = serving.waiting().await;
    running.close();
    if timeout(LAST, running.wait()).await.is_err() {
        tracing::warn!(calls = running.len(), "calls were left that could not be cancelled");
    }
    outcome.map(|_| ()).map_err(io::Error::other)
}
