//! The ledger: the device's durable memory, small records committed in one atomic batch.
//!
//! sled (ADR 0002) writes its log with `sync_file_range`, which survives a crash of the process but not a power cut,
//! so every commit is followed by `fdatasync` of its files. The whole crate sees the [`Ledger`] trait only.
use std::path::{Path, PathBuf};

use pinnace_firmware_targets::LedgerStore;

#[cfg(feature = "redb")]
pub mod redb;

/// One change of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a record.
    Put {
        /// Its key.
        key: String,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// Removes a record.
    Delete {
        /// Its key.
        key: String,
    },
}

/// Says why the ledger cannot go on. The agent stops then: what is not durable must not become visible.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process holds it.
    #[error(
        "the ledger {path} is in use by another process\n  hint: only one agent may run per --home; stop the other one"
    )]
    InUse {
        /// Its folder.
        path: PathBuf,
    },
    /// It was made by the other store.
    #[error(
        "the ledger {path} is of kind {found}, not {asked}\n  hint: run with --ledger {found}; to change over, stop the agent and move that folder away: the model is kept, unsent windows are not"
    )]
    OtherKind {
        /// Its folder.
        path: PathBuf,
        /// What is there.
        found: &'static str,
        /// What was asked for.
        asked: &'static str,
    },
    /// This program has no such store.
    #[error("this program was built without redb\n  hint: run with --ledger sled, or build with feature `redb`")]
    NotBuilt,
    /// Cannot be opened, read or written.
    #[error(
        "the ledger {path} failed to {action}: {why}\n  hint: check free space and the disk; the agent restarts by itself and goes on from the last commit"
    )]
    Failed {
        /// Its folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the store said.
        why: String,
    },
}

/// Durable records, committed in atomic batches.
pub trait Ledger: Send {
    /// Returns all records in key order.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn load(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerError>;
    /// Makes all changes durable, or none of them.
    ///
    /// # Errors
    /// [`LedgerError`]; the caller must stop then.
    fn commit(&mut self, changes: &[Change]) -> Result<(), LedgerError>;
}

/// Which store a ledger lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LedgerKind {
    /// sled: gateways.
    Sled,
    /// redb: small devices, less memory.
    Redb,
}

impl LedgerKind {
    /// Returns the word of the option and of a device profile.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }

    /// Returns the store for a class of hardware; sled when this program has no other.
    pub fn of_profile(profile: &pinnace_firmware_targets::DeviceProfile) -> Self {
        match profile.storage.ledger {
            LedgerStore::Redb if cfg!(feature = "redb") => Self::Redb,
            LedgerStore::Redb | LedgerStore::Sled => Self::Sled,
        }
    }

    /// Returns which store lies in folder `path`; none when there is none yet.
    pub fn found_in(path: &Path) -> Option<Self> {
        if path.join("records.redb").is_file() {
            Some(Self::Redb)
        } else if path.join("conf").is_file() || path.join("db").is_file() {
            Some(Self::Sled)
        } else {
            None
        }
    }

    /// Opens or creates the ledger in folder `path`. A ledger of the other kind is left alone: what a device remembers is
    /// not thrown away because an option changed.
    ///
    /// # Errors
    /// [`LedgerError`] when another process holds it, it is of the other kind, or it cannot be opened.
    pub fn open(self, path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
        if let Some(found) = Self::found_in(path).filter(|found| *found != self) {
            return Err(LedgerError::OtherKind { path: path.into(), found: found.as_str(), asked: self.as_str() });
        }
        match self {
            Self::Sled => Ok(Box::new(SledLedger::open(path)?)),
            #[cfg(feature = "redb")]
            Self::Redb => Ok(Box::new(redb::RedbLedger::open(path)?)),
            #[cfg(not(feature = "redb"))]
            Self::Redb => Err(LedgerError::NotBuilt),
        }
    }
}

/// A ledger in sled.
pub struct SledLedger {
    db: sled::Db,
    path: PathBuf,
}

/// Bytes of sled's page cache: our records are few and small.
const CACHE_BYTES: u64 = 1024 * 1024;

impl SledLedger {
    /// Opens or creates the ledger in folder `path`.
    ///
    /// # Errors
    /// [`LedgerError`] when another process holds it or it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None)
            .open()
            .map_err(|e| match &e {
                sled::Error::Io(io)
                    if io.to_string().contains("lock") || io.kind() == std::io::ErrorKind::WouldBlock =>
                {
                    LedgerError::InUse { path: path.into() }
                }
                _ => LedgerError::Failed { path: path.into(), action: "open", why: e.to_string() },
            })?;
        Ok(Self { db, path: path.into() })
    }

    fn failed(&self, action: &'static str, e: impl std::fmt::Display) -> LedgerError {
        LedgerError::Failed { path: self.path.clone(), action, why: e.to_string() }
    }
}

impl Ledger for SledLedger {
    fn load(&self) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        self.db
            .iter()
            .map(|record| {
                let (key, value) = record.map_err(|e| self.failed("read", e))?;
                let key = String::from_utf8(key.to_vec()).map_err(|e| self.failed("read a key", e))?;
                Ok((key, value.to_vec()))
            })
            .collect()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), LedgerError> {
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Put { key, value } => batch.insert(key.as_bytes(), value.as_slice()),
                Change::Delete { key } => batch.remove(key.as_bytes()),
            }
        }
        self.db.apply_batch(batch).map_err(|e| self.failed("write", e))?;
        self.db.flush().map_err(|e| self.failed("flush", e))?;
        // sled's own files: `db` holds the log, `conf` the layout. New large values may open files in `blobs`.
        for name in ["db", "conf"] {
            let file = self.path.join(name);
            if let Ok(f) = std::fs::File::open(&file) {
                f.sync_data().map_err(|e| self.failed("sync", e))?;
            }
        }
        let blobs = self.path.join("blobs");
        if let Ok(entries) = std::fs::read_dir(&blobs) {
            for entry in entries.flatten() {
                std::fs::File::open(entry.path()).and_then(|f| f.sync_data()).map_err(|e| self.failed("sync", e))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &[u8]) -> Change {
        Change::Put { key: key.into(), value: value.into() }
    }

    #[test]
    fn a_batch_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        {
            let mut ledger = SledLedger::open(&path).unwrap();
            ledger.commit(&[put("a", b"1"), put("b", b"2")]).unwrap();
            ledger.commit(&[Change::Delete { key: "a".into() }, put("c", &[7; 100_000])]).unwrap();
        }
        let records = SledLedger::open(&path).unwrap().load().unwrap();
        assert_eq!(records, vec![("b".into(), b"2".to_vec()), ("c".into(), vec![7; 100_000])]);
    }

    #[test]
    fn a_ledger_of_the_other_kind_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(LedgerKind::found_in(dir.path()), None);
        let mut ledger = LedgerKind::Sled.open(dir.path()).unwrap();
        ledger.commit(&[put("a", b"1")]).unwrap();
        drop(ledger);
        assert_eq!(LedgerKind::found_in(dir.path()), Some(LedgerKind::Sled));
        let refused = LedgerKind::Redb.open(dir.path()).err().unwrap();
        assert!(refused.to_string().contains("--ledger sled"), "{refused}");
        assert_eq!(LedgerKind::Sled.open(dir.path()).unwrap().load().unwrap(), [("a".into(), b"1".to_vec())]);
    }

    #[test]
    fn two_agents_cannot_share_one_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let _first = SledLedger::open(dir.path()).unwrap();
        let second = SledLedger::open(dir.path()).err().unwrap();
        assert!(matches!(second, LedgerError::InUse { .. }), "{second}");
    }
}
