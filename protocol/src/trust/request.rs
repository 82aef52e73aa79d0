//! The language between the image client and whoever fetches for it.

use alloc::string::String;

use serde_json::Value;

use super::error::TrustError;
use super::names::target_name;

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
    pub(super) length: u64,
    pub(super) sha256: [u8; 32],
    pub(super) custom: Option<Value>,
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
        self.length
    }

    /// Returns the signed SHA-256.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Returns the signed custom section.
    pub fn custom(&self) -> Option<&Value> {
        self.custom.as_ref()
    }

    /// Returns the role that signed it.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Returns the file name below the targets directory.
    pub fn file_name(&self) -> String {
        target_name(&self.path, self.consistent.then_some(&self.sha256))
    }
}
