//! Telling other replicas which envelopes changed, and hearing it from them.
//!
//! Ids are sent after the commit and on a statement of their own, several at once. Sent inside the transaction they
//! would make all commits of the database wait for each other, since PostgreSQL keeps notifications in the order of
//! commits. A process that dies in between notifies nobody: readers look every few seconds besides.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use deadpool_postgres::{Object, Pool};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_postgres::AsyncMessage;

use super::{address::Address, words};
use crate::{StoreError, envelopes::hub::Hub};

/// The channel's name.
const CHANNEL: &str = "asya_envelopes";
/// Longest notification, in bytes; PostgreSQL's own limit is 8,000.
const LONGEST: usize = 7_500;
/// Sets of ids that may wait to be sent; more are dropped, and found by the readers' next look.
const WAITING: usize = 1024;
/// Pause before a lost listening connection is tried again; doubles up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What is sent: who sends it, and which envelopes changed.
#[derive(Serialize, Deserialize)]
struct Notification {
    from: String,
    ids: Vec<String>,
}

/// The way to the task that sends notifications. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Notifier(mpsc::Sender<Vec<String>>);

impl Notifier {
    /// Starts it. `me` tells this replica's notifications from others'.
    pub(super) fn start(pool: Pool, me: String, limit: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(send(pool, me, limit, receiver));
        Self(sender)
    }

    pub(super) fn changed(&self, ids: Vec<String>) {
        if !ids.is_empty() && self.0.try_send(ids).is_err() {
            tracing::debug!("a notification was dropped: too many wait");
        }
    }
}

async fn send(pool: Pool, me: String, limit: Duration, mut receiver: mpsc::Receiver<Vec<String>>) {
    while let Some(first) = receiver.recv().await {
        // What comes while one is being sent goes with the next.
        let mut ids: BTreeSet<String> = first.into_iter().collect();
        while let Ok(more) = receiver.try_recv() {
            ids.extend(more);
        }
        for text in notifications(&me, ids) {
            if let Err(error) = notify(&pool, &text, limit).await {
                tracing::debug!(%error, "a notification was not sent");
            }
        }
    }
}

async fn notify(pool: &Pool, text: &str, limit: Duration) -> Result<(), StoreError> {
    let connection = pool.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let notify = async {
        let statement = connection.prepare_cached("SELECT pg_notify($1, $2)").await?;
        connection.execute(&statement, &[&CHANNEL, &text]).await?;
        Ok(())
    };
    let outcome = timeout(limit, notify).await;
    outcome.unwrap_or_else(|_| {
        drop(Object::take(connection));
        Err(StoreError::Unavailable("no answer in time".to_owned()))
    })
}

/// The ids, in as few notifications as hold them.
fn notifications(me: &str, ids: BTreeSet<String>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut notification = Notification { from: me.to_owned(), ids: Vec::new() };
    let mut length = 0;
    for id in ids {
        let takes = serde_json::to_string(&id).map_or(0, |text| text.len()) + 1;
        if length + takes > LONGEST && !notification.ids.is_empty() {
            texts.push(encode(&notification));
            notification.ids.clear();
            length = 0;
        }
        length += takes;
        notification.ids.push(id);
    }
    if !notification.ids.is_empty() {
        texts.push(encode(&notification));
    }
    texts
}

fn encode(notification: &Notification) -> String {
    serde_json::to_string(notification).expect("texts are valid JSON")
}

/// Hears notifications and tells the hub, until it is aborted. Connects again when the connection is lost.
pub(super) async fn listen(address: Address, me: String, hub: Arc<Hub>) {
    let (first, longest) = RETRY;
    let mut pause = first;
    loop {
        match hear(&address, &me, &hub, &mut pause).await {
            Ok(()) => tracing::warn!("the connection that hears of changes was closed"),
            Err(error) => tracing::warn!(%error, "changes of other replicas are not heard"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

async fn hear(address: &Address, me: &str, hub: &Hub, pause: &mut Duration) -> Result<(), StoreError> {
    let (client, mut connection) = address.config.connect(address.trust.connector()?).await?;
    let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
    let text = format!("LISTEN {CHANNEL}");
    let listening = client.batch_execute(&text);
    tokio::pin!(listening);
    let mut begun = false;
    loop {
        tokio::select! {
            result = &mut listening, if !begun => {
                result?;
                begun = true;
                *pause = RETRY.0;
                // Whatever happened before was not heard.
                hub.missed();
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(notification))) => tell(notification.payload(), me, hub),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(StoreError::Unavailable(words(&error))),
                None => return Ok(()),
            },
        }
    }
}

fn tell(payload: &str, me: &str, hub: &Hub) {
    match serde_json::from_str::<Notification>(payload) {
        Ok(notification) if notification.from == me => {}
        Ok(notification) => hub.changed(notification.ids.iter().map(String::as_str)),
        // A newer version's, perhaps: something changed.
        Err(_) => hub.missed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_stay_below_the_limit_and_hold_every_id() {
        let ids: BTreeSet<String> = (0..2000).map(|n| format!("\u{1}\"ü-{n}")).collect();
        let texts = notifications("me", ids.clone());
        assert!(texts.iter().all(|text| text.len() < 8000));
        let read = texts.iter().flat_map(|text| serde_json::from_str::<Notification>(text).unwrap().ids);
        assert_eq!(read.collect::<BTreeSet<_>>(), ids);
    }
}
