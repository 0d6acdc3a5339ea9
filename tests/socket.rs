//! A socket to a gateway's conversations, opened as a web page does it.

use anyhow::{Context, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{agents::Fleet, cluster::LIMIT};

/// A client's end.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens one as `who`, by a ticket, in a form.
    ///
    /// # Errors
    /// A refusal.
    pub async fn open(fleet: &Fleet, who: &str, form: &str) -> Result<Self> {
        let ticket = fleet.good(who, "POST", "/api/v1/ws-tickets", None).await?;
        let ticket = ticket["protocol"].as_str().context("a ticket")?;
        let mut request = format!("ws://{}/ws/", fleet.address()).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", format!("{form}, {ticket}").parse()?);
        let stream = TcpStream::connect(fleet.address()).await?;
        Ok(Self(client_async(request, stream).await?.0))
    }

    /// Says something.
    ///
    /// # Errors
    /// A connection that has ended.
    pub async fn say(&mut self, said: &Value) -> Result<()> {
        Ok(self.0.send(Message::text(said.to_string())).await?)
    }

    /// The next message that fits.
    ///
    /// # Errors
    /// None in time, with those that came.
    pub async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut heard = Vec::new();
        loop {
            match timeout(LIMIT, self.0.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => heard.push(serde_json::from_str::<Value>(&text)?),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                other => bail!("{other:?} after {}", Value::from(heard)),
            }
            if let Some(last) = heard.last().filter(|last| fits(last)) {
                return Ok(last.clone());
            }
        }
    }
}
