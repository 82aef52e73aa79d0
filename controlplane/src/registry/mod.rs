//! The image repository: what exists and may be rolled out, signed offline, served to devices.
//!
//! What is published is one immutable [`Published`]; a release is judged against a copy of it exactly as a device would
//! ([`release`]), and only after the new metadata is durable does the copy take its place.
pub mod ceremony;
mod published;
pub mod release;

use std::sync::{Arc, PoisonError, RwLock};

use pinnace_protocol::trust::{SigningKey, Snapshot, TrustError, author};

use crate::blobs::Blobs;
use crate::keys::{KeyError, KeySet, Online};
use crate::limits::{METADATA_VERSIONS_KEPT, REFRESH_PART, SNAPSHOT_LIFE_S, TIMESTAMP_LIFE_S};

pub use published::{Published, Target};
pub use release::{Candidate, Release, ReleaseError};

/// Name of the image repository in the store.
pub const IMAGE: &str = "image";
/// Name of the director repository in the store; it holds roots only, the rest is signed per device.
pub const DIRECTOR: &str = "director";

/// The registry; shared by the API, the device API and the frames.
pub struct Registry {
    blobs: Blobs,
    snapshot_key: SigningKey,
    timestamp_key: SigningKey,
    published: RwLock<Arc<Published>>,
    /// Held from judging a release until it is visible, so that two cannot be built on the same past.
    publishing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Opens the registry over published metadata.
    ///
    /// # Errors
    /// [`KeyError`] when an online key is missing or damaged.
    pub fn new(blobs: Blobs, keys: &KeySet, published: Published) -> Result<Self, KeyError> {
        Ok(Self {
            blobs,
            snapshot_key: keys.online(Online::Snapshot)?,
            timestamp_key: keys.online(Online::Timestamp)?,
            published: RwLock::new(Arc::new(published)),
            publishing: tokio::sync::Mutex::new(()),
        })
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
    /// [`TrustError`] when the new documents cannot be written.
    pub fn refreshed(&self, now: u64) -> Result<Option<Candidate>, TrustError> {
        let published = self.published();
        let due = |expires: u64, life: u64| expires.saturating_sub(now) < life / REFRESH_PART;
        if !due(published.timestamp().header.expires, TIMESTAMP_LIFE_S)
            && !due(published.snapshot().header.expires, SNAPSHOT_LIFE_S)
        {
            return Ok(None);
        }
        self.next(&published, &[], now).map(Some)
    }

    /// Builds the next publication in memory; nothing becomes visible.
    fn next(&self, previous: &Published, roles: &[(&str, &[u8])], now: u64) -> Result<Candidate, TrustError> {
        let new = author::publish(
            Some((previous.snapshot(), previous.timestamp())),
            roles,
            (&self.snapshot_key, now + SNAPSHOT_LIFE_S),
            (&self.timestamp_key, now + TIMESTAMP_LIFE_S),
        )?;
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
