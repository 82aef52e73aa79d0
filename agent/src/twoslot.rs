//! Records that must outlive a damaged file or a lost ledger: floors and slot pointers, each in two files.
use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

/// Bytes of one record.
const RECORD_MAX_BYTES: u64 = 256 * 1024;

/// One record in two files. The record carries its own checksum; the core judges which of both to believe.
pub struct TwoSlotFile {
    paths: [PathBuf; 2],
}

impl TwoSlotFile {
    /// Returns the record `name` below `home`.
    pub fn new(home: &Path, name: &str) -> Self {
        Self { paths: [home.join(format!("{name}.0")), home.join(format!("{name}.1"))] }
    }

    /// Returns both files as they are; `None` for one that is missing or too long to be ours.
    ///
    /// # Errors
    /// [`FileError`] when the disk does not answer.
    pub fn load(&self) -> Result<[Option<Vec<u8>>; 2], FileError> {
        let read = |path: &Path| match files::read_bounded(path, RECORD_MAX_BYTES) {
            Err(e) if e.source.kind() == std::io::ErrorKind::InvalidData => Ok(None),
            other => other,
        };
        Ok([read(&self.paths[0])?, read(&self.paths[1])?])
    }

    /// Writes `bytes` to one file, then to the other: a power cut leaves at least one whole.
    ///
    /// # Errors
    /// [`FileError`] when one cannot be written.
    pub fn store(&self, bytes: &[u8]) -> Result<(), FileError> {
        files::replace(&self.paths[0], bytes, 0o600)?;
        files::replace(&self.paths[1], bytes, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_file_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = TwoSlotFile::new(dir.path(), "floors");
        assert_eq!(file.load().unwrap(), [None, None]);
        file.store(b"record").unwrap();
        std::fs::write(dir.path().join("floors.0"), vec![0; RECORD_MAX_BYTES as usize + 1]).unwrap();
        assert_eq!(file.load().unwrap(), [None, Some(b"record".to_vec())]);
    }
}
