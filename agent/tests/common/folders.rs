//! Slots in a real folder.
use std::path::{Path, PathBuf};

use pinnace_agent::slots::Slots;
use pinnace_agent_core::api::{SlotName, SlotPlan};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::trust::Released;
use pinnace_simulator::conformance::slots::{Opened, Slots as Tested};
use pinnace_simulator::conformance::{Damage, Held};
use tempfile::TempDir;

/// Slots in a folder.
pub struct OnDisk {
    home: PathBuf,
    slots: Slots,
    /// Removes the folder in the end, where nobody else does.
    _folder: Option<TempDir>,
}

impl OnDisk {
    /// Opens the slots below a folder; `folder` is removed with them.
    pub fn at(home: &Path, folder: Option<TempDir>) -> Result<Self, String> {
        let slots = Slots::open(home).map_err(|e| e.to_string())?;
        Ok(Self { home: home.into(), slots, _folder: folder })
    }
}

impl Tested for OnDisk {
    fn prepare(&mut self, slot: SlotName, plan: &SlotPlan) -> Held {
        self.slots.prepare(slot, plan).map_err(|e| e.to_string())
    }

    fn scan(&mut self, slot: SlotName) -> Result<Vec<(Digest, u64)>, String> {
        self.slots.scan(slot).map_err(|e| e.to_string())
    }

    fn write(&mut self, slot: SlotName, blob: Digest, offset: u64, bytes: &[u8]) -> Held {
        self.slots.write_chunk(slot, blob, offset, bytes).map_err(|e| e.to_string())
    }

    fn seal(&mut self, slot: SlotName) -> Held {
        self.slots.seal(slot).map_err(|e| e.to_string())
    }

    fn open(&mut self, slot: SlotName, released: &[u8], listed: &[Digest]) -> Result<Opened, String> {
        let released = Released::from_ledger(released).map_err(|e| e.to_string())?;
        let (bundle, _) = self.slots.open_bundle(slot, &released).map_err(|e| e.to_string())?;
        let blob = |digest: &Digest| Some((*digest, bundle.blob(&digest.0)?.to_vec()));
        Ok(Opened { manifest: bundle.manifest_bytes().to_vec(), blobs: listed.iter().filter_map(blob).collect() })
    }

    fn erase(&mut self, slot: SlotName) -> Held {
        self.slots.erase(slot).map_err(|e| e.to_string())
    }

    fn reopen(&mut self) -> Held {
        self.slots = Slots::open(&self.home).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn damage(&mut self, slot: SlotName, blob: Digest, damage: Damage) -> Held {
        let path = self.home.join("slots").join(slot.as_str()).join(blob.to_hex());
        let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
        let changed = match damage.apply(&bytes, bytes.len() + 1) {
            Some(left) => std::fs::write(&path, left),
            None => std::fs::remove_file(&path),
        };
        changed.map_err(|e| e.to_string())
    }
}
