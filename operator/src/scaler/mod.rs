//! KEDA's external push scaler: wakes actors from zero within about a second of the first message.
//!
//! | module | holds |
//! |---|---|
//! | [`target`] | [`Actors`]: which queue an actor reads, and whether it is at zero |
//! | [`cached`] | [`Cached`]: the same from the operator's caches |
//! | [`proto`] | the protocol, generated |
//! | `service` | the four calls |
//! | `streams` | who listens, bounded |
//! | `poll` | the one loop that looks at the queues of actors at zero |
//! | `counts`, `sidecars` | what is on a queue and in hand, for the metric |
//! | `tls` | certificates that may change while we run |
//! | [`counters`] | what is counted |
//!
//! The invariant: **it only ever says that there is work.** What it does not know, and all that it says beyond that,
//! would end pods that work; so a stream carries `true` or nothing, and a broker that is away is an error.

pub mod cached;
pub mod counters;
mod counts;
mod poll;
mod service;
mod sidecars;
mod streams;
pub mod target;
mod tls;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

pub use cached::Cached;
pub use counters::Counters;
pub use target::{Actors, Target};

use self::{
    proto::external_scaler_server::ExternalScalerServer, service::Service, streams::Streams,
    tls::Certificates,
};
use crate::{queues::Brokers, settings};

/// The protocol, generated from `proto/`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod proto {
    tonic::include_proto!("externalscaler");
}

/// Streams that are open at once, one per ScaledObject and KEDA; more are refused. KEDA brings all of them on one
/// connection, where a smaller limit of HTTP/2 would let the rest wait in silence. A stream costs about 10 KB.
pub const MAX_STREAMS: usize = 10_000;
/// Calls beside the streams on one connection.
const MAX_CALLS: u32 = 1_000;
/// A KEDA that went away without a word frees its streams after this and [`PATIENCE`].
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long an answer may take: a ping's, a handshake's, and that of a connection that is to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the scaler cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("push scaler on {address}")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificates cannot be used. Without them nothing is served: never in plain text instead.
    #[error("push scaler: {file:?}: {why}")]
    Certificates {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server failed.
    #[error("push scaler")]
    Serve(#[source] tonic::transport::Error),
}

/// Serves KEDA until it is told to stop; every replica of the operator does. Open streams then end in order, and KEDA
/// opens them again elsewhere.
///
/// # Errors
/// [`Error`]: the address, the certificates, or the server.
pub async fn serve(
    push: &settings::Push,
    actors: Arc<dyn Actors>,
    brokers: Arc<Brokers>,
    counters: Counters,
    stop: CancellationToken,
) -> Result<(), Error> {
    let bind = |source| Error::Bind { address: push.bind, source };
    let certificates = push.tls.clone().map(Certificates::read).transpose()?.map(Arc::new);
    let listener = TcpListener::bind(push.bind).await.map_err(bind)?;
    let secured = certificates.is_some();
    tracing::info!(address = %listener.local_addr().map_err(bind)?, tls = secured, "serving KEDA's push scaler");
    if !secured {
        tracing::warn!("the push scaler speaks plain text to anybody: set ASYA_SCALER_TLS_DIR");
    }
    let streams = Arc::new(Streams::new(MAX_STREAMS, counters.clone()));
    // Ends with this function, however that ends.
    let stop = stop.child_token();
    let _ended = stop.clone().drop_guard();
    tokio::spawn(poll::run(streams.clone(), actors.clone(), brokers.clone(), counters, stop.clone()));
    let service = Service::new(actors, brokers, streams, stop.clone());
    let server = Server::builder()
        .max_concurrent_streams(u32::try_from(MAX_STREAMS).unwrap_or(u32::MAX).saturating_add(MAX_CALLS))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(PATIENCE))
        .add_service(ExternalScalerServer::new(service));
    let ended = stop.clone().cancelled_owned();
    let served = async {
        match certificates {
            Some(certificates) => {
                tokio::spawn(certificates.clone().follow(stop.clone()));
                let connections = tls::connections(listener, certificates);
                server.serve_with_incoming_shutdown(connections, ended).await
            }
            None => {
                let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
                server.serve_with_incoming_shutdown(connections, ended).await
            }
        }
    };
    tokio::pin!(served);
    tokio::select! {
        outcome = &mut served => outcome.map_err(Error::Serve),
        () = async { stop.cancelled().await; tokio::time::sleep(PATIENCE).await } => Ok(()),
    }
}
