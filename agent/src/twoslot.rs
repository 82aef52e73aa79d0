//! Floors and roots on disk: each record in two checksummed files, so that one damaged file loses nothing.
use std::path::{Path, PathBuf};

use pinnace_protocol::trust::{Floors, Recovered};

use crate::files::{self, FileError};

/// Bytes of a floors record.
const FLOORS_MAX_BYTES: u64 = 64 * 1024;

/// The two-slot store of the version and time floors.
pub struct FloorsFile {
    paths: [PathBuf; 2],
}

impl FloorsFile {
    /// Returns the store below `home`.
    pub fn new(home: &Path) -> Self {
        Self { paths: [home.join("floors.0"), home.join("floors.1")] }
    }

    /// Returns the join of what both files hold, or that both are lost.
    ///
    /// # Errors
    /// [`FileError`] when the disk does not answer; a damaged record is not an error.
    pub fn load(&self) -> Result<Recovered, FileError> {
        let a = files::read_bounded(&self.paths[0], FLOORS_MAX_BYTES)?;
        let b = files::read_bounded(&self.paths[1], FLOORS_MAX_BYTES)?;
        Ok(Floors::recover(a.as_deref(), b.as_deref()))
    }

    /// Writes `floors` to one file, then to the other: a power cut leaves at least one whole.
    ///
    /// # Errors
    /// [`FileError`] when one cannot be written.
    pub fn store(&self, floors: &Floors) -> Result<(), FileError> {
        let bytes = floors.encode();
        files::replace(&self.paths[0], &bytes, 0o600)?;
        files::replace(&self.paths[1], &bytes, 0o600)
    }
}
