//! S4: the slots that the pointers on disk name are not touched.
use pinnace_agent_core::SlotName;

use crate::disk::Disk;

/// Checks a slot before it is prepared, written, sealed or erased.
pub fn slot_is_free(disk: &Disk, slot: SlotName, what: &str) -> Result<(), String> {
    if disk.protects(slot) { Err(format!("{what} touches slot {slot}, which is active or fallback")) } else { Ok(()) }
}
