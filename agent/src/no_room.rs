//! Every write of an install finds no room once: it says so, what was there stays whole, and with room it goes on.
use std::path::Path;

use pinnace_agent_core::api::{SlotName, SlotPlan};
use pinnace_protocol::ids::Digest;
use pinnace_protocol::trust::Released;
use pinnace_simulator::conformance::slots::{Opened, Sample, Slots as Tested, sample};
use pinnace_simulator::conformance::{Damage, Held};

use crate::files::no_room;
use crate::slots::Slots;
use crate::twoslot::TwoSlotFile;

/// Writes of one install at most; a guard for the loops below.
const WRITES_MAX: u32 = 200;
/// What the texts of a full disk have in common.
const FULL: &str = "the disk is full";

struct Here(Slots);

impl Tested for Here {
    fn prepare(&mut self, slot: SlotName, plan: &SlotPlan) -> Held {
        self.0.prepare(slot, plan).map_err(|e| e.to_string())
    }
    fn scan(&mut self, slot: SlotName) -> Result<Vec<(Digest, u64)>, String> {
        self.0.scan(slot).map_err(|e| e.to_string())
    }
    fn write(&mut self, slot: SlotName, blob: Digest, offset: u64, bytes: &[u8]) -> Held {
        self.0.write_chunk(slot, blob, offset, bytes).map_err(|e| e.to_string())
    }
    fn seal(&mut self, slot: SlotName) -> Held {
        self.0.seal(slot).map_err(|e| e.to_string())
    }
    fn open(&mut self, slot: SlotName, released: &[u8], listed: &[Digest]) -> Result<Opened, String> {
        let released = Released::from_ledger(released).map_err(|e| e.to_string())?;
        let (bundle, _) = self.0.open_bundle(slot, &released).map_err(|e| e.to_string())?;
        let blob = |digest: &Digest| Some((*digest, bundle.blob(&digest.0)?.to_vec()));
        Ok(Opened { manifest: bundle.manifest_bytes().to_vec(), blobs: listed.iter().filter_map(blob).collect() })
    }
    fn erase(&mut self, slot: SlotName) -> Held {
        self.0.erase(slot).map_err(|e| e.to_string())
    }
    fn reopen(&mut self) -> Held {
        Ok(())
    }
    fn damage(&mut self, _: SlotName, _: Digest, _: Damage) -> Held {
        Err("nothing is damaged here".into())
    }
}

fn open(home: &Path) -> Here {
    Here(Slots::open(home).unwrap())
}

fn install(bundle: &Sample, slots: &mut Here, slot: SlotName) -> Held {
    slots.prepare(slot, &bundle.plan)?;
    let found = slots.scan(slot)?;
    bundle.write(slots, slot, |blob, index| !found.contains(&(blob, index)))?;
    slots.seal(slot)
}

#[test]
fn each_write_to_a_slot_may_find_no_room() {
    let (old, new) = (sample(1).unwrap(), sample(2).unwrap());
    let mut failed = 0;
    for write in 0..WRITES_MAX {
        let home = tempfile::tempdir().unwrap();
        let mut slots = open(home.path());
        install(&old, &mut slots, SlotName::A).unwrap();
        no_room::after(Some(write));
        let said = install(&new, &mut slots, SlotName::B);
        if no_room::after(None) {
            said.unwrap();
            break;
        }
        failed += 1;
        let why = said.expect_err("a write found no room");
        assert!(why.contains(FULL), "write {write}: {why}");
        old.is_in(&mut slots, SlotName::A).unwrap();
        if let Ok(opened) = new.open(&mut slots, SlotName::B) {
            assert_eq!(opened.manifest, new.plan.manifest, "write {write}: whole or not there");
        }
        // With room again, in the same process or in the next one.
        let mut slots = if write % 2 == 0 { slots } else { open(home.path()) };
        install(&new, &mut slots, SlotName::B).unwrap_or_else(|why| panic!("write {write}: {why}"));
        new.is_in(&mut slots, SlotName::B).unwrap();
        old.is_in(&mut slots, SlotName::A).unwrap();
    }
    // The folder, two steps for each of three files, the manifest, five chunks, three syncs, the last name.
    assert!((15..WRITES_MAX).contains(&failed), "{failed}");
}

#[test]
fn each_write_of_floors_and_pointers_may_find_no_room() {
    let home = tempfile::tempdir().unwrap();
    let file = TwoSlotFile::new(home.path(), "floors");
    file.store(b"the old record").unwrap();
    let mut failed = 0;
    for write in 0..WRITES_MAX {
        no_room::after(Some(write));
        let said = file.store(b"the new record");
        if no_room::after(None) {
            said.unwrap();
            break;
        }
        failed += 1;
        let why = said.expect_err("a write found no room");
        assert!(why.is_disk_full() && why.to_string().contains(FULL), "write {write}: {why}");
        for found in file.load().unwrap() {
            let found = found.unwrap();
            assert!(found == b"the old record" || found == b"the new record", "write {write}: {found:?}");
        }
        file.store(b"the old record").unwrap();
    }
    assert_eq!(failed, 6, "two files, three steps each");
    assert_eq!(file.load().unwrap(), [Some(b"the new record".to_vec()), Some(b"the new record".to_vec())]);
}
