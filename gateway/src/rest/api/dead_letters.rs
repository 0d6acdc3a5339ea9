//! Dead letters: what failed: list, group, replay, delete.

use asya_store::envelopes::DeadFilter;
use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Refusal,
    envelope::{Route, raw},
    input::{Body, Name, Object, Query, Who, present},
    letter::{DeadLetter, Places, WholeLetter},
    page::{self, Limit, Place},
    refusal::{Any, Known, Taking},
};
use crate::{
    dead_queues::{Act, Key},
    service::{
        change::{MAX_REPLAYS, Replayed},
        queued::{Chosen as Queued, Done},
        send::Edits,
    },
};

/// A page of dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LetterPage {
    /// The letters, without what was in them. Those of the brokers' queues come first, all on the first page: of a queue
    /// the oldest 200 at most, and `limit` in all, beside as many of the store.
    letters: Vec<DeadLetter>,
    /// What `after` of the next page is; `null` on the last one. The brokers' queues have no pages.
    next: Option<String>,
    /// What could not be looked at on the brokers' queues, and why; what is there and not listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
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
    /// Where it is. Without `actor`, only those of the brokers' queues are looked at that are not known to be empty.
    #[serde(default)]
    #[param(inline, value_type = Option<Places>, default = "store")]
    source: Places,
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

/// List dead letters, newest first. With `source` `broker` or `all` the messages on the brokers' own dead-letter queues too:
/// they are looked at and stay, which costs something on SQS (docs/api.md). Brokers that cannot be looked at are `warnings`.
#[utoipa::path(get, path = "/dead-letters", operation_id = "listDeadLetters", tag = "dead letters", params(Wanted),
    responses((status = 200, description = "A page", body = LetterPage), Any))]
pub(super) async fn list(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<LetterPage>, Refusal> {
    let Wanted { actor, code, q, envelope, source, since, until, replayed, after, limit } = wanted;
    let filter = DeadFilter { ids: Vec::new(), envelope, actor, code, text: q, from: since, until, replayed };
    let mut answer = LetterPage { letters: Vec::new(), next: None, warnings: Vec::new() };
    if source.broker() && after.is_none() {
        let found = api.service.queued_letters(&who, &filter, limit.0).await?;
        answer.letters.extend(found.letters.into_iter().map(DeadLetter::from));
        answer.warnings = found.warnings;
    } else if !source.store() {
        return Err(Refusal::field("after", "the brokers' dead-letter queues have no pages"));
    }
    if source.store() {
        let after = after.map(|place| place.0);
        let page = api.service.dead_letters(&who, &filter, after.as_ref(), limit.0).await?;
        answer.letters.extend(page.letters.into_iter().map(DeadLetter::from));
        answer.next = page.next.as_ref().map(page::encoded);
    }
    Ok(Json(answer))
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

/// Look at a dead letter, in the store or, by `broker:ACTOR:ID`, on a broker's queue, where it stays. What was in it needs
/// the role `payload`.
#[utoipa::path(get, path = "/dead-letters/{id}", operation_id = "getDeadLetter", tag = "dead letters",
    params(("id" = String, Path, description = "The letter")),
    responses((status = 200, description = "The letter", body = WholeLetter), Known))]
pub(super) async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<WholeLetter>, Refusal> {
    Ok(Json(match Key::parse(&id) {
        Some(key) => api.service.queued_letter(&who, &key).await?.into(),
        None => api.service.dead_letter(&who, &id).await?.into(),
    }))
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
    /// Where they are. Of the brokers' queues all are meant that are there when it begins, if nothing but `source` and
    /// `actor` is said; else those that fit among the oldest 200 of each.
    #[serde(default)]
    #[schema(value_type = Option<Places>, default = "store")]
    source: Places,
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

/// Which letters are meant, by where they are.
struct Meant {
    stored: Option<DeadFilter>,
    queued: Option<Queued>,
}

/// Nothing is done to letters that nobody named.
fn chosen(ids: Option<Vec<String>>, filter: Option<Object<Fitting>>) -> Result<Meant, Refusal> {
    match (ids, filter) {
        (Some(ids), None) if (1..=MAX_REPLAYS).contains(&ids.len()) => {
            let keys: Vec<_> = ids.iter().filter_map(|id| Key::parse(id)).collect();
            let ids: Vec<_> = ids.into_iter().filter(|id| Key::parse(id).is_none()).collect();
            Ok(Meant {
                stored: (!ids.is_empty()).then(|| DeadFilter { ids, ..DeadFilter::default() }),
                queued: (!keys.is_empty()).then_some(Queued::Keys(keys)),
            })
        }
        (Some(_), None) => Err(Refusal::field("ids", format!("1 to {MAX_REPLAYS} ids are taken"))),
        (None, Some(Object(Fitting { source, actor, code, q, envelope, since, until }))) => {
            let filter =
                DeadFilter { envelope, actor, code, text: q, from: since, until, ..DeadFilter::default() };
            let queued = source.broker().then(|| Queued::Fitting(filter.clone()));
            Ok(Meant { stored: source.store().then_some(filter), queued })
        }
        _ => Err(Refusal::field("ids", "either `ids` or `filter` says which letters are meant")),
    }
}

/// What a replay did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayedLetters {
    /// How many were sent again.
    replayed: u64,
    /// The new envelopes, of letters of the store. Messages of the brokers' queues go back as they are.
    ids: Vec<String>,
    /// Letters that could not be sent again; they stay.
    refused: Vec<RefusedLetter>,
    /// Whether there are more in the store than one call replays: call again.
    more: bool,
    /// How many of the brokers' queues were not there any more: somebody has replayed or deleted them, or has them in hand.
    #[serde(skip_serializing_if = "is_zero")]
    gone: u64,
    /// What could not be done on the brokers' queues, and why; what is not done yet and goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A letter that could not be sent again.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedLetter {
    /// The letter.
    id: String,
    /// Why.
    reason: String,
}

fn refused(refused: Vec<(String, String)>) -> impl Iterator<Item = RefusedLetter> {
    refused.into_iter().map(|(id, reason)| RefusedLetter { id, reason })
}

impl From<Replayed> for ReplayedLetters {
    fn from(done: Replayed) -> Self {
        Self {
            replayed: done.sent.len() as u64,
            ids: done.sent.into_iter().map(|(_, sent)| sent.id).collect(),
            refused: refused(done.refused).collect(),
            more: done.more,
            gone: 0,
            warnings: Vec::new(),
        }
    }
}

/// Send dead letters again, at most 1000 of the store, the oldest first. Needs the role `admin`.
///
/// A letter of the store becomes a new envelope. A message on a broker's dead-letter queue goes back to the queue that it was
/// on, as it is, with fresh counters: it leaves the dead-letter queue when the broker has confirmed it there, so that none is
/// lost. Doing it again is safe; a replay that was cut off may send a message once more.
#[utoipa::path(post, path = "/dead-letters/replay", operation_id = "replayDeadLetters", tag = "dead letters", request_body = Replay,
    responses((status = 200, description = "What was done", body = ReplayedLetters), Taking))]
pub(super) async fn replay(
    State(api): State<Api>,
    Who(who): Who,
    Body(Replay { ids, filter, payload, route }): Body<Replay>,
) -> Result<Json<ReplayedLetters>, Refusal> {
    let Meant { stored, queued } = chosen(ids, filter)?;
    if queued.is_some() && (payload.is_some() || route.is_some()) {
        let field = if payload.is_some() { "payload" } else { "route" };
        let reason =
            "what is on a broker's dead-letter queue goes back as it is: leave payload and route out";
        return Err(Refusal::field(field, reason));
    }
    let edits =
        Edits { payload: payload.as_deref().map(raw), route: route.map(|route| route.0), current: None };
    let mut answer = match stored {
        Some(filter) => api.service.replay_letters(&who, &filter, &edits, MAX_REPLAYS).await?,
        None => Replayed::default(),
    }
    .into();
    if let Some(queued) = queued {
        let done = api.service.end_queued(&who, Act::Replay, queued).await?;
        let ReplayedLetters { replayed, refused: not, gone, warnings, .. } = &mut answer;
        *replayed += done.count;
        *gone = done.gone;
        not.extend(refused(done.refused));
        *warnings = done.warnings;
    }
    Ok(Json(answer))
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// How many.
    deleted: u64,
    /// What could not be done on the brokers' queues, and why; what is not done yet and goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Delete dead letters for good. Needs the role `admin`.
#[utoipa::path(post, path = "/dead-letters/delete", operation_id = "deleteDeadLetters", tag = "dead letters", request_body = Chosen,
    responses((status = 200, description = "How many there were", body = Deleted), Taking))]
pub(super) async fn delete(
    State(api): State<Api>,
    Who(who): Who,
    Body(Chosen { ids, filter }): Body<Chosen>,
) -> Result<Json<Deleted>, Refusal> {
    let Meant { stored, queued } = chosen(ids, filter)?;
    let mut answer = Deleted { deleted: 0, warnings: Vec::new() };
    if let Some(filter) = stored {
        answer.deleted += api.service.delete_letters(&who, &filter).await?;
    }
    if let Some(queued) = queued {
        let Done { count, refused, warnings, .. } =
            api.service.end_queued(&who, Act::Discard, queued).await?;
        answer.deleted += count;
        answer.warnings = warnings;
        answer.warnings.extend(refused.into_iter().map(|(id, reason)| format!("{id} stays: {reason}")));
    }
    Ok(Json(answer))
}
