//! The gateway's file: its tables, its version, and what can be wrong with it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::{StoreError, envelopes::Migrated, sqlite};

/// `PRAGMA application_id` of gateway files: "asyg" in ASCII.
const APPLICATION: i32 = 0x6173_7967;
/// What leads from one version to the next; the first makes the tables. Never changed, only added to.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/1.sql"), include_str!("migrations/2.sql"), include_str!("migrations/3.sql")];

/// Brings the file to this version, or with `migrate` off refuses one that is older.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    migrate: bool,
) -> Result<Migrated, StoreError> {
    let newest = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    let explain = |error: rusqlite::Error| explain(path, &error);
    // Immediate: of two processes that find an old file, the second waits and then finds a new one.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
    let number = |pragma: &str| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let version = number("user_version").map_err(explain)?;
    let application = number("application_id").map_err(explain)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(explain)?;
    match (application, version, tables) {
        (0, 0, 0) | (APPLICATION, ..) if version <= newest => {}
        (APPLICATION, newer, _) => {
            return Err(refuse(
                path,
                &format!(
                    "it was made by a newer version of asya (its format is {newer}, this one knows up to {newest}): \
                     use that version, or name another file"
                ),
            ));
        }
        _ => return Err(refuse(path, "it is a SQLite database of another program: name another file")),
    }
    let migrated = Migrated {
        from: u32::try_from(version).unwrap_or(0),
        to: u32::try_from(newest).unwrap_or(0),
        adopted: false,
    };
    // An empty file has nothing to lose: somebody who opens one wants it made.
    if version != newest && version > 0 && !migrate {
        return Err(refuse(path, "its format is older than this version's: run the migration first"));
    }
    if version != newest {
        for step in &MIGRATIONS[usize::try_from(version).unwrap_or(0)..] {
            transaction.execute_batch(step).map_err(explain)?;
        }
        sqlite::create(&transaction).map_err(explain)?;
        transaction.pragma_update(None, "application_id", APPLICATION).map_err(explain)?;
        transaction.pragma_update(None, "user_version", newest).map_err(explain)?;
    }
    transaction.commit().map_err(explain)?;
    Ok(migrated)
}

/// SQLite's error at opening, with the path and what to do about it.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let next_step = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not a database: name another file, or move it away",
        Some(ErrorCode::DatabaseCorrupt) => {
            "it is damaged: move it away (with its -wal and -shm files) and start with a new one; `sqlite3 FILE .recover` \
             may save its contents"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "it cannot be opened for writing: give this user the right to write the file and its directory, or name \
             another file"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            return StoreError::Unavailable(format!(
                "store file {}: another process holds it ({error})",
                path.display()
            ));
        }
        Some(ErrorCode::DiskFull) => {
            return StoreError::Full(format!("store file {}: make room ({error})", path.display()));
        }
        _ => "it cannot be used",
    };
    refuse(path, &format!("{next_step} ({error})"))
}

fn refuse(path: &Path, what: &str) -> StoreError {
    StoreError::Refused(format!("store file {}: {what}", path.display()))
}
