//! Calls tools of one server of the Model Context Protocol, so that they can be tools of agents.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | which server, and which of its tools |
//! | `line` | [`Line`]: the one session, made anew when it is gone |
//! | `endpoint` | a server at an address: its requests over the HTTP client of this program |
//! | `progress` | how far calls are, told on |
//! | `program` | a server that is a program: started, spoken to, ended |
//! | `trouble` | what went wrong, and whether the call may have been carried out |
//! | `result` | from a result to what a model reads |
//! | `hidden` | credentials, which nobody is shown |
//!
//! The payload is `{"tool", "arguments"}`. What a model can do something about is an answer, `{"error": …}`. Only what was
//! certainly not carried out is tried again by itself: the server is away or says that it is busy. **A call whose answer was
//! lost is not repeated**, unless the server says of its tool that a repeat does no harm: it is answered with an error that
//! says that it may have happened.

mod endpoint;
mod hidden;
mod line;
mod program;
mod progress;
mod result;
mod settings;
mod trouble;

use std::time::Duration;

use asya_envelope::{Approved, Raw, glob};
use asya_handler::{End, Item, Request};
use asya_sidecar::RetryPolicy;
use futures::future::BoxFuture;
use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};

use self::{line::Line, trouble::Trouble};
use crate::{
    InProcess,
    actor::{Act, ActError, Teller},
};
pub use line::{Listed, list};
pub use settings::{Settings, is_secret, shown};

/// Runs of one envelope, the first included, while the server is away: with the pauses between them some minutes.
const ATTEMPTS: u32 = 5;
/// Longest of the pauses.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// What is told of a call that was lost.
const MAYBE: &str = "it may have been carried out: look before it is called again";

/// Calls tools of a server.
pub struct McpCall {
    settings: Settings,
    line: Line,
    retry: RetryPolicy,
}

/// The payload.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    tool: String,
    #[serde(default)]
    arguments: JsonObject,
}

/// What a model is told instead of a result.
#[derive(Serialize)]
struct Refused {
    error: String,
}

/// Why there is no result.
enum Stop {
    /// The model is told.
    Told(String),
    /// Nothing was carried out, or it may have been and a repeat does no harm: again, later.
    Again { reason: String, after: Option<Duration>, maybe: bool },
}

impl McpCall {
    /// The actor. The server is spoken to at the first call.
    ///
    /// # Errors
    /// A sentence, if the certificates that it is to trust are not there.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new(settings: Settings) -> Result<InProcess<Self>, String> {
        let line = Line::new(&settings)?;
        let retry = RetryPolicy { attempts: ATTEMPTS, max: MAX_DELAY, ..RetryPolicy::default() };
        let running = settings.concurrency;
        Ok(InProcess::new(Self { settings, line, retry }, running))
    }

    async fn call(&self, payload: &Raw, teller: &Teller) -> Result<Raw, Stop> {
        let Asked { tool, arguments } = serde_json::from_slice(payload.as_bytes()).map_err(|error| {
            Stop::Told(format!("the payload must be {{\"tool\": …, \"arguments\": {{…}}}}: {error}"))
        })?;
        if !self.settings.tools.iter().any(|pattern| glob::matches(pattern, &tool)) {
            return Err(Stop::Told(format!("the tool {tool:?} may not be called here; nothing was done")));
        }
        let called = match self.line.call(&tool, &arguments, teller).await {
            // The session is gone, and nothing was carried out in it.
            Err((Trouble::Gone(_), _)) => self.line.call(&tool, &arguments, teller).await,
            called => called,
        };
        match called {
            Ok(result) => Ok(result::payload(&result, self.settings.max_answer, self.line.hidden())),
            Err((trouble, repeatable)) => Err(stop(&tool, trouble, repeatable)),
        }
    }
}

/// What follows from what went wrong.
fn stop(tool: &str, trouble: Trouble, repeatable: bool) -> Stop {
    match trouble {
        Trouble::Said(said) => Stop::Told(said),
        Trouble::Gone(said) => Stop::Told(format!("{said}; nothing was done")),
        Trouble::Away { reason, after } => Stop::Again { reason, after, maybe: false },
        Trouble::Lost(reason) if repeatable => Stop::Again { reason, after: None, maybe: true },
        Trouble::Lost(reason) => Stop::Told(format!(
            "{tool} was called, and its answer was lost: {reason}. It may have been carried out: look before it is called again"
        )),
        Trouble::Late(wait) if repeatable => Stop::Told(format!("{tool} did not answer within {wait:?}")),
        Trouble::Late(wait) => Stop::Told(format!(
            "{tool} did not answer within {wait:?}. It may have been carried out, or still be: look before it is called again"
        )),
    }
}

impl Act for McpCall {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        self.act_telling(request, Teller::default())
    }

    fn act_telling(&self, request: Request, teller: Teller) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            let error = match self.call(&request.envelope.payload, &teller).await {
                Ok(payload) => return Ok(End::Done(vec![Item::payload(payload)])),
                Err(Stop::Told(error)) => error,
                // An approval counts for one run: what is not carried out in it is proposed again.
                Err(Stop::Again { reason, maybe, .. }) if Approved::here(&request.envelope).is_some() => {
                    let what = if maybe { MAYBE } else { "nothing was done" };
                    format!("{reason}; {what}, and it needs a new approval")
                }
                Err(Stop::Again { reason, after, .. }) if request.attempt < self.retry.attempts => {
                    let after = after.unwrap_or_else(|| self.retry.pause(request.attempt, rand::random()));
                    return Ok(End::Retry { after: Some(after), reason: self.line.hidden().clean(&reason) });
                }
                Err(Stop::Again { reason, maybe, .. }) => {
                    let what = if maybe { format!("; {MAYBE}") } else { String::new() };
                    format!("{reason} ({} runs){what}", request.attempt)
                }
            };
            let error = hidden::cut(&self.line.hidden().clean(&error), result::SENTENCE).to_owned();
            Ok(End::Done(vec![Item::payload(Raw::of(&Refused { error }))]))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.line.close())
    }
}
