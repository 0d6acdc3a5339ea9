//! Finding operations.

use asya_session::{Operation, Phase};

use super::{COLUMNS, read};
use crate::{
    StoreError,
    envelopes::{Cursor, MAX_PAGE, list::Conditions},
    session::Session as Transaction,
};

/// Which operations to list: those that fulfil all of it. The default fits every operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// In this phase.
    pub phase: Option<Phase>,
    /// Of this session.
    pub session: Option<String>,
    /// Of sessions that this principal began, or that are shared with it.
    pub principal: Option<String>,
}

/// Part of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationPage {
    /// The operations.
    pub operations: Vec<Operation>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

pub(crate) async fn list(
    tx: &mut impl Transaction,
    filter: &OperationFilter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<OperationPage, StoreError> {
    let OperationFilter { phase, session, principal } = filter;
    let limit = limit.clamp(1, MAX_PAGE);
    let mut conditions = Conditions::default();
    conditions.compare("phase =", phase.map(Phase::as_str));
    conditions.compare("session_id =", session.as_ref());
    if let Some(principal) = principal {
        let visible = conditions.visible(tx, principal);
        conditions.add(format!(
            "EXISTS (SELECT 1 FROM chat_sessions WHERE id = operations.session_id AND {visible})"
        ));
    }
    conditions.after("created_at", after);
    let conditions_sql = conditions.sql();
    // One more than asked for tells whether there is a next page.
    let bound = conditions.value(limit + 1);
    let sql = format!(
        "SELECT {COLUMNS} FROM operations{conditions_sql} ORDER BY created_at DESC, id DESC LIMIT {bound}"
    );
    let rows = tx.rows(&sql, &conditions.values).await?;
    let mut operations = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let more = operations.len() > limit;
    operations.truncate(limit);
    let last = operations.last().filter(|_| more);
    let next = last.map(|last| Cursor { created: last.created, id: last.proposal.id.clone() });
    Ok(OperationPage { operations, next })
}
