//! Finding envelopes.

use jiff::Timestamp;

use super::{
    Status, Summary, codes,
    tracked::{self, SUMMARY},
};
use crate::{
    StoreError,
    session::{Session, Value},
};

/// Longest page.
pub const MAX_PAGE: usize = 1000;

/// Which envelopes to list: those that fulfil all of it. The default fits every envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these states; empty means any.
    pub statuses: Vec<Status>,
    /// At this actor, or ended there.
    pub actor: Option<String>,
    /// Called as this tool.
    pub tool: Option<String>,
    /// Children of this envelope.
    pub parent: Option<String>,
    /// Other tries of this envelope.
    pub resubmit_of: Option<String>,
    /// Failed with this code.
    pub code: Option<String>,
    /// Bound to this namespace.
    pub namespace: Option<String>,
    /// The text is part of the id or of the error; ASCII letters match in either case.
    pub text: Option<String>,
    /// Stored at this time or later.
    pub from: Option<Timestamp>,
    /// Stored before this time.
    pub until: Option<Timestamp>,
}

/// A place in a list: behind the last entry of a page. Survives insertions and deletions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) created: Timestamp,
    pub(crate) id: String,
}

impl Cursor {
    /// Reads what [`Cursor::to_string`] wrote.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for any other text.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        text.split_once('.')
            .and_then(|(micros, id)| {
                let created = Timestamp::from_microsecond(micros.parse().ok()?).ok()?;
                Some(Self { created, id: id.to_owned() })
            })
            .ok_or_else(|| StoreError::Refused("this is not a cursor of an earlier page".to_owned()))
    }
}

impl std::fmt::Display for Cursor {
    /// Ids may hold any character: encode the text before it becomes part of a URL.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.created.as_microsecond(), self.id)
    }
}

/// Part of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The envelopes.
    pub envelopes: Vec<Summary>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

/// How many envelopes are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stored, not sent yet.
    pub pending: u64,
    /// On their way.
    pub running: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended badly.
    pub failed: u64,
    /// Taken over without a state.
    pub unknown: u64,
}

/// Conditions of a statement and their values.
#[derive(Default)]
pub(crate) struct Conditions {
    texts: Vec<String>,
    pub(crate) values: Vec<Value>,
}

impl Conditions {
    /// Adds a value and answers its placeholder.
    pub(crate) fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    pub(crate) fn add(&mut self, condition: String) {
        self.texts.push(condition);
    }

    pub(crate) fn compare(&mut self, comparison: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let value = self.value(value);
            self.add(format!("{comparison} {value}"));
        }
    }

    /// Behind a place of a list by `column` and id, newest first.
    pub(crate) fn after(&mut self, column: &str, after: Option<&Cursor>) {
        if let Some(Cursor { created, id }) = after {
            let (created, id) = (self.value(*created), self.value(id));
            self.add(format!("({column}, id) < ({created}, {id})"));
        }
    }

    /// ` WHERE …`, or nothing.
    pub(crate) fn sql(&self) -> String {
        if self.texts.is_empty() { String::new() } else { format!(" WHERE {}", self.texts.join(" AND ")) }
    }
}

/// The statement of a list, and its values.
pub(crate) fn statement(
    session: &impl Session,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: usize,
) -> (String, Vec<Value>) {
    let Filter { statuses, actor, tool, parent, resubmit_of, code, namespace, text, from, until } = filter;
    let mut conditions = Conditions::default();
    match statuses.as_slice() {
        [] => {}
        [one] => conditions.compare("status =", Some(one.as_str())),
        several => {
            let several: Vec<_> = several.iter().map(|status| conditions.value(status.as_str())).collect();
            conditions.add(format!("status IN ({})", several.join(", ")));
        }
    }
    conditions.compare("current_actor_name =", actor.as_ref());
    conditions.compare("tool =", tool.as_ref());
    conditions.compare("parent_id =", parent.as_ref());
    conditions.compare("resubmit_of =", resubmit_of.as_ref());
    match code.clone().map(codes::current) {
        Some(code) if code == codes::DEADLINE => {
            let names = [codes::DEADLINE, codes::FORMER_DEADLINE].map(|name| conditions.value(name));
            conditions.add(format!("code IN ({})", names.join(", ")));
        }
        code => conditions.compare("code =", code),
    }
    conditions.compare("namespace =", namespace.as_ref());
    if let Some(text) = text {
        let text = conditions.value(text.to_ascii_lowercase());
        let dialect = session.dialect();
        let (id, error) = (dialect.contains("id", &text), dialect.contains("error", &text));
        conditions.add(format!("({id} OR {error})"));
    }
    conditions.compare("created_at >=", *from);
    conditions.compare("created_at <", *until);
    conditions.after("created_at", after);
    let conditions_sql = conditions.sql();
    let limit = conditions.value(limit);
    let sql = format!(
        "SELECT {SUMMARY} FROM envelopes{conditions_sql} ORDER BY created_at DESC, id DESC LIMIT {limit}"
    );
    (sql, conditions.values)
}

/// Lists envelopes, newest first, at most `limit` (and [`MAX_PAGE`]).
pub(crate) async fn list(
    session: &mut impl Session,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, MAX_PAGE);
    // One more than asked for tells whether there is a next page.
    let (sql, values) = statement(session, filter, after, limit + 1);
    let rows = session.rows(&sql, &values).await?;
    let mut envelopes = rows.iter().map(tracked::summary).collect::<Result<Vec<_>, _>>()?;
    let more = envelopes.len() > limit;
    envelopes.truncate(limit);
    let last = envelopes.last().filter(|_| more);
    let next = last.map(|last| Cursor { created: last.created, id: last.id.clone() });
    Ok(Page { envelopes, next })
}

/// Counts the children of an envelope, or all envelopes.
pub(crate) async fn counts(session: &mut impl Session, parent: Option<&str>) -> Result<Counts, StoreError> {
    let mut conditions = Conditions::default();
    conditions.compare("parent_id =", parent);
    let sql = format!("SELECT status, count(*) FROM envelopes{} GROUP BY status", conditions.sql());
    let mut counts = Counts::default();
    for row in session.rows(&sql, &conditions.values).await? {
        let count = row.index(1)? as u64;
        match tracked::status(&row, 0)? {
            Status::Pending => counts.pending += count,
            Status::Running => counts.running += count,
            Status::Succeeded => counts.succeeded += count,
            Status::Failed => counts.failed += count,
            Status::Unknown => counts.unknown += count,
        }
    }
    Ok(counts)
}

/// Asks for the least there is.
pub(crate) async fn ping(session: &mut impl Session) -> Result<(), StoreError> {
    session.rows("SELECT 1", &[]).await.map(drop)
}

/// The plan of a list.
pub(crate) async fn explain(
    session: &mut impl Session,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<String, StoreError> {
    let (sql, values) = statement(session, filter, after, limit);
    let rows = session.rows(&format!("{} {sql}", session.dialect().explain()), &values).await?;
    // The last column is the text: the only one in PostgreSQL.
    let lines = rows.iter().map(|row| row.text(row.0.len().saturating_sub(1)));
    Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
}
