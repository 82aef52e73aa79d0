//! S2: what a device has once accepted as the oldest stays the oldest, whatever a power cut does.
use std::collections::BTreeMap;

use pinnace_protocol::trust::Floors;

/// The highest floors that each device has made durable.
#[derive(Debug, Default)]
pub struct FloorsKept(BTreeMap<usize, Floors>);

impl FloorsKept {
    /// Looks at the floors that a start would find now.
    pub fn found(&mut self, device: usize, floors: Floors) -> Result<(), String> {
        let Some(highest) = self.0.get_mut(&device) else {
            self.0.insert(device, floors);
            return Ok(());
        };
        if !floors.covers(highest) {
            return Err(format!("a floor fell: time {} became {}", highest.time(), floors.time()));
        }
        *highest = floors;
        Ok(())
    }
}
