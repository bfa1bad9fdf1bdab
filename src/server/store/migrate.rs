//! Forward-only migrations, applied at start under a lock so that two processes can start together.
//!
//! PostgreSQL: sqlx takes an advisory lock. SQLite: its migration lock does nothing, so a lock file
//! beside the database serialises the starts.

use std::fs::File;
use std::path::Path;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::dialect::Dialect;
use super::{Database, StoreError, Stored};

const ACCOUNTS: &str = include_str!("../../../migrations/0001_accounts.sql");
const INTEGRATIONS: &str = include_str!("../../../migrations/0002_integrations.sql");
const AUDIT: &str = include_str!("../../../migrations/0003_audit.sql");
const APPEND_ONLY_SQLITE: &str = include_str!("../../../migrations/0004_audit_append_only.sqlite.sql");
const APPEND_ONLY_POSTGRES: &str = include_str!("../../../migrations/0004_audit_append_only.postgres.sql");
const LAUNCHES: &str = include_str!("../../../migrations/0005_launches.sql");
const RECORDINGS: &str = include_str!("../../../migrations/0006_recordings.sql");
const KEYS: &str = include_str!("../../../migrations/0007_keys.sql");
const EXPORTS: &str = include_str!("../../../migrations/0008_exports.sql");

fn migrations(dialect: Dialect) -> Vec<Migration> {
    let append_only = match dialect {
        Dialect::Sqlite => APPEND_ONLY_SQLITE,
        Dialect::Postgres => APPEND_ONLY_POSTGRES,
    };
    let texts = [
        (1, "accounts", ACCOUNTS),
        (2, "integrations", INTEGRATIONS),
        (3, "audit", AUDIT),
        (4, "append only", append_only),
        (5, "launches", LAUNCHES),
        (6, "recordings", RECORDINGS),
        (7, "keys", KEYS),
        (8, "exports", EXPORTS),
    ];
    texts
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect()
}

/// Applies what is missing. `file` is the SQLite file.
pub(super) async fn run(database: &Database, file: Option<&Path>) -> Stored<()> {
    let _lock = file.map(lock).transpose()?;
    Migrator::with_migrations(migrations(database.dialect())).run(database.pool()).await?;
    Ok(())
}

/// Waits for the lock file; the lock ends when the file is dropped, or with the process.
fn lock(database: &Path) -> Stored<File> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let wrong = |error| StoreError::File { path: path.clone().into(), error };
    let file = File::options().create(true).append(true).open(&path).map_err(wrong)?;
    file.lock().map_err(wrong)?;
    Ok(file)
}
