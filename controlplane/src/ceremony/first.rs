//! The first metadata of a real fleet: drafted from public halves, signed elsewhere, laid into a data directory.
//!
//! ```text
//! first/image/{1.root.json,1.targets.json}  first/director/1.root.json
//! ```
//! The plane reads this folder once, when its database holds nothing yet; then the database counts.
use std::path::{Path, PathBuf};

use pinnace_protocol::signature::Verifier;
use pinnace_protocol::trust::limits::{ROOT_MAX_BYTES, TARGETS_MAX_BYTES};
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::{Root, Targets, TrustError, TufKey, author, envelope, first_root};

use super::change::{Expiry, check_threshold};
use super::development::{FirstMetadata, FirstMetadataError};
use super::draft::{Document, Draft, Repository};
use super::error::DraftError;
use crate::keys::{KeySet, key_files};
use crate::limits::{SNAPSHOT_LIFE_S, TIMESTAMP_LIFE_S};

/// Public halves of all keys of both repositories.
#[derive(Debug, Clone, Default)]
pub struct Holders {
    /// Root keys of the image repository.
    pub root: Vec<TufKey>,
    /// How many of them must sign.
    pub root_threshold: u64,
    /// Root keys of the director; those of the image repository when empty.
    pub director_root: Vec<TufKey>,
    /// Keys of the top-level targets.
    pub targets: Vec<TufKey>,
    /// How many of them must sign.
    pub targets_threshold: u64,
    /// The plane's snapshot key.
    pub snapshot: Vec<TufKey>,
    /// The plane's timestamp key.
    pub timestamp: Vec<TufKey>,
    /// The plane's director key.
    pub director: Vec<TufKey>,
}

/// Drafts the first metadata of the image repository: root and empty targets.
///
/// # Errors
/// [`DraftError`] for thresholds that cannot be met or keys named twice.
pub fn image(holders: &Holders, expiry: Expiry) -> Result<Draft, DraftError> {
    let root = root(
        expiry.root,
        &[
            (ROOT, &holders.root, holders.root_threshold),
            (TARGETS, &holders.targets, holders.targets_threshold),
            (SNAPSHOT, &holders.snapshot, 1),
            (TIMESTAMP, &holders.timestamp, 1),
        ],
    )?;
    let targets = Document::unsigned(TARGETS, &Targets::new(1, expiry.targets))?;
    Draft::new(Repository::Image, vec![root, targets], Vec::new())
}

/// Drafts the first root of the director.
///
/// # Errors
/// [`DraftError`] for thresholds that cannot be met or keys named twice.
pub fn director(holders: &Holders, expiry: Expiry) -> Result<Draft, DraftError> {
    let roots = if holders.director_root.is_empty() { &holders.root } else { &holders.director_root };
    let online = &holders.director;
    let root = root(
        expiry.root,
        &[(ROOT, roots, holders.root_threshold), (TARGETS, online, 1), (SNAPSHOT, online, 1), (TIMESTAMP, online, 1)],
    )?;
    Draft::new(Repository::Director, vec![root], Vec::new())
}

fn root(expires: u64, roles: &[(&str, &[TufKey], u64)]) -> Result<Document, DraftError> {
    for (role, keys, threshold) in roles {
        check_threshold(role, keys, *threshold)?;
    }
    Document::unsigned(ROOT, &Root::new(1, expires, roles))
}

/// Returns where the first metadata of a repository lie in a data directory.
pub fn folder(data: &Path, repository: Repository) -> PathBuf {
    data.join("first").join(repository.name())
}

/// Returns whether a ceremony left first metadata in a data directory.
pub fn is_there(data: &Path) -> bool {
    data.join("first").exists()
}

/// Checks that nobody began a ceremony here: online keys without offline ones come from `pinnace keys init`, and must
/// not become part of a development set because the last step was forgotten.
///
/// # Errors
/// [`FirstMetadataError::Unfinished`].
pub fn check_not_begun(keys: &Path) -> Result<(), FirstMetadataError> {
    let online = keys.join("online");
    // A development set makes the offline folder first.
    if key_files(&online)?.is_empty() || keys.join("offline").exists() {
        return Ok(());
    }
    Err(FirstMetadataError::Unfinished(online))
}

/// Reads the first metadata that a ceremony left in `data`, judges it, and adds what the plane signs itself.
///
/// `now` is seconds since 1970.
///
/// # Errors
/// [`FirstMetadataError`] when a document is missing, not signed by enough keys, or names online keys that are not
/// here: the plane must not fall back to a development key set then.
pub fn load(data: &Path, keys: &KeySet, now: u64) -> Result<FirstMetadata, FirstMetadataError> {
    let read = |repository: Repository, role: &str, cap: usize| {
        let path = folder(data, repository).join(metadata_name(role, Some(1)));
        let io = |source| FirstMetadataError::Io { path: path.clone(), source };
        let length = std::fs::metadata(&path).map_err(io)?.len();
        if length > cap as u64 {
            let what = path.display().to_string();
            return Err(TrustError::TooLarge { what, found: length, cap: cap as u64 }.into());
        }
        std::fs::read(&path).map_err(io)
    };
    let root_bytes = read(Repository::Image, ROOT, ROOT_MAX_BYTES)?;
    let targets_bytes = read(Repository::Image, TARGETS, TARGETS_MAX_BYTES)?;
    let director_bytes = read(Repository::Director, ROOT, ROOT_MAX_BYTES)?;
    let root = first_root(&root_bytes, Verifier::STRICT)?;
    let director = first_root(&director_bytes, Verifier::STRICT)?;
    let holders = root.role(TARGETS)?;
    let targets: Targets =
        envelope::load(TARGETS, &targets_bytes, TARGETS_MAX_BYTES, holders, &root.keys, Verifier::STRICT)?;
    for (name, version) in
        [(ROOT, root.header.version), (TARGETS, targets.header.version), (ROOT, director.header.version)]
    {
        if version != 1 {
            return Err(TrustError::Version { role: name.into(), found: version, expected: 1 }.into());
        }
    }
    envelope::check_expiry("image root", &root, now)?;
    envelope::check_expiry("director root", &director, now)?;
    envelope::check_expiry(TARGETS, &targets, now)?;
    keys.director(&director)?;
    let (snapshot_key, timestamp_key) = (keys.online_of(&root, SNAPSHOT)?, keys.online_of(&root, TIMESTAMP)?);
    let published = author::publish(
        None,
        &[(TARGETS, &targets_bytes)],
        (&snapshot_key, now + SNAPSHOT_LIFE_S),
        (&timestamp_key, now + TIMESTAMP_LIFE_S),
    )?;
    let name = metadata_name(ROOT, Some(1));
    let mut image = vec![(name.clone(), root_bytes)];
    image.extend(published.files);
    Ok(FirstMetadata { image, director: vec![(name, director_bytes)] })
}
