//! Dead letters as JSON, wherever they are.

use asya_envelope::Raw;
use asya_store::envelopes::{self as stored};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{dead_queues::Dead, rest::wire::verbatim};

/// Where a dead letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// In the gateway's store, where `error-end` puts it.
    Store,
    /// On the broker's own dead-letter queue of an actor.
    Broker,
}

/// Where dead letters are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Places {
    /// In the gateway's store.
    #[default]
    Store,
    /// On the brokers' own dead-letter queues. Looking costs something there.
    Broker,
    /// In both.
    All,
}

impl Places {
    pub(super) fn store(self) -> bool {
        self != Self::Broker
    }

    pub(super) fn broker(self) -> bool {
        self != Self::Store
    }
}

/// What failed. What is not known is missing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Its key; of one on a broker's queue `broker:ACTOR:ID`.
    id: String,
    /// Where it is.
    source: Source,
    /// The envelope that failed. What is on a broker's queue need not be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<String>,
    /// The actor it failed at.
    actor: String,
    /// Why, as a code; `unknown` where the broker does not tell.
    #[schema(example = "processing_error")]
    code: String,
    /// Why, for a person.
    error: String,
    /// Runs of the handler that were tried.
    attempts: u32,
    /// What the classification said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    detail: Option<Box<RawValue>>,
    /// When it was stored, or came to the broker's dead-letter queue, as far as the broker knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// The envelope that was sent in its stead.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_as: Option<String>,
    /// When it was replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    replayed: Option<Timestamp>,
}

impl From<stored::DeadLetter> for DeadLetter {
    fn from(letter: stored::DeadLetter) -> Self {
        Self {
            id: letter.id,
            source: Source::Store,
            envelope: Some(letter.envelope),
            actor: letter.actor,
            code: letter.code,
            error: letter.error,
            attempts: letter.attempts,
            detail: verbatim(letter.detail),
            since: Some(letter.since),
            replayed_as: letter.replayed_as,
            replayed: letter.replayed,
        }
    }
}

impl From<Dead> for DeadLetter {
    fn from(dead: Dead) -> Self {
        Self {
            id: dead.key.to_string(),
            source: Source::Broker,
            envelope: dead.envelope,
            actor: dead.key.actor,
            code: dead.code,
            error: dead.error,
            attempts: dead.attempts,
            detail: None,
            since: dead.since,
            replayed_as: None,
            replayed: None,
        }
    }
}

/// A dead letter with what was in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeLetter {
    /// What lists show too.
    #[serde(flatten)]
    letter: DeadLetter,
    /// The error envelope, of a broker's queue the message; a text if it is no JSON. For those who may see contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    body: Option<Box<RawValue>>,
}

impl From<stored::DeadLetter> for WholeLetter {
    fn from(mut letter: stored::DeadLetter) -> Self {
        let body = shown(std::mem::take(&mut letter.body));
        Self { letter: letter.into(), body }
    }
}

impl From<Dead> for WholeLetter {
    fn from(mut dead: Dead) -> Self {
        let body = shown(std::mem::take(&mut dead.body));
        Self { letter: dead.into(), body }
    }
}

fn shown(body: Bytes) -> Option<Box<RawValue>> {
    let text = || Raw::of(&String::from_utf8_lossy(&body));
    let shown = (!body.is_empty()).then(|| Raw::parse(body.clone()).unwrap_or_else(|_| text()));
    verbatim(shown)
}
