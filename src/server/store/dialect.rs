//! The few real differences between SQLite and PostgreSQL.
//!
//! Guards: no other file of the store asks which database it is.

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded, one process.
    Sqlite,
    /// A server, any number of replicas.
    Postgres,
}

impl Dialect {
    /// By the address's scheme.
    pub fn of_url(url: &str) -> Option<Self> {
        match url.split(':').next()? {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// The address to connect to: an SQLite file is made when it is not there.
    pub fn address(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains("mode=") => {
                let join = if url.contains('?') { '&' } else { '?' };
                format!("{url}{join}mode=rwc")
            }
            _ => url.to_owned(),
        }
    }

    /// How a transaction that will write begins.
    pub const fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// What a new connection runs first. The page size is for a file that is still empty, and changes no other:
    /// resources are long, and with pages of 16 KiB they are written in two thirds of the time. The log is written
    /// back when it has 64 MB of such pages: where ids are random, a page of the index changes many times in it.
    pub const fn on_connect(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "PRAGMA busy_timeout = 10000; PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; \
                 PRAGMA wal_autocheckpoint = 4000; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON"
            }
            Self::Postgres => "SET statement_timeout = '30s'",
        }
    }

    /// How many connections a process keeps at most.
    pub const fn pool_size(self) -> u32 {
        match self {
            Self::Sqlite => 8,
            Self::Postgres => 16,
        }
    }
}
