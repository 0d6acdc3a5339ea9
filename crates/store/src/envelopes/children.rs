//! Families of fan-outs: whose child an envelope is, and the envelope that waits for its children.
//!
//! The first item of a fan-out keeps the id of what was split, so its end alone is not the end of that id: without a
//! fan-in the envelope ends with the last of its children. Until then it is running, and holds the result of its own part.

use std::{collections::BTreeSet, ops::RangeInclusive};

use asya_envelope::{Raw, lineage::child_id};
use jiff::Timestamp;

use super::{
    NewChild, Status, Summary, bounds, create, ending, outbox, tracked,
    update::{self, Update},
};
use crate::{StoreError, session::Session};

/// Children that an envelope waits for at most; more of one fan-out end by themselves.
pub const MAX_AWAITED: usize = 10_000;
/// Parents that are looked for above one that is not known.
const GENERATIONS: usize = 32;

/// What the end of an envelope's own part says of the children that were made from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offspring {
    /// Numbers of the children that go on by themselves; see [`child_id`].
    pub open: Vec<RangeInclusive<u64>>,
    /// True if all others went into the result of a fan-in.
    pub joined: bool,
}

/// The envelopes that sidecars of one namespace may report on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// Those that are bound to this namespace.
    pub namespace: String,
    /// And those that are bound to none.
    pub unbound: bool,
}

impl Within {
    fn covers(&self, bound: Option<&str>) -> bool {
        bound.map_or(self.unbound, |bound| bound == self.namespace)
    }
}

/// Stores children of families that are known here, with `within` only of those; answers how many of them are known then.
/// Reports overtake each other, so a parent that is not known is looked for by its name: `a-1-2` was made from `a-1`, and
/// that from `a`.
pub(crate) async fn add(
    session: &mut impl Session,
    children: &[NewChild],
    within: Option<&Within>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    bounds::check_id(children.iter().flat_map(|child| [&child.id].into_iter().chain(&child.parent)))?;
    let mut known = 0;
    let mut last: Option<(&str, Option<(Summary, usize)>)> = None;
    for child in children {
        let Some(parent) = child.parent.as_deref().filter(|parent| is_child(&child.id, parent)) else {
            continue;
        };
        if last.as_ref().is_none_or(|(other, _)| *other != parent) {
            last = Some((parent, elder(session, parent).await?));
        }
        let Some((_, Some((elder, levels)))) = &last else { continue };
        if within.is_some_and(|within| !within.covers(elder.namespace.as_deref())) {
            continue;
        }
        create::insert_child(session, child, Some(elder), *levels, now).await?;
        known += 1;
    }
    Ok(known)
}

/// Whether this is the id of a child of `parent`.
fn is_child(id: &str, parent: &str) -> bool {
    let number = id.strip_prefix(parent).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

/// The nearest envelope that is known here of `parent` and those above it, and how many levels it is above its child.
async fn elder(session: &mut impl Session, parent: &str) -> Result<Option<(Summary, usize)>, StoreError> {
    let mut id = parent;
    for levels in 1..=GENERATIONS {
        if let Some(found) = tracked::glance(session, id).await? {
            return Ok(Some((found, levels)));
        }
        match id.rsplit_once('-') {
            Some((above, number)) if number.parse::<u64>().is_ok() => id = above,
            _ => break,
        }
    }
    Ok(None)
}

/// Ends an envelope's own part as `end` says, and with it the envelope, unless it succeeded and has open children: then
/// it waits for them. The caller holds it and knows it to be open. Done again it comes to the same.
pub(super) async fn part_ended(
    session: &mut impl Session,
    before: &Summary,
    end: ending::End,
    offspring: &Offspring,
    now: Timestamp,
) -> Result<(), StoreError> {
    if end.status != Status::Succeeded || (!offspring.joined && offspring.open.is_empty()) {
        return ending::apply(session, before, end, now).await;
    }
    let open = offspring.open.iter().cloned().flatten().take(MAX_AWAITED);
    let mut unheard: BTreeSet<String> = open.map(|number| child_id(&before.id, number)).collect();
    let (mut waiting, mut failed) = (0_usize, 0_usize);
    let sql = "SELECT id, status FROM envelopes WHERE parent_id = ?1";
    for row in session.rows(sql, &[(&before.id).into()]).await? {
        let (child, status) = (row.text(0)?, tracked::status(&row, 1)?);
        match (unheard.remove(&child), status) {
            (true, Status::Failed) => failed += 1,
            (true, Status::Succeeded) => {}
            (true, _) => waiting += 1,
            (false, status) if status.is_final() => {}
            // The report of the fan-in that took it was lost.
            (false, _) if offspring.joined => ending::joined(session, &child, now).await?,
            (false, _) => {}
        }
    }
    waiting += unheard.len();
    for id in unheard {
        let child = NewChild {
            id,
            parent: Some(before.id.clone()),
            actors: before.actors.clone(),
            current: before.current,
        };
        create::insert_child(session, &child, Some(before), 1, now).await?;
    }
    if waiting == 0 {
        let end = if failed == 0 { end } else { all_ended(failed, end.result) };
        return ending::apply(session, before, end, now).await;
    }
    outbox::forget(session, &before.id).await?;
    let message = match waiting {
        1 => "Its own part has ended; one of its children has not".to_owned(),
        many => format!("Its own part has ended; {many} of its children have not"),
    };
    let logged =
        Update { status: Status::Running, message: Some(message.clone()), ..Update::new(&before.id, now) };
    update::append(session, &logged).await?;
    let sql = "UPDATE envelopes SET status = 'running', message = ?2, result = ?3, children_open = ?4, \
         children_failed = ?5, updated_at = ?6 WHERE id = ?1";
    let values = [
        (&before.id).into(),
        message.into(),
        end.result.as_ref().into(),
        waiting.into(),
        failed.into(),
        now.into(),
    ];
    session.execute(sql, &values).await.map(drop)
}

/// A child has appeared: its parent waits for it too, if it waits.
pub(super) async fn one_more(session: &mut impl Session, parent: &str) -> Result<(), StoreError> {
    let sql = "UPDATE envelopes SET children_open = children_open + 1 \
         WHERE id = ?1 AND children_open IS NOT NULL AND ended_at IS NULL";
    session.execute(sql, &[parent.into()]).await.map(drop)
}

/// A child has ended. Answers the parent, held, and its end if it waited for this one alone.
pub(super) async fn one_less(
    session: &mut impl Session,
    parent: &str,
    has_failed: bool,
) -> Result<Option<(Summary, ending::End)>, StoreError> {
    // Held whether it waits or not: one that begins to wait meanwhile has counted this child as open.
    let lock = session.dialect().for_update();
    let sql =
        format!("SELECT ended_at, children_open, children_failed, result FROM envelopes WHERE id = ?1{lock}");
    let rows = session.rows(&sql, &[parent.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (None, Some(open)) = (row.optional_time(0)?, row.optional_int(1)?) else { return Ok(None) };
    let failed = row.index(2)? + usize::from(has_failed);
    if open > 1 {
        let sql = "UPDATE envelopes SET children_open = ?2, children_failed = ?3 WHERE id = ?1";
        session.execute(sql, &[parent.into(), (open - 1).into(), failed.into()]).await?;
        return Ok(None);
    }
    let result = row.json(3)?;
    let before = tracked::glance(session, parent).await?;
    Ok(before.map(|before| (before, all_ended(failed, result))))
}

/// The end of an envelope whose own part succeeded, with this result, once no child is open.
fn all_ended(failed: usize, result: Option<Raw>) -> ending::End {
    let mut end = match failed {
        0 => {
            return ending::End::succeeded(
                "Envelope completed successfully, and so did its children",
                result,
            );
        }
        1 => ending::End::failed("one of its children failed", super::codes::CHILDREN),
        many => ending::End::failed(&format!("{many} of its children failed"), super::codes::CHILDREN),
    };
    end.result = result;
    end
}
