//! Bundle folders on the virtual disk, as the agent's shell keeps them: a part being fetched, and a sealed folder.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use pinnace_agent_core::{ParityChunk, SlotName, SlotPlan};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::{Blob, Manifest};
use pinnace_protocol::sketch::{Layout, Profile};
use pinnace_protocol::transfer::parity;
use pinnace_protocol::trust::{Released, VerifiedBundle};

use crate::images::{Images, Survival};
use crate::limits::MANIFESTS_REMEMBERED;
use crate::rng::Rng;

/// A file's bytes. A thousand devices hold the same sealed bundle: its bytes are kept once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This device's own.
    Own(Vec<u8>),
    /// The same bytes as on other devices.
    Shared(Arc<[u8]>),
}

impl std::ops::Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Content {
    /// Returns the bytes to change them.
    fn own(&mut self) -> &mut Vec<u8> {
        if let Self::Shared(bytes) = self {
            *self = Self::Own(bytes.to_vec());
        }
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(_) => unreachable!("made its own above"),
        }
    }
}

/// Bytes by their digest, and bundles as they were opened: what devices of one world have in common is hashed once.
#[derive(Debug, Default)]
pub struct Library {
    known: BTreeMap<Digest, Arc<[u8]>>,
    /// Digests of nothing but zeros, by their number.
    zeros: BTreeMap<usize, Digest>,
    /// By the released record, the manifest's bytes and the number of blobs; only bundles whose every file is shared.
    opened: HashMap<(Vec<u8>, Vec<u8>, usize), Arc<VerifiedBundle>>,
    /// Manifests as they were read.
    manifests: Vec<(Vec<u8>, Arc<Manifest>)>,
    /// Layouts of reference profiles, by the profile's digest: the bytes are a verified bundle's.
    layouts: BTreeMap<Digest, Arc<Layout>>,
}

impl Library {
    /// Returns the bytes kept once, when they are what `digest` names.
    fn share(&mut self, digest: &Digest, bytes: &[u8]) -> Option<Arc<[u8]>> {
        if let Some(known) = self.known.get(digest) {
            return (**known == *bytes).then(|| Arc::clone(known));
        }
        if Digest::of(bytes) != *digest {
            return None;
        }
        let shared: Arc<[u8]> = bytes.into();
        self.known.insert(*digest, Arc::clone(&shared));
        Some(shared)
    }

    /// Reads a manifest, each once.
    ///
    /// # Errors
    /// A text when it cannot be used.
    pub fn manifest(&mut self, bytes: &[u8]) -> Result<Arc<Manifest>, String> {
        if let Some((_, known)) = self.manifests.iter().find(|(known, _)| known == bytes) {
            return Ok(Arc::clone(known));
        }
        let manifest = Arc::new(Manifest::parse(bytes).map_err(|e| e.to_string())?);
        if self.manifests.len() < MANIFESTS_REMEMBERED {
            self.manifests.push((bytes.to_vec(), Arc::clone(&manifest)));
        }
        Ok(manifest)
    }

    /// Compiles a reference profile, each once; `bytes` are what `digest` names.
    ///
    /// # Errors
    /// A text when it cannot be used.
    pub fn layout(&mut self, digest: &Digest, bytes: &[u8]) -> Result<Arc<Layout>, String> {
        if let Some(known) = self.layouts.get(digest) {
            return Ok(Arc::clone(known));
        }
        let profile = Profile::from_json(bytes).map_err(|e| e.to_string())?;
        self.layouts.insert(*digest, Arc::clone(profile.layout()));
        Ok(Arc::clone(profile.layout()))
    }

    /// Returns the first bundle that a device has opened.
    pub fn opened(&self) -> Option<Arc<VerifiedBundle>> {
        self.opened.values().next().cloned()
    }

    /// Returns whether these bytes are what `digest` names.
    fn is(&mut self, digest: &Digest, bytes: &[u8]) -> bool {
        // A fresh file is all zeros: such a chunk is met again and again, and hashed once.
        if bytes.iter().all(|byte| *byte == 0) {
            return self.zeros.entry(bytes.len()).or_insert_with(|| Digest::of(bytes)) == digest;
        }
        self.share(digest, bytes).is_some()
    }

    /// Returns whether a file's bytes are the very ones that were hashed.
    fn is_shared(&self, digest: &Digest, content: &Content) -> bool {
        match content {
            Content::Shared(bytes) => self.known.get(digest).is_some_and(|known| Arc::ptr_eq(known, bytes)),
            Content::Own(_) => false,
        }
    }
}

/// A folder with a bundle's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// The manifest's file.
    pub manifest: Vec<u8>,
    /// Blobs by digest.
    pub blobs: BTreeMap<Digest, Content>,
    /// Byte ranges (blob, from, to) that are in the page cache only.
    unsynced: BTreeSet<(Digest, usize, usize)>,
}

/// Returns the patch from one blob to another of this world: their digests.
pub fn patch_bytes(from: &Digest, to: &Digest) -> Vec<u8> {
    [from.0, to.0].concat()
}

#[derive(Debug, Default)]
struct Slot {
    part: Option<Folder>,
    sealed: Option<Folder>,
}

/// All folders.
#[derive(Debug, Default)]
pub struct Slots(BTreeMap<SlotName, Slot>);

impl Slots {
    fn slot(&mut self, name: SlotName) -> &mut Slot {
        self.0.entry(name).or_default()
    }

    /// Makes room: removes a sealed bundle, keeps a part of the same manifest, else preallocates.
    pub fn prepare(&mut self, name: SlotName, plan: &SlotPlan) {
        let slot = self.slot(name);
        slot.sealed = None;
        if slot.part.as_ref().is_none_or(|part| part.manifest != plan.manifest) {
            let blobs = plan.blobs.iter().map(|b| (b.digest, Content::Own(vec![0; b.length as usize]))).collect();
            slot.part = Some(Folder { manifest: plan.manifest.clone(), blobs, unsynced: BTreeSet::new() });
        }
    }

    /// Returns the chunks that are whole, by hashing every one; before, those that another slot holds are copied.
    ///
    /// # Errors
    /// A text when there is no such folder.
    pub fn scan(&mut self, name: SlotName, library: &mut Library) -> Result<Vec<(Digest, u64)>, String> {
        let part = self.0.get(&name).and_then(|slot| slot.part.as_ref()).ok_or("there is nothing to scan")?;
        let manifest = library.manifest(&part.manifest)?;
        let (mut present, mut missing) = (Vec::new(), Vec::new());
        for blob in &manifest.blobs {
            let Some(file) = part.blobs.get(&blob.sha256) else { continue };
            let cuts = blob.layout();
            for ((piece, digest), index) in cuts.pieces(file).zip(blob.chunk_digests()).zip(0..) {
                if library.is(&digest, piece) {
                    present.push((blob.sha256, index));
                } else if let Some((offset, _)) = cuts.range(index) {
                    missing.push((blob.sha256, index, offset, digest));
                }
            }
        }
        for (blob, index, offset, digest) in missing {
            if let Some(bytes) = self.elsewhere(name, &digest, library) {
                self.write(name, blob, offset, &bytes)?;
                present.push((blob, index));
            }
        }
        Ok(present)
    }

    /// Returns a chunk that another sealed slot holds and that is sound there.
    fn elsewhere(&self, name: SlotName, digest: &Digest, library: &mut Library) -> Option<Vec<u8>> {
        for folder in self.0.iter().filter(|(other, _)| **other != name).filter_map(|(_, slot)| slot.sealed.as_ref()) {
            let Ok(manifest) = library.manifest(&folder.manifest) else { continue };
            for blob in &manifest.blobs {
                let Some(index) = blob.chunk_digests().iter().position(|d| d == digest) else { continue };
                let (cuts, file) = (blob.layout(), folder.blobs.get(&blob.sha256));
                let piece = file.and_then(|file| cuts.pieces(file).nth(index));
                if let Some(piece) = piece.filter(|piece| library.is(digest, piece)) {
                    return Some(piece.to_vec());
                }
            }
        }
        None
    }

    fn planned(&self, name: SlotName, digest: &Digest, library: &mut Library) -> Result<Blob, String> {
        let part = self.0.get(&name).and_then(|slot| slot.part.as_ref()).ok_or("there is no part to write to")?;
        let manifest = library.manifest(&part.manifest)?;
        manifest.blobs.iter().find(|b| b.sha256 == *digest).cloned().ok_or_else(|| "there is no such blob".into())
    }

    /// Makes `blob` of an old one: here a patch is [`patch_bytes`], and `made` what the trainer made.
    ///
    /// # Errors
    /// A text when the patch does not fit; nothing is written then.
    pub fn patch(
        &mut self,
        (name, blob): (SlotName, &Digest),
        (base, from): (SlotName, &Digest),
        patch: &[u8],
        made: Option<&[u8]>,
        library: &mut Library,
    ) -> Result<Vec<(Digest, u64)>, String> {
        let to = self.planned(name, blob, library)?;
        let old = self.sealed(base).and_then(|folder| folder.blobs.get(from)).ok_or("the old blob is not here")?;
        if patch != patch_bytes(from, blob) || !library.is(from, old) {
            return Err("the patch makes something else".into());
        }
        let made = made.filter(|made| library.is(blob, made)).ok_or("the patch makes nothing")?;
        self.write(name, *blob, 0, made)?;
        Ok((0..to.layout().count()).map(|index| (*blob, index)).collect())
    }

    /// Makes the missing chunks of a stripe of the others and of parity.
    ///
    /// # Errors
    /// A text when there are too few.
    pub fn restore(
        &mut self,
        name: SlotName,
        digest: &Digest,
        stripe: u64,
        chunks: &[ParityChunk],
        library: &mut Library,
    ) -> Result<Vec<(Digest, u64)>, String> {
        let blob = self.planned(name, digest, library)?;
        let part = self.0.get(&name).and_then(|slot| slot.part.as_ref()).ok_or("there is no part to write to")?;
        let file = part.blobs.get(digest).ok_or("there is no such blob")?;
        let (cuts, digests) = (blob.layout(), blob.chunk_digests());
        let read = |index: u64| {
            if index >= cuts.count() {
                return chunks.iter().find(|p| p.index == index).map(|p| p.bytes.clone());
            }
            let piece = cuts.pieces(file).nth(index as usize)?;
            library.is(&digests[index as usize], piece).then(|| piece.to_vec())
        };
        let made = parity::restore(&cuts, &blob.stripes(), stripe, read).map_err(|e| e.to_string())?;
        let mut present = Vec::new();
        for (index, bytes) in made {
            let offset = cuts.range(index).map_or(0, |(offset, _)| offset);
            self.write(name, *digest, offset, &bytes)?;
            present.push((*digest, index));
        }
        Ok(present)
    }

    /// Writes a chunk into the page cache.
    ///
    /// # Errors
    /// A text when there is no room for it.
    pub fn write(&mut self, name: SlotName, blob: Digest, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let part = self.slot(name).part.as_mut().ok_or("there is no part to write to")?;
        let file = part.blobs.get_mut(&blob).ok_or("there is no such blob")?;
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        file.own().get_mut(from..to).ok_or("the chunk does not fit")?.copy_from_slice(bytes);
        part.unsynced.insert((blob, from, to));
        Ok(())
    }

    /// Gives a part its final name; with `sync` every byte is durable before that and hashed again.
    ///
    /// # Errors
    /// A text when a blob is damaged or missing.
    pub fn seal(&mut self, name: SlotName, sync: bool, library: &mut Library) -> Result<(), String> {
        let slot = self.slot(name);
        let part = slot.part.as_mut().ok_or("there is nothing to seal")?;
        if sync {
            part.unsynced.clear();
            for (digest, bytes) in &mut part.blobs {
                let shared = library.share(digest, bytes).ok_or_else(|| format!("blob {digest:?} is damaged"))?;
                *bytes = Content::Shared(shared);
            }
        }
        slot.sealed = slot.part.take();
        Ok(())
    }

    /// The process died while a slot was prepared: nothing of it was done, the old bundle is gone, or all was done.
    pub fn interrupt_prepare(&mut self, name: SlotName, plan: &SlotPlan, images: &mut Images) {
        match images.pick(3) {
            0 => {}
            1 => self.slot(name).sealed = None,
            _ => self.prepare(name, plan),
        }
    }

    /// The process died while a slot was sealed: it is or it is not.
    pub fn interrupt_seal(&mut self, name: SlotName, sync: bool, library: &mut Library, images: &mut Images) {
        if images.pick(2) == 1 {
            // Not sealed for damage is as good as not sealed.
            _ = self.seal(name, sync, library);
        }
    }

    /// The process died while a slot was emptied: any prefix of the removals is done.
    pub fn interrupt_erase(&mut self, name: SlotName, images: &mut Images) {
        match images.pick(3) {
            0 => {}
            1 => self.slot(name).part = None,
            _ => self.erase(name),
        }
    }

    /// Empties a slot.
    pub fn erase(&mut self, name: SlotName) {
        self.0.remove(&name);
    }

    /// Returns a sealed folder as it is.
    pub fn sealed(&self, name: SlotName) -> Option<&Folder> {
        self.0.get(&name)?.sealed.as_ref()
    }

    /// Returns a sealed folder, to damage it.
    pub(crate) fn sealed_mut(&mut self, name: SlotName) -> Option<&mut Folder> {
        self.0.get_mut(&name)?.sealed.as_mut()
    }

    /// Reads a sealed slot and proves that it is what `released` names.
    ///
    /// # Errors
    /// A text saying what is missing or differs.
    pub fn open(&self, name: SlotName, released: &[u8], library: &mut Library) -> Result<Arc<VerifiedBundle>, String> {
        let folder = self.sealed(name).ok_or("the slot holds no sealed bundle")?;
        let is_common = folder.blobs.iter().all(|(digest, content)| library.is_shared(digest, content));
        // A folder that lacks a file is another one.
        let key = (released.to_vec(), folder.manifest.clone(), folder.blobs.len());
        if let Some(bundle) = library.opened.get(&key).filter(|_| is_common) {
            return Ok(Arc::clone(bundle));
        }
        let released = Released::from_ledger(released).map_err(|e| e.to_string())?;
        let verified = released.open_manifest(&folder.manifest).map_err(|e| e.to_string())?;
        let manifest = library.manifest(verified.bytes())?;
        let listed: Vec<_> = manifest.blobs.iter().map(|b| (b.sha256.0, b.length)).collect();
        let blobs = folder.blobs.iter().map(|(digest, bytes)| (digest.0, bytes.to_vec())).collect();
        let bundle = Arc::new(VerifiedBundle::seal(verified, &listed, blobs).map_err(|e| e.to_string())?);
        if is_common {
            library.opened.insert(key, Arc::clone(&bundle));
        }
        Ok(bundle)
    }

    /// The power went: each range that was not synced is there, zeroed or torn.
    pub fn power_cut(&mut self, images: &mut Images) {
        let folders = self.0.values_mut().flat_map(|slot| [&mut slot.part, &mut slot.sealed]).flatten();
        for folder in folders {
            let unsynced = std::mem::take(&mut folder.unsynced);
            let fates = images.ranges(unsynced.len());
            for ((blob, from, to), fate) in unsynced.into_iter().zip(fates) {
                let file = folder.blobs.get_mut(&blob);
                let Some(range) = file.and_then(|file| file.own().get_mut(from..to)) else { continue };
                match fate {
                    Survival::There => {}
                    Survival::Zeroed => range.fill(0),
                    Survival::Torn => {
                        let at = images.pick(range.len().max(1));
                        range[at..].fill(0);
                    }
                }
            }
        }
    }

    /// Flips one bit of a stored blob; returns where, or `None` when nothing is stored.
    pub fn rot(&mut self, rng: &mut Rng) -> Option<SlotName> {
        let sealed = self.0.iter_mut().filter_map(|(name, slot)| Some((*name, slot.sealed.as_mut()?)));
        let mut files: Vec<(SlotName, &mut Content)> =
            sealed.flat_map(|(name, folder)| folder.blobs.values_mut().map(move |file| (name, file))).collect();
        let at = rng.index(files.len());
        let (name, file) = files.get_mut(at)?;
        let byte = rng.index(file.len());
        file.own()[byte] ^= 1 << rng.below(8);
        Some(*name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_agent_core::PlannedBlob;

    fn written() -> (Slots, Digest) {
        let bytes = vec![7; 1000];
        let digest = Digest::of(&bytes);
        let plan = SlotPlan {
            digest,
            manifest: b"m".to_vec(),
            blobs: vec![PlannedBlob { digest, length: 1000, chunk: 32 * 1024 }],
        };
        let mut slots = Slots::default();
        slots.prepare(SlotName::A, &plan);
        slots.write(SlotName::A, digest, 0, &bytes).unwrap();
        (slots, digest)
    }

    #[test]
    fn a_sync_makes_chunks_safe() {
        let (mut slots, digest) = written();
        slots.seal(SlotName::A, true, &mut Library::default()).unwrap();
        for seed in 0..20 {
            slots.power_cut(&mut Images::Random(Rng::stream(seed, "slots")));
            assert_eq!(Digest::of(&slots.sealed(SlotName::A).unwrap().blobs[&digest]), digest);
        }
    }

    #[test]
    fn without_a_sync_a_cut_may_damage_them() {
        let damaged = |seed| {
            let (mut slots, digest) = written();
            slots.seal(SlotName::A, false, &mut Library::default()).unwrap();
            slots.power_cut(&mut Images::Random(Rng::stream(seed, "slots")));
            Digest::of(&slots.sealed(SlotName::A).unwrap().blobs[&digest]) != digest
        };
        assert!((0..20).any(damaged) && !(0..20).all(damaged));
    }

    #[test]
    fn sealing_refuses_damage() {
        let (mut slots, digest) = written();
        slots.write(SlotName::A, digest, 0, b"x").unwrap();
        assert!(slots.seal(SlotName::A, true, &mut Library::default()).is_err());
        assert!(slots.write(SlotName::A, digest, 999, b"xx").is_err());
    }
}
