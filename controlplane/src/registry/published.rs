//! One publication of the image repository: immutable, indexed for serving.
use std::collections::BTreeMap;

use bytes::Bytes;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits as wire;
use pinnace_protocol::trust::delegation::Delegations;
use pinnace_protocol::trust::limits::{ROOT_MAX_BYTES, SNAPSHOT_MAX_BYTES, TARGETS_MAX_BYTES, TIMESTAMP_MAX_BYTES};
use pinnace_protocol::trust::metadata::{Header, ROOT, SNAPSHOT, TARGETS, TIMESTAMP};
use pinnace_protocol::trust::names::{metadata_name, target_name};
use pinnace_protocol::trust::{Body, Envelope, Root, Snapshot, Targets, Timestamp, TrustError};
use serde_json::Value;

use crate::limits::ROOTS_MAX;

/// A released file.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its target path.
    pub path: String,
    /// The role that names it.
    pub role: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its length, bytes.
    pub length: u64,
    /// What the releaser says about it.
    pub custom: Option<Value>,
}

/// A publication: metadata files by name, and the targets they name.
#[derive(Debug, Clone)]
pub struct Published {
    files: BTreeMap<String, Bytes>,
    root: Root,
    timestamp: Timestamp,
    snapshot: Snapshot,
    /// By role, then path: two families may name the same blob.
    by_role: BTreeMap<String, BTreeMap<String, Target>>,
    lengths: BTreeMap<Digest, u64>,
    /// Of each targets document: asked for by every page of the dashboard, so it is not parsed again.
    headers: BTreeMap<String, Header>,
    /// Whom the top-level targets trust.
    delegations: Delegations,
}

fn read<T: Body>(files: &BTreeMap<String, Bytes>, role: &str, name: &str, cap: usize) -> Result<T, TrustError> {
    let bytes = files.get(name).ok_or_else(|| TrustError::Missing { what: name.into() })?;
    Envelope::parse(role, bytes, cap)?.body(role)
}

impl Published {
    /// Indexes metadata files. Signatures are not judged here: see [`super::release`].
    ///
    /// # Errors
    /// [`TrustError`] when a document is missing or malformed.
    pub fn load(files: BTreeMap<String, Bytes>) -> Result<Self, TrustError> {
        let newest = newest_root(|name| files.contains_key(name));
        let root: Root = read(&files, ROOT, &metadata_name(ROOT, Some(newest)), ROOT_MAX_BYTES)?;
        let timestamp: Timestamp = read(&files, TIMESTAMP, &metadata_name(TIMESTAMP, None), TIMESTAMP_MAX_BYTES)?;
        let version = timestamp.snapshot()?.version;
        let snapshot: Snapshot = read(&files, SNAPSHOT, &metadata_name(SNAPSHOT, Some(version)), SNAPSHOT_MAX_BYTES)?;
        let (mut by_role, mut lengths) = (BTreeMap::<String, BTreeMap<_, _>>::new(), BTreeMap::new());
        let (mut headers, mut delegations) = (BTreeMap::new(), Delegations::default());
        for (key, pin) in &snapshot.meta {
            let role = key.strip_suffix(".json").unwrap_or(key);
            let targets: Targets = read(&files, role, &metadata_name(role, Some(pin.version)), TARGETS_MAX_BYTES)?;
            headers.insert(role.to_owned(), targets.header);
            if role == TARGETS {
                delegations = targets.delegations.unwrap_or_default();
            }
            for (path, file) in targets.targets {
                let Some(sha256) = file.sha256().map(Digest) else { continue };
                lengths.insert(sha256, file.length);
                let target =
                    Target { path: path.clone(), role: role.into(), sha256, length: file.length, custom: file.custom };
                by_role.entry(role.into()).or_default().insert(path, target);
            }
        }
        Ok(Self { files, root, timestamp, snapshot, by_role, lengths, headers, delegations })
    }

    /// Returns all metadata files by name.
    pub const fn files(&self) -> &BTreeMap<String, Bytes> {
        &self.files
    }

    /// Returns a metadata file.
    pub fn metadata(&self, name: &str) -> Option<Bytes> {
        self.files.get(name).cloned()
    }

    /// Returns the newest root.
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// Returns the published timestamp.
    pub const fn timestamp(&self) -> &Timestamp {
        &self.timestamp
    }

    /// Returns the published snapshot.
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns a target by its path.
    pub fn target_at(&self, path: &str) -> Option<&Target> {
        self.by_role.values().find_map(|targets| targets.get(path))
    }

    /// Returns a target by its repository file name, `<sha256>.<path>`.
    pub fn target(&self, file_name: &str) -> Option<&Target> {
        let (hex, path) = file_name.rsplit('/').next()?.split_once('.')?;
        let sha256 = Digest::from_hex(hex)?;
        let directory = &file_name[..file_name.len() - hex.len() - 1 - path.len()];
        let path = format!("{directory}{path}");
        let target = self.by_role.values().filter_map(|t| t.get(&path)).find(|t| t.sha256 == sha256)?;
        (target_name(&target.path, Some(&sha256.0)) == file_name).then_some(target)
    }

    /// Returns the targets that a role names, by path.
    pub fn targets_of(&self, role: &str) -> impl Iterator<Item = &Target> {
        self.by_role.get(role).into_iter().flat_map(BTreeMap::values)
    }

    /// Returns the roles that name targets or may do so, by name.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.snapshot.meta.keys().map(|key| key.strip_suffix(".json").unwrap_or(key))
    }

    /// Returns length and chunk length of a released blob, bytes.
    pub fn blob(&self, sha256: &Digest) -> Option<(u64, u64)> {
        self.lengths.get(sha256).map(|length| (*length, chunk_of(*length)))
    }

    /// Returns the version of the role's published document; 0 when it has none.
    pub fn version_of(&self, role: &str) -> u64 {
        self.snapshot.pin(role).map_or(0, |pin| pin.version)
    }

    /// Returns version and expiry of a role's targets document.
    pub fn header_of(&self, role: &str) -> Option<&Header> {
        self.headers.get(role)
    }

    /// Returns whom the top-level targets trust.
    pub const fn delegations(&self) -> &Delegations {
        &self.delegations
    }

    /// Returns a role's targets document.
    ///
    /// # Errors
    /// [`TrustError`] when it is missing or malformed.
    pub fn targets_document(&self, role: &str) -> Result<Targets, TrustError> {
        read(&self.files, role, &metadata_name(role, Some(self.version_of(role))), TARGETS_MAX_BYTES)
    }

    /// Returns the newest root's version.
    pub const fn root_version(&self) -> u64 {
        self.root.header.version
    }
}

/// Returns the version of the newest root in an unbroken line from the first; 0 when there is none.
pub(super) fn newest_root(is_there: impl Fn(&str) -> bool) -> u64 {
    (1..=ROOTS_MAX).take_while(|version| is_there(&metadata_name(ROOT, Some(*version)))).last().unwrap_or(0)
}

/// Returns the chunk length of a blob of `length` bytes: the one rule of [`pinnace_protocol::manifest::Blob::describe`].
pub(super) const fn chunk_of(length: u64) -> u64 {
    if length >= wire::LARGE_BLOB_BYTES { wire::CHUNK_LARGE_BYTES } else { wire::CHUNK_BYTES }
}
