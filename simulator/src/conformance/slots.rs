//! Slots: a bundle is fetched in pieces, resumed, sealed when it is whole, and opened only when every byte is right.
use std::collections::BTreeMap;

use pinnace_agent_core::{PlannedBlob, SlotName, SlotPlan};
use pinnace_protocol::ids::{Digest, Family};
use pinnace_protocol::limits::CHUNK_BYTES;
use pinnace_protocol::manifest::{Blob, Compat, Feature, FeatureKind, Manifest, Role, SPEC, Signature, Task, Variant};

use super::{Damage, Held, Rule, noise, refused, want};

mod model;
#[cfg(test)]
mod tests;

pub use model::model;

/// A device's bundle folders, with ways to damage them.
pub trait Slots {
    /// Makes room for a bundle.
    ///
    /// # Errors
    /// What the disk said.
    fn prepare(&mut self, slot: SlotName, plan: &SlotPlan) -> Held;
    /// Returns the chunks that are whole: blob and index.
    ///
    /// # Errors
    /// When nothing is being fetched there.
    fn scan(&mut self, slot: SlotName) -> Result<Vec<(Digest, u64)>, String>;
    /// Writes bytes at their place.
    ///
    /// # Errors
    /// When there is no such place.
    fn write(&mut self, slot: SlotName, blob: Digest, offset: u64, bytes: &[u8]) -> Held;
    /// Makes the bundle durable, after a look at every byte.
    ///
    /// # Errors
    /// When something is missing or damaged.
    fn seal(&mut self, slot: SlotName) -> Held;
    /// Returns manifest and blobs of a sealed bundle that is what `released` names, as
    /// [`pinnace_protocol::trust::VerifiedBundle`] holds them; `listed` are the blobs to ask it for.
    ///
    /// # Errors
    /// When anything is missing or differs.
    fn open(&mut self, slot: SlotName, released: &[u8], listed: &[Digest]) -> Result<Opened, String>;
    /// Empties a slot.
    ///
    /// # Errors
    /// What the disk said.
    fn erase(&mut self, slot: SlotName) -> Held;
    /// The process ends and another one opens the folders.
    ///
    /// # Errors
    /// What the disk said.
    fn reopen(&mut self) -> Held;
    /// Damages one blob of a sealed bundle.
    ///
    /// # Errors
    /// When there is none.
    fn damage(&mut self, slot: SlotName, blob: Digest, damage: Damage) -> Held;
}

/// What an engine would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Blobs by digest.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

/// Any slots.
pub type Tested = dyn Slots;

/// What slots must do.
pub const RULES: &[Rule<Tested>] = &[
    Rule { name: "an empty slot has nothing to scan, to seal or to open", check: starts_empty },
    Rule { name: "a scan names exactly the chunks that are whole", check: scans_exactly },
    Rule { name: "chunks survive the process, and a prepare of the same bundle", check: resumes },
    Rule { name: "a prepare of another bundle keeps nothing, not even what both have", check: starts_over },
    Rule { name: "what is sealed is opened byte for byte, also by the next process", check: seals },
    Rule { name: "a seal refuses what is missing or damaged, and seals nothing then", check: refuses_damage },
    Rule { name: "what was refused can be mended and sealed", check: mends },
    Rule { name: "a prepare takes a sealed bundle away", check: replaces },
    Rule { name: "no damaged bundle is opened", check: opens_no_damage },
    Rule { name: "no bundle is opened as another release", check: opens_no_other },
    Rule { name: "an erase empties its slot", check: erases },
    Rule { name: "what is done to one slot leaves the other alone", check: touches_one },
];

/// A bundle that was released.
pub struct Sample {
    /// As the core orders it.
    pub plan: SlotPlan,
    released: Vec<u8>,
    contents: BTreeMap<Digest, Vec<u8>>,
    /// The blob of three chunks, the middle one all zeros.
    model: Digest,
}

/// Returns what an agent's ledger remembers of a release.
fn released(manifest: &Manifest, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let body = serde_json::json!({
        "path": manifest.target_path(),
        "length": bytes.len(),
        "sha256": Digest::of(bytes).to_hex(),
        "custom": {"hardware_ids": ["any"], "release_counter": manifest.release_counter, "model": "rain"},
    });
    // The record's frame: magic, body, the digest of both.
    let mut record = b"PNRELSD1".to_vec();
    record.extend(serde_json::to_vec(&body).map_err(|e| e.to_string())?);
    let sum = Digest::of(&record);
    record.extend(sum.0);
    Ok(record)
}

/// Returns version `version`; all versions have the card in common.
///
/// # Errors
/// None that does not come from this function itself.
pub fn sample(version: u64) -> Result<Sample, String> {
    let chunk = CHUNK_BYTES as usize;
    // Weights are often zero for a while; a fresh file is, too.
    let model = [noise(version, chunk), vec![0; chunk], noise(version + 100, 1000)].concat();
    let files = [
        ("model.onnx", Role::Model, model),
        ("profile.json", Role::Profile, noise(version + 200, 300)),
        ("card.md", Role::Card, noise(0, 500)),
    ];
    let blobs: Vec<Blob> = files.iter().map(|(name, role, bytes)| Blob::describe(name, *role, bytes)).collect();
    let model = blobs.first().map(|b| b.sha256).ok_or("a bundle has a model")?;
    let manifest = Manifest {
        spec: SPEC.into(),
        family: Family::parse("rain").map_err(|e| e.to_string())?,
        version,
        release_counter: version,
        created: 1_800_000_000,
        compat: Compat::default(),
        signature: Signature {
            task: Task::Regression,
            input: "x".into(),
            output: "y".into(),
            label_output: None,
            classes: Vec::new(),
            features: vec![Feature { name: "wind".into(), kind: FeatureKind::Numeric, unit: String::new() }],
        },
        variants: vec![Variant {
            name: "fp32".into(),
            blob: "model.onnx".into(),
            engines: vec!["tract".into()],
            requires: Default::default(),
        }],
        blobs,
    };
    let bytes = manifest.to_bytes().map_err(|e| e.to_string())?;
    let planned = |b: &Blob| PlannedBlob { digest: b.sha256, length: b.length, chunk: b.chunk };
    Ok(Sample {
        released: released(&manifest, &bytes)?,
        contents: manifest.blobs.iter().map(|b| b.sha256).zip(files.into_iter().map(|(_, _, bytes)| bytes)).collect(),
        plan: SlotPlan {
            digest: Digest::of(&bytes),
            blobs: manifest.blobs.iter().map(planned).collect(),
            manifest: bytes,
        },
        model,
    })
}

impl Sample {
    /// Returns blob, index, offset and bytes of every chunk.
    fn chunks(&self) -> impl Iterator<Item = (Digest, u64, u64, &[u8])> {
        self.contents.iter().flat_map(|(digest, bytes)| {
            let pieces = bytes.chunks(CHUNK_BYTES as usize).zip(0_u64..);
            pieces.map(|(piece, index)| (*digest, index, index * CHUNK_BYTES, piece))
        })
    }

    /// Writes the chunks that `pick` names.
    ///
    /// # Errors
    /// What the slots said.
    pub fn write(&self, slots: &mut Tested, slot: SlotName, pick: impl Fn(Digest, u64) -> bool) -> Held {
        for (blob, index, offset, bytes) in self.chunks() {
            if pick(blob, index) {
                slots.write(slot, blob, offset, bytes)?;
            }
        }
        Ok(())
    }

    /// Prepares, writes and seals it whole.
    fn install(&self, slots: &mut Tested, slot: SlotName) -> Held {
        slots.prepare(slot, &self.plan)?;
        self.write(slots, slot, |_, _| true)?;
        slots.seal(slot)
    }

    /// Opens the slot as this bundle.
    ///
    /// # Errors
    /// What the slots said.
    pub fn open(&self, slots: &mut Tested, slot: SlotName) -> Result<Opened, String> {
        let listed: Vec<Digest> = self.contents.keys().copied().collect();
        slots.open(slot, &self.released, &listed)
    }

    /// Checks that the slot opens as this bundle, byte for byte.
    ///
    /// # Errors
    /// What differs.
    pub fn is_in(&self, slots: &mut Tested, slot: SlotName) -> Held {
        let opened = self.open(slots, slot)?;
        want(opened.manifest == self.plan.manifest, || "the manifest is another one".into())?;
        want(opened.blobs == self.contents, || "the blobs are others".into())
    }

    /// Checks what a scan finds: these chunks of the model and of the others those that `others` says.
    fn scanned(&self, slots: &mut Tested, slot: SlotName, model: &[u64], others: bool) -> Held {
        let mut found = slots.scan(slot)?;
        found.sort_unstable();
        let is_expected = |blob, index| if blob == self.model { model.contains(&index) } else { others };
        let chunks = self.chunks().map(|(blob, index, ..)| (blob, index));
        let expected: Vec<(Digest, u64)> = chunks.filter(|(blob, index)| is_expected(*blob, *index)).collect();
        want(found == expected, || format!("the scan finds {} chunks, {} are whole", found.len(), expected.len()))
    }
}

/// Index of the model's chunk that is zero, and so is whole in a fresh file.
const ZERO: u64 = 1;

fn starts_empty(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    for slot in [SlotName::A, SlotName::B] {
        refused(slots.scan(slot), "a scan of nothing")?;
        refused(slots.seal(slot), "a seal of nothing")?;
        refused(one.open(slots, slot), "a look into an empty slot")?;
    }
    Ok(())
}

fn scans_exactly(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    slots.prepare(SlotName::A, &one.plan)?;
    one.scanned(slots, SlotName::A, &[ZERO], false)?;
    one.write(slots, SlotName::A, |blob, index| blob == one.model && index == 2)?;
    one.scanned(slots, SlotName::A, &[ZERO, 2], false)?;
    // Half of a chunk is none.
    let (blob, _, offset, bytes) = one.chunks().find(|c| c.0 == one.model).ok_or("the model has chunks")?;
    slots.write(SlotName::A, blob, offset, &bytes[..bytes.len() / 2])?;
    one.scanned(slots, SlotName::A, &[ZERO, 2], false)?;
    one.write(slots, SlotName::A, |_, _| true)?;
    one.scanned(slots, SlotName::A, &[0, ZERO, 2], true)?;
    // A chunk that is overwritten by something else is none any more.
    slots.write(SlotName::A, blob, offset, b"something else")?;
    one.scanned(slots, SlotName::A, &[ZERO, 2], true)
}

fn resumes(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    slots.prepare(SlotName::B, &one.plan)?;
    one.write(slots, SlotName::B, |blob, index| blob == one.model && index == 0)?;
    slots.reopen()?;
    one.scanned(slots, SlotName::B, &[0, ZERO], false)?;
    slots.prepare(SlotName::B, &one.plan)?;
    one.scanned(slots, SlotName::B, &[0, ZERO], false)?;
    one.write(slots, SlotName::B, |blob, index| blob != one.model || index == 2)?;
    slots.seal(SlotName::B)?;
    one.is_in(slots, SlotName::B)
}

fn starts_over(slots: &mut Tested) -> Held {
    let (one, two) = (sample(1)?, sample(2)?);
    slots.prepare(SlotName::A, &one.plan)?;
    one.write(slots, SlotName::A, |_, _| true)?;
    slots.prepare(SlotName::A, &two.plan)?;
    two.scanned(slots, SlotName::A, &[ZERO], false)?;
    refused(slots.seal(SlotName::A), "the seal of a bundle that has just begun")?;
    slots.prepare(SlotName::A, &one.plan)?;
    one.scanned(slots, SlotName::A, &[ZERO], false)
}

fn seals(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    one.install(slots, SlotName::A)?;
    one.is_in(slots, SlotName::A)?;
    refused(slots.scan(SlotName::A), "a scan of what is fetched no more")?;
    slots.reopen()?;
    one.is_in(slots, SlotName::A)
}

fn refuses_damage(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    slots.prepare(SlotName::A, &one.plan)?;
    one.write(slots, SlotName::A, |blob, index| blob != one.model || index != 2)?;
    refused(slots.seal(SlotName::A), "a seal with a missing chunk")?;
    refused(one.open(slots, SlotName::A), "a look at what was not sealed")?;
    one.write(slots, SlotName::A, |_, _| true)?;
    slots.write(SlotName::A, one.model, ZERO * CHUNK_BYTES + 7, &[1])?;
    refused(slots.seal(SlotName::A), "a seal with a damaged chunk")?;
    slots.reopen()?;
    refused(one.open(slots, SlotName::A), "a look at what was not sealed")
}

fn mends(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    slots.prepare(SlotName::A, &one.plan)?;
    one.write(slots, SlotName::A, |_, _| true)?;
    slots.write(SlotName::A, one.model, 7, b"damage")?;
    refused(slots.seal(SlotName::A), "a seal with a damaged chunk")?;
    one.scanned(slots, SlotName::A, &[ZERO, 2], true)?;
    one.write(slots, SlotName::A, |blob, index| blob == one.model && index == 0)?;
    slots.seal(SlotName::A)?;
    one.is_in(slots, SlotName::A)
}

fn replaces(slots: &mut Tested) -> Held {
    let (one, two) = (sample(1)?, sample(2)?);
    for next in [&one, &two] {
        one.install(slots, SlotName::A)?;
        slots.prepare(SlotName::A, &next.plan)?;
        refused(one.open(slots, SlotName::A), "a look at what had to make room")?;
        next.scanned(slots, SlotName::A, &[ZERO], false)?;
        slots.reopen()?;
        refused(one.open(slots, SlotName::A), "a look at what had to make room")?;
    }
    two.write(slots, SlotName::A, |_, _| true)?;
    slots.seal(SlotName::A)?;
    two.is_in(slots, SlotName::A)
}

fn opens_no_damage(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    for blob in one.contents.keys() {
        for damage in [Damage::Flipped, Damage::Cut, Damage::Missing, Damage::Oversized] {
            one.install(slots, SlotName::A)?;
            // What was opened before, by this process too, is no excuse.
            one.is_in(slots, SlotName::A)?;
            slots.damage(SlotName::A, *blob, damage)?;
            refused(one.open(slots, SlotName::A), &format!("a blob that is {damage:?}"))?;
        }
    }
    Ok(())
}

fn opens_no_other(slots: &mut Tested) -> Held {
    let (one, two) = (sample(1)?, sample(2)?);
    one.install(slots, SlotName::A)?;
    two.install(slots, SlotName::B)?;
    refused(two.open(slots, SlotName::A), "another release's record")?;
    refused(one.open(slots, SlotName::B), "another release's record")?;
    let mut torn = one.released.clone();
    torn.truncate(torn.len() - 1);
    let listed: Vec<Digest> = one.contents.keys().copied().collect();
    refused(slots.open(SlotName::A, &torn, &listed), "a torn record")?;
    one.is_in(slots, SlotName::A)
}

fn erases(slots: &mut Tested) -> Held {
    let one = sample(1)?;
    one.install(slots, SlotName::A)?;
    slots.prepare(SlotName::B, &one.plan)?;
    for slot in [SlotName::A, SlotName::B] {
        slots.erase(slot)?;
        refused(one.open(slots, slot), "a look into what was erased")?;
        refused(slots.scan(slot), "a scan of what was erased")?;
        // There is nothing left to erase, and no trouble with it.
        slots.erase(slot)?;
    }
    slots.reopen()?;
    refused(one.open(slots, SlotName::A), "a look into what was erased")?;
    slots.prepare(SlotName::A, &one.plan)?;
    one.scanned(slots, SlotName::A, &[ZERO], false)
}

fn touches_one(slots: &mut Tested) -> Held {
    let (one, two) = (sample(1)?, sample(2)?);
    one.install(slots, SlotName::A)?;
    slots.prepare(SlotName::B, &two.plan)?;
    one.is_in(slots, SlotName::A)?;
    two.write(slots, SlotName::B, |blob, _| blob == two.model)?;
    refused(slots.seal(SlotName::B), "a seal with missing blobs")?;
    one.is_in(slots, SlotName::A)?;
    slots.erase(SlotName::A)?;
    two.scanned(slots, SlotName::B, &[0, ZERO, 2], false)?;
    two.write(slots, SlotName::B, |_, _| true)?;
    slots.seal(SlotName::B)?;
    one.install(slots, SlotName::A)?;
    slots.erase(SlotName::A)?;
    two.is_in(slots, SlotName::B)?;
    slots.prepare(SlotName::A, &two.plan)?;
    slots.reopen()?;
    two.is_in(slots, SlotName::B)
}
