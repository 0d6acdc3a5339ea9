//! Has a model talk with somebody, and calls tools for it: one turn of a session per delivery.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`], [`tools`] | what the actor is told |
//! | `step` | what is done next; pure |
//! | `talk`, `view` | the session as a turn needs it, and as the model is shown it |
//! | `result`, `answer`, `notice`, `compact` | what is appended: results of tools, answers, notices, summaries |
//! | `model` | the model, and its words while they come |
//! | `outcome` | what came of a call that somebody approved |
//!
//! A message comes, or the result of a call. The session is read from the gateway, step after step is taken until one ends
//! the delivery, and each step that is worth something is appended before the next one. The session is the only state: an
//! agent that dies is continued by any other that gets the delivery again.

mod answer;
#[cfg(test)]
mod chat;
mod compact;
mod model;
mod notice;
mod outcome;
mod result;
pub mod settings;
mod step;
mod talk;
pub mod tools;
mod view;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use asya_envelope::{Envelope, Raw, Route, headers::COST};
use asya_handler::{Code, End, Failure, Fault, Item, Request};
use asya_llm::{Error, Kind};
use asya_session::{
    Body, Entry,
    desk::{Append, PAGE},
};
use asya_telemetry::ActorMetrics;
use futures::future::BoxFuture;

pub use self::settings::Settings;
use self::{
    compact::Compaction,
    model::Asker,
    step::{Rules, Step},
    talk::{Here, Talk},
    tools::Toolbox,
};
use crate::{
    actor::{Act, ActError},
    asked::{Asked, Subjects, Unasked},
    desk::{Desk, DeskError},
};

/// What every model is told, whatever it is told to be.
const RULES: &str = include_str!("rules.txt");
/// How often a session may move on under a delivery before it is left for later.
const BEHIND: u32 = 8;
/// Runs after which an answer that cannot be read is not asked for again.
const UNREADABLE: u32 = 3;
/// Longest pause before a model is asked again: it may be well earlier than its provider says.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The actor `agent`.
pub struct Agent {
    rules: Rules,
    desk: Desk,
    subjects: Subjects,
    model: Asker,
    counts: Counts,
}

/// What an agent counts with, once it is known with what. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<OnceLock<ActorMetrics>>);

impl Counts {
    /// Counts with these from now on, and for ever.
    pub async fn begin(self, metrics: Option<ActorMetrics>) {
        if let Some(metrics) = metrics {
            drop(self.0.set(metrics));
        }
        std::future::pending::<()>().await;
    }

    /// Counts what was appended.
    fn entry(&self, entry: &Entry) {
        let Some(metrics) = self.0.get() else { return };
        match &entry.body {
            Body::Assistant { calls, model, usage, .. } => {
                metrics.agent_turn(if calls.is_empty() { "answered" } else { "calls" });
                metrics.agent_tokens(model, usage.input, usage.output);
            }
            Body::Summary { .. } => metrics.agent_turn("summary"),
            // Errors of the model were counted when they came.
            Body::Notice { code, .. } => {
                notice::counted(code).inspect(|result| metrics.agent_turn(result));
            }
            Body::User { .. } | Body::Tool { .. } => {}
        }
    }

    /// Counts an error of the model.
    fn error(&self, error: &Error) {
        if let Some(metrics) = self.0.get() {
            metrics.agent_turn(error.kind.code());
        }
    }
}

impl Agent {
    /// The agent of this name.
    ///
    /// # Errors
    /// A sentence: a file, an address or certificates that cannot be used.
    pub fn new(name: &str, settings: &Settings) -> Result<Self, String> {
        let Settings {
            desk,
            keys,
            // What the engine gives it at the same time.
            sessions: _,
            model,
            models,
            prompt,
            tools,
            approval,
            turns,
            tokens,
            repeats,
            context,
            emit,
            log,
        } = settings;
        let model = Asker::new(model, *emit, *log)?;
        let mut models = models.clone();
        models.push(model.own().to_owned());
        let rules = Rules {
            actor: name.to_owned(),
            approval: approval.clone(),
            prompt: format!("{}\n\n{RULES}", prompt.trim_end()),
            tools: Toolbox::new(tools)?,
            models,
            turns: *turns,
            tokens: *tokens,
            repeats: *repeats,
            context: *context,
        };
        let (desk, subjects) = (Desk::new(desk)?, Subjects::new(keys)?);
        Ok(Self { rules, desk, subjects, model, counts: Counts::default() })
    }

    /// What it counts with.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    async fn take(&self, request: &Request) -> Result<End, ActError> {
        let envelope = &request.envelope;
        let asked = match self.subjects.of(envelope).await {
            Ok(asked) => asked,
            Err(Unasked::Away(reason)) => return Err(ActError::Gateway(reason)),
            Err(refused) => return Ok(rejected(refused.to_string())),
        };
        if !asked.is_root(envelope) {
            let why = "an agent serves no parts of a fan-out: a tool that fans out must join again";
            return Ok(rejected(why.to_owned()));
        }
        let here = Here::of(envelope);
        let mut talk = self.read(&asked).await?;
        if talk.session.agent != self.rules.actor {
            let why =
                format!("the session is one with the agent {:?}, not with this one", talk.session.agent);
            return Ok(rejected(why));
        }
        let mut behind = 0;
        loop {
            let n = talk.session.head + 1;
            let body = match self.rules.next(&talk, &here, &envelope.route, &envelope.payload) {
                Step::Append(body) => {
                    self.tell(&asked, &talk, &here, &envelope.route, &body).await?;
                    Ok(body)
                }
                Step::Ask(question) => match self.model.ask(&question, &self.desk, &asked, n).await {
                    Ok(said) => Ok(answer::entry(n, &self.model.name(&question), &question, said)),
                    Err(error) => self.unanswered(request, &error),
                },
                Step::Compact(Compaction { upto, request: question }) => {
                    match self.model.complete(&question).await {
                        Ok(said) => Ok(answer::summary(upto, &question, said)),
                        Err(error) => self.unanswered(request, &error),
                    }
                }
                Step::Send { payload, route } => Err(sent(payload, Some(route), &talk, &here, envelope)),
                Step::End { payload } => Err(sent(payload, None, &talk, &here, envelope)),
                Step::Drop(reason) => Err(End::Drop { reason: reason.to_owned() }),
            };
            let body = match body {
                Ok(body) => body,
                Err(end) => return Ok(end),
            };
            let append = Append { before: talk.session.hash.clone(), place: talk.place(&here), body };
            match self.desk.append(&asked.token, &asked.claims.session, n, &append).await {
                Ok(entry) => {
                    self.counts.entry(&entry);
                    talk.push(entry);
                }
                Err(DeskError::Behind(_)) if behind < BEHIND => {
                    behind += 1;
                    talk = self.read(&asked).await?;
                }
                Err(DeskError::Behind(_)) => {
                    return Err(ActError::Gateway("the session moves on all the time".to_owned()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The session, from its end as far as a turn needs it.
    async fn read(&self, asked: &Asked) -> Result<Talk, DeskError> {
        let page = async |from: u64| self.desk.transcript(&asked.token, &asked.claims.session, from).await;
        let first = page(1).await?;
        let (session, mut entries) = (first.session, first.entries);
        // What was appended after the session was looked at is not seen yet.
        entries.retain(|entry| entry.n <= session.head);
        if entries.last().map_or(0, |entry| entry.n) == session.head {
            return Ok(Talk { session, entries });
        }
        let (mut entries, mut from): (Vec<Entry>, _) = (Vec::new(), session.head + 1);
        while from > 1 && !Talk::is_enough(&entries) {
            let start = from.saturating_sub(PAGE as u64).max(1);
            let mut older = page(start).await?.entries;
            older.retain(|entry| entry.n < from);
            older.append(&mut entries);
            (entries, from) = (older, start);
        }
        Ok(Talk { session, entries })
    }

    /// What follows from an error of the model: a notice that ends the turn, or how the delivery ends until it passes.
    fn unanswered(&self, request: &Request, error: &Error) -> Result<Body, End> {
        tracing::info!(id = request.envelope.id, %error, next = error.kind.next_step(), "no answer of the model");
        self.counts.error(error);
        let unreadable = error.kind == Kind::Malformed && request.attempt < UNREADABLE;
        if error.kind.is_transient() || unreadable {
            let after = error.kind.after().map(|after| after.min(LONGEST));
            return Err(End::Retry { after, reason: error.to_string() });
        }
        Ok(notice::model(error))
    }
}

impl Act for Agent {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request).await })
    }
}

/// The envelope is not one that an agent serves, now or later.
fn rejected(why: String) -> End {
    End::Failed(Failure::new(Code::Rejected, Fault::Final, why))
}

/// What goes on, with what was used here: the same again for a repeated delivery.
fn sent(payload: Raw, route: Option<Route>, talk: &Talk, here: &Here, envelope: &Envelope) -> End {
    let mut headers = envelope.headers.clone();
    headers.set(COST, talk.spent(here).to_raw());
    End::Done(vec![Item { payload, route, headers: Some(headers) }])
}
