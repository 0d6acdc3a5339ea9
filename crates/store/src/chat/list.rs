//! Finding conversations.

use asya_session::{Session, State};

use super::sessions::{self, COLUMNS};
use crate::{
    StoreError,
    envelopes::{Cursor, MAX_PAGE, list::Conditions},
    session::Session as Transaction,
};

/// Which sessions to list: those that fulfil all of it. The default fits every session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// That this principal began, or that are shared with it.
    pub principal: Option<String>,
    /// With this agent.
    pub agent: Option<String>,
    /// In this state.
    pub state: Option<State>,
}

/// Part of a list: what changed last comes first. A session that changes while somebody pages may come again.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

impl Conditions {
    /// True of sessions that a principal may see.
    pub(super) fn visible(&mut self, tx: &impl Transaction, principal: &str) -> String {
        let principal = self.value(principal);
        let shared = tx.dialect().has("shared", &principal);
        format!("(owner = {principal} OR {shared})")
    }
}

pub(crate) async fn list(
    tx: &mut impl Transaction,
    filter: &SessionFilter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<SessionPage, StoreError> {
    let SessionFilter { principal, agent, state } = filter;
    let limit = limit.clamp(1, MAX_PAGE);
    let mut conditions = Conditions::default();
    if let Some(principal) = principal {
        let visible = conditions.visible(tx, principal);
        conditions.add(visible);
    }
    conditions.compare("agent =", agent.as_ref());
    conditions.compare("state =", state.map(State::as_str));
    conditions.after("updated_at", after);
    let conditions_sql = conditions.sql();
    // One more than asked for tells whether there is a next page.
    let bound = conditions.value(limit + 1);
    let sql = format!(
        "SELECT {COLUMNS} FROM chat_sessions{conditions_sql} ORDER BY updated_at DESC, id DESC LIMIT {bound}"
    );
    let rows = tx.rows(&sql, &conditions.values).await?;
    let read = rows.iter().map(|row| sessions::read(row).map(|stored| stored.session));
    let mut sessions = read.collect::<Result<Vec<_>, _>>()?;
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let last = sessions.last().filter(|_| more);
    let next = last.map(|last| Cursor { created: last.updated, id: last.id.clone() });
    Ok(SessionPage { sessions, next })
}

/// Sessions in which messages wait and nothing runs, longest waiting first; at most `limit`.
pub(crate) async fn waiting(tx: &mut impl Transaction, limit: usize) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT id FROM chat_sessions WHERE state = 'idle' AND waiting IS NOT NULL ORDER BY updated_at LIMIT ?1";
    tx.rows(sql, &[limit.into()]).await?.iter().map(|row| row.text(0)).collect()
}
