//! A local HTTP server that takes what `notify` posts, and knows when each message came.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Result;
use axum::{Router, body::Bytes, http::StatusCode};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify, time::timeout_at};

/// One change of one finding, as it was told.
#[derive(Clone, Debug)]
pub struct Note {
    /// When it came.
    pub at: Instant,
    /// `opened`, `changed`, `resolved` or `explained`.
    pub change: String,
    /// `Kind namespace/name`, or `Kind name`.
    pub object: String,
    /// The code of each failure, and where it is seen first.
    pub failures: Vec<(String, String)>,
    /// All of it.
    pub body: Value,
}

/// What came.
#[derive(Clone, Default)]
pub struct Inbox {
    notes: Arc<Mutex<Vec<Note>>>,
    more: Arc<Notify>,
}

impl Inbox {
    /// An inbox and its address, for the settings of a sink.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn open() -> Result<(Self, String)> {
        let inbox = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://localhost:{}/", listener.local_addr()?.port());
        let taken = inbox.clone();
        let take = move |body: Bytes| async move {
            taken.take(&body);
            StatusCode::NO_CONTENT
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
        Ok((inbox, address))
    }

    fn take(&self, body: &[u8]) {
        let at = Instant::now();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let findings = body["findings"].as_array().cloned().unwrap_or_default();
        let notes = findings.into_iter().map(|told| Note {
            at,
            change: text(&told["change"]),
            object: object(&told["finding"]["object"]),
            failures: failures(&told["finding"]),
            body: told,
        });
        self.notes.lock().expect("no panic in it").extend(notes);
        self.more.notify_waiters();
    }

    /// All that came.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().expect("no panic in it").clone()
    }

    /// The first note since `since` that `wanted` accepts; none in so long.
    pub async fn wait(
        &self,
        since: Instant,
        limit: Duration,
        wanted: impl Fn(&Note) -> bool,
    ) -> Option<Note> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(note) = self.notes().into_iter().find(|note| note.at >= since && wanted(note)) {
                return Some(note);
            }
            timeout_at(end, more).await.ok()?;
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `Kind namespace/name` of a reference.
fn object(reference: &Value) -> String {
    let (kind, name) = (text(&reference["kind"]), text(&reference["name"]));
    match reference["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

fn failures(finding: &Value) -> Vec<(String, String)> {
    let failures = finding["failures"].as_array().cloned().unwrap_or_default();
    failures.iter().map(|failure| (text(&failure["code"]), text(&failure["evidence"][0]["path"]))).collect()
}
