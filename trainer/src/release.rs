//! Signs a bundle into the image repository: what exists, by the offline keys.
//!
//! A release is one new version of the family's delegated metadata, signed by trainer and approver (2 of 2). The first
//! release of a family also needs a new version of the top-level targets metadata that delegates to it, signed by the
//! targets key. The plane adds snapshot and timestamp; it cannot add a target.
use pinnace_protocol::ids::Family;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::trust::limits::TARGETS_MAX_BYTES;
use pinnace_protocol::trust::released::{FIELD_HARDWARE, FIELD_MODEL, FIELD_RELEASE};
use pinnace_protocol::trust::{Envelope, Signer, TargetFile, Targets, TrustError, TufKey, author};
use serde_json::json;

use crate::bundle::Bundle;

/// Days a family's metadata stays valid for installing; running models are not affected.
pub const FAMILY_DAYS: u64 = 90;
/// Days the top-level targets metadata stays valid.
pub const TARGETS_DAYS: u64 = 365;
/// Signatures a release needs: trainer and approver.
pub const FAMILY_THRESHOLD: u64 = 2;
const DAY_S: u64 = 86_400;

/// Says why a bundle cannot be released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Metadata cannot be read or signed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The manifest contradicts itself.
    #[error(transparent)]
    Manifest(#[from] pinnace_protocol::manifest::ManifestError),
    /// The family is new and the key that may delegate to it is not here.
    #[error(
        "model family `{0}` is new and the targets key is not at hand\n  hint: sign the first release of a family where the offline targets key is"
    )]
    NewFamily(Family),
    /// The model family is new and nobody is named for it.
    #[error(
        "model family `{0}` is new and its trainer and approver are not named\n  hint: name the public halves of their keys with --trainer and --approver"
    )]
    NoKeys(Family),
    /// A version exists already with other content.
    #[error("{0} is released already with other content\n  hint: releases never change; build the next version")]
    Exists(String),
}

/// The offline keys that a release needs.
pub struct Signers<'a> {
    /// Top-level targets key; needed for the first release of a family only.
    pub targets: Option<&'a dyn Signer>,
    /// The one who trained.
    pub trainer: &'a dyn Signer,
    /// The one who approved.
    pub approver: &'a dyn Signer,
}

/// The repository's state that the release continues.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// Top-level targets metadata, as published.
    pub targets: Vec<u8>,
    /// The family's metadata, as published; none before its first release.
    pub family: Option<Vec<u8>>,
}

/// What is sent to the registry.
#[derive(Debug, Clone)]
pub struct Release {
    /// The delegated role, equal to the family's name.
    pub role: String,
    /// The role's new metadata, signed.
    pub metadata: Vec<u8>,
    /// New top-level targets metadata, signed, when the family is new.
    pub targets_metadata: Option<Vec<u8>>,
    /// The manifest; the blobs go before it.
    pub manifest: Vec<u8>,
}

/// A release before anybody signed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsigned {
    /// New top-level targets that delegate to the family, when it is new.
    pub targets: Option<Targets>,
    /// The family's next targets.
    pub family: Targets,
    /// The manifest.
    pub manifest: Vec<u8>,
}

/// Returns the signed release of `bundle` at `now` (unix seconds) for devices of the classes `hardware`.
///
/// # Errors
/// [`ReleaseError`] when the current metadata cannot be read, a key is missing, or the version exists already.
pub fn release(
    bundle: &Bundle,
    hardware: &[String],
    current: &Current,
    signers: &Signers<'_>,
    now: u64,
) -> Result<Release, ReleaseError> {
    let family = &bundle.manifest.family;
    let keys = [signers.trainer.key(), signers.approver.key()];
    let unsigned = unsigned(bundle, hardware, current, Some(&keys), now)?;
    let targets_metadata = match &unsigned.targets {
        Some(targets) => {
            let key = signers.targets.ok_or_else(|| ReleaseError::NewFamily(family.clone()))?;
            Some(author::sign(targets, &[key])?)
        }
        None => None,
    };
    let metadata = author::sign(&unsigned.family, &[signers.trainer, signers.approver])?;
    Ok(Release { role: family.to_string(), metadata, targets_metadata, manifest: unsigned.manifest })
}

/// Returns what trainer and approver sign to release `bundle`, each where the own key is; for a new family the targets
/// key too. `keys` are the public halves of trainer and approver, needed for a new family only.
///
/// # Errors
/// [`ReleaseError`] when the current metadata cannot be read, the family is new and has no keys, or the version exists
/// already.
pub fn unsigned(
    bundle: &Bundle,
    hardware: &[String],
    current: &Current,
    keys: Option<&[TufKey; 2]>,
    now: u64,
) -> Result<Unsigned, ReleaseError> {
    let manifest = &bundle.manifest;
    let bytes = manifest.to_bytes()?;
    let expires = now + FAMILY_DAYS * DAY_S;
    let (delegating, mut targets) = match &current.family {
        Some(old) => (None, author::next(&read_targets(manifest.family.as_str(), old)?, expires)),
        None => {
            let keys = keys.ok_or_else(|| ReleaseError::NoKeys(manifest.family.clone()))?;
            (Some(delegate(&manifest.family, &current.targets, keys, now)?), Targets::new(1, expires))
        }
    };
    let path = manifest.target_path();
    let entry = TargetFile::of(&bytes, Some(custom(manifest, hardware)));
    if targets.targets.get(&path).is_some_and(|old| old.sha256() != entry.sha256()) {
        return Err(ReleaseError::Exists(manifest.bundle_ref().to_string()));
    }
    targets.targets.insert(path, entry);
    for (blob, content) in manifest.blobs.iter().zip(&bundle.contents) {
        targets.targets.insert(blob.target_path(), TargetFile::of(content, None));
    }
    Ok(Unsigned { targets: delegating, family: targets, manifest: bytes })
}

/// Returns the custom section that both repositories must agree on.
fn custom(manifest: &Manifest, hardware: &[String]) -> serde_json::Value {
    json!({
        FIELD_HARDWARE: hardware,
        FIELD_RELEASE: manifest.release_counter,
        FIELD_MODEL: manifest.family.as_str(),
    })
}

fn delegate(family: &Family, current: &[u8], keys: &[TufKey; 2], now: u64) -> Result<Targets, ReleaseError> {
    let mut targets = author::next(&read_targets("targets", current)?, now + TARGETS_DAYS * DAY_S);
    // The family's manifests, and blobs by their digest: 64 hexadecimal digits. Content cannot clash.
    let manifests = format!("{family}-v*.manifest.json");
    let blobs = "?".repeat(64);
    targets.delegate(family.as_str(), keys, FAMILY_THRESHOLD, &[&manifests, &blobs], false);
    Ok(targets)
}

/// Reads published targets metadata to continue it; the plane and every device check its signatures.
fn read_targets(role: &str, bytes: &[u8]) -> Result<Targets, TrustError> {
    Envelope::parse(role, bytes, TARGETS_MAX_BYTES)?.body(role)
}
