//! Whether the server's port answers. Servers that load a model first listen when they have it.

use std::time::Duration;

use asya_handler::Readiness;
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::WebAddress;

/// First pause between two looks at a closed port, as for a runtime's socket.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause: what a server waits for its first request at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often an open port is looked at: a server that is gone is found by the next request anyway.
const LOOK: Duration = Duration::from_secs(1);
/// How long a connection inside the pod may take; longer means that nobody accepts any.
const LIMIT: Duration = Duration::from_secs(2);

/// Looks at the port, again and again; `doubt` makes it look at once.
pub(super) async fn run(address: &WebAddress, readiness: &watch::Sender<Readiness>, doubt: &Notify) {
    let mut pause = FIRST_PAUSE;
    loop {
        match timeout(LIMIT, TcpStream::connect(address.socket())).await {
            Ok(Ok(_)) => {
                set(readiness, Readiness::Ready);
                pause = FIRST_PAUSE;
                tokio::select! { () = sleep(LOOK) => {} () = doubt.notified() => {} }
                continue;
            }
            Ok(Err(error)) => tell(readiness, address, &error.to_string()),
            Err(_) => tell(readiness, address, &format!("no connection within {LIMIT:?}")),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn tell(readiness: &watch::Sender<Readiness>, address: &WebAddress, why: &str) {
    set(readiness, Readiness::NotReady(format!("waiting for {address} to take connections: {why}")));
}

fn set(readiness: &watch::Sender<Readiness>, now: Readiness) {
    readiness.send_if_modified(|before| {
        *before != now && {
            *before = now;
            true
        }
    });
}
