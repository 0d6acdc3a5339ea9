//! Lines of handlers and of this program, on their way to the terminal.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::mpsc;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter};

/// Lines that may wait to be printed; handlers that print more are held back.
const BUFFERED: usize = 4_096;
/// Longest part of a handler's line that is shown.
pub(crate) const LONGEST_LINE: usize = 16 * 1024;

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A handler printed it.
    Output,
    /// News of this program.
    Note,
    /// Something is wrong.
    Error,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The actor it is about; `None` = all.
    pub(crate) actor: Option<Arc<str>>,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// Takes lines. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    sender: mpsc::Sender<Line>,
    lost: Arc<AtomicU64>,
}

impl Logs {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Line>) {
        let (sender, receiver) = mpsc::channel(BUFFERED);
        (Self { sender, lost: Arc::default() }, receiver)
    }

    /// A handler's line; waits for room.
    pub(crate) async fn output(&self, actor: &Arc<str>, text: String) {
        // Nobody prints any more: the program ends.
        let _ = self.sender.send(Line { actor: Some(actor.clone()), kind: Kind::Output, text }).await;
    }

    /// News; thrown away and counted when there is no room.
    pub(crate) fn note(&self, actor: Option<&Arc<str>>, text: impl Into<String>) {
        self.send(actor, Kind::Note, text.into());
    }

    /// Something is wrong.
    pub(crate) fn error(&self, actor: Option<&Arc<str>>, text: impl Into<String>) {
        self.send(actor, Kind::Error, text.into());
    }

    fn send(&self, actor: Option<&Arc<str>>, kind: Kind, text: String) {
        if self.sender.try_send(Line { actor: actor.cloned(), kind, text }).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// How many lines found no room since the last call.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }

    /// Sends what engines and transports log here too; of actors with a level of their own also what that lets through.
    pub(crate) fn subscribe(&self, verbose: bool, levels: &[(&str, LevelFilter)]) {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(std::env::var("RUST_LOG").ok(), verbose, levels))
            .with_writer(self.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time();
        if subscriber.try_init().is_err() {
            self.note(None, "logging was set up twice");
        }
    }
}

/// What is seen: as `said`, or few lines, and more of actors that say so.
fn filter(said: Option<String>, verbose: bool, levels: &[(&str, LevelFilter)]) -> EnvFilter {
    let level = if verbose { "info" } else { "warn" };
    // Clients of brokers report what the transport looks for and does not find as errors; what is one the transport
    // says itself.
    let usual = || format!("{level},lapin=off,aws_config=warn,hyper_util=warn,rmcp=warn");
    let filter = said.unwrap_or_else(usual);
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(level));
    levels.iter().fold(filter, |filter, (actor, level)| {
        let inside = format!("[actor{{name={actor}}}]={level}");
        filter.add_directive(inside.parse().expect("names of actors are those of Kubernetes"))
    })
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter { logs: self.clone(), text: Vec::new() }
    }
}

/// Gathers one event and sends it as a line when it is complete.
pub(crate) struct EventWriter {
    logs: Logs,
    text: Vec<u8>,
}

impl io::Write for EventWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let kind = if text.starts_with("ERROR") { Kind::Error } else { Kind::Note };
        let (actor, text) = split_span(text);
        self.logs.send(actor.as_ref(), kind, text);
    }
}

/// Takes the actor out of `LEVEL actor{name=ocr}: message`.
fn split_span(text: &str) -> (Option<Arc<str>>, String) {
    let found = text.split_once("actor{name=").and_then(|(level, rest)| {
        let (name, message) = rest.split_once("}:")?;
        Some((Arc::from(name.trim_matches('"')), format!("{level}{}", message.trim_start())))
    });
    match found {
        Some((actor, text)) => (Some(actor), text),
        None => (None, text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_knows_its_actor() {
        let (actor, text) = split_span("WARN actor{name=\"ocr\"}: next queue not found queue=asya-x");
        assert_eq!(
            (actor.as_deref(), text.as_str()),
            (Some("ocr"), "WARN next queue not found queue=asya-x")
        );
        assert_eq!(split_span("WARN plain").0, None);
    }

    #[test]
    fn more_is_seen_of_an_actor_with_a_level_of_its_own_and_never_less() {
        let (logs, mut lines) = Logs::new();
        let levels = [("ocr-2", LevelFilter::DEBUG), ("quiet", LevelFilter::ERROR)];
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(None, false, &levels))
            .with_writer(logs)
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for name in ["ocr", "ocr-2", "ocr-22", "quiet"] {
                let _inside = tracing::error_span!("actor", %name).entered();
                tracing::trace!("nobody sees this");
                tracing::debug!("detail");
                tracing::warn!("trouble");
            }
        });
        let of = |line: Line| (line.actor.unwrap().to_string(), line.text.contains("detail"));
        let seen: Vec<_> = std::iter::from_fn(|| lines.try_recv().ok()).map(of).collect();
        let expected =
            [("ocr", false), ("ocr-2", true), ("ocr-2", false), ("ocr-22", false), ("quiet", false)];
        assert_eq!(seen, expected.map(|(actor, detail)| (actor.to_owned(), detail)));
    }
}
