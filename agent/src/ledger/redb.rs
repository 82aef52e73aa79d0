//! The second ledger (ADR 0002): redb, one file, copy on write, durable after each commit without help.
//!
//! A commit writes its pages and its root, each with a checksum, then syncs once; opening goes back to the root before
//! when the newest one does not check out. So a death in the middle leaves a whole batch or nothing of it.
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Change, Ledger, LedgerError};
use crate::files;

/// All records: key text, bytes.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// The file in the ledger's folder.
const FILE: &str = "records.redb";
/// Bytes of the page cache: our records are few and small.
const CACHE_BYTES: usize = 1024 * 1024;

/// A ledger in redb.
pub struct RedbLedger {
    db: Database,
    path: PathBuf,
}

impl RedbLedger {
    /// Opens or creates the ledger in folder `path`.
    ///
    /// # Errors
    /// [`LedgerError`] when another process holds it or it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |action, why: String| LedgerError::Failed { path: path.into(), action, why };
        files::create_dir(path).map_err(|e| failed("create its folder", e.to_string()))?;
        let db = Builder::new().set_cache_size(CACHE_BYTES).create(path.join(FILE)).map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => LedgerError::InUse { path: path.into() },
            e => failed("open", e.to_string()),
        })?;
        // The file may be new: its name must be durable before anything in it counts.
        files::sync_dir(path).map_err(|e| failed("sync", e.to_string()))?;
        let mut ledger = Self { db, path: path.into() };
        // Reading wants the table to be there.
        ledger.commit(&[])?;
        Ok(ledger)
    }

    fn failed(&self, action: &'static str, e: impl std::fmt::Display) -> LedgerError {
        LedgerError::Failed { path: self.path.clone(), action, why: e.to_string() }
    }
}

impl Ledger for RedbLedger {
    fn load(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let reading = self.db.begin_read().map_err(|e| self.failed("read", e))?;
        let table = reading.open_table(RECORDS).map_err(|e| self.failed("read", e))?;
        let records = table.iter().map_err(|e| self.failed("read", e))?;
        records
            .map(|record| {
                let (key, value) = record.map_err(|e| self.failed("read", e))?;
                Ok((key.value().to_owned(), value.value().to_vec()))
            })
            .collect()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), LedgerError> {
        let writing = self.db.begin_write().map_err(|e| self.failed("write", e))?;
        {
            let mut table = writing.open_table(RECORDS).map_err(|e| self.failed("write", e))?;
            for change in changes {
                let done = match change {
                    Change::Put { key, value } => table.insert(key.as_str(), value.as_slice()).map(|_| ()),
                    Change::Delete { key } => table.remove(key.as_str()).map(|_| ()),
                };
                done.map_err(|e| self.failed("write", e))?;
            }
        }
        // Synced when this returns: redb's default durability.
        writing.commit().map_err(|e| self.failed("sync", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_agents_cannot_share_one_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let _first = RedbLedger::open(dir.path()).unwrap();
        let second = RedbLedger::open(dir.path()).err().unwrap();
        assert!(matches!(second, LedgerError::InUse { .. }), "{second}");
    }
}
