//! The model: asked piece by piece, and its words shown while they come.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_llm::{Error, Event, Guarded, Model, Request, Response, budget::Account, collect, mask::redact};
use asya_session::desk::Delta;
use futures::StreamExt as _;
use tokio::time::sleep;

use super::result;
use crate::{asked::Asked, desk::Desk};

/// How often what has come is shown: smooth for a reader, ten requests a second for the gateway.
const SHOW: Duration = Duration::from_millis(100);
/// Longest piece that is shown at once, in bytes; the rest comes with the next one.
const PIECE: usize = 8 * 1024;

/// A model, and how it is called in entries.
pub(super) struct Asker {
    model: Guarded<Box<dyn Model>>,
    /// Of the settings.
    provider: String,
    /// Whether answers are shown while they come.
    emit: bool,
    /// Whether questions are logged word by word.
    log: bool,
}

impl Asker {
    /// The model of these settings; connections are made when they are needed. Its budget begins with the process.
    ///
    /// # Errors
    /// A sentence: a file or certificates that cannot be used.
    pub(super) fn new(settings: &asya_llm::Settings, emit: bool, log: bool) -> Result<Self, String> {
        let model = settings.build(Account::default())?;
        Ok(Self { provider: model.provider().to_owned(), model, emit, log })
    }

    /// The model that is asked if a request names none.
    pub(super) fn own(&self) -> &str {
        self.model.model()
    }

    /// Provider and model, as in `openai/gpt-4o`.
    pub(super) fn name(&self, request: &Request) -> String {
        format!("{}/{}", self.provider, request.model.as_deref().unwrap_or_else(|| self.own()))
    }

    /// The whole answer. While it comes, its words are shown as those of entry `n`, if that is wanted; what nobody takes is
    /// lost. Dropping the
    /// future stops the model's work.
    ///
    /// # Errors
    /// The model's.
    pub(super) async fn ask(
        &self,
        request: &Request,
        desk: &Desk,
        asked: &Asked,
        n: u64,
    ) -> Result<Response, Error> {
        self.logged(request);
        let words = Arc::default();
        if !self.emit {
            return self.read(request, words).await;
        }
        tokio::select! {
            answer = self.read(request, Arc::clone(&words)) => answer,
            never = show(&words, desk, asked, n) => match never {},
        }
    }

    /// The whole answer, shown to nobody.
    ///
    /// # Errors
    /// The model's.
    pub(super) async fn complete(&self, request: &Request) -> Result<Response, Error> {
        self.logged(request);
        self.model.complete(request).await
    }

    fn logged(&self, request: &Request) {
        let question = serde_json::to_string(request).unwrap_or_default();
        let (messages, bytes) = (request.messages.len(), question.len());
        match self.log {
            true => tracing::info!(messages, bytes, question = redact(&question), "asking the model"),
            false => tracing::info!(messages, bytes, "asking the model"),
        }
    }

    async fn read(&self, request: &Request, words: Arc<Mutex<String>>) -> Result<Response, Error> {
        let events = self.model.stream(request).await?;
        let noted = events.inspect(move |event| {
            if let Ok(Event::Text(text)) = event {
                words.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            }
        });
        collect(noted.boxed()).await
    }
}

/// Shows what has come since the last time, for ever.
async fn show(words: &Mutex<String>, desk: &Desk, asked: &Asked, n: u64) -> Infallible {
    let mut shown = 0;
    loop {
        sleep(SHOW).await;
        let text =
            result::upto(&words.lock().unwrap_or_else(PoisonError::into_inner)[shown..], PIECE).to_owned();
        if text.is_empty() {
            continue;
        }
        let delta = Delta { n, offset: shown as u64, text };
        shown += delta.text.len();
        if let Err(error) = desk.stream(&asked.token, &asked.claims.session, &delta).await {
            tracing::debug!(%error, "a piece of an answer is not shown");
        }
    }
}
