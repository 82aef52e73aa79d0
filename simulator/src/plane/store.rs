//! The plane's database: encoded rows by table and key, and the last director version of each device.
use std::collections::BTreeMap;

use pinnace_controlplane_core::{Batch, Row, Table};
use pinnace_protocol::ids::DeviceId;

/// What survives a crash.
#[derive(Debug, Default)]
pub struct Store {
    rows: BTreeMap<(Table, String), Vec<u8>>,
    versions: BTreeMap<usize, u64>,
}

impl Store {
    /// Writes a batch in one transaction: puts in order, then deletes.
    ///
    /// # Errors
    /// A text when a row cannot be encoded.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), String> {
        for row in &batch.put {
            let value = row.value().map_err(|e| e.to_string())?;
            self.rows.insert((row.table(), row.key()), value);
        }
        for key in &batch.delete {
            self.rows.remove(&(key.table, key.key.clone()));
        }
        Ok(())
    }

    /// Reads every row.
    ///
    /// # Errors
    /// A text when one cannot be decoded.
    pub fn rows(&self) -> Result<Vec<Row>, String> {
        self.rows.iter().map(|((table, _), value)| Row::decode(*table, value).map_err(|e| e.to_string())).collect()
    }

    /// Returns whether a device's admission is durable.
    pub fn has_device(&self, id: &DeviceId) -> bool {
        self.rows.contains_key(&(Table::Device, id.to_string()))
    }

    /// Takes the next director version of a device; they follow the clock where they can.
    pub fn next_version(&mut self, device: usize, now_s: u64) -> u64 {
        let last = self.versions.entry(device).or_insert(0);
        *last = last.saturating_add(1).max(now_s);
        *last
    }
}
