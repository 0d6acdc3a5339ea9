//! How much actors do.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Step;
use crate::{StoreError, session::Session};

/// How many messages each actor has handled since then, as sidecars reported it.
pub(crate) async fn since(
    session: &mut impl Session,
    since: Timestamp,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let sql = "SELECT actor, count(*) FROM envelope_updates \
               WHERE timestamp >= ?1 AND envelope_state = ?2 AND actor IS NOT NULL GROUP BY actor";
    let rows = session.rows(sql, &[since.into(), Step::Completed.as_str().into()]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.index(1)? as u64))).collect()
}
