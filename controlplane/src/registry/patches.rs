//! Patches between the bundles of a family: the smallest way from what a device has to what it should have.
//!
//! A patch is no authority: what it makes is checked on the device against the signed manifest. So it needs no offline
//! signature, and the plane makes it when a bundle is published. It is offered with the assignment.
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::{PATCH_MAX_BYTES, PATCH_OFFERS_MAX};
use pinnace_protocol::manifest::{Blob, Manifest, Role};
use pinnace_protocol::transfer::PatchOffer;

use super::Registry;
use super::release::MANIFEST_SUFFIX;
use crate::blobs::{BlobError, Blobs};
use crate::limits::{
    PATCH_BASES_MAX, PATCH_BLOB_MAX_BYTES, PATCH_DIGESTS_MAX_BYTES, PATCH_FILE_MAX_BYTES, PATCH_PAIRS_MAX,
};

/// A patch must be smaller than this share of what is fetched without it: it costs the device memory and time.
const WORTH_PERCENT: u64 = 80;

/// The patches that were made, by base and target manifest; kept over a restart.
#[derive(Debug)]
pub(super) struct Patches {
    dir: PathBuf,
    offers: RwLock<Offers>,
}

#[derive(Debug, Default)]
struct Offers {
    by_pair: HashMap<(Digest, Digest), Vec<PatchOffer>>,
    patches: HashSet<(Digest, u64)>,
}

impl Offers {
    fn add(&mut self, pair: (Digest, Digest), offers: Vec<PatchOffer>) {
        self.patches.extend(offers.iter().map(|o| (o.sha256, o.length)));
        self.by_pair.insert(pair, offers);
    }
}

fn file_name(base: &Digest, target: &Digest) -> String {
    format!("{base}-{target}.json")
}

fn parse_name(name: &str) -> Option<(Digest, Digest)> {
    let (base, target) = name.strip_suffix(".json")?.split_once('-')?;
    Some((Digest::from_hex(base)?, Digest::from_hex(target)?))
}

impl Patches {
    /// Reads what was made before; a file that does not read is left alone and its pair made again.
    pub(super) fn open(blobs: &Blobs) -> Self {
        let dir = blobs.folder("patches");
        let mut offers = Offers::default();
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten().take(PATCH_PAIRS_MAX);
        for entry in entries {
            let small = entry.metadata().is_ok_and(|m| m.len() <= PATCH_FILE_MAX_BYTES);
            let pair = entry.file_name().to_str().and_then(parse_name).filter(|_| small);
            let read = || serde_json::from_slice::<Vec<PatchOffer>>(&std::fs::read(entry.path()).ok()?).ok();
            if let (Some(pair), Some(found)) = (pair, read()) {
                offers.add(pair, found);
            }
        }
        Self { dir, offers: RwLock::new(offers) }
    }

    fn is_known(&self, base: &Digest, target: &Digest) -> bool {
        self.offers.read().unwrap_or_else(PoisonError::into_inner).by_pair.contains_key(&(*base, *target))
    }

    fn keep(&self, base: Digest, target: Digest, offers: Vec<PatchOffer>) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let (path, temp) = (self.dir.join(file_name(&base, &target)), self.dir.join("new"));
        std::fs::write(&temp, serde_json::to_vec(&offers)?)?;
        std::fs::rename(&temp, &path)?;
        self.offers.write().unwrap_or_else(PoisonError::into_inner).add((base, target), offers);
        Ok(())
    }
}

impl Registry {
    /// Returns the patches from what a device runs to what it should run, by their manifests; empty when there are none.
    pub fn offers(&self, base: &Digest, target: &Digest) -> Vec<PatchOffer> {
        let offers = self.patches.offers.read().unwrap_or_else(PoisonError::into_inner);
        offers.by_pair.get(&(*base, *target)).cloned().unwrap_or_default()
    }

    /// Returns the length of a patch; `None` when it was never made.
    pub fn patch(&self, sha256: &Digest) -> Option<u64> {
        let offers = self.patches.offers.read().unwrap_or_else(PoisonError::into_inner);
        offers.patches.iter().find(|(known, _)| known == sha256).map(|(_, length)| *length)
    }

    /// Makes patches to a published bundle from the newest others of its family that have none yet.
    pub async fn make_patches(&self, family: &str, target: Digest) {
        let published = self.published();
        let manifests = published.targets_of(family).filter(|t| t.path.ends_with(MANIFEST_SUFFIX));
        let listed: Vec<(Digest, u64)> = manifests.map(|t| (t.sha256, t.length)).collect();
        let mut read = Vec::new();
        for (digest, length) in listed {
            if let Some(manifest) = self.manifest(&digest, length).await {
                read.push((digest, manifest));
            }
        }
        read.sort_by_key(|(_, m)| std::cmp::Reverse(m.version));
        let Some((_, to)) = read.iter().find(|(digest, _)| *digest == target).cloned() else { return };
        let bases = read.into_iter().filter(|(digest, m)| *digest != target && m.version < to.version);
        for (base, from) in bases.take(PATCH_BASES_MAX) {
            if self.patches.is_known(&base, &target) {
                continue;
            }
            match self.make_pair((base, &from), (target, &to)).await {
                Ok(offers) => {
                    let sizes: Vec<u64> = offers.iter().map(|o| o.length).collect();
                    tracing::info!(from = %from.bundle_ref(), to = %to.bundle_ref(), ?sizes, "patches were made");
                    if let Err(error) = self.patches.keep(base, target, offers) {
                        tracing::error!(%error, "patches cannot be kept; devices fetch the whole");
                    }
                }
                Err(error) => tracing::error!(%error, "patches cannot be made; devices fetch the whole"),
            }
        }
    }

    async fn make_pair(
        &self,
        (base, from): (Digest, &Manifest),
        (_, to): (Digest, &Manifest),
    ) -> Result<Vec<PatchOffer>, BlobError> {
        let known: HashSet<Digest> = from.blobs.iter().flat_map(Blob::chunk_digests).collect();
        let mut offers = Vec::new();
        for blob in to.blobs.iter().filter(|b| b.role == Role::Model) {
            let same_name = from.blobs.iter().find(|b| b.role == Role::Model && b.name == blob.name);
            let Some(old) = same_name.or_else(|| from.blob(Role::Model)) else { continue };
            let cuts = blob.layout();
            let missing = blob.chunk_digests().into_iter().zip(0..).filter(|(digest, _)| !known.contains(digest));
            // What the device fetches without a patch: chunks that it has are copied.
            let below = missing.map(|(_, index)| cuts.len(index)).sum::<u64>() * WORTH_PERCENT / 100;
            let is_large = old.length.max(blob.length) > PATCH_BLOB_MAX_BYTES;
            if below == 0 || is_large || offers.len() >= PATCH_OFFERS_MAX {
                continue;
            }
            let (Some(old_bytes), Some(new_bytes)) = (self.whole(old).await?, self.whole(blob).await?) else {
                continue;
            };
            let made = tokio::task::spawn_blocking(move || {
                pinnace_patch::smallest(&old_bytes, &new_bytes, below.min(PATCH_MAX_BYTES))
            });
            let Some(patch) = made.await.ok().flatten() else { continue };
            let offer = PatchOffer::describe(base, old.sha256, blob.sha256, &patch.bytes);
            let digests: usize = offers.iter().chain([&offer]).map(|o: &PatchOffer| o.chunks.len()).sum();
            if digests > PATCH_DIGESTS_MAX_BYTES {
                continue;
            }
            let bytes = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(patch.bytes))]);
            self.blobs().put(offer.sha256, PATCH_MAX_BYTES, bytes).await?;
            offers.push(offer);
        }
        Ok(offers)
    }

    async fn whole(&self, blob: &Blob) -> Result<Option<Vec<u8>>, BlobError> {
        self.blobs().read(&blob.sha256, 0, usize::try_from(blob.length).unwrap_or(usize::MAX)).await
    }
}
