//! What sidecars have in hand, as they say themselves: where the broker cannot tell, pods would be ended while they work.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use asya_telemetry::names;
use futures::{StreamExt, TryStreamExt, future, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Sidecars of one actor that are asked at once.
const AT_ONCE: usize = 16;
/// How long one may take: KEDA and its autoscaler wait for the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest page of metrics that is read: a sidecar's is a tenth of it.
const PAGE: u64 = 512 * 1024;

/// Messages in hand of all of them. Who refuses the connection does not run, and has none.
///
/// # Errors
/// A sentence about the first one that does not say. Nothing is made up for it.
pub(super) async fn in_hand(addresses: Vec<SocketAddr>) -> Result<u64, String> {
    let answers = stream::iter(addresses).map(ask).buffer_unordered(AT_ONCE);
    answers.try_fold(0, |sum: u64, number| future::ready(Ok(sum.saturating_add(number)))).await
}

async fn ask(address: SocketAddr) -> Result<u64, String> {
    let why = match timeout(PATIENCE, page(address)).await {
        Ok(Ok(page)) => match active(&page) {
            Some(number) => return Ok(number),
            None => "its metrics do not hold it".to_owned(),
        },
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Ok(0),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    Err(format!("the sidecar at {address} does not say what it has in hand: {why}"))
}

/// The page of metrics, with the head of the answer. HTTP/1.0: the answer ends with the connection.
async fn page(address: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(format!("GET /metrics HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut page = Vec::new();
    connection.take(PAGE).read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The gauge, whatever the prefix of the actor's metrics is.
fn active(page: &str) -> Option<u64> {
    let suffix = format!("_{}", names::ACTIVE_MESSAGES.registered());
    page.lines().filter_map(|line| line.split_once(' ')).find_map(|(name, value)| {
        let name = name.split('{').next()?;
        if name.ends_with(&suffix) { value.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use asya_telemetry::{
        Metrics,
        server::{Probes, serve},
    };
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A sidecar's own page, with so many messages in hand.
    async fn sidecar(messages: usize, stop: &CancellationToken) -> SocketAddr {
        let metrics = Metrics::new("my_team");
        let actor = metrics.actor("ocr", "rabbitmq");
        for _ in 0..messages {
            actor.received(1, Duration::ZERO);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let check: asya_telemetry::server::Check = Arc::new(|| Ok(()));
        let probes = Probes { healthy: check.clone(), ready: check, drain: None };
        tokio::spawn(serve(listener, metrics, probes, stop.clone()));
        address
    }

    #[tokio::test]
    async fn what_all_sidecars_have_in_hand_is_added_up() {
        let stop = CancellationToken::new();
        let _ended = stop.clone().drop_guard();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let addresses = vec![sidecar(3, &stop).await, sidecar(0, &stop).await, sidecar(4, &stop).await, gone];
        assert_eq!(in_hand(addresses).await, Ok(7));
        assert_eq!(in_hand(Vec::new()).await, Ok(0));
    }

    #[tokio::test]
    async fn a_sidecar_that_does_not_say_is_not_taken_for_an_idle_one() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = in_hand(vec![silent.local_addr().unwrap()]).await.unwrap_err();
        assert!(error.contains("no answer"), "{error}");
    }

    #[test]
    fn only_the_gauge_itself_is_read() {
        let page = "HTTP/1.0 200 OK\n# HELP x_active_messages Messages in hand\nx_active_messages_total 9\nx_active_messages 2\n";
        assert_eq!(active(page), Some(2));
        assert_eq!(active("x_active_messages{queue=\"a\"} 5\n"), Some(5));
        assert_eq!(active("nothing"), None);
    }
}
