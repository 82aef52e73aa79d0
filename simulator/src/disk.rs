//! A device's virtual disk: a ledger, two-slot files, bundle folders; and what a power cut leaves of them.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pinnace_agent_core::{Batch, Key, Op, SlotName, Stored};
use pinnace_protocol::cbor;
use pinnace_protocol::ids::{BundleRef, Digest, Family, RolloutId};
use pinnace_protocol::trust::{Floors, Recovered};
use serde::Deserialize;

use crate::images::Images;
use crate::rng::Rng;
use crate::slots::Slots;

/// Bytes of the checksum at the end of the pointers record.
const SUM_BYTES: usize = 32;
/// Bytes of a pointers record that are read.
const POINTERS_MAX_BYTES: usize = 256 * 1024;

/// A record in two files, written one after the other.
#[derive(Debug, Clone, Default)]
pub struct TwoSlot {
    /// Both files as they are.
    pub files: [Option<Vec<u8>>; 2],
}

impl TwoSlot {
    /// Writes one file whole.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        self.files[at] = Some(bytes.to_vec());
    }

    /// The process died or the power went while one file was replaced: the old or the new content is there whole.
    pub fn interrupt(&mut self, at: usize, bytes: &[u8], images: &mut Images) {
        if images.pick(2) == 1 {
            self.write(at, bytes);
        }
    }

    /// One of two equal files is damaged; returns whether that could be done without losing the record.
    pub fn damage(&mut self, rng: &mut Rng) -> bool {
        let sound = self.files[0].is_some() && self.files[0] == self.files[1];
        if let Some(bytes) = self.files[rng.index(2)].as_mut().filter(|_| sound) {
            let at = rng.index(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
        }
        sound
    }

    /// The power went while one file was written in place: old, new, or torn.
    pub fn tear(&mut self, at: usize, bytes: &[u8], rng: &mut Rng) {
        match rng.below(4) {
            0 => {}
            1 => self.write(at, bytes),
            2 => self.write(at, &bytes[..rng.index(bytes.len())]),
            _ => {
                let mut torn = bytes.to_vec();
                let from = rng.index(torn.len());
                torn[from..].fill(0);
                self.write(at, &torn);
            }
        }
    }
}

/// Records committed in atomic batches.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    durable: BTreeMap<Key, Vec<u8>>,
    /// Batches in the page cache only; empty unless the shell forgets to flush.
    cached: VecDeque<Vec<Op>>,
    windows: usize,
    bytes: usize,
}

impl Ledger {
    /// Returns how many windows wait in it.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Returns the bytes of its durable records.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether a record is durable.
    pub fn is_durable(&self, key: &Key) -> bool {
        self.durable.contains_key(key)
    }

    /// Loses its oldest window: only a bug does that.
    pub fn trim(&mut self) {
        let oldest = self.durable.keys().find(|key| matches!(key, Key::Window(_))).cloned();
        if let Some(key) = oldest {
            self.commit(vec![Op::Delete { key }], true);
        }
    }

    /// Forgets everything.
    pub fn lose(&mut self) {
        *self = Self::default();
    }

    /// Takes one batch; durable when flushed.
    pub fn commit(&mut self, ops: Vec<Op>, flush: bool) {
        self.cached.push_back(ops);
        if flush {
            self.settle(usize::MAX);
        }
    }

    /// Makes the first `batches` of the cache durable and forgets the rest.
    fn settle(&mut self, batches: usize) {
        for op in self.cached.drain(..).take(batches).flatten() {
            match op {
                Op::Put { key, bytes } => {
                    let is_window = matches!(key, Key::Window(_));
                    self.bytes += bytes.len();
                    match self.durable.insert(key, bytes) {
                        Some(before) => self.bytes -= before.len(),
                        None => self.windows += usize::from(is_window),
                    }
                }
                Op::Delete { key } => {
                    if let Some(before) = self.durable.remove(&key) {
                        self.bytes -= before.len();
                        self.windows -= usize::from(matches!(key, Key::Window(_)));
                    }
                }
            }
        }
    }
}

/// Everything that a device keeps.
#[derive(Debug, Default)]
pub struct Disk {
    /// Version and time floors.
    pub floors: TwoSlot,
    /// Which slots hold what.
    pointers: TwoSlot,
    /// The records.
    pub ledger: Ledger,
    /// The bundles.
    pub slots: Slots,
    /// Pointers in the page cache only; none unless the shell forgets to flush.
    cached_pointers: Option<Vec<u8>>,
    /// The floors before those in the page cache; none unless the shell forgets to sync.
    synced_floors: Option<TwoSlot>,
    /// The newest sound pointers of both files.
    newest: Option<Arc<Pointers>>,
    /// What each file of the pointers says; none where it is damaged or missing.
    sound: [Option<Arc<Pointers>>; 2],
}

/// A slot that the pointers name.
#[derive(Debug, Clone, Deserialize)]
pub struct Pointer {
    /// Which.
    pub slot: SlotName,
    #[serde(with = "serde_bytes")]
    _released: Vec<u8>,
    _bundle: BundleRef,
    _manifest: Digest,
    _counter: u64,
    _generation: u64,
    _rollout: Option<RolloutId>,
}

/// The pointers record as the core writes it; fields in the same order.
#[derive(Debug, Clone, Deserialize)]
pub struct Pointers {
    _format: u8,
    generation: u64,
    releases: BTreeMap<Family, u64>,
    /// The model that serves.
    pub active: Option<Pointer>,
    /// The model to go back to.
    pub fallback: Option<Pointer>,
}

impl Disk {
    /// Returns what the core is given at start.
    pub fn stored(&self) -> Stored {
        Stored {
            floors: self.floors.files.clone(),
            pointers: self.pointers.files.clone(),
            records: self.ledger.durable.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            factory: None,
        }
    }

    /// Returns the generation that the newest sound pointers name.
    pub fn generation(&self) -> Option<u64> {
        self.newest.as_ref().map(|p| p.generation)
    }

    /// Returns the lowest release counter of a family that the device still accepts.
    pub fn release_floor(&self, family: &Family) -> u64 {
        self.newest.as_ref().and_then(|p| p.releases.get(family)).copied().unwrap_or(0)
    }

    /// Returns whether the pointers on disk name this slot, so that nothing may touch it.
    pub fn protects(&self, slot: SlotName) -> bool {
        let named = self.newest.iter().flat_map(|p| [&p.active, &p.fallback]).flatten().any(|p| p.slot == slot);
        named || slot == SlotName::Factory
    }

    /// Returns the floors that a start would find.
    pub fn floors(&self) -> Floors {
        match Floors::recover(self.floors.files[0].as_deref(), self.floors.files[1].as_deref()) {
            Recovered::Floors(floors) => floors,
            Recovered::BothLost => Floors::default(),
        }
    }

    /// Returns what one file of the pointers says, when it is sound.
    fn sound_pointers(&self, at: usize) -> Option<Arc<Pointers>> {
        let bytes = self.pointers.files[at].as_ref()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
        if Digest::of(body).0[..] != *sum {
            return None;
        }
        cbor::decode(body, POINTERS_MAX_BYTES).ok().map(Arc::new)
    }

    /// Reads one file of the pointers anew after it changed.
    fn read_pointers(&mut self, at: usize) {
        // Both are equal but for the moments between two writes.
        let is_equal = self.pointers.files[at] == self.pointers.files[1 - at];
        self.sound[at] = if is_equal { self.sound[1 - at].clone() } else { self.sound_pointers(at) };
        self.choose_pointers();
    }

    /// Reads both files of the pointers anew.
    fn read_both_pointers(&mut self) {
        self.sound = [0, 1].map(|at| self.sound_pointers(at));
        self.choose_pointers();
    }

    fn choose_pointers(&mut self) {
        let [first, second] = &self.sound;
        let generation = |p: &Option<Arc<Pointers>>| p.as_ref().map(|p| p.generation);
        // The first file is written first: of two of one generation it is the newer.
        self.newest = if generation(second) > generation(first) { second.clone() } else { first.clone() };
    }

    /// Writes one of the floors' files; durable when flushed.
    pub fn write_floors(&mut self, at: usize, bytes: &[u8], flush: bool) {
        if !flush && self.synced_floors.is_none() {
            self.synced_floors = Some(self.floors.clone());
        }
        self.floors.write(at, bytes);
    }

    /// Writes one of the pointers' files; durable when flushed.
    pub fn write_pointers(&mut self, at: usize, bytes: &[u8], flush: bool) {
        if flush {
            self.pointers.write(at, bytes);
            self.read_pointers(at);
        } else {
            self.cached_pointers = Some(bytes.to_vec());
        }
    }

    /// The power went, or the process died, while one of the pointers' files was replaced.
    pub fn interrupt_pointers(&mut self, at: usize, bytes: &[u8], images: &mut Images) {
        self.pointers.interrupt(at, bytes, images);
        self.read_pointers(at);
    }

    /// A bit flips in one of the pointers' two files; returns whether that could be done without losing the record.
    pub fn damage_pointers(&mut self, rng: &mut Rng) -> bool {
        let done = self.pointers.damage(rng);
        self.read_both_pointers();
        done
    }

    /// Puts older pointers and an older ledger in the place of the present ones: only a bug does that.
    pub fn restore(&mut self, older: &Self) {
        (self.pointers, self.ledger) = (older.pointers.clone(), older.ledger.clone());
        self.read_both_pointers();
    }

    /// Returns a copy of pointers and ledger.
    pub fn records(&self) -> Self {
        let mut copy = Self::default();
        copy.restore(self);
        copy
    }

    /// Writes the ledger's part of a batch.
    pub fn commit_ledger(&mut self, batch: Batch, flush: bool) {
        if !batch.ops.is_empty() {
            self.ledger.commit(batch.ops, flush);
        }
    }

    /// The process died: the page cache is written in the end.
    pub fn crash(&mut self) {
        self.ledger.settle(usize::MAX);
        self.synced_floors = None;
        if let Some(bytes) = self.cached_pointers.take() {
            (0..2).for_each(|at| self.pointers.write(at, &bytes));
            self.read_both_pointers();
        }
    }

    /// The power went: of what was not synced, any part survives.
    pub fn power_cut(&mut self, images: &mut Images) {
        if !self.ledger.cached.is_empty() {
            let survive = images.pick(self.ledger.cached.len() + 1);
            self.ledger.settle(survive);
        }
        self.cached_pointers = None;
        if let Some(synced) = self.synced_floors.take() {
            self.floors = synced;
        }
        self.slots.power_cut(images);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(seq: u64) -> Vec<Op> {
        vec![Op::Put { key: Key::Window(seq), bytes: vec![1] }]
    }

    #[test]
    fn a_flushed_batch_survives_and_a_cached_one_may() {
        let mut seen = [false; 3];
        for seed in 0..30 {
            let mut disk = Disk::default();
            disk.ledger.commit(put(1), true);
            disk.ledger.commit(put(2), false);
            disk.ledger.commit(put(3), false);
            disk.power_cut(&mut Images::Random(Rng::stream(seed, "disk")));
            let left = disk.ledger.windows();
            assert!((1..=3).contains(&left));
            seen[left - 1] = true;
        }
        assert_eq!(seen, [true; 3], "every prefix occurs");
    }

    #[test]
    fn torn_files_are_old_new_or_damaged() {
        let mut rng = Rng::stream(1, "disk");
        let (mut old, mut new, mut torn) = (0, 0, 0);
        for _ in 0..100 {
            let mut file = TwoSlot::default();
            file.write(0, b"old");
            file.tear(0, b"newer", &mut rng);
            match file.files[0].as_deref() {
                Some(b"old") => old += 1,
                Some(b"newer") => new += 1,
                _ => torn += 1,
            }
        }
        assert!(old > 0 && new > 0 && torn > 0);
    }
}
