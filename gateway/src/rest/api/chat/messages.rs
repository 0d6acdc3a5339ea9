//! What is said in a session: say, read, export.

use asya_session::{Entry, Options, desk::PAGE};
use asya_store::chat::Spoken;
use axum::{
    Json,
    body::Body as Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    rest::api::{
        Api, Refusal,
        input::{Body, Name, Query, Who},
        refusal::{Known, KnownTaking},
    },
    service::{
        Error,
        chat::{export, sessions::Message},
    },
};

/// Length of a page that nobody gave a length, and the longest.
const MOST: usize = PAGE;
/// Entries of an export that are read at once.
const READ: usize = 16;

/// Something that is said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "scale it to three", "id": "4f1c"}))]
pub(crate) struct NewMessage {
    /// The words.
    #[schema(min_length = 1, max_length = 65536)]
    text: String,
    /// Wishes for the turns that follow.
    #[serde(default)]
    options: Options,
    /// An id of one's own: the same message again changes nothing, as long as its envelope is kept.
    #[schema(min_length = 1, max_length = 256)]
    id: Option<String>,
}

impl NewMessage {
    pub(crate) fn message(self) -> Message {
        let Self { text, options, id } = self;
        Message { text, options, id }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Fate {
    /// Its turn runs.
    Running,
    /// It waits for the turn that runs.
    Waiting,
    /// It had been said before.
    Known,
}

/// A message that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// What became of it.
    fate: Fate,
    /// Number of its entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    /// The envelope that carries its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<String>,
    /// How many messages wait, with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<usize>,
}

impl From<Spoken> for Taken {
    fn from(spoken: Spoken) -> Self {
        let taken = Self { fate: Fate::Known, n: None, envelope: None, waiting: None };
        match spoken {
            Spoken::Began { entry, envelope } => {
                Self { fate: Fate::Running, n: Some(entry.n), envelope: Some(envelope), ..taken }
            }
            Spoken::Waits(waiting) => Self { fate: Fate::Waiting, waiting: Some(waiting), ..taken },
            Spoken::Again | Spoken::Full | Spoken::Unknown => taken,
        }
    }
}

/// Say something in a session. While a turn runs it waits for the end of that.
#[utoipa::path(post, path = "/sessions/{id}/messages", operation_id = "sayInSession", tag = "sessions",
    params(("id" = String, Path, description = "The session")), request_body = NewMessage,
    responses((status = 202, description = "It is taken, or was", body = Taken), KnownTaking))]
pub(crate) async fn say(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Body(new): Body<NewMessage>,
) -> Result<(StatusCode, Json<Taken>), Refusal> {
    let spoken = api.service.say(&who, &id, new.message()).await?;
    Ok((StatusCode::ACCEPTED, Json(spoken.into())))
}

/// From which entry on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// Number of the first entry.
    #[serde(default)]
    #[param(value_type = Option<u64>, minimum = 1, default = 1)]
    from: First,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 200)]
    limit: Most,
}

/// Number of an entry.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct First(pub(crate) u64);

impl Default for First {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u64> for First {
    type Error = &'static str;

    fn try_from(n: u64) -> Result<Self, Self::Error> {
        // Databases count in signed numbers.
        if n >= 1 && i64::try_from(n).is_ok() { Ok(Self(n)) } else { Err("entries have numbers from 1 on") }
    }
}

/// Length of a page of entries.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "usize")]
struct Most(usize);

impl Default for Most {
    fn default() -> Self {
        Self(MOST)
    }
}

impl TryFrom<usize> for Most {
    type Error = String;

    fn try_from(limit: usize) -> Result<Self, String> {
        if (1..=MOST).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(format!("a page has 1 to {MOST} entries"))
        }
    }
}

/// Part of what was said and done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entries {
    /// Entries in order.
    entries: Vec<Entry>,
}

/// What was said and done in a session, in order.
#[utoipa::path(get, path = "/sessions/{id}/entries", operation_id = "listEntries", tag = "sessions",
    params(("id" = String, Path, description = "The session"), Part),
    responses((status = 200, description = "Entries from `from` on", body = Entries), Known))]
pub(crate) async fn entries(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Query(Part { from, limit }): Query<Part>,
) -> Result<Json<Entries>, Refusal> {
    Ok(Json(Entries { entries: api.service.entries(&who, &id, from.0, limit.0).await? }))
}

/// A session as Markdown.
#[utoipa::path(get, path = "/sessions/{id}/export", operation_id = "exportSession", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = String, content_type = "text/markdown"), Known))]
pub(crate) async fn exported(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Response, Refusal> {
    let session = api.service.session(&who, &id).await?;
    let head = stream::once(std::future::ready(Ok(export::head(&session))));
    // Up to the end as it is now: one that goes on would not end.
    let last = session.head;
    let parts = stream::try_unfold(1, move |from| {
        let (service, who, id) = (api.service.clone(), who.clone(), id.clone());
        async move {
            if from > last {
                return Ok(None);
            }
            let entries = service.entries(&who, &id, from, READ).await?;
            let Some(next) = entries.last().map(|entry| entry.n + 1) else { return Ok(None) };
            let text: String = entries.iter().filter(|entry| entry.n <= last).map(export::entry).collect();
            Ok::<_, Error>(Some((text, next)))
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((kind, Bytes::from_stream(head.chain(parts))).into_response())
}
