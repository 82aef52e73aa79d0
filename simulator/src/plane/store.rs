//! The plane's database: rows by table and key, and the last director version of each device.
use std::collections::{BTreeMap, HashMap};

use pinnace_controlplane_core::{Batch, Row, Table};
use pinnace_protocol::ids::DeviceId;

/// What survives a crash. Rows are encoded when a start reads them: what cannot be read back is found there.
#[derive(Debug, Default)]
pub struct Store {
    /// Rows by key, in no order: a start sorts them.
    tables: BTreeMap<Table, HashMap<String, Row>>,
    versions: BTreeMap<usize, u64>,
}

impl Store {
    /// Writes a batch in one transaction: puts in order, then deletes.
    pub fn apply(&mut self, batch: Batch) {
        for row in batch.put {
            self.tables.entry(row.table()).or_default().insert(row.key(), row);
        }
        for key in batch.delete {
            if let Some(rows) = self.tables.get_mut(&key.table) {
                rows.remove(&key.key);
            }
        }
    }

    /// Reads every row as a start does: from its encoded form.
    ///
    /// # Errors
    /// A text when one cannot be encoded or decoded.
    pub fn rows(&self) -> Result<Vec<Row>, String> {
        let all = self.tables.iter().flat_map(|(table, rows)| sorted(rows).into_iter().map(move |row| (*table, row)));
        all.map(|(table, row)| {
            let bytes = row.value().map_err(|e| e.to_string())?;
            Row::decode(table, &bytes).map_err(|e| e.to_string())
        })
        .collect()
    }

    /// Returns a stored row.
    pub fn row(&self, table: Table, key: &str) -> Option<&Row> {
        self.tables.get(&table)?.get(key)
    }

    /// Returns whether a device's admission is durable.
    pub fn has_device(&self, id: &DeviceId) -> bool {
        self.row(Table::Device, id.as_str()).is_some()
    }

    /// Takes the next director version of a device; they follow the clock where they can.
    pub fn next_version(&mut self, device: usize, now_s: u64) -> u64 {
        let last = self.versions.entry(device).or_insert(0);
        *last = last.saturating_add(1).max(now_s);
        *last
    }
}

/// Returns the rows in the order of their keys: what happens must not depend on a hash.
fn sorted(rows: &HashMap<String, Row>) -> Vec<&Row> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    rows.into_iter().map(|(_, row)| row).collect()
}
