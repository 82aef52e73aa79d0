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

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_agent_core::api::{PlannedBlob, SlotPlan};
    use pinnace_protocol::ids::Family;
    use pinnace_protocol::manifest::{Compat, Feature, FeatureKind, Role, SPEC, Signature, Task, Variant};
    use pinnace_protocol::transfer::{Cuts, Stripes};

    /// A bundle of one model, with parity: its plan, its chunks, and the parity chunks.
    struct Sample {
        blob: Blob,
        plan: SlotPlan,
        model: Vec<u8>,
        parity: Vec<ParityChunk>,
    }

    fn sample(model: Vec<u8>) -> Sample {
        let cuts = Cuts::even(model.len() as u64, 32 * 1024);
        let stripes = Stripes::new(cuts.count(), Stripes::parity_for(cuts.count()));
        let mut parity = Vec::new();
        for stripe in 0..stripes.count() {
            let read = |index: u64| cuts.pieces(&model).nth(index as usize).map(<[u8]>::to_vec);
            let made = parity::encode(&cuts, &stripes, stripe, read).unwrap();
            parity.extend(stripes.parity(stripe).zip(made).map(|(index, bytes)| ParityChunk { index, bytes }));
        }
        let blob =
            Blob::describe("model.onnx", Role::Model, &model).with_parity(parity.iter().map(|p| p.bytes.as_slice()));
        let manifest = Manifest {
            spec: SPEC.into(),
            family: Family::parse("demo").unwrap(),
            version: 1,
            release_counter: 1,
            created: 1,
            compat: Compat::default(),
            signature: Signature {
                task: Task::Regression,
                input: "x".into(),
                output: "y".into(),
                label_output: None,
                classes: vec![],
                features: vec![Feature { name: "a".into(), kind: FeatureKind::Numeric, unit: String::new() }],
            },
            variants: vec![Variant {
                name: "fp32".into(),
                blob: "model.onnx".into(),
                engines: vec!["tract".into()],
                requires: Default::default(),
            }],
            blobs: vec![blob.clone()],
        };
        let manifest = manifest.to_bytes().unwrap();
        let blobs = vec![PlannedBlob { digest: blob.sha256, length: blob.length, chunk: blob.chunk }];
        Sample { plan: SlotPlan { digest: Digest::of(&manifest), manifest, blobs }, blob, model, parity }
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    /// Returns slots with `old` sealed in A and `new` begun in B.
    fn begun(old: &Sample, new: &Sample) -> (tempfile::TempDir, Slots) {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::open(dir.path()).unwrap();
        slots.prepare(SlotName::A, &old.plan).unwrap();
        slots.write_chunk(SlotName::A, old.blob.sha256, 0, &old.model).unwrap();
        slots.seal(SlotName::A).unwrap();
        slots.prepare(SlotName::B, &new.plan).unwrap();
        (dir, slots)
    }

    #[test]
    fn what_another_slot_holds_is_copied_wherever_it_lies_there() {
        let old = sample(noise(1, 9 * 32_768));
        // Chunks 3 to 8 of the old model, then one new one.
        let new = sample([&old.model[3 * 32_768..], noise(2, 32_768).as_slice()].concat());
        let (_dir, slots) = begun(&old, &new);
        let found: Vec<u64> = slots.scan(SlotName::B).unwrap().into_iter().map(|(_, index)| index).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
        // Found again without the other slot: they are on disk.
        slots.erase(SlotName::A).unwrap();
        assert_eq!(slots.scan(SlotName::B).unwrap().len(), 6);
    }

    #[test]
    fn damage_in_the_other_slot_is_not_copied() {
        let old = sample(noise(1, 3 * 32_768));
        let new = sample([old.model.as_slice(), b"more"].concat());
        let (dir, slots) = begun(&old, &new);
        let path = dir.path().join("slots/a").join(old.blob.sha256.to_hex());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40_000] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let found: Vec<u64> = slots.scan(SlotName::B).unwrap().into_iter().map(|(_, index)| index).collect();
        assert_eq!(found, [0, 2]);
    }

    #[test]
    fn a_patch_makes_the_whole_blob_or_nothing() {
        let old = sample(noise(1, 200_000));
        let mut changed = old.model.clone();
        changed.iter_mut().step_by(30_000).for_each(|byte| *byte ^= 1);
        let new = sample(changed);
        let (dir, slots) = begun(&old, &new);
        let patch = pinnace_patch::smallest(&old.model, &new.model, 100_000).unwrap().bytes;
        let (to, from) = (new.blob.sha256, old.blob.sha256);
        for fault in 0..3 {
            let (mut patch, mut from) = (patch.clone(), from);
            match fault {
                0 => patch.truncate(patch.len() - 1),
                1 => from = Digest::of(b"not here"),
                _ => patch = pinnace_patch::smallest(&old.model, &noise(3, 1_000), 100_000).unwrap().bytes,
            }
            assert!(slots.patch(SlotName::B, &to, SlotName::A, &from, &patch).is_err());
            let part = dir.path().join("slots/b.part").join(to.to_hex());
            assert!(std::fs::read(part).unwrap().iter().all(|byte| *byte == 0), "nothing was written");
        }
        let made = slots.patch(SlotName::B, &to, SlotName::A, &from, &patch).unwrap();
        assert_eq!(made.len() as u64, new.blob.layout().count());
        slots.seal(SlotName::B).unwrap();
    }

    #[test]
    fn parity_makes_up_for_missing_chunks_and_never_uses_a_damaged_one() {
        let (old, new) = (sample(noise(1, 1_000)), sample(noise(2, 20 * 32_768 - 5)));
        let (_dir, slots) = begun(&old, &new);
        let digest = new.blob.sha256;
        // Chunks 4 and 19 are missing, and there are two parity chunks.
        for (index, piece) in (0..).zip(new.blob.layout().pieces(&new.model)) {
            if index != 4 && index != 19 {
                slots.write_chunk(SlotName::B, digest, index * 32_768, piece).unwrap();
            }
        }
        assert!(slots.restore(SlotName::B, &digest, 0, &new.parity[..1]).is_err(), "one is too few");
        let mut made = slots.restore(SlotName::B, &digest, 0, &new.parity).unwrap();
        made.sort_unstable();
        assert_eq!(made, [(digest, 4), (digest, 19)]);
        slots.write_chunk(SlotName::B, digest, 0, b"damage").unwrap();
        assert_eq!(slots.restore(SlotName::B, &digest, 0, &new.parity).unwrap(), [(digest, 0)]);
        slots.seal(SlotName::B).unwrap();
    }
}
