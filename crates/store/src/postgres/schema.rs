//! Tables and migrations.

use deadpool_postgres::Object;

use crate::{StoreError, envelopes::Migrated};

/// What leads from one version to the next; the first makes the tables that do not exist. Never changed, only added to.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/1.sql"), include_str!("migrations/2.sql"), include_str!("migrations/3.sql")];
/// Brings tables of the Go system (its migrations 001 to 004) to where the first migration finds them.
const ADOPT: &str = include_str!("migrations/adopt.sql");
/// Held while migrating, so that replicas that start together do it one after the other: "asyg" in ASCII.
const LOCK: i64 = 0x6173_7967;

/// Brings the database to this version, or with `migrate` off refuses one that is older.
pub(super) async fn prepare(connection: &mut Object, migrate: bool) -> Result<Migrated, StoreError> {
    let newest = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let version = version(connection).await?;
    check(version, newest)?;
    if version == newest {
        return Ok(Migrated { from: version, to: newest, adopted: false });
    }
    if !migrate {
        return Err(StoreError::Refused(format!(
            "the database's schema has version {version}, this program needs {newest}: run `asya-gateway migrate` first"
        )));
    }
    // The server undoes a transaction whose client goes away or that is not committed.
    let transaction = connection.transaction().await?;
    // A large table is rewritten once; that may take minutes.
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS asya_migrations \
             (version INT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())",
        )
        .await?;
    let row = transaction.query_one("SELECT coalesce(max(version), 0) FROM asya_migrations", &[]).await?;
    // Somebody else may have done it meanwhile.
    let from = u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0);
    check(from, newest)?;
    let row = transaction.query_one("SELECT to_regclass('envelopes') IS NOT NULL", &[]).await?;
    let adopted = from == 0 && row.try_get::<_, bool>(0)?;
    if adopted {
        transaction.batch_execute(ADOPT).await?;
    }
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        transaction.batch_execute(sql).await?;
        let version = i32::try_from(step + 1).unwrap_or(i32::MAX);
        transaction.execute("INSERT INTO asya_migrations (version) VALUES ($1)", &[&version]).await?;
    }
    transaction.commit().await?;
    Ok(Migrated { from, to: newest, adopted })
}

/// The version of the schema; 0 if there is none of ours.
async fn version(connection: &Object) -> Result<u32, StoreError> {
    let row = connection.query_one("SELECT to_regclass('asya_migrations') IS NOT NULL", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = connection.query_one("SELECT coalesce(max(version), 0) FROM asya_migrations", &[]).await?;
    Ok(u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0))
}

fn check(version: u32, newest: u32) -> Result<(), StoreError> {
    if version > newest {
        return Err(StoreError::Refused(format!(
            "the database's schema has version {version}, made by a newer version of asya; this one knows up to {newest}"
        )));
    }
    Ok(())
}
