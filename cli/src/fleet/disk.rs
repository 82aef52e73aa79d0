//! What one device keeps, in memory: ledger, floors, pointers, slots. It lasts as long as the process.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pinnace_agent_core::{Batch, Key, Op, PlannedBlob, SlotName, SlotPlan, Stored};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::manifest::Manifest;
use pinnace_protocol::message::{FailCode, Failure};

use super::model::Model;
use super::store::{Bundle, Store};

/// A slot: which bundle is in it, and which chunks of it this device has.
#[derive(Debug)]
struct Slot {
    digest: Digest,
    bundle: Arc<Bundle>,
    blobs: Vec<PlannedBlob>,
    /// Chunks of all of them.
    wanted: u64,
    chunks: BTreeSet<(Digest, u64)>,
    sealed: bool,
}

impl Slot {
    fn is_whole(&self) -> bool {
        self.chunks.len() as u64 == self.wanted
    }
}

/// Everything one device keeps.
#[derive(Debug, Default)]
pub struct Disk {
    ledger: BTreeMap<Key, Arc<[u8]>>,
    floors: Option<Vec<u8>>,
    pointers: Option<Vec<u8>>,
    slots: BTreeMap<SlotName, Slot>,
}

impl Disk {
    /// Returns what a process finds when it starts.
    pub fn stored(&self) -> Stored {
        Stored {
            floors: [self.floors.clone(), self.floors.clone()],
            pointers: [self.pointers.clone(), self.pointers.clone()],
            records: self.ledger.iter().map(|(key, bytes)| (key.clone(), bytes.to_vec())).collect(),
            factory: None,
        }
    }

    /// Takes in a batch; returns the numbers of the windows that it put and deleted.
    pub fn commit(&mut self, batch: Batch, store: &Store) -> Windows {
        let mut windows = Windows::default();
        self.floors = batch.floors.or(self.floors.take());
        self.pointers = batch.pointers.or(self.pointers.take());
        for op in batch.ops {
            match op {
                Op::Put { key, bytes } => {
                    let bytes = match &key {
                        // Alike on all devices.
                        Key::Manifest | Key::DirectorRoot | Key::Meta(_) => store.record(bytes),
                        Key::State => bytes.into(),
                        Key::Window(seq) => {
                            windows.put.push(*seq);
                            bytes.into()
                        }
                    };
                    self.ledger.insert(key, bytes);
                }
                Op::Delete { key } => {
                    self.ledger.remove(&key);
                    if let Key::Window(seq) = key {
                        windows.deleted.push(seq);
                    }
                }
            }
        }
        windows
    }

    /// Makes room for a bundle; chunks of the same one that are there already stay.
    pub fn prepare(&mut self, name: SlotName, plan: SlotPlan, store: &Store) {
        if self.slots.get(&name).is_some_and(|slot| slot.digest == plan.digest && !slot.sealed) {
            return;
        }
        let bundle = store.bundle(plan.digest, &plan.manifest);
        let cuts: BTreeMap<Digest, u64> = Manifest::parse(&plan.manifest)
            .map(|m| m.blobs.iter().map(|b| (b.sha256, b.layout().count())).collect())
            .unwrap_or_default();
        let even = |b: &PlannedBlob| b.length.div_ceil(b.chunk.max(1));
        let wanted = plan.blobs.iter().map(|b| cuts.get(&b.digest).copied().unwrap_or_else(|| even(b))).sum();
        let (digest, blobs, chunks) = (plan.digest, plan.blobs, BTreeSet::new());
        let slot = Slot { digest, bundle, blobs, wanted, chunks, sealed: false };
        self.slots.insert(name, slot);
    }

    /// Returns the chunks that this device has. Memory does not rot, so they are not hashed again here.
    ///
    /// # Errors
    /// A text when nothing was prepared.
    pub fn scan(&self, name: SlotName) -> Result<Vec<(Digest, u64)>, String> {
        let slot = self.slots.get(&name).ok_or("there is nothing to scan")?;
        Ok(slot.chunks.iter().copied().collect())
    }

    /// Writes a chunk that the core has checked.
    ///
    /// # Errors
    /// A text when it has no place.
    pub fn write(&mut self, name: SlotName, blob: Digest, index: u64, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let slot = self.slots.get_mut(&name).ok_or("there is nothing to write to")?;
        let planned = slot.blobs.iter().find(|b| b.digest == blob).ok_or("there is no such blob")?;
        slot.bundle.write(blob, planned.length, offset, bytes)?;
        slot.chunks.insert((blob, index));
        Ok(())
    }

    /// Closes a slot that has every chunk.
    ///
    /// # Errors
    /// A text when one is missing.
    pub fn seal(&mut self, name: SlotName) -> Result<(), String> {
        let slot = self.slots.get_mut(&name).ok_or("there is nothing to seal")?;
        if !slot.is_whole() {
            return Err("a chunk is missing".into());
        }
        slot.sealed = true;
        // A sealed slot needs no list of what it has.
        (slot.chunks, slot.blobs) = (BTreeSet::new(), Vec::new());
        Ok(())
    }

    /// Returns the model in a sealed slot, proven to be what `released` names.
    ///
    /// # Errors
    /// A failure saying what is missing or differs.
    pub fn open(&self, name: SlotName, released: &[u8]) -> Result<Arc<Model>, Failure> {
        let missing = || Failure { code: FailCode::Integrity, text: "the slot holds no sealed bundle".into() };
        self.slots.get(&name).filter(|slot| slot.sealed).ok_or_else(missing)?.bundle.open(released)
    }

    /// Empties a slot.
    pub fn erase(&mut self, name: SlotName) {
        self.slots.remove(&name);
    }
}

/// Window records that a batch changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// Written.
    pub put: Vec<u64>,
    /// Removed.
    pub deleted: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_sealed_when_it_has_every_chunk() {
        let (store, mut disk) = (Store::default(), Disk::default());
        let blob = Digest::of(b"abcdef");
        let blobs = vec![PlannedBlob { digest: blob, length: 6, chunk: 4 }];
        disk.prepare(SlotName::A, SlotPlan { digest: Digest::of(b"m"), manifest: b"m".to_vec(), blobs }, &store);
        disk.write(SlotName::A, blob, 0, 0, b"abcd").unwrap();
        assert!(disk.seal(SlotName::A).is_err());
        assert_eq!(disk.scan(SlotName::A).unwrap(), [(blob, 0)]);
        disk.write(SlotName::A, blob, 1, 4, b"ef").unwrap();
        disk.seal(SlotName::A).unwrap();
        assert!(disk.open(SlotName::B, b"").is_err());
    }

    #[test]
    fn commits_are_found_at_the_next_start() {
        let (store, mut disk) = (Store::default(), Disk::default());
        let put = |seq| Op::Put { key: Key::Window(seq), bytes: vec![7] };
        let windows = disk.commit(Batch { floors: Some(vec![1]), pointers: None, ops: vec![put(0), put(1)] }, &store);
        assert_eq!(windows, Windows { put: vec![0, 1], deleted: vec![] });
        let gone = Op::Delete { key: Key::Window(0) };
        assert_eq!(disk.commit(Batch { ops: vec![gone], ..Batch::default() }, &store).deleted, [0]);
        let stored = disk.stored();
        assert_eq!(stored.floors[1].as_deref(), Some(&[1][..]));
        assert_eq!(stored.records, [(Key::Window(1), vec![7])]);
    }
}
