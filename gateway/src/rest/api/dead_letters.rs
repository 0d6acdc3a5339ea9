//! Dead letters: what failed: list, group, replay, delete.

use asya_envelope::Raw;
use asya_store::envelopes::{self as stored, DeadFilter};
use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Refusal,
    envelope::{Route, raw},
    input::{Body, Name, Object, Query, Who, present},
    page::{self, Limit, Place},
    refusal::{Any, Known, Taking},
};
use crate::{
    rest::wire::verbatim,
    service::{
        change::{MAX_REPLAYS, Replayed},
        send::Edits,
    },
};

/// Where a dead letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// In the gateway's store, where `error-end` puts it.
    Store,
}

/// What failed. What is not known is missing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Its key.
    id: String,
    /// Where it is.
    source: Source,
    /// The envelope that failed.
    envelope: String,
    /// The actor it failed at.
    actor: String,
    /// Why, as a code.
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
    /// When it was stored.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
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
            envelope: letter.envelope,
            actor: letter.actor,
            code: letter.code,
            error: letter.error,
            attempts: letter.attempts,
            detail: verbatim(letter.detail),
            since: letter.since,
            replayed_as: letter.replayed_as,
            replayed: letter.replayed,
        }
    }
}

/// A dead letter with what was in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeLetter {
    /// What lists show too.
    #[serde(flatten)]
    letter: DeadLetter,
    /// The error envelope; a text if it is no JSON. For those who may see contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    body: Option<Box<RawValue>>,
}

impl From<stored::DeadLetter> for WholeLetter {
    fn from(mut letter: stored::DeadLetter) -> Self {
        let body = std::mem::take(&mut letter.body);
        let text = || Raw::of(&String::from_utf8_lossy(&body));
        let shown = (!body.is_empty()).then(|| Raw::parse(body.clone()).unwrap_or_else(|_| text()));
        Self { letter: letter.into(), body: verbatim(shown) }
    }
}

/// A page of dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LetterPage {
    /// The letters, without what was in them.
    letters: Vec<DeadLetter>,
    /// What `after` of the next page is; `null` on the last one.
    next: Option<String>,
}

/// Which dead letters: those that fulfil all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Failed at this actor.
    actor: Option<String>,
    /// With this code.
    code: Option<String>,
    /// The text is part of the error; ASCII letters match in either case.
    q: Option<String>,
    /// Of this envelope.
    envelope: Option<String>,
    /// Where it is.
    #[param(inline)]
    source: Option<Source>,
    /// Stored at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Stored before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// `true`: those too that have been replayed.
    #[serde(default)]
    #[param(value_type = bool, default = false)]
    replayed: bool,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    after: Option<Place>,
    /// Length of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// List dead letters, newest first.
#[utoipa::path(get, path = "/dead-letters", operation_id = "listDeadLetters", tag = "dead letters", params(Wanted),
    responses((status = 200, description = "A page", body = LetterPage), Any))]
pub(super) async fn list(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<LetterPage>, Refusal> {
    let Wanted { actor, code, q, envelope, source, since, until, replayed, after, limit } = wanted;
    // The only place that is listed here.
    let Source::Store = source.unwrap_or(Source::Store);
    let filter = DeadFilter { ids: Vec::new(), envelope, actor, code, text: q, from: since, until, replayed };
    let page = api.service.dead_letters(&who, &filter, after.map(|place| place.0).as_ref(), limit.0).await?;
    Ok(Json(LetterPage {
        letters: page.letters.into_iter().map(DeadLetter::from).collect(),
        next: page.next.as_ref().map(page::encoded),
    }))
}

/// Failures of one actor with one code.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Group {
    /// The actor.
    actor: String,
    /// The code.
    code: String,
    /// How many.
    count: u64,
    /// When the first of them was stored.
    #[schema(value_type = String, format = DateTime)]
    first: Timestamp,
    /// When the last of them was stored.
    #[schema(value_type = String, format = DateTime)]
    last: Timestamp,
    /// The error of one of them.
    sample: String,
}

/// Dead letters by actor and code.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Groups {
    /// The most frequent first, at most 1000.
    groups: Vec<Group>,
}

/// Open dead letters by actor and code.
#[utoipa::path(get, path = "/dead-letters/groups", operation_id = "groupDeadLetters", tag = "dead letters",
    responses((status = 200, description = "The groups", body = Groups), Any))]
pub(super) async fn groups(State(api): State<Api>, Who(who): Who) -> Result<Json<Groups>, Refusal> {
    let groups = api.service.dead_groups(&who, &DeadFilter::default()).await?;
    let groups = groups.into_iter().map(|group| Group {
        actor: group.actor,
        code: group.code,
        count: group.count,
        first: group.oldest,
        last: group.newest,
        sample: group.sample,
    });
    Ok(Json(Groups { groups: groups.collect() }))
}

/// Look at a dead letter. What was in it needs the role `payload`.
#[utoipa::path(get, path = "/dead-letters/{id}", operation_id = "getDeadLetter", tag = "dead letters",
    params(("id" = String, Path, description = "The letter")),
    responses((status = 200, description = "The letter", body = WholeLetter), Known))]
pub(super) async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<WholeLetter>, Refusal> {
    Ok(Json(api.service.dead_letter(&who, &id).await?.into()))
}

/// Which dead letters are meant: these, or all that fit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"filter": {"actor": "read", "code": "timeout"}}))]
pub(super) struct Chosen {
    /// Those with these ids.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Option<Vec<String>>,
    /// All that fit; `{}` fits all.
    #[schema(value_type = Option<Fitting>)]
    filter: Option<Object<Fitting>>,
}

/// Which dead letters are replayed, and with what.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ids": ["01939d2b-7c1f-7d3a-9a51-6f1e8b0c2d4e"]}))]
pub(super) struct Replay {
    /// Those with these ids.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Option<Vec<String>>,
    /// All that fit; `{}` fits all.
    #[schema(value_type = Option<Fitting>)]
    filter: Option<Object<Fitting>>,
    /// Other data.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    payload: Option<Box<RawValue>>,
    /// Other actors.
    route: Option<Route>,
}

/// What dead letters have to fulfil.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fitting {
    /// Failed at this actor.
    actor: Option<String>,
    /// With this code.
    code: Option<String>,
    /// The text is part of the error.
    q: Option<String>,
    /// Of this envelope.
    envelope: Option<String>,
    /// Stored at this time or later.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Stored before this time.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Nothing is done to letters that nobody named.
fn chosen(ids: Option<Vec<String>>, filter: Option<Object<Fitting>>) -> Result<DeadFilter, Refusal> {
    match (ids, filter) {
        (Some(ids), None) if (1..=MAX_REPLAYS).contains(&ids.len()) => {
            Ok(DeadFilter { ids, ..DeadFilter::default() })
        }
        (Some(_), None) => Err(Refusal::field("ids", format!("1 to {MAX_REPLAYS} ids are taken"))),
        (None, Some(Object(Fitting { actor, code, q, envelope, since, until }))) => {
            Ok(DeadFilter { envelope, actor, code, text: q, from: since, until, ..DeadFilter::default() })
        }
        _ => Err(Refusal::field("ids", "either `ids` or `filter` says which letters are meant")),
    }
}

/// What a replay did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayedLetters {
    /// How many were sent again.
    replayed: usize,
    /// The new envelopes.
    ids: Vec<String>,
    /// Letters that could not be sent again; they stay.
    refused: Vec<RefusedLetter>,
    /// Whether there are more than one call replays: call again.
    more: bool,
}

/// A letter that could not be sent again.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedLetter {
    /// The letter.
    id: String,
    /// Why.
    reason: String,
}

impl From<Replayed> for ReplayedLetters {
    fn from(done: Replayed) -> Self {
        Self {
            replayed: done.sent.len(),
            ids: done.sent.into_iter().map(|(_, sent)| sent.id).collect(),
            refused: done.refused.into_iter().map(|(id, reason)| RefusedLetter { id, reason }).collect(),
            more: done.more,
        }
    }
}

/// Send dead letters again, the oldest first, at most 1000. Needs the role `admin`.
#[utoipa::path(post, path = "/dead-letters/replay", operation_id = "replayDeadLetters", tag = "dead letters", request_body = Replay,
    responses((status = 200, description = "What was done", body = ReplayedLetters), Taking))]
pub(super) async fn replay(
    State(api): State<Api>,
    Who(who): Who,
    Body(Replay { ids, filter, payload, route }): Body<Replay>,
) -> Result<Json<ReplayedLetters>, Refusal> {
    let filter = chosen(ids, filter)?;
    let edits =
        Edits { payload: payload.as_deref().map(raw), route: route.map(|route| route.0), current: None };
    Ok(Json(api.service.replay_letters(&who, &filter, &edits, MAX_REPLAYS).await?.into()))
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// How many.
    deleted: u64,
}

/// Delete dead letters for good. Needs the role `admin`.
#[utoipa::path(post, path = "/dead-letters/delete", operation_id = "deleteDeadLetters", tag = "dead letters", request_body = Chosen,
    responses((status = 200, description = "How many there were", body = Deleted), Taking))]
pub(super) async fn delete(
    State(api): State<Api>,
    Who(who): Who,
    Body(Chosen { ids, filter }): Body<Chosen>,
) -> Result<Json<Deleted>, Refusal> {
    let filter = chosen(ids, filter)?;
    Ok(Json(Deleted { deleted: api.service.delete_letters(&who, &filter).await? }))
}
