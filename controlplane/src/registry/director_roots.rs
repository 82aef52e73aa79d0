//! The director's roots, and the online key that the newest of them names.
use std::collections::BTreeMap;

use pinnace_protocol::trust::limits::{DIRECTOR_ROOTS_BYTES, DIRECTOR_ROOTS_MAX, ROOT_MAX_BYTES};
use pinnace_protocol::trust::metadata::ROOT;
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::{Envelope, Root, SigningKey, TrustError, author};

use super::OnlineError;
use super::published::newest_root;
use crate::keys::KeySet;

/// All roots of the director, oldest first, and its key.
#[derive(Debug, Clone)]
pub struct DirectorRoots {
    roots: Vec<Vec<u8>>,
    newest: Root,
    key: SigningKey,
    recent: Vec<Vec<u8>>,
}

impl DirectorRoots {
    /// Reads stored roots by file name; their signatures were judged when they were taken in.
    ///
    /// # Errors
    /// [`OnlineError`] when a root is missing or malformed, or its key is not held.
    pub fn load(mut files: BTreeMap<String, Vec<u8>>, keys: &KeySet) -> Result<Self, OnlineError> {
        let count = newest_root(|name| files.contains_key(name));
        let roots: Vec<Vec<u8>> =
            (1..=count).filter_map(|version| files.remove(&metadata_name(ROOT, Some(version)))).collect();
        Self::of(roots, keys)
    }

    /// Returns these roots and one more.
    ///
    /// # Errors
    /// As [`DirectorRoots::load`].
    pub fn with(&self, root: Vec<u8>, keys: &KeySet) -> Result<Self, OnlineError> {
        let mut roots = self.roots.clone();
        roots.push(root);
        Self::of(roots, keys)
    }

    fn of(roots: Vec<Vec<u8>>, keys: &KeySet) -> Result<Self, OnlineError> {
        let what = || TrustError::Missing { what: metadata_name("director root", Some(1)) };
        let bytes = roots.last().ok_or_else(what)?;
        let newest: Root = Envelope::parse(ROOT, bytes, ROOT_MAX_BYTES)?.body(ROOT)?;
        let key = keys.director(&newest)?;
        let recent = recent(&roots);
        Ok(Self { roots, newest, key, recent })
    }

    /// Returns the newest root.
    pub const fn newest(&self) -> &Root {
        &self.newest
    }

    /// Returns the newest root as signed.
    pub fn newest_bytes(&self) -> &[u8] {
        self.roots.last().map_or(&[], Vec::as_slice)
    }

    /// Returns the first root as signed.
    pub fn first_bytes(&self) -> &[u8] {
        self.roots.first().map_or(&[], Vec::as_slice)
    }

    /// Returns the online key.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Returns the roots for a device that has root `have`, oldest first: those after it, as many as a bundle takes; the
    /// newest ones when the device never said.
    pub fn for_device(&self, have: Option<u64>) -> &[Vec<u8>] {
        let later = self.roots.get(1..).unwrap_or_default();
        have.map_or(self.recent.as_slice(), |have| author::roots_after(later, have))
    }
}

/// The first root is not sent: every device has it from the start, or a newer one.
fn recent(roots: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mut kept, mut bytes) = (Vec::new(), 0_usize);
    for root in roots.iter().skip(1).rev().take(DIRECTOR_ROOTS_MAX) {
        // Quotes travel escaped.
        bytes = bytes.saturating_add(root.len() + root.iter().filter(|byte| **byte == b'"').count());
        if bytes > DIRECTOR_ROOTS_BYTES {
            break;
        }
        kept.push(root.clone());
    }
    kept.reverse();
    kept
}
