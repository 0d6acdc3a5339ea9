//! The audit log: who did what, when, to which envelope.

use asya_envelope::Raw;
use jiff::Timestamp;

use super::{
    bounds,
    list::{Conditions, MAX_PAGE},
};
use crate::{StoreError, session::Session};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, given by the store: goes up.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who, as authentication says it.
    pub who: String,
    /// What, as one word: `send`, `cancel`, `replay`, …
    pub action: String,
    /// The envelope it was done to.
    pub envelope: Option<String>,
    /// What else is worth knowing. Never a payload or a secret.
    pub detail: Option<Raw>,
}

/// Which entries to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this person or service.
    pub who: Option<String>,
    /// Of this kind.
    pub action: Option<String>,
    /// On this envelope.
    pub envelope: Option<String>,
    /// Entries with smaller numbers only: the last one of the page before.
    pub before: Option<i64>,
}

/// Appends an entry; its number is ignored.
pub(crate) async fn append(session: &mut impl Session, entry: &AuditEntry) -> Result<(), StoreError> {
    let AuditEntry { number: _, at, who, action, envelope, detail } = entry;
    session
        .execute(
            "INSERT INTO audit (at, who, action, envelope_id, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
            &[
                (*at).into(),
                bounds::name(who).into(),
                bounds::name(action).into(),
                envelope.as_deref().map(bounds::name).into(),
                detail.as_ref().into(),
            ],
        )
        .await?;
    Ok(())
}

/// Lists entries, newest first.
pub(crate) async fn list(
    session: &mut impl Session,
    filter: &AuditFilter,
    limit: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let AuditFilter { who, action, envelope, before } = filter;
    let mut conditions = Conditions::default();
    conditions.compare("who =", who.as_ref());
    conditions.compare("action =", action.as_ref());
    conditions.compare("envelope_id =", envelope.as_ref());
    conditions.compare("id <", *before);
    let conditions_sql = conditions.sql();
    let limit = conditions.value(limit.min(MAX_PAGE));
    let sql = format!(
        "SELECT id, at, who, action, envelope_id, detail FROM audit{conditions_sql} ORDER BY id DESC LIMIT {limit}"
    );
    let rows = session.rows(&sql, &conditions.values).await?;
    rows.iter()
        .map(|row| {
            Ok(AuditEntry {
                number: row.int(0)?,
                at: row.time(1)?,
                who: row.text(2)?,
                action: row.text(3)?,
                envelope: row.optional_text(4)?,
                detail: row.json(5)?,
            })
        })
        .collect()
}
