//! Chunks that need not be fetched: copied from what another slot holds, made of an old blob and a patch, or made of the
//! other chunks and parity. Each is checked against the manifest before it counts.
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use pinnace_agent_core::api::{ParityChunk, SlotName};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::limits::MANIFEST_MAX_BYTES;
use pinnace_protocol::manifest::{Blob, Manifest};
use pinnace_protocol::transfer::parity;

use super::{SlotError, Slots};
use crate::files::{self, FileError};

/// Bytes of an old blob that a patch is applied to: as much as a plane makes patches for.
const PATCH_BASE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Says why chunks could not be made; they are fetched instead.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The slot has no such blob.
    #[error("blob {0} is not in the slot\n  hint: it is fetched by itself")]
    NoBlob(Digest),
    /// The patch does not make what it should.
    #[error(transparent)]
    Patch(#[from] pinnace_patch::PatchError),
    /// The parity does not make what it should.
    #[error(transparent)]
    Parity(#[from] parity::ParityError),
    /// Disk trouble.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

impl From<FileError> for FillError {
    fn from(e: FileError) -> Self {
        Self::Slot(e.into())
    }
}

/// Where a chunk lies in another slot.
struct Place {
    path: PathBuf,
    offset: u64,
    length: u64,
}

impl Slots {
    /// Returns where the chunks of sealed slots lie, by their digest. What cannot be read is left out.
    fn elsewhere(&self, slot: SlotName) -> HashMap<Digest, Place> {
        let mut places = HashMap::new();
        let others = [SlotName::Factory, SlotName::A, SlotName::B].into_iter().filter(|other| *other != slot);
        for dir in others.map(|other| self.sealed(other)) {
            let bytes = files::read_bounded(&dir.join("manifest.json"), MANIFEST_MAX_BYTES as u64);
            let Some(manifest) = bytes.ok().flatten().and_then(|bytes| Manifest::parse(&bytes).ok()) else { continue };
            for blob in &manifest.blobs {
                let (cuts, path) = (blob.layout(), dir.join(blob.sha256.to_hex()));
                for (index, digest) in (0..).zip(blob.chunk_digests()) {
                    if let Some((offset, length)) = cuts.range(index) {
                        places.insert(digest, Place { path: path.clone(), offset, length });
                    }
                }
            }
        }
        places
    }

    /// Copies what other slots hold of the chunks that `missing` names; returns those that are there now.
    pub(super) fn copy_from_others(
        &self,
        slot: SlotName,
        missing: &[(&Blob, u64, Digest)],
    ) -> Result<Vec<(Digest, u64)>, SlotError> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let places = self.elsewhere(slot);
        let mut copied = Vec::new();
        for (blob, index, digest) in missing {
            let Some(place) = places.get(digest) else { continue };
            let Some((offset, length)) = blob.layout().range(*index).filter(|(_, length)| *length == place.length)
            else {
                continue;
            };
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            let read = File::open(&place.path).and_then(|file| file.read_exact_at(&mut bytes, place.offset));
            // A damaged slot is as good as none.
            if read.is_ok() && Digest::of(&bytes) == *digest {
                self.write_chunk(slot, blob.sha256, offset, &bytes)?;
                copied.push((blob.sha256, *index));
            }
        }
        Ok(copied)
    }

    fn part_blob(&self, slot: SlotName, digest: &Digest) -> Result<Blob, FillError> {
        let manifest = self.part_manifest(slot)?;
        manifest.blobs.into_iter().find(|b| b.sha256 == *digest).ok_or(FillError::NoBlob(*digest))
    }

    /// Makes `blob` in `slot` of the blob `from` in the sealed slot `base`; returns its chunks.
    ///
    /// # Errors
    /// [`FillError`] when the result is not exactly what the manifest says; nothing is written then.
    pub fn patch(
        &self,
        slot: SlotName,
        blob: &Digest,
        base: SlotName,
        from: &Digest,
        patch: &[u8],
    ) -> Result<Vec<(Digest, u64)>, FillError> {
        let to = self.part_blob(slot, blob)?;
        let path = self.sealed(base).join(from.to_hex());
        let old = files::read_bounded(&path, PATCH_BASE_MAX_BYTES)?
            .ok_or_else(|| FileError::new("read", &path, io::ErrorKind::NotFound.into()))?;
        let new = pinnace_patch::apply(&old, patch, blob, to.length)?;
        self.write_chunk(slot, *blob, 0, &new)?;
        Ok((0..to.layout().count()).map(|index| (*blob, index)).collect())
    }

    /// Makes the missing chunks of a stripe of `blob` of those on disk and of `parity`; returns them.
    ///
    /// # Errors
    /// [`FillError`] when there are too few, or the result is not what the manifest says; nothing is written then.
    pub fn restore(
        &self,
        slot: SlotName,
        blob: &Digest,
        stripe: u64,
        parity: &[ParityChunk],
    ) -> Result<Vec<(Digest, u64)>, FillError> {
        let entry = self.part_blob(slot, blob)?;
        let (cuts, digests) = (entry.layout(), entry.chunk_digests());
        let digest_of = |index: u64| usize::try_from(index).ok().and_then(|at| digests.get(at));
        let path = self.part(slot).join(blob.to_hex());
        let file = File::open(&path).map_err(|e| FileError::new("read", &path, e))?;
        let read = |index: u64| {
            let Some((offset, length)) = cuts.range(index) else {
                return parity.iter().find(|p| p.index == index).map(|p| p.bytes.clone());
            };
            let mut bytes = vec![0; usize::try_from(length).ok()?];
            file.read_exact_at(&mut bytes, offset).ok()?;
            (digest_of(index) == Some(&Digest::of(&bytes))).then_some(bytes)
        };
        let made = parity::restore(&cuts, &entry.stripes(), stripe, read)?;
        if made.iter().any(|(index, bytes)| digest_of(*index) != Some(&Digest::of(bytes))) {
            let why = "a chunk made of parity is not what was signed".into();
            return Err(FillError::Parity(parity::ParityError::Shape { why }));
        }
        let mut present = Vec::with_capacity(made.len());
        for (index, bytes) in made {
            if let Some((offset, _)) = cuts.range(index) {
                self.write_chunk(slot, *blob, offset, &bytes)?;
                present.push((*blob, index));
            }
        }
        Ok(present)
    }
}
