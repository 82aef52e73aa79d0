//! The simulator's slots, with a library of their own.
use pinnace_agent_core::{SlotName, SlotPlan};
use pinnace_protocol::ids::Digest;

use super::{Opened, Slots};
use crate::conformance::{Damage, Held};
use crate::slots::{Content, Library, Slots as Model};

/// The model's slots, used as a device's shell uses them.
#[derive(Default)]
pub(super) struct Virtual {
    pub(super) slots: Model,
    pub(super) library: Library,
}

/// Returns the model's slots.
///
/// # Errors
/// Never.
pub fn model() -> Result<Box<dyn Slots>, String> {
    Ok(Box::new(Virtual::default()))
}

impl Slots for Virtual {
    fn prepare(&mut self, slot: SlotName, plan: &SlotPlan) -> Held {
        self.slots.prepare(slot, plan);
        Ok(())
    }

    fn scan(&mut self, slot: SlotName) -> Result<Vec<(Digest, u64)>, String> {
        self.slots.scan(slot, &mut self.library)
    }

    fn write(&mut self, slot: SlotName, blob: Digest, offset: u64, bytes: &[u8]) -> Held {
        self.slots.write(slot, blob, offset, bytes)
    }

    fn seal(&mut self, slot: SlotName) -> Held {
        self.slots.seal(slot, true, &mut self.library)
    }

    fn open(&mut self, slot: SlotName, released: &[u8], listed: &[Digest]) -> Result<Opened, String> {
        let bundle = self.slots.open(slot, released, &mut self.library)?;
        let blob = |digest: &Digest| Some((*digest, bundle.blob(&digest.0)?.to_vec()));
        Ok(Opened { manifest: bundle.manifest_bytes().to_vec(), blobs: listed.iter().filter_map(blob).collect() })
    }

    fn erase(&mut self, slot: SlotName) -> Held {
        self.slots.erase(slot);
        Ok(())
    }

    fn reopen(&mut self) -> Held {
        Ok(())
    }

    fn damage(&mut self, slot: SlotName, blob: Digest, damage: Damage) -> Held {
        let blobs = &mut self.slots.sealed_mut(slot).ok_or("nothing is sealed there")?.blobs;
        let bytes = blobs.remove(&blob).ok_or("there is no such blob")?;
        if let Some(left) = damage.apply(&bytes, bytes.len() + 1) {
            blobs.insert(blob, Content::Own(left));
        }
        Ok(())
    }
}
