//! What a device keeps of a repository between refreshes, and the effects that change it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::envelope::Envelope;
use super::error::TrustError;
use super::floors::Floors;
use super::limits::{ROOT_MAX_BYTES, STORED_ROOTS_MAX};
use super::metadata::{ROOT, Root};
use super::names::{STORED_ROOT_PREFIX, stored_root_name};
use crate::signature::Verifier;

/// One change to durable state. Carry them out in order, each durable before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Write the floors to the slot not written last, and sync.
    RaiseFloors(Floors),
    /// Write a metadata file, replacing what was there.
    PutMetadata {
        /// Its name, safe as a file name.
        name: String,
        /// Its bytes, as received.
        bytes: Vec<u8>,
    },
    /// Delete a metadata file if it is there.
    RemoveMetadata {
        /// Its name.
        name: String,
    },
}

/// Holds the verified root and the stored metadata of one repository.
#[derive(Debug, Clone)]
pub struct TrustedState {
    pub(super) root: Arc<Root>,
    pub(super) files: BTreeMap<String, Arc<[u8]>>,
    pub(super) verifier: Verifier,
}

impl TrustedState {
    /// Loads stored metadata: replays the stored roots from the factory root and keeps the other files for later.
    ///
    /// `files` is the metadata directory by file name. No stored file is trusted for being there: roots must follow
    /// from the factory root, the rest is verified again when used, and a damaged file counts as absent.
    ///
    /// # Errors
    /// As [`Envelope::parse`] or `Threshold` when the factory root itself is unsound: fail closed.
    pub fn load(factory_root: &[u8], files: BTreeMap<String, Vec<u8>>) -> Result<Self, TrustError> {
        Self::load_with(factory_root, files, Verifier::STRICT)
    }

    /// As [`TrustedState::load`], for this state and every refresh from it; signatures are judged by `verifier`.
    ///
    /// # Errors
    /// As [`TrustedState::load`].
    pub fn load_with(
        factory_root: &[u8],
        mut files: BTreeMap<String, Vec<u8>>,
        verifier: Verifier,
    ) -> Result<Self, TrustError> {
        let mut root = first_root(factory_root, verifier)?;
        for _ in 0..STORED_ROOTS_MAX {
            let next = files.get(&stored_root_name(root.header.version.saturating_add(1)));
            let Some(Ok(next)) = next.map(|bytes| next_root(&root, bytes, verifier)) else { break };
            root = next;
        }
        // Roots have done their part; the map keeps only what a refresh may still use.
        files.retain(|name, _| !name.starts_with(STORED_ROOT_PREFIX));
        let files = files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
        Ok(Self { root: Arc::new(root), files, verifier })
    }

    /// Returns the newest verified root.
    pub fn root(&self) -> &Root {
        &self.root
    }
}

/// Verifies a root by its own keys: the start of a chain.
///
/// # Errors
/// As [`Envelope::parse`], `Malformed`, `Threshold`.
pub fn first_root(bytes: &[u8], verifier: Verifier) -> Result<Root, TrustError> {
    let envelope = Envelope::parse(ROOT, bytes, ROOT_MAX_BYTES)?;
    let root: Root = envelope.body(ROOT)?;
    envelope.verify(ROOT, root.role(ROOT)?, &root.keys, verifier)?;
    Ok(root)
}

/// Verifies the root that follows `old`: signed by enough of the old keys and enough of the new, one version up.
///
/// # Errors
/// As [`Envelope::parse`], `Threshold`, `Malformed`, `Version`.
pub fn next_root(old: &Root, bytes: &[u8], verifier: Verifier) -> Result<Root, TrustError> {
    let envelope = Envelope::parse(ROOT, bytes, ROOT_MAX_BYTES)?;
    envelope.verify(ROOT, old.role(ROOT)?, &old.keys, verifier)?;
    let new: Root = envelope.body(ROOT)?;
    let (found, expected) = (new.header.version, old.header.version.saturating_add(1));
    if found != expected {
        return Err(TrustError::Version { role: ROOT.into(), found, expected });
    }
    envelope.verify(ROOT, new.role(ROOT)?, &new.keys, verifier)?;
    Ok(new)
}
