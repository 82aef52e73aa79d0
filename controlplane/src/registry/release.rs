//! Judging a release: everything is verified, as a device would, before anything becomes visible.
use std::collections::BTreeMap;
use std::sync::Arc;

use pinnace_protocol::ids::{BundleRef, Digest, Family};
use pinnace_protocol::manifest::{Blob, Manifest, ManifestError, Role};
use pinnace_protocol::sketch::Profile;
use pinnace_protocol::trust::limits::TARGETS_MAX_BYTES;
use pinnace_protocol::trust::metadata::{ROOT, TARGETS};
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::released::{FIELD_HARDWARE, FIELD_MODEL, FIELD_RELEASE};
use pinnace_protocol::trust::{
    Envelope, Floors, ImageClient, Request, Response, Targets, TrustError, TrustedState, VerifiedTarget,
};
use serde_json::Value;

use super::published::{Published, chunk_of};
use super::{OnlineError, Registry};
use crate::blobs::BlobError;
use crate::keys::KeyError;

/// Bytes of a reference profile: it is kept in one row.
const PROFILE_MAX_BYTES: u64 = 1024 * 1024;
/// How the target paths of manifests end.
pub(super) const MANIFEST_SUFFIX: &str = ".manifest.json";

/// A release as offered: signed metadata and the manifest; the blobs were uploaded before.
#[derive(Debug, Clone)]
pub struct Release {
    /// The model family; also the name of its delegated role.
    pub family: Family,
    /// New top-level targets that delegate to the family, when it is new or its keys changed.
    pub targets_metadata: Option<Vec<u8>>,
    /// The family's targets document.
    pub family_metadata: Vec<u8>,
    /// The manifest.
    pub manifest: Vec<u8>,
}

/// The next publication, not visible yet.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// New files, the timestamp last.
    pub files: Vec<(String, Vec<u8>)>,
    /// Names of files so old that no device still asks for them.
    pub old: Vec<String>,
    /// What will be published.
    pub published: Arc<Published>,
}

/// A release that was found sound.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The next publication.
    pub candidate: Candidate,
    /// The parsed manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's bytes.
    pub sha256: Digest,
    /// Length of the manifest, bytes.
    pub length: u64,
    /// The reference profile.
    pub profile: Vec<u8>,
}

/// Says why a release is refused; nothing changed and nothing became visible.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A signature, threshold, version, expiry or hash does not fit.
    #[error(
        "the release is not trusted: {0}\n  hint: sign it with the keys that the repository's root and targets name for this family; devices would refuse it for the same reason"
    )]
    Trust(#[from] TrustError),
    /// The manifest is not sound.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest or a blob is not named by the signed metadata as it is.
    #[error(
        "`{path}` is not released as it is: {why}\n  hint: sign the family metadata again after the last change of manifest and blobs"
    )]
    NotReleased {
        /// Target path or blob name.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A blob was not uploaded.
    #[error("blob `{name}` ({sha256}) was not uploaded\n  hint: PUT /v1/blobs/{sha256} first")]
    MissingBlob {
        /// Its name in the manifest.
        name: String,
        /// Its digest.
        sha256: Digest,
    },
    /// A blob's bytes are not what manifest and metadata say.
    #[error("blob `{name}` is damaged: {why}\n  hint: upload it again; look at the disk when this repeats")]
    DamagedBlob {
        /// Its name in the manifest.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The bundle was published before, or an earlier release would vanish.
    #[error(
        "{bundle} conflicts with what is published: {why}\n  hint: take the next version and release counter, and keep earlier targets in the family metadata"
    )]
    Conflict {
        /// The bundle.
        bundle: BundleRef,
        /// What is wrong.
        why: String,
    },
    /// The plane cannot sign snapshot and timestamp.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The disk failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<OnlineError> for ReleaseError {
    fn from(error: OnlineError) -> Self {
        match error {
            OnlineError::Trust(fault) => Self::Trust(fault),
            OnlineError::Key(fault) => Self::Key(fault),
        }
    }
}

impl Registry {
    /// Verifies a release completely and builds the publication that would make it visible.
    ///
    /// Call it under [`Registry::lock`]. `now` is seconds since 1970.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing changed.
    pub async fn judge(&self, release: &Release, now: u64) -> Result<Judged, ReleaseError> {
        let manifest = Manifest::parse(&release.manifest)?;
        let published = self.published();
        check_conflicts(&published, release, &manifest)?;
        let role = release.family.as_str();
        let mut roles: Vec<(&str, &[u8])> = Vec::new();
        if let Some(targets) = &release.targets_metadata {
            roles.push((TARGETS, targets));
        }
        roles.push((role, &release.family_metadata));
        let candidate = self.next(&published, None, &roles, now)?;
        let released = as_a_device(&candidate.published, &manifest.target_path(), now)?;
        if release.targets_metadata.is_some() {
            // New keys of a family must not strand what the others released.
            for other in candidate.published.roles() {
                let mut targets = candidate.published.targets_of(other);
                if let Some(kept) = targets.find(|target| target.path.ends_with(MANIFEST_SUFFIX)) {
                    // One that has expired is stranded already: only its keys are judged.
                    let expires = candidate.published.header_of(other).map_or(now, |header| header.expires);
                    as_a_device(&candidate.published, &kept.path, now.min(expires.saturating_sub(1)))?;
                }
            }
        }
        check_manifest_target(&released, &release.manifest, &manifest)?;
        for blob in &manifest.blobs {
            check_blob_named(&candidate.published, role, blob)?;
            self.check_blob_bytes(blob).await?;
        }
        let profile = self.profile(&manifest).await?;
        // Devices fetch the manifest like any target; without the new metadata nobody can ask for it.
        let sha256 = Digest::of(&release.manifest);
        let bytes = bytes::Bytes::from(release.manifest.clone());
        let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
        let length = self.blobs().put(sha256, release.manifest.len() as u64, stream).await?;
        Ok(Judged { candidate, manifest, sha256, length, profile })
    }

    /// Reads the blob again from disk: digest, length and every chunk.
    async fn check_blob_bytes(&self, blob: &Blob) -> Result<(), ReleaseError> {
        let damaged = |why: &str| ReleaseError::DamagedBlob { name: blob.name.clone(), why: why.into() };
        if blob.chunk != chunk_of(blob.length) {
            return Err(damaged("its chunk length is not the one for its size"));
        }
        let expected = blob.chunk_digests();
        let (mut index, mut equal) = (0, true);
        let found = self
            .blobs()
            .rehash(&blob.sha256, &blob.layout(), |piece| {
                equal &= expected.get(index) == Some(&Digest::of(piece));
                index += 1;
            })
            .await?;
        let missing = || ReleaseError::MissingBlob { name: blob.name.clone(), sha256: blob.sha256 };
        let (digest, length) = found.ok_or_else(missing)?;
        if digest != blob.sha256 {
            return Err(damaged("what is on disk has another digest"));
        }
        if length != blob.length {
            return Err(damaged("the manifest states another length"));
        }
        if !equal || index != expected.len() {
            return Err(damaged("the manifest's chunk digests are not those of its bytes"));
        }
        if blob.parity.is_some() && !self.blobs().make_parity(blob).await? {
            return Err(damaged("the manifest's parity is not that of its bytes"));
        }
        Ok(())
    }

    async fn profile(&self, manifest: &Manifest) -> Result<Vec<u8>, ReleaseError> {
        let bundle = || ReleaseError::NotReleased {
            path: manifest.target_path(),
            why: "it has no reference profile of at most 1 MiB".into(),
        };
        let blob = manifest.blob(Role::Profile).filter(|b| b.length <= PROFILE_MAX_BYTES).ok_or_else(bundle)?;
        let length = usize::try_from(blob.length).map_err(|_| bundle())?;
        let missing = || ReleaseError::MissingBlob { name: blob.name.clone(), sha256: blob.sha256 };
        let profile = self.blobs().read(&blob.sha256, 0, length).await?.ok_or_else(missing)?;
        // Without it the bundle's windows could not be understood, for as long as devices run it.
        Profile::from_json(&profile)
            .map_err(|e| ReleaseError::DamagedBlob { name: blob.name.clone(), why: e.to_string() })?;
        Ok(profile)
    }
}

/// Refuses versions that go back and releases that would vanish.
fn check_conflicts(published: &Published, release: &Release, manifest: &Manifest) -> Result<(), ReleaseError> {
    let bundle = manifest.bundle_ref();
    let conflict = |why: String| Err(ReleaseError::Conflict { bundle: bundle.clone(), why });
    if manifest.family != release.family {
        return conflict(format!("it is offered for family {}", release.family));
    }
    if published.target_at(&manifest.target_path()).is_some() {
        return conflict("this version was published before".into());
    }
    let role = release.family.as_str();
    let documents = [(role, Some(&release.family_metadata)), (TARGETS, release.targets_metadata.as_ref())];
    for (role, bytes) in documents {
        let Some(bytes) = bytes else { continue };
        let offered: Targets = Envelope::parse(role, bytes, TARGETS_MAX_BYTES)?.body(role)?;
        let have = published.version_of(role);
        if offered.header.version <= have {
            return conflict(format!("version {} of role `{role}` is not above {have}", offered.header.version));
        }
        if role == TARGETS {
            check_delegations(published, &offered, &bundle)?;
        }
        for old in published.targets_of(role) {
            if offered.targets.get(&old.path).is_none_or(|new| new.sha256() != Some(old.sha256.0)) {
                return conflict(format!("`{}` would vanish or change", old.path));
            }
        }
    }
    let newest = published
        .targets_of(role)
        .filter_map(|target| target.custom.as_ref()?.get(FIELD_RELEASE)?.as_u64())
        .max()
        .unwrap_or(0);
    if manifest.release_counter <= newest {
        return conflict(format!("release counter {} is not above {newest}", manifest.release_counter));
    }
    Ok(())
}

/// Refuses top-level targets that no longer delegate to a published family: its releases could not be installed.
fn check_delegations(published: &Published, offered: &Targets, bundle: &BundleRef) -> Result<(), ReleaseError> {
    let delegated = |role: &str| offered.delegations.iter().flat_map(|d| &d.roles).any(|r| r.name == role);
    match published.roles().find(|role| *role != TARGETS && !delegated(role)) {
        None => Ok(()),
        Some(lost) => {
            let why = format!("the top-level targets no longer delegate to `{lost}`");
            Err(ReleaseError::Conflict { bundle: bundle.clone(), why })
        }
    }
}

/// Looks the manifest up with the client that devices use, from the first root on.
fn as_a_device(published: &Published, path: &str, now: u64) -> Result<VerifiedTarget, ReleaseError> {
    let mut client = ImageClient::new(from_first_root(published)?, Floors::default(), now);
    look_up(&mut client, published, path)
}

/// Returns the state of a device that knows only the first root.
pub(super) fn from_first_root(published: &Published) -> Result<TrustedState, TrustError> {
    let first = metadata_name(ROOT, Some(1));
    let root = published.metadata(&first).ok_or(TrustError::Missing { what: first })?;
    TrustedState::load(&root, BTreeMap::new())
}

/// Looks a target up in a publication.
pub(super) fn look_up(
    client: &mut ImageClient,
    published: &Published,
    path: &str,
) -> Result<VerifiedTarget, ReleaseError> {
    // Each turn loads one document: the roots, the four roles, one family.
    for _ in 0..=published.files().len() + 1 {
        match client.find(path) {
            Request::Done(Some(target)) => return Ok(target),
            Request::Done(None) => {
                let why = "no role that is trusted for this path names it".into();
                return Err(ReleaseError::NotReleased { path: path.into(), why });
            }
            Request::Failed(fault) => return Err(fault.into()),
            Request::Fetch(fetch) => {
                let bytes = published.metadata(&fetch.name);
                let response = bytes.as_deref().map_or(Response::NotFound, Response::Bytes);
                // What a device would store means nothing here.
                drop(client.feed(response));
            }
        }
    }
    Err(ReleaseError::NotReleased { path: path.into(), why: "the look-up does not end".into() })
}

fn check_manifest_target(target: &VerifiedTarget, bytes: &[u8], manifest: &Manifest) -> Result<(), ReleaseError> {
    let not_released = |why: &str| ReleaseError::NotReleased { path: target.path().into(), why: why.into() };
    if target.length() != bytes.len() as u64 || target.sha256() != Some(Digest::of(bytes).0) {
        return Err(not_released("the signed length or SHA-256 is another manifest's"));
    }
    if target.role() != manifest.family.as_str() {
        return Err(not_released("it is signed by another role than the family's"));
    }
    let custom = target.custom().cloned().unwrap_or(Value::Null);
    if custom.get(FIELD_RELEASE).and_then(Value::as_u64) != Some(manifest.release_counter) {
        return Err(not_released("its signed release counter is not the manifest's"));
    }
    if custom.get(FIELD_MODEL).and_then(Value::as_str) != Some(manifest.family.as_str()) {
        return Err(not_released("its signed model name is not the family's"));
    }
    let hardware = custom.get(FIELD_HARDWARE).and_then(Value::as_array);
    if !hardware.is_some_and(|ids| !ids.is_empty() && ids.iter().all(Value::is_string)) {
        return Err(not_released("its signed hardware ids are missing"));
    }
    Ok(())
}

/// Every blob is a target too, so that any TUF client can fetch and verify everything.
fn check_blob_named(published: &Published, role: &str, blob: &Blob) -> Result<(), ReleaseError> {
    let path = blob.target_path();
    let mut of_role = published.targets_of(role);
    if of_role.any(|t| t.path == path && t.sha256 == blob.sha256 && t.length == blob.length) {
        return Ok(());
    }
    let why = format!("the signed family metadata names no target `{path}` of its length");
    Err(ReleaseError::NotReleased { path: blob.name.clone(), why })
}
