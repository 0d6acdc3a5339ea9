//! Recorded answers: a file of JSON lines, one per answer, found by the hash of the request.
//!
//! ```json
//! {"hash":"9f86…","provider":"openai","model":"gpt-4o-mini","request":{…},"response":{…}}
//! ```
//!
//! Lines may be edited and moved by hand; `request` is for readers and is not looked at. Of two lines with one hash the
//! later one counts. A request holds what was asked: record only what may be committed.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind},
    model::Model,
    request::Request,
    response::{Events, Partial, Response},
};

#[derive(Serialize, Deserialize)]
struct Line {
    hash: String,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    request: Request,
    response: Response,
}

/// Writes down every answer of a model. Errors are not written: the next run asks again.
pub struct Record<M> {
    model: M,
    tape: Arc<Tape>,
}

struct Tape {
    path: PathBuf,
    file: Mutex<File>,
}

impl Tape {
    /// One write per line, so that lines of several writers do not mix. Short and on a local file: it does not wait for
    /// anything worth a thread of its own.
    fn write(&self, line: &Line) -> Result<(), Error> {
        let failed = |error: &dyn std::fmt::Display| {
            let words = format!("the recording {} cannot be written: {error}", self.path.display());
            Error::new(Kind::BadRequest, words)
        };
        let mut text = serde_json::to_string(line).map_err(|error| failed(&error))?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(|error| failed(&error))
    }
}

impl<M: Model> Record<M> {
    /// Answers of `model` go to the end of the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn new(model: M, path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file =
            file.map_err(|error| format!("the recording {} cannot be opened: {error}", path.display()))?;
        Ok(Self { model, tape: Arc::new(Tape { path: path.to_owned(), file: Mutex::new(file) }) })
    }

    fn line(&self, request: &Request, response: Response) -> Line {
        Line {
            hash: request.hash(),
            provider: self.model.provider().to_owned(),
            model: request.model.clone().unwrap_or_else(|| self.model.model().to_owned()),
            request: request.clone(),
            response,
        }
    }
}

#[async_trait]
impl<M: Model> Model for Record<M> {
    fn provider(&self) -> &str {
        self.model.provider()
    }

    fn model(&self) -> &str {
        self.model.model()
    }

    async fn complete(&self, request: &Request) -> Result<Response, Error> {
        let response = self.model.complete(request).await?;
        self.tape.write(&self.line(request, response.clone()))?;
        Ok(response)
    }

    /// The line is written when the stream's end is given out; a stream that is dropped before leaves none.
    async fn stream(&self, request: &Request) -> Result<Events, Error> {
        let events = self.model.stream(request).await?;
        let empty = Response {
            text: String::new(),
            calls: Vec::new(),
            finish: crate::response::Finish::Stop,
            usage: None,
        };
        let state = (events, Partial::default(), Some(self.line(request, empty)), Arc::clone(&self.tape));
        let events = futures::stream::unfold(state, |(mut events, mut partial, mut line, tape)| async move {
            let event = events.next().await?;
            if let Ok(piece) = &event {
                partial.push(piece);
                if matches!(piece, crate::response::Event::End(_))
                    && let Some(response) = std::mem::take(&mut partial).done()
                    && let Some(mut line) = line.take()
                {
                    line.response = response;
                    if let Err(error) = tape.write(&line) {
                        return Some((Err(error), (events, partial, None, tape)));
                    }
                }
            }
            Some((event, (events, partial, line, tape)))
        });
        Ok(events.boxed())
    }
}

/// Answers from a recording, and from nothing else.
#[derive(Debug)]
pub struct Replay {
    path: PathBuf,
    answers: HashMap<String, Response>,
}

impl Replay {
    /// Reads the recording at `path`.
    ///
    /// # Errors
    /// A sentence with the path, and the number of a line that cannot be read.
    pub fn open(path: &Path) -> Result<Self, String> {
        let wrong = |what: String| format!("the recording {}: {what}", path.display());
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mut answers = HashMap::new();
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| wrong(error.to_string()))?;
            if line.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&line)
                .map_err(|error| wrong(format!("line {}: {error}", number + 1)))?;
            answers.insert(line.hash, line.response);
        }
        Ok(Self { path: path.to_owned(), answers })
    }

    fn answer(&self, request: &Request) -> Result<Response, Error> {
        let hash = request.hash();
        self.answers.get(&hash).cloned().ok_or_else(|| {
            let words = format!("{} has no answer to the request {hash}", self.path.display());
            // The provider is named by hand: the hash must not be taken for a secret.
            Error::new(Kind::NotRecorded { hash }, words).of("replay")
        })
    }
}

#[async_trait]
impl Model for Replay {
    fn provider(&self) -> &str {
        "replay"
    }

    fn model(&self) -> &str {
        "recorded"
    }

    async fn complete(&self, request: &Request) -> Result<Response, Error> {
        self.answer(request)
    }

    async fn stream(&self, request: &Request) -> Result<Events, Error> {
        Ok(self.answer(request)?.stream())
    }
}
