//! The image repository: what exists and may be rolled out, signed offline, served to devices.
//!
//! What is published is one immutable [`Published`]; a release is judged against a copy of it exactly as a device would
//! ([`release`]), and only after the new metadata is durable does the copy take its place.
mod director_roots;
mod layouts;
mod patches;
mod published;
pub mod release;
pub mod rotation;
pub mod status;

use std::sync::{Arc, PoisonError, RwLock};

use pinnace_protocol::trust::limits::ROOT_MAX_BYTES;
use pinnace_protocol::trust::metadata::{ROOT, SNAPSHOT, TIMESTAMP};
use pinnace_protocol::trust::names::metadata_name;
use pinnace_protocol::trust::{Envelope, Root, Snapshot, TrustError, author};

use crate::blobs::Blobs;
use crate::keys::{KeyError, KeySet};
use crate::limits::{METADATA_VERSIONS_KEPT, REFRESH_PART, SNAPSHOT_LIFE_S, TIMESTAMP_LIFE_S};

pub use director_roots::DirectorRoots;
pub use layouts::Layout;
pub use published::{Published, Target};
pub use release::{Candidate, Release, ReleaseError};
pub use rotation::{Rotation, RotationError};

/// Name of the image repository in the store.
pub const IMAGE: &str = "image";
/// Name of the director repository in the store; it holds roots only, the rest is signed per device.
pub const DIRECTOR: &str = "director";

/// Says why snapshot and timestamp cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum OnlineError {
    /// A document cannot be read or written.
    #[error("online metadata: {0}\n  hint: this is a fault of the program; please report it")]
    Trust(#[from] TrustError),
    /// The plane does not hold the key that the root names.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The registry; shared by the API, the device API and the frames.
pub struct Registry {
    blobs: Blobs,
    keys: KeySet,
    published: RwLock<Arc<Published>>,
    director: RwLock<Arc<DirectorRoots>>,
    layouts: layouts::Layouts,
    patches: patches::Patches,
    /// Held from judging a release until it is visible, so that two cannot be built on the same past.
    publishing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Opens the registry over published metadata.
    ///
    /// # Errors
    /// [`KeyError`] when an online key that the root names is missing or damaged.
    pub fn new(blobs: Blobs, keys: &KeySet, published: Published, director: DirectorRoots) -> Result<Self, KeyError> {
        for role in [SNAPSHOT, TIMESTAMP] {
            keys.online_of(published.root(), role)?;
        }
        Ok(Self {
            layouts: layouts::Layouts::default(),
            patches: patches::Patches::open(&blobs),
            blobs,
            keys: keys.clone(),
            published: RwLock::new(Arc::new(published)),
            director: RwLock::new(Arc::new(director)),
            publishing: tokio::sync::Mutex::new(()),
        })
    }

    /// Returns the director's roots and key.
    pub fn director(&self) -> Arc<DirectorRoots> {
        self.director.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a new director root count; it must be durable.
    pub fn adopt_director(&self, roots: Arc<DirectorRoots>) {
        *self.director.write().unwrap_or_else(PoisonError::into_inner) = roots;
    }

    /// Returns the keys that lie beside the plane.
    pub const fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Returns what is published now.
    pub fn published(&self) -> Arc<Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the blob store.
    pub const fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Waits until no other release is under way; hold the guard until [`Registry::adopt`].
    pub async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.publishing.lock().await
    }

    /// Makes a candidate visible; its metadata must be durable.
    pub fn adopt(&self, published: Arc<Published>) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = published;
    }

    /// Returns new online metadata when less than a third of its life is left at `now`, seconds since 1970.
    ///
    /// # Errors
    /// [`OnlineError`] when the new documents cannot be signed.
    pub fn refreshed(&self, now: u64) -> Result<Option<Candidate>, OnlineError> {
        let published = self.published();
        let due = |expires: u64, life: u64| expires.saturating_sub(now) < life / REFRESH_PART;
        if !due(published.timestamp().header.expires, TIMESTAMP_LIFE_S)
            && !due(published.snapshot().header.expires, SNAPSHOT_LIFE_S)
        {
            return Ok(None);
        }
        self.next(&published, None, &[], now).map(Some)
    }

    /// Builds the next publication in memory; nothing becomes visible. A new root names the keys that sign it.
    fn next(
        &self,
        previous: &Published,
        root: Option<&[u8]>,
        roles: &[(&str, &[u8])],
        now: u64,
    ) -> Result<Candidate, OnlineError> {
        let new_root =
            root.map(|bytes| Envelope::parse(ROOT, bytes, ROOT_MAX_BYTES)?.body::<Root>(ROOT)).transpose()?;
        let names = new_root.as_ref().unwrap_or_else(|| previous.root());
        let (snapshot_key, timestamp_key) =
            (self.keys.online_of(names, SNAPSHOT)?, self.keys.online_of(names, TIMESTAMP)?);
        let mut new = author::publish(
            Some((previous.snapshot(), previous.timestamp())),
            roles,
            (&snapshot_key, now + SNAPSHOT_LIFE_S),
            (&timestamp_key, now + TIMESTAMP_LIFE_S),
        )?;
        if let (Some(bytes), Some(body)) = (root, &new_root) {
            new.files.insert(0, (metadata_name(ROOT, Some(body.header.version)), bytes.to_vec()));
        }
        let mut files = previous.files().clone();
        files.extend(new.files.iter().map(|(name, bytes)| (name.clone(), bytes.clone().into())));
        let old: Vec<String> = files.keys().filter(|name| is_old(name, &new.snapshot)).cloned().collect();
        files.retain(|name, _| !old.contains(name));
        Ok(Candidate { files: new.files, old, published: Arc::new(Published::load(files)?) })
    }
}

/// Returns whether a file is [`METADATA_VERSIONS_KEPT`] versions older than the one that counts. Roots are kept for
/// ever: a device that slept for years follows them one by one.
fn is_old(name: &str, snapshot: &Snapshot) -> bool {
    let Some((version, role)) = name.split_once('.').and_then(|(v, rest)| Some((v.parse::<u64>().ok()?, rest))) else {
        return false;
    };
    let newest = match role {
        "root.json" => return false,
        "snapshot.json" => snapshot.header.version,
        // Every other versioned file is a role that the snapshot pins.
        pinned => snapshot.meta.get(pinned).map_or(0, |pin| pin.version),
    };
    version.saturating_add(METADATA_VERSIONS_KEPT) <= newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_protocol::trust::MetaFile;

    #[test]
    fn only_files_that_nobody_asks_for_any_more_are_old() {
        let mut snapshot = Snapshot::new(20, 0);
        snapshot.set("rain", MetaFile::of(9, b""));
        let old = ["12.snapshot.json", "1.rain.json"];
        let kept =
            ["13.snapshot.json", "20.snapshot.json", "2.rain.json", "1.root.json", "timestamp.json", "1.wind.json"];
        assert!(old.iter().all(|name| is_old(name, &snapshot)));
        assert!(!kept.iter().any(|name| is_old(name, &snapshot)));
    }
}
