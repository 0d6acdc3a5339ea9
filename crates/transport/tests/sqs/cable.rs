//! A cable between a client and a server, which can be cut.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Passes bytes on until it is cut; dropping it does not cut it.
pub(crate) struct Cable {
    address: SocketAddr,
    cut: CancellationToken,
}

impl Cable {
    /// A cable to `http://host:port`.
    pub(crate) async fn to(endpoint: &str) -> anyhow::Result<Self> {
        let server = endpoint.strip_prefix("http://").context("not an http:// address")?;
        let server = server.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cut = CancellationToken::new();
        let until = cut.clone();
        tokio::spawn(async move {
            let passing = async {
                while let Ok((near, _)) = listener.accept().await {
                    let (server, until) = (server.clone(), until.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = pass(near, &server) => {}
                            () = until.cancelled() => {}
                        }
                    });
                }
            };
            tokio::select! {
                () = passing => {}
                () = until.cancelled() => {}
            }
        });
        Ok(Self { address, cut })
    }

    /// The near end.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes every connection and takes no new one.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}

async fn pass(mut near: TcpStream, server: &str) {
    if let Ok(mut far) = TcpStream::connect(server).await {
        // Either end may close at any time.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
