//! The database: sqlx `Any` over SQLite and PostgreSQL, one SQL text with `$1` for both.
//!
//! One file per table family; row types stay private to it; every function that touches a
//! practice's rows takes its [`PracticeId`](crate::model::id::PracticeId). Guards: an UPDATE that
//! must hit one row and hits none is an error ([`hit_one`]); a transaction that will write starts as
//! one ([`Database::begin_write`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::{ExposeSecret, SecretString};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyQueryResult};
use sqlx::{Any, AnyPool, Executor, Transaction};

pub mod attempt;
pub mod audit;
pub mod clinician;
pub mod connection;
pub mod dialect;
pub mod draft;
pub mod export;
pub mod export_file;
pub mod export_manifest;
pub mod flow;
pub mod key;
pub mod launch;
pub mod launch_rules;
pub mod link;
pub mod member;
mod migrate;
pub mod practice;
pub mod receipt;
pub mod recording;
pub mod secret;
pub mod service_token;
pub mod session;
pub mod settings;
pub mod signing;
pub mod token;
pub mod totp;

use dialect::Dialect;

/// A connected database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: AnyPool,
    dialect: Dialect,
    address: SecretString,
    waiting: Arc<AtomicUsize>,
}

/// A transaction.
pub type Tx = Transaction<'static, Any>;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The driver's error.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The migrations' error.
    #[error("migrations: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The address is of no database that is supported.
    #[error("DATABASE_URL must start with sqlite:// or postgres://")]
    UnknownDatabase,
    /// The folder of an SQLite file, or its lock, cannot be made.
    #[error("{path}: {error}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A change that must hit one row hit another number.
    #[error("a change of {what} hit {rows} rows instead of one")]
    NotOne {
        /// What was to be changed.
        what: &'static str,
        /// How many rows were hit.
        rows: u64,
    },
    /// The writer of bulk exports failed.
    #[error("bulk writer: {0}")]
    Writer(String),
    /// A column holds what we never write there.
    #[error("unreadable value in {0}")]
    Corrupt(&'static str),
}

/// What the store answers.
pub type Stored<T> = Result<T, StoreError>;

impl Database {
    /// Connects, and applies the migrations that are missing, under a lock.
    ///
    /// # Errors
    /// When the address is not supported, the database does not answer, or a migration fails.
    pub async fn connect(url: &str) -> Stored<Self> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of_url(url).ok_or(StoreError::UnknownDatabase)?;
        let file = (dialect == Dialect::Sqlite).then(|| sqlite_file(url));
        if let Some(folder) = file.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty()) {
            let wrong = |error| StoreError::File { path: folder.to_owned(), error };
            std::fs::create_dir_all(folder).map_err(wrong)?;
        }
        if let Some(file) = &file {
            for_us_alone(file).map_err(|error| StoreError::File { path: file.clone(), error })?;
        }
        let address = dialect.address(url);
        let pool = AnyPoolOptions::new()
            .max_connections(dialect.pool_size())
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(dialect.on_connect()).await?;
                    Ok(())
                })
            })
            .connect_with(address.parse::<AnyConnectOptions>()?)
            .await?;
        let database = Self { pool, dialect, address: address.into(), waiting: Arc::default() };
        migrate::run(&database, file.as_deref()).await?;
        Ok(database)
    }

    /// The pool, for single statements.
    pub const fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Which database it is.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Begins a transaction that will write. On SQLite it takes the write lock at once: a deferred
    /// transaction that upgrades fails whatever the busy timeout says.
    ///
    /// # Errors
    /// When no connection is to be had in time.
    pub async fn begin_write(&self) -> Stored<Tx> {
        let _waiting = Waiting::new(&self.waiting);
        Ok(self.pool.begin_with(self.dialect.begin_write()).await?)
    }

    /// How many transactions wait to begin in this process. Who writes much lets them in: SQLite has one
    /// writer at a time, and no queue.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The address that was connected to, for drivers that do more than `Any`.
    pub fn address(&self) -> &str {
        self.address.expose_secret()
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Counts one that waits, as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes an SQLite file that nobody else can read, unless there is one. Its log gets the same mode.
fn for_us_alone(file: &Path) -> std::io::Result<()> {
    if file.as_os_str().is_empty() || file.to_string_lossy().starts_with(':') || file.exists() {
        return Ok(());
    }
    let mut options = std::fs::File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

/// Makes sure that a change hit exactly one row.
///
/// # Errors
/// [`StoreError::NotOne`].
pub fn hit_one(result: &AnyQueryResult, what: &'static str) -> Stored<()> {
    match result.rows_affected() {
        1 => Ok(()),
        rows => Err(StoreError::NotOne { what, rows }),
    }
}

/// Whether the error says that a unique column has this value already.
pub fn is_taken(error: &StoreError) -> bool {
    matches!(error, StoreError::Sql(sqlx::Error::Database(inner)) if inner.is_unique_violation())
}

fn sqlite_file(url: &str) -> PathBuf {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    PathBuf::from(path.split('?').next().unwrap_or_default())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_new_file_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new.db");
        let database = Database::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::query("SELECT 1").execute(database.pool()).await.unwrap();
        for name in ["new.db", "new.db-wal"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
