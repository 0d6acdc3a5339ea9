//! The file: its tables, its version, and what can be wrong with it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{LocalOptions, Synchronous};
use crate::TransportError;

/// `PRAGMA application_id` of queue files: "asya" in ASCII.
const APPLICATION: i32 = 0x6173_7961;
/// `PRAGMA user_version` of queue files that this version writes.
pub(super) const VERSION: i32 = 1;
/// Statements kept prepared on each connection; more than there are.
const STATEMENTS: usize = 64;
/// The write-ahead log is cut back to this after it has grown, in bytes.
const LOG_LIMIT: i64 = 64 * 1024 * 1024;

/// Bodies are apart from what changes: taking a message or renewing its lease must not rewrite a megabyte. Ids are those
/// of bodies, which live from publish to removal, also on the dead-letter side.
///
/// `ready_at` is when a message may be handed out: for a delayed one the end of its delay, for one in hand the end of
/// its lease. So one index answers "what is next", and a lease that ends needs nobody to notice. Times are microseconds
/// since 1970.
const TABLES: &str = "
CREATE TABLE queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    ready_at INTEGER NOT NULL,
    lease INTEGER NOT NULL DEFAULT 0,
    deliveries INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    sent_at INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_readiness ON messages (queue, ready_at);
CREATE TABLE dead (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    dead_since INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_by_queue ON dead (queue, dead_since);
";

/// Opens the file for the writing thread; makes it if it does not exist.
pub(super) fn open(path: &Path, options: &LocalOptions) -> Result<Connection, TransportError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.is_dir()
    {
        return Err(wrong(
            path,
            &format!("the directory {} does not exist: create it first", parent.display()),
        ));
    }
    let explain = |error: &rusqlite::Error| explain(path, error);
    let mut connection = Connection::open(path).map_err(|error| explain(&error))?;
    configure(&connection, options).map_err(|error| explain(&error))?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// Opens the file for reading only.
pub(super) fn open_reader(path: &Path, options: &LocalOptions) -> Result<Connection, TransportError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection, options)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| explain(path, &error))
}

fn configure(connection: &Connection, options: &LocalOptions) -> rusqlite::Result<()> {
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    asya_store::sqlite::use_write_ahead_log(connection, options.busy_timeout)?;
    let synchronous = match options.synchronous {
        Synchronous::Normal => "NORMAL",
        Synchronous::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Makes the tables in an empty file; checks the version of any other.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), TransportError> {
    let explain = |error: rusqlite::Error| explain(path, &error);
    // Immediate: of two processes that find an empty file, the second waits and then finds the tables.
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(explain)?;
    let number = |pragma: &str| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let version = number("user_version").map_err(explain)?;
    let application = number("application_id").map_err(explain)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(explain)?;
    match (application, version, tables) {
        (0, 0, 0) => {
            transaction.execute_batch(TABLES).map_err(explain)?;
            asya_store::sqlite::create(&transaction).map_err(explain)?;
            transaction.pragma_update(None, "application_id", APPLICATION).map_err(explain)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(explain)?;
        }
        (APPLICATION, VERSION, _) => {}
        (APPLICATION, newer, _) if newer > VERSION => {
            return Err(wrong(
                path,
                &format!(
                    "it was made by a newer version of asya (its format is {newer}, this one knows up to {VERSION}): \
                     use that version, or name another file"
                ),
            ));
        }
        _ => {
            return Err(wrong(
                path,
                "it is a SQLite database of another program: name another file for the queues",
            ));
        }
    }
    transaction.commit().map_err(explain)
}

/// SQLite's error at opening, with the path and what to do about it.
fn explain(path: &Path, error: &rusqlite::Error) -> TransportError {
    let next_step = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not a queue file: name another, or move it away",
        Some(ErrorCode::DatabaseCorrupt) => {
            "it is damaged: move it away (with its -wal and -shm files) and start with a new one; `sqlite3 FILE .recover` \
             may save its messages"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "it cannot be opened for writing: give this user the right to write the file and its directory, or name \
             another file"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds it: stop that process (a debugger or a backup may keep the file locked)"
        }
        Some(ErrorCode::DiskFull) => "the disk is full: make room",
        _ => "it cannot be used",
    };
    wrong(path, &format!("{next_step} ({error})"))
}

fn wrong(path: &Path, what: &str) -> TransportError {
    TransportError::Misconfigured(format!("queue file {}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refusal(path: &Path) -> String {
        match open(path, &LocalOptions::default()) {
            Err(TransportError::Misconfigured(reason)) => reason,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn contains(reason: &str, parts: &[&str]) {
        assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    }

    #[test]
    fn a_file_can_be_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queues.db");
        drop(open(&path, &LocalOptions::default()).unwrap());
        drop(open(&path, &LocalOptions::default()).unwrap());
        open_reader(&path, &LocalOptions::default()).unwrap();
    }

    #[test]
    fn many_may_make_the_same_file_at_once() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("queues.db");
            std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..8).map(|_| scope.spawn(|| open(&path, &LocalOptions::default()))).collect();
                for thread in threads {
                    thread.join().unwrap().unwrap();
                }
            });
        }
    }

    #[test]
    fn what_is_no_queue_file_is_refused_with_its_path_and_the_next_step() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("letter.txt");
        fs::write(&text, "this is a letter and not a database, ".repeat(100)).unwrap();
        contains(&refusal(&text), &["letter.txt", "not a queue file"]);

        let foreign = directory.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE birds (name TEXT)").unwrap();
        contains(&refusal(&foreign), &["foreign.db", "another program"]);

        let missing = directory.path().join("no/such/queues.db");
        contains(&refusal(&missing), &["no/such", "does not exist", "create it"]);

        let folder = directory.path().join("folder.db");
        fs::create_dir(&folder).unwrap();
        contains(&refusal(&folder), &["folder.db", "cannot be opened"]);
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queues.db");
        let connection = open(&path, &LocalOptions::default()).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(connection);
        contains(&refusal(&path), &["newer version", "queues.db"]);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queues.db");
        drop(open(&path, &LocalOptions::default()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        // The header stays; the list of tables behind it does not.
        bytes[100..4096].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        contains(&refusal(&path), &["queues.db", "damaged"]);
    }
}
