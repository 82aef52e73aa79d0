//! The database: SQLite in WAL mode with `synchronous=FULL`, so that a commit survives a power cut.
//!
//! One connection writes, owned by the driver ([`Writer`]); readers have a small pool ([`Reader`]). Whatever a step
//! changes goes into one transaction.
mod read;
mod tokens;
mod vendors;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pinnace_controlplane_core::api::RowError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

pub use read::{Reader, StoredCertificate, StoredDevice};
pub use tokens::{NewToken, StoredToken, StoredUse};
pub use write::{Admission, AdmittedBy, Extra, Writer};

/// Connections that read at once: the API answers mostly from memory.
const READERS: u32 = 2;
/// Milliseconds a connection waits for another's lock.
const BUSY_MS: u64 = 5_000;
/// The version of the tables; a later one is refused.
const SCHEMA_VERSION: u64 = 2;

/// Says what went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("database: {what}: {source}\n  hint: look at free space and permissions of the data directory")]
    Sql {
        /// What was tried.
        what: &'static str,
        /// What it answered.
        source: sqlx::Error,
    },
    /// A row cannot be read.
    #[error("database: {0}")]
    Row(#[from] RowError),
    /// Written by a later version.
    #[error(
        "the database `{}` is of version {found}, this program reads up to {SCHEMA_VERSION}\n  hint: run the newer control plane again, or restore the backup made before it", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// A stored text is not what was written.
    #[error("database: table `{table}` holds a damaged {what}\n  hint: restore the data directory from its backup")]
    Damaged {
        /// The table.
        table: &'static str,
        /// Which value.
        what: &'static str,
    },
    /// The invitation was used in the meantime.
    #[error("the invitation was used by another device\n  hint: make a new one with `pinnace device invite`")]
    TokenUsed,
    /// The serial number was used in the meantime.
    #[error("a device with this serial number joined before\n  hint: `pinnace device invite` lets it join again")]
    SerialUsed,
    /// The name was taken in the meantime.
    #[error("the name was taken by another device\n  hint: take another name")]
    NameTaken,
}

fn sql(what: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Sql { what, source }
}

/// Opens (and creates) the database in `path`.
///
/// # Errors
/// [`StoreError`]; a database of a later version is refused.
pub async fn open(path: &Path) -> Result<(Writer, Reader), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(BUSY_MS))
        .disable_statement_logging();
    let connection = SqliteConnection::connect_with(&options).await.map_err(sql("open"))?;
    let mut writer = Writer::new(options.clone(), connection);
    let found = version(&mut writer).await?;
    if let Some(found) = found.filter(|found| *found > SCHEMA_VERSION) {
        return Err(StoreError::Newer { path: path.to_path_buf(), found });
    }
    writer.apply(found).await?;
    let pool: SqlitePool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .connect_with(options.read_only(true).create_if_missing(false))
        .await
        .map_err(sql("open for reading"))?;
    Ok((writer, Reader::new(pool)))
}

/// Returns the version of the tables that are there; `None` when there are none.
async fn version(writer: &mut Writer) -> Result<Option<u64>, StoreError> {
    if !writer.has_table("setting").await? {
        return Ok(None);
    }
    let damaged = StoreError::Damaged { table: "setting", what: "schema version" };
    let Some(bytes) = writer.setting("schema").await? else { return Ok(None) };
    Ok(Some(u64::from_le_bytes(bytes.try_into().map_err(|_| damaged)?)))
}

/// Opens the database in `path` for reading alone; it may belong to a running plane.
///
/// # Errors
/// [`StoreError`] when it is missing or no database.
pub async fn open_to_read(path: &Path) -> Result<Reader, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_millis(BUSY_MS))
        .disable_statement_logging();
    let pool: SqlitePool =
        SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(sql("open for reading"))?;
    Ok(Reader::new(pool))
}

#[cfg(test)]
mod tests;
