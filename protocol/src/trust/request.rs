//! The language between the image client and whoever fetches for it.

use alloc::string::String;

use serde_json::Value;

use super::error::TrustError;
use super::metadata::{TargetFile, check_hashes, check_length};
use super::names::hashed_name;

/// What the client wants next.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<T> {
    /// Fetch this file and feed it.
    Fetch(Fetch),
    /// The question is answered.
    Done(T),
    /// The question cannot be answered; try again with a new client, later or from another mirror.
    Failed(TrustError),
}

/// Describes one file to fetch from the metadata directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Which document it is.
    pub what: Document,
    /// Its file name.
    pub name: String,
    /// Stop reading after this many bytes; more is refused anyway.
    pub max_bytes: usize,
}

/// Names a document of the image repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The root of this version; absent when the last one is the newest.
    Root(u64),
    /// The timestamp.
    Timestamp,
    /// The snapshot that the timestamp pins.
    Snapshot {
        /// Its pinned version.
        version: u64,
    },
    /// A targets document that the snapshot pins.
    Targets {
        /// The role: `targets` or a delegated one.
        role: String,
        /// Its pinned version.
        version: u64,
    },
}

/// What a fetch gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// The file's bytes.
    Bytes(&'a [u8]),
    /// The repository says that there is no such file (HTTP 404 or 403). Not for time-outs: ask those again.
    NotFound,
}

/// Holds a file's description that the offline keys signed. Only a look-up makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedTarget {
    pub(super) path: String,
    pub(super) file: TargetFile,
    pub(super) role: String,
    pub(super) consistent: bool,
}

impl VerifiedTarget {
    /// Returns the target path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the signed length, bytes.
    pub fn length(&self) -> u64 {
        self.file.length
    }

    /// Returns the signed SHA-256, or `None` when other algorithms were used.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.file.sha256()
    }

    /// Checks bytes against the signed length and every signed hash whose algorithm is known.
    ///
    /// # Errors
    /// `Length`, `Hash`; `Malformed` when no algorithm is known.
    pub fn check(&self, bytes: &[u8]) -> Result<(), TrustError> {
        check_length(&self.path, bytes, self.file.length)?;
        check_hashes(&self.path, bytes, &self.file.hashes)
    }

    /// Returns the signed custom section.
    pub fn custom(&self) -> Option<&Value> {
        self.file.custom.as_ref()
    }

    /// Returns the role that signed it.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Returns the file name below the targets directory.
    pub fn file_name(&self) -> String {
        let digest = self.file.name_digest().filter(|_| self.consistent);
        digest.map_or_else(|| self.path.clone(), |digest| hashed_name(&self.path, digest))
    }
}
