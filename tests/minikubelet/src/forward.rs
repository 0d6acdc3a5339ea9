//! Ways to the ports of pods, for clients that speak WebSocket (`asya forward`). `kubectl port-forward` speaks SPDY inside
//! of it, which is not known here.

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// How a request for one begins.
pub(crate) const REQUEST: &[u8] = b"GET /portForward/";
/// Messages begin with the byte of their channel. Of each port there are two, which begin with its number.
const PROTOCOL: &str = "v4.channel.k8s.io";
const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Bytes of one message.
const PIECE: usize = 16 * 1024;

/// Leads one connection to a port of a pod until either side ends it.
///
/// # Errors
/// When the connection breaks, or nobody asked for a port of a pod.
pub(crate) async fn lead(stream: impl AsyncRead + AsyncWrite + Unpin, client: &Client) -> Result<()> {
    let mut target = String::new();
    #[allow(clippy::result_large_err, reason = "what the library wants")]
    let asked = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        target = request.uri().to_string();
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOL));
        Ok(response)
    };
    let socket = accept_hdr_async(stream, asked).await?;
    let (namespace, pod, port) = parse(&target)?;
    let (mut out, mut inward) = socket.split();
    let [low, high] = port.to_le_bytes();
    for channel in [DATA, ERROR] {
        out.send(Message::binary(vec![channel, low, high])).await?;
    }
    let upstream = match connect(client, namespace, pod, port).await {
        Ok(upstream) => upstream,
        Err(error) => {
            out.send(Message::binary([&[ERROR], format!("{error:#}").as_bytes()].concat())).await?;
            return Ok(out.close().await?);
        }
    };
    let (mut from, mut to) = upstream.into_split();
    let back = async {
        let mut piece = vec![DATA; PIECE];
        while let read @ 1.. = from.read(&mut piece[1..]).await? {
            out.send(Message::binary(piece[..=read].to_vec())).await?;
        }
        anyhow::Ok(out.close().await?)
    };
    let forth = async {
        while let Some(message) = inward.next().await {
            let Message::Binary(bytes) = message? else { continue };
            if let [DATA, content @ ..] = &bytes[..] {
                to.write_all(content).await?;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = back => ended,
        ended = forth => ended,
    }
}

/// `/portForward/NAMESPACE/POD?port=8080`
fn parse(target: &str) -> Result<(&str, &str, u16)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let ["", "portForward", namespace, pod] = path.split('/').collect::<Vec<_>>()[..] else {
        bail!("{path} is not served");
    };
    let port = query.split('&').find_map(|pair| pair.strip_prefix("port=")?.parse().ok());
    Ok((namespace, pod, port.with_context(|| format!("{query} names no port"))?))
}

async fn connect(client: &Client, namespace: &str, pod: &str, port: u16) -> Result<TcpStream> {
    let found = Api::<Pod>::namespaced(client.clone(), namespace).get(pod).await?;
    let address = found.status.and_then(|status| status.pod_ip).context("the pod has no address yet")?;
    Ok(TcpStream::connect((address.as_str(), port)).await?)
}
